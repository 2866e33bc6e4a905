/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/systemd/fdstore.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "broker/base/log.h"

/* FDPOLL=0: the manager would let go of a pidfd whose process has ended, and of a socket that was
 * shut down; the broker decides that. */
static void push(void *self, int fd, const char *name)
{
	char text[FDSTORE_NAME_MAX + 64];
	int r;

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	r = sd_pid_notify_with_fds(0, 0, text, &fd, 1);
	if (r < 0)
		log_warning("%s is not in the service manager's store: %s", name, strerror(-r));
}

static void take_out(void *self, const char *name)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

struct fdstore_port fdstore_port(void)
{
	return (struct fdstore_port){ .push = push, .remove = take_out };
}
