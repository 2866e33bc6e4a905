/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/systemd/manager.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* An abstract datagram socket named by the kernel. */
int manager_setup(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -1;
	address.sun_path[0] = '@';
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	*state = (void *)(intptr_t)fd;
	return 0;
}

int manager_teardown(void **state)
{
	close((int)(intptr_t)*state);
	unsetenv("NOTIFY_SOCKET");
	return 0;
}
