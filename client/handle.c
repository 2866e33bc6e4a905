/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The handle: its connection, its settings, and how the last call went. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "client/handle.h"
#include "protocol/cleanup.h"

struct sockbroker *sockbroker_new(void)
{
	struct sockbroker *sb = calloc(1, sizeof(*sb));

	if (!sb)
		return NULL;
	sb->socket = -1;
	sb->timeout = SOCKBROKER_TIMEOUT_DEFAULT;
	return sb;
}

void sockbroker_free(struct sockbroker *sb)
{
	if (!sb)
		return;
	sb_packet_close(&sb->packet);
	sb_close(sb->socket);
	free(sb);
}

int handle_begin(struct sockbroker *sb)
{
	if (!sb)
		return -ENOMEM;
	sb_packet_close(&sb->packet);
	sb->packet.n_fds = 0;
	sb->reply.n_fields = 0;
	sb->failure = SOCKBROKER_NO_FAILURE;
	sb->error.code = 0;
	sb->error.message[0] = '\0';
	return 0;
}

static int handle_fail(struct sockbroker *sb, enum sockbroker_failure failure, int code,
		       const char *format, va_list ap) __attribute__((format(printf, 4, 0)));

static int handle_fail(struct sockbroker *sb, enum sockbroker_failure failure, int code,
		       const char *format, va_list ap)
{
	char message[SB_ERROR_MESSAGE_MAX];

	vsnprintf(message, sizeof(message), format, ap);
	sb->failure = failure;
	return sb_fail(&sb->error, code, "%s", message);
}

int handle_fail_local(struct sockbroker *sb, int code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	handle_fail(sb, SOCKBROKER_LOCAL, code, format, ap);
	va_end(ap);
	return -code;
}

int handle_fail_unreachable(struct sockbroker *sb, int code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	handle_fail(sb, SOCKBROKER_UNREACHABLE, code, format, ap);
	va_end(ap);
	sb->socket = sb_close(sb->socket);
	return -code;
}

int sockbroker_set_timeout(struct sockbroker *sb, int milliseconds)
{
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	if (milliseconds < -1)
		return handle_fail_local(sb, EINVAL, "a timeout of %d ms is not possible",
					 milliseconds);
	sb->timeout = milliseconds;
	return 0;
}

void handle_set_waiting(struct sockbroker *sb, handle_waiting waiting, void *data)
{
	if (!sb)
		return;
	sb->waiting = waiting;
	sb->waiting_data = data;
}

static int connect_failed(struct sockbroker *sb, int code, const char *path)
{
	const char *hint = "";

	switch (code) {
	case EAGAIN: /* what a Unix socket says when SO_SNDTIMEO ends the wait for its backlog */
		return handle_fail_unreachable(sb, ETIMEDOUT,
					       "%s: the broker took no connection in time", path);
	case ENOENT:
	case ECONNREFUSED:
		hint = "; is sockbrokerd running?";
		break;
	case EPROTOTYPE:
		hint = "; this is not the socket of a sockbrokerd";
		break;
	}
	return handle_fail_unreachable(sb, code, "can't reach the broker at %s: %s%s", path,
				       strerror(code), hint);
}

/* A blocking connect, bounded by SO_SNDTIMEO: for Unix sockets poll() can't wait for the backlog.
 */
static int connect_bounded(struct sockbroker *sb, int fd, const struct sockaddr_un *sa)
{
	struct timeval tv = { sb->timeout / 1000, sb->timeout % 1000 * 1000 };

	if (sb->timeout == 0)
		tv.tv_usec = 1; /* 0 would mean for ever */
	if (sb->timeout >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static const char *default_path(void)
{
	const char *path = getenv(SB_SOCKET_ENV);

	return path && *path ? path : SB_SOCKET_PATH;
}

int sockbroker_connect(struct sockbroker *sb, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	sb->socket = sb_close(sb->socket);
	if (!path)
		path = default_path();
	if (strlen(path) >= sizeof(sa.sun_path))
		return handle_fail_unreachable(sb, ENAMETOOLONG,
					       "%s: the path of a socket has at most %zu bytes",
					       path, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path));

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return handle_fail_local(sb, errno, "no socket to connect with: %s",
					 strerror(errno));
	r = connect_bounded(sb, fd, &sa);
	if (r < 0)
		return connect_failed(sb, -r, path);
	r = set_nonblocking(fd);
	if (r < 0)
		return handle_fail_local(sb, -r, "%s: %s", path, strerror(-r));
	sb->socket = TAKE_FD(fd);
	return 0;
}

int sockbroker_connect_fd(struct sockbroker *sb, int fd)
{
	int type = 0;
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) }) < 0)
		return handle_fail_local(sb, errno, "fd %d: %s", fd, strerror(errno));
	if (type != SOCK_SEQPACKET)
		return handle_fail_local(sb, EPROTOTYPE, "fd %d is not a SOCK_SEQPACKET socket",
					 fd);
	r = set_nonblocking(fd);
	if (r < 0)
		return handle_fail_local(sb, -r, "fd %d: %s", fd, strerror(-r));
	sb_close(sb->socket);
	sb->socket = fd;
	return 0;
}

const char *sockbroker_error(const struct sockbroker *sb)
{
	return sb ? sb->error.message : "out of memory";
}

enum sockbroker_failure sockbroker_failure(const struct sockbroker *sb)
{
	return sb ? sb->failure : SOCKBROKER_LOCAL;
}

const char *sockbroker_warning(const struct sockbroker *sb, size_t index)
{
	for (size_t i = 0; sb && i < sb->reply.n_fields; i++)
		if (!strcmp(sb->reply.fields[i].key, "WARNING") && index-- == 0)
			return sb->reply.fields[i].value;
	return NULL;
}
