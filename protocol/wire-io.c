/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/wire-io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "protocol/wire-io-internal.h"

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SEALS_NEEDED (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)

/* Besides the fds: SCM_CREDENTIALS, SCM_PIDFD and the security label of SCM_SECURITY, which come
 * when the socket has inherited such options; a request must not fail for them. */
#define CONTROL_EXTRA 1024

union send_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(SB_WIRE_FDS_MAX * sizeof(int))];
};

union receive_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(SB_WIRE_FDS_MAX * sizeof(int)) + CONTROL_EXTRA];
};

void sb_packet_close(struct sb_packet *p)
{
	sb_close_all(p->fds, p->n_fds);
	p->n_fds = 0;
}

/* Hands over the fds of one control message; returns how many found no room and were closed. */
static size_t take_fds(struct sb_packet *p, const unsigned char *data, size_t n, bool keep)
{
	size_t surplus = 0;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		if (keep && p->n_fds < SB_WIRE_FDS_MAX) {
			p->fds[p->n_fds++] = fd;
			continue;
		}
		surplus += keep;
		sb_close(fd);
	}
	return surplus;
}

int sb_packet_take_control(struct sb_packet *p, struct msghdr *msg)
{
	size_t surplus = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		bool rights = c->cmsg_type == SCM_RIGHTS;

		if (c->cmsg_level != SOL_SOCKET || (!rights && c->cmsg_type != SCM_PIDFD))
			continue;
		surplus += take_fds(p, CMSG_DATA(c), (c->cmsg_len - CMSG_LEN(0)) / sizeof(int),
				    rights);
	}
	if (surplus == 0)
		return 0;
	sb_packet_close(p);
	return -EMSGSIZE;
}

int sb_packet_receive(int socket, struct sb_packet *p)
{
	union receive_control control;
	struct iovec iov = { .iov_base = p->data, .iov_len = SB_WIRE_PACKET_MAX };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;
	int r;

	p->length = 0;
	p->n_fds = 0;
	p->data[0] = '\0';
	do {
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	r = sb_packet_take_control(p, &msg);
	if (r == 0 && (msg.msg_flags & MSG_TRUNC))
		r = -EMSGSIZE;
	/* The buffer holds all that may be sent, so if there is still room in it, then what ran out
	 * is our table of fds. */
	if (r == 0 && (msg.msg_flags & MSG_CTRUNC))
		r = sizeof(control.bytes) - msg.msg_controllen >= CMSG_SPACE(sizeof(int))
			    ? -EMFILE
			    : -EMSGSIZE;
	p->length = (size_t)n;
	p->data[n] = '\0';
	if (r < 0 || n == 0) {
		sb_packet_close(p);
		return r;
	}
	return 1;
}

ssize_t sb_send_with_fds(int socket, struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds,
			 int flags)
{
	union send_control control;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n_iov };
	ssize_t n;

	if (n_fds > 0) {
		memset(control.bytes, 0, CMSG_SPACE(n_fds * sizeof(int)));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, n_fds * sizeof(int));
	}
	do {
		n = sendmsg(socket, &msg, flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int sb_packet_send(int socket, const void *data, size_t length, const int *fds, size_t n_fds,
		   int flags)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = length };
	ssize_t n;

	if (length == 0) /* would read as the end of the connection */
		return -EINVAL;
	if (length > SB_WIRE_PACKET_MAX || n_fds > SB_WIRE_FDS_MAX)
		return -EMSGSIZE;
	n = sb_send_with_fds(socket, &iov, 1, fds, n_fds, flags);
	if (n < 0)
		return (int)n;
	return (size_t)n == length ? 0 : -EIO;
}

int sb_pwrite_all(int fd, const void *data, size_t length, off_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n =
			pwrite(fd, (const char *)data + done, length - done, offset + (off_t)done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int sb_memfd_new_sealed(const char *name, const void *data, size_t length)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = sb_pwrite_all(fd, data, length, 0);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, SEALS_NEEDED | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Only ordinary memfds: reading a page of one on huge pages may raise SIGBUS, sealed or not. */
static int check_memfd(int fd, struct sb_error *error)
{
	struct statfs fs;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return sb_fail(error, EINVAL, "the passed file is not a memfd (memfd_create)");
	if ((seals & SEALS_NEEDED) != SEALS_NEEDED)
		return sb_fail(error, EINVAL,
			       "the passed memfd is not sealed; add F_SEAL_WRITE, F_SEAL_GROW and "
			       "F_SEAL_SHRINK before you send it");
	return 0;
}

int sb_memfd_map(int fd, size_t max, bool copy, void **ret, size_t *ret_length,
		 struct sb_error *error)
{
	struct stat st;
	void *map;
	int r;

	r = check_memfd(fd, error);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return sb_fail(error, errno, "cannot tell the length of the passed memfd: %m");
	if ((uint64_t)st.st_size > max)
		return sb_fail(error, EMSGSIZE,
			       "the passed memfd is %jd bytes long, %zu is the most",
			       (intmax_t)st.st_size, max);
	*ret = NULL;
	*ret_length = (size_t)st.st_size;
	if (st.st_size == 0)
		return 0;
	/* MAP_PRIVATE even to read: before Linux 6.7 F_SEAL_WRITE forbids any shared mapping. */
	map = mmap(NULL, *ret_length, copy ? PROT_READ | PROT_WRITE : PROT_READ, MAP_PRIVATE, fd,
		   0);
	if (map == MAP_FAILED)
		return sb_fail(error, errno, "cannot map the passed memfd: %m");
	*ret = map;
	return 0;
}
