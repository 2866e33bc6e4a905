/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "protocol/wire-io-internal.h"
#include "protocol/wire-io.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

struct pair {
	int ours, theirs; /* we receive on ours what they send */
	size_t fds_before;
};

static int setup(void **state)
{
	static struct pair pair;
	int s[2];

	pair.fds_before = count_fds();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s) < 0)
		return -1;
	pair.ours = s[0];
	pair.theirs = s[1];
	*state = &pair;
	return 0;
}

/* No test leaves an fd behind. */
static int teardown(void **state)
{
	struct pair *pair = *state;

	sb_close(pair->ours);
	sb_close(pair->theirs);
	return count_fds() == pair->fds_before ? 0 : -1;
}

static void open_many(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
}

static void close_many(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sb_close(fds[i]);
}

static void test_bytes_without_fds(void **state)
{
	struct pair *pair = *state;
	struct sb_packet p;

	memset(&p, 0xa5, sizeof(p));
	assert_int_equal(sb_packet_receive(pair->ours, &p), -EAGAIN);
	assert_int_equal(p.n_fds, 0);
	assert_int_equal(sb_packet_send(pair->theirs, "one", 3, NULL, 0, 0), 0);
	assert_int_equal(sb_packet_send(pair->theirs, "second", 6, NULL, 0, 0), 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_int_equal(p.length, 3);
	assert_string_equal(p.data, "one");
	assert_int_equal(p.n_fds, 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_string_equal(p.data, "second");
	assert_int_equal(sb_packet_receive(pair->ours, &p), -EAGAIN);
}

static void test_end_of_connection(void **state)
{
	struct pair *pair = *state;
	struct sb_packet p;

	assert_int_equal(sb_packet_send(pair->theirs, "x", 1, NULL, 0, 0), 0);
	pair->theirs = sb_close(pair->theirs);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 0);
	/* a peer that is gone is an error, not a signal */
	assert_int_equal(sb_packet_send(pair->ours, "x", 1, NULL, 0, 0), -EPIPE);
	assert_int_equal(sb_packet_receive(-1, &p), -EBADF);
	assert_int_equal(sb_packet_send(-1, "x", 1, NULL, 0, 0), -EBADF);
}

static void test_length_limit(void **state)
{
	char bytes[SB_WIRE_PACKET_MAX + 1];
	struct pair *pair = *state;
	struct sb_packet p;
	size_t before = count_fds();
	int fd = pair->ours;

	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(sb_packet_send(pair->theirs, bytes, SB_WIRE_PACKET_MAX, NULL, 0, 0), 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_int_equal(p.length, SB_WIRE_PACKET_MAX);
	assert_int_equal(strlen(p.data), SB_WIRE_PACKET_MAX);

	assert_int_equal(sb_packet_send(pair->theirs, bytes, sizeof(bytes), NULL, 0, 0), -EMSGSIZE);
	assert_int_equal(sb_packet_send(pair->theirs, bytes, 0, NULL, 0, 0), -EINVAL);

	/* what a stranger may send all the same, with an fd on it */
	{
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
		struct iovec iov = { bytes, sizeof(bytes) };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = &control,
				      .msg_controllen = sizeof(control) };

		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		assert_int_equal(sendmsg(pair->theirs, &msg, 0), sizeof(bytes));
	}
	assert_int_equal(sb_packet_receive(pair->ours, &p), -EMSGSIZE);
	assert_int_equal(p.n_fds, 0);
	assert_int_equal(count_fds(), before);
	/* the connection is still good */
	assert_int_equal(sb_packet_send(pair->theirs, "x", 1, NULL, 0, 0), 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
}

static void test_fds_arrive_in_order_and_cloexec(void **state)
{
	struct pair *pair = *state;
	struct sb_packet p;
	int pipes[2][2], fds[3];
	char byte;

	assert_int_equal(pipe(pipes[0]), 0); /* not CLOEXEC: that is the receiver's to set */
	assert_int_equal(pipe(pipes[1]), 0);
	fds[0] = pipes[0][1];
	fds[1] = pipes[1][1];
	fds[2] = pipes[0][1];
	assert_int_equal(sb_packet_send(pair->theirs, "x", 1, fds, 3, 0), 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_int_equal(p.n_fds, 3);
	for (size_t i = 0; i < 3; i++) {
		char which = (char)('0' + i);

		assert_int_equal(fcntl(p.fds[i], F_GETFD), FD_CLOEXEC);
		assert_int_equal(write(p.fds[i], &which, 1), 1);
	}
	assert_int_equal(read(pipes[1][0], &byte, 1), 1);
	assert_int_equal(byte, '1');
	assert_int_equal(read(pipes[0][0], &byte, 1), 1);
	assert_int_equal(byte, '0');
	assert_int_equal(read(pipes[0][0], &byte, 1), 1);
	assert_int_equal(byte, '2');

	/* one is taken, the others go with the packet; closing twice is harmless */
	fds[0] = TAKE_FD(p.fds[1]);
	sb_packet_close(&p);
	sb_packet_close(&p);
	assert_int_equal(p.n_fds, 0);
	assert_true(fcntl(fds[0], F_GETFD) >= 0);
	sb_close(fds[0]);
	close_many(pipes[0], 2);
	close_many(pipes[1], 2);
}

/* Above all, it does not close fd 0. */
static void test_close_accepts_a_zeroed_packet(void **state)
{
	int zero = fcntl(STDIN_FILENO, F_GETFD);
	struct sb_packet p;

	memset(&p, 0, sizeof(p));
	sb_packet_close(&p);
	assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), zero);
}

static void test_fd_limit(void **state)
{
	struct pair *pair = *state;
	struct sb_packet p;
	int fds[SB_WIRE_FDS_MAX + 1];
	size_t before = count_fds();

	open_many(fds, SB_WIRE_FDS_MAX + 1);
	assert_int_equal(sb_packet_send(pair->theirs, "x", 1, fds, SB_WIRE_FDS_MAX, 0), 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_int_equal(p.n_fds, SB_WIRE_FDS_MAX);
	for (size_t i = 0; i < p.n_fds; i++)
		assert_int_equal(fcntl(p.fds[i], F_GETFD), FD_CLOEXEC);
	sb_packet_close(&p);

	assert_int_equal(sb_packet_send(pair->theirs, "x", 1, fds, SB_WIRE_FDS_MAX + 1, 0),
			 -EMSGSIZE);
	close_many(fds, SB_WIRE_FDS_MAX + 1);
	assert_int_equal(count_fds(), before);
}

static void test_empty_packet_with_fds_leaks_nothing(void **state)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr msg = { .msg_control = &control, .msg_controllen = sizeof(control) };
	struct pair *pair = *state;
	struct sb_packet p;
	size_t before = count_fds();

	memcpy(CMSG_DATA(&control.header), &pair->ours, sizeof(int));
	assert_int_equal(sendmsg(pair->theirs, &msg, 0), 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 0);
	assert_int_equal(p.n_fds, 0);
	assert_int_equal(count_fds(), before);
}

/* Sockets inherit options from a listener; a full load of fds still gets in beside what they add,
 * and the pidfd among it is closed. */
static void test_other_control_messages(void **state)
{
	struct pair *pair = *state;
	struct sb_packet p;
	int fds[SB_WIRE_FDS_MAX], on = 1;
	size_t before = count_fds();

	assert_int_equal(setsockopt(pair->ours, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	setsockopt(pair->ours, SOL_SOCKET, SO_PASSSEC, &on, sizeof(on));
	setsockopt(pair->ours, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on));
	setsockopt(pair->ours, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)); /* Linux 6.5 */
	open_many(fds, SB_WIRE_FDS_MAX);
	assert_int_equal(sb_packet_send(pair->theirs, "x", 1, fds, SB_WIRE_FDS_MAX, 0), 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_int_equal(p.n_fds, SB_WIRE_FDS_MAX);
	assert_int_equal(count_fds(), before + 2 * SB_WIRE_FDS_MAX);
	sb_packet_close(&p);
	close_many(fds, SB_WIRE_FDS_MAX);

	assert_int_equal(sb_packet_send(pair->theirs, "x", 1, NULL, 0, 0), 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_int_equal(p.n_fds, 0);
	assert_int_equal(count_fds(), before);
}

/* One sender, several SCM_RIGHTS in one packet: the kernel makes one set of them. */
static void test_several_sets_in_one_packet(void **state)
{
	union {
		struct cmsghdr header;
		char bytes[2 * CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (char[]){ 'x' }, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *second;
	struct pair *pair = *state;
	struct sb_packet p;

	memcpy(control.bytes + CMSG_SPACE(sizeof(int)), control.bytes, sizeof(struct cmsghdr));
	second = CMSG_NXTHDR(&msg, CMSG_FIRSTHDR(&msg));
	assert_non_null(second);
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &pair->ours, sizeof(int));
	memcpy(CMSG_DATA(second), &pair->theirs, sizeof(int));
	assert_int_equal(sendmsg(pair->theirs, &msg, 0), 1);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_int_equal(p.n_fds, 2);
	sb_packet_close(&p);
}

/* Writes a control message of N copies of an open fd at *AT. */
static void forge(char *bytes, size_t *at, int type, int n)
{
	struct cmsghdr *c = (struct cmsghdr *)(bytes + *at);

	c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = type;
	for (int i = 0; i < n; i++) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &fd, sizeof(fd));
	}
	*at += CMSG_SPACE((size_t)n * sizeof(int));
}

/* More than a packet may carry, as no kernel of today delivers it. */
static void test_surplus_fds_are_closed(void **state)
{
	_Alignas(struct cmsghdr) char bytes[4096];
	struct msghdr msg = { .msg_control = bytes };
	size_t before = count_fds(), at = 0;
	struct sb_packet p;

	p.n_fds = 0;
	memset(bytes, 0, sizeof(bytes));
	forge(bytes, &at, SCM_RIGHTS, 200);
	forge(bytes, &at, SCM_PIDFD, 1);
	forge(bytes, &at, SCM_RIGHTS, SB_WIRE_FDS_MAX - 200);
	msg.msg_controllen = at;
	assert_int_equal(sb_packet_take_control(&p, &msg), 0);
	assert_int_equal(p.n_fds, SB_WIRE_FDS_MAX);
	assert_int_equal(count_fds(), before + SB_WIRE_FDS_MAX);
	sb_packet_close(&p);
	assert_int_equal(count_fds(), before);

	at = 0;
	memset(bytes, 0, sizeof(bytes));
	forge(bytes, &at, SCM_RIGHTS, 200);
	forge(bytes, &at, SCM_RIGHTS, SB_WIRE_FDS_MAX - 200 + 1);
	forge(bytes, &at, SCM_RIGHTS, 3);
	msg.msg_controllen = at;
	assert_int_equal(sb_packet_take_control(&p, &msg), -EMSGSIZE);
	assert_int_equal(p.n_fds, 0);
	assert_int_equal(count_fds(), before);
}

/* The kernel cuts the control data when our table of fds is full. */
static void test_truncated_control_data(void **state)
{
	struct pair *pair = *state;
	struct rlimit old, tight;
	struct sb_packet p;
	int fds[8];
	size_t before;
	int r;

	open_many(fds, 8);
	before = count_fds();
	assert_int_equal(sb_packet_send(pair->theirs, "x", 1, fds, 8, 0), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)fds[7] + 4; /* room for three of the eight */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	r = sb_packet_receive(pair->ours, &p);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(p.n_fds, 0);
	assert_int_equal(count_fds(), before);

	assert_int_equal(sb_packet_send(pair->theirs, "x", 1, fds, 8, 0), 0);
	assert_int_equal(sb_packet_receive(pair->ours, &p), 1);
	assert_int_equal(p.n_fds, 8);
	sb_packet_close(&p);
	close_many(fds, 8);
}

#define WITH_PAIR(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PAIR(test_bytes_without_fds),
		WITH_PAIR(test_end_of_connection),
		WITH_PAIR(test_length_limit),
		WITH_PAIR(test_fds_arrive_in_order_and_cloexec),
		WITH_PAIR(test_close_accepts_a_zeroed_packet),
		WITH_PAIR(test_fd_limit),
		WITH_PAIR(test_empty_packet_with_fds_leaks_nothing),
		WITH_PAIR(test_other_control_messages),
		WITH_PAIR(test_several_sets_in_one_packet),
		WITH_PAIR(test_surplus_fds_are_closed),
		WITH_PAIR(test_truncated_control_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
