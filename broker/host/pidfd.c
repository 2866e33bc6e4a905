/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/host/pidfd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "protocol/cleanup.h"

int pidfd_of(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

int pidfd_read_pid(int fd, pid_t *ret)
{
	char path[64], text[1024];
	_cleanup_close_ int info = -1;
	const char *line;
	ssize_t n;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return errno == ENOENT ? -EBADF : -errno;
	n = read(info, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	/* "Pid:" is there for a pidfd only; its value is 0 or -1 as said above. */
	line = strstr(text, "\nPid:");
	if (!line || sscanf(line, "\nPid: %d", &pid) != 1)
		return -EBADF;
	if (pid <= 0)
		return -ESRCH;
	*ret = (pid_t)pid;
	return 0;
}
