/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "broker/io/server.h"

/* Whether nobody listens at ADDRESS: then connections are refused. Any other answer (a full queue,
 * a socket of another type) comes from somebody. */
static bool is_stale(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	       errno == ECONNREFUSED;
}

static int clear_way(const char *path, const struct sockaddr_un *address, struct sb_error *error)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : sb_fail(error, errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return sb_fail(error, EEXIST, "%s is in the way and is no socket", path);
	if (!is_stale(address))
		return sb_fail(error, EADDRINUSE, "another broker listens at %s", path);
	return unlink(path) < 0 ? sb_fail(error, errno, "%s: %s", path, strerror(errno)) : 0;
}

int server_listen(const char *path, struct sb_error *error)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return sb_fail(error, ENAMETOOLONG, "%s is too long for a Unix socket", path);
	strcpy(address.sun_path, path);
	r = clear_way(path, &address, error);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return sb_fail(error, errno, "%s: %s", path, strerror(errno));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return sb_fail(error, errno,
			       errno == ENOENT ? "%s: its directory is missing; make it, or name "
						 "another place with --socket"
					       : "%s: the socket cannot be made there",
			       path);
	if (chmod(path, 0666) < 0 || listen(fd, SOMAXCONN) < 0)
		return sb_fail(error, errno, "%s: %s", path, strerror(errno));
	return TAKE_FD(fd);
}
