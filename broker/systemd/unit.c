/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/systemd/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <systemd/sd-login.h>

#include "protocol/cleanup.h"

int unit_check_process(int pidfd)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 && errno != EPERM)
		return -errno;
	return 0;
}

/* The errors by which libsystemd says that the process runs outside of any unit, or that there is
 * no systemd to have units. */
static int means_no_unit(int r)
{
	return r == -ENODATA || r == -ENXIO || r == -ENOMEDIUM || r == -EOPNOTSUPP;
}

int unit_of_process(pid_t pid, int pidfd, char *buf, size_t size)
{
	_cleanup_free_ char *unit = NULL;
	int r;

	if (size == 0)
		return -ENOBUFS;
	buf[0] = '\0';
	/* libsystemd takes 0 for the caller itself; the kernel writes 0 for a peer of another
	 * pid namespace. The broker's own unit must not be what such a peer gets. */
	if (pid <= 0)
		return -ESRCH;
	r = sd_pid_get_unit(pid, &unit);
	if (r < 0 && !means_no_unit(r))
		return r;
	if (pidfd >= 0) {
		int alive = unit_check_process(pidfd);

		if (alive < 0)
			return alive;
	}
	if (r < 0)
		return 0;
	if (strlen(unit) >= size)
		return -ENOBUFS;
	strcpy(buf, unit);
	return 0;
}
