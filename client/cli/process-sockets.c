/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fds come from /proc, so that a sparse table costs nothing; the sockets from pidfd_getfd(2).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "client/cli/process-sockets.h"
#include "client/number.h"
#include "protocol/cleanup.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* What the process has, for the sentence that explains an empty result. */
struct seen {
	size_t sockets, unrelated, connected, unbound, mptcp, filtered;
};

static void cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

void socket_list_close(struct socket_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		sb_close(l->fds[i]);
	if (l->n > 0)
		sb_close(l->pidfd);
	l->n = 0;
}

static int option(int fd, int name)
{
	int value = -1;

	if (getsockopt(fd, SOL_SOCKET, name, &value, &(socklen_t){ sizeof(value) }) < 0)
		return -1;
	return value;
}

static bool has_peer(int fd)
{
	struct sockaddr_storage ss;

	return getpeername(fd, (struct sockaddr *)&ss, &(socklen_t){ sizeof(ss) }) == 0;
}

static bool filter_matches(const struct socket_filter *f, unsigned int protocol,
			   const struct sb_address *address, uint16_t port)
{
	if (!(f->protocols & protocol))
		return false;
	if (f->port && f->port != port)
		return false;
	return !f->has_address ||
	       (f->address.family == address->family &&
		!memcmp(f->address.bytes, address->bytes, sizeof(address->bytes)));
}

/* Whether the socket can be registered and is wanted; counts in SEEN why not. */
static bool is_wanted(int fd, const struct socket_filter *filter, struct seen *seen)
{
	struct sockaddr_storage ss;
	struct sb_address address;
	int protocol = option(fd, SO_PROTOCOL);
	uint16_t port;

	if (getsockname(fd, (struct sockaddr *)&ss, &(socklen_t){ sizeof(ss) }) < 0 ||
	    sb_address_from_sockaddr(&ss, &address, &port) < 0 ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_MPTCP)) {
		seen->unrelated++;
		return false;
	}
	if (protocol == IPPROTO_UDP ? has_peer(fd) : option(fd, SO_ACCEPTCONN) != 1) {
		seen->connected++;
		return false;
	}
	if (protocol == IPPROTO_MPTCP) {
		seen->mptcp++;
		return false;
	}
	if (port == 0) {
		seen->unbound++;
		return false;
	}
	if (!filter_matches(filter, protocol == IPPROTO_TCP ? SB_PROTOCOL_TCP : SB_PROTOCOL_UDP,
			    &address, port)) {
		seen->filtered++;
		return false;
	}
	return true;
}

/* Takes FD over into the list, or closes it when it is there already. */
static int list_consume(struct socket_list *l, int fd, struct sb_error *error)
{
	_cleanup_close_ int owned = fd;
	uint64_t cookie = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &(socklen_t){ sizeof(cookie) }) < 0)
		return sb_fail(error, errno, "a socket's cookie: %s", strerror(errno));
	for (size_t i = 0; i < l->n; i++)
		if (l->cookies[i] == cookie)
			return 0;
	if (l->n == SOCKBROKER_FDS_MAX)
		return sb_fail(error, EMFILE,
			       "the process has more than %d sockets to register; choose with "
			       "PROTO ADDR PORT",
			       SOCKBROKER_FDS_MAX);
	l->cookies[l->n] = cookie;
	l->fds[l->n++] = TAKE_FD(owned);
	return 0;
}

static int take_one(int pidfd, int number, const struct socket_filter *filter,
		    struct socket_list *list, struct seen *seen, struct sb_error *error)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);

	if (fd < 0 && errno == EBADF)
		return 0; /* closed since the directory was read */
	if (fd < 0 && errno == EPERM)
		return sb_fail(error, EPERM,
			       "taking file descriptors of the process is not permitted; it needs "
			       "its user, or CAP_SYS_PTRACE");
	if (fd < 0)
		return sb_fail(error, errno, "fd %d of the process: %s", number, strerror(errno));
	seen->sockets++;
	if (!is_wanted(fd, filter, seen))
		return 0;
	return list_consume(list, TAKE_FD(fd), error);
}

static int compare_int(const void *a, const void *b)
{
	return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/* The numbers of the fds that are sockets; *RET is the caller's to free. */
static int list_socket_numbers(pid_t pid, int **ret, size_t *ret_n, struct sb_error *error)
{
	_cleanup_(cleanup_closedir) DIR *dir = NULL;
	_cleanup_free_ int *numbers = NULL;
	size_t n = 0, capacity = 0;
	char path[64], target[16];
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return sb_fail(error, errno, "%s: %s", path, strerror(errno));
	while ((entry = readdir(dir))) {
		uint64_t number;

		if (!number_parse(entry->d_name, &number) ||
		    readlinkat(dirfd(dir), entry->d_name, target, sizeof(target)) < 8 ||
		    strncmp(target, "socket:[", 8) != 0)
			continue;
		if (n == capacity) {
			int *more =
				reallocarray(numbers, capacity = capacity * 2 + 64, sizeof(int));

			if (!more)
				return sb_fail(error, ENOMEM, "out of memory");
			numbers = more;
		}
		numbers[n++] = (int)number;
	}
	if (n > 0)
		qsort(numbers, n, sizeof(int), compare_int);
	*ret = TAKE_PTR(numbers);
	*ret_n = n;
	return 0;
}

/* "2 connected or not listening, 1 not bound, ..." of what is not zero. */
static int explain_nothing(pid_t pid, const struct seen *seen, struct sb_error *error)
{
	const struct {
		size_t n;
		const char *what;
	} rows[] = {
		{ seen->filtered, "of another protocol, address or port" },
		{ seen->connected, "connected or not listening" },
		{ seen->unbound, "not bound" },
		{ seen->mptcp, "MPTCP (for a Go program set GODEBUG=multipathtcp=0)" },
		{ seen->unrelated, "neither TCP nor UDP" },
	};
	char text[320] = "";
	size_t length = 0;

	if (seen->sockets == 0)
		return sb_fail(error, ENOENT, "process %d has no sockets", pid);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].n == 0)
			continue;
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%zu %s",
					   length ? ", " : "", rows[i].n, rows[i].what);
	}
	return sb_fail(error, ENOENT, "none of the %zu socket%s of process %d can be taken: %s",
		       seen->sockets, seen->sockets == 1 ? "" : "s", pid, text);
}

int process_sockets(pid_t pid, const struct socket_filter *filter, struct socket_list *ret,
		    struct sb_error *error)
{
	_cleanup_close_ int pidfd = -1;
	_cleanup_free_ int *numbers = NULL;
	struct seen seen = { 0 };
	size_t n = 0;
	int r;

	ret->n = 0;
	/* First, so that all that follows is about one process even if its number is used anew. */
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0 && errno == ESRCH)
		return sb_fail(error, ESRCH, "there is no process %d", pid);
	if (pidfd < 0)
		return sb_fail(error, errno, "process %d: %s", pid, strerror(errno));
	r = list_socket_numbers(pid, &numbers, &n, error);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = take_one(pidfd, numbers[i], filter, ret, &seen, error);
	if (r == 0 && ret->n == 0)
		r = explain_nothing(pid, &seen, error);
	ret->pidfd = ret->n > 0 ? TAKE_FD(pidfd) : -1;
	if (r < 0)
		socket_list_close(ret);
	return r;
}
