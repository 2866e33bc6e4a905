/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "protocol/wire-io-internal.h"
#include "protocol/wire-io.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

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

static void test_memfd_round_trip(void **state)
{
	static const char text[] = "tcp 192.0.2.0/24 80 web\n";
	size_t length = 0;
	void *map = NULL;
	char back[sizeof(text)] = "";
	int fd = sb_memfd_new_sealed("rules", text, sizeof(text) - 1);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK),
			 F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK);
	assert_int_equal(write(fd, "x", 1), -1);
	/* a client in any language reads it from the start */
	assert_int_equal(read(fd, back, sizeof(back)), sizeof(text) - 1);
	assert_string_equal(back, text);

	assert_int_equal(sb_memfd_map(fd, sizeof(text) - 1, false, &map, &length, NULL), 0);
	assert_int_equal(length, sizeof(text) - 1);
	assert_memory_equal(map, text, length);
	munmap(map, length);

	assert_int_equal(sb_memfd_map(fd, 4096, true, &map, &length, NULL), 0);
	*(char *)map = 'T'; /* our copy, not theirs */
	munmap(map, length);
	assert_int_equal(pread(fd, back, 1, 0), 1);
	assert_int_equal(back[0], 't');
	sb_close(fd);
}

/* Without COPY the mapping is read-only: a stray write must not go unnoticed. */
static void test_memfd_map_is_read_only(void **state)
{
	size_t length;
	void *map;
	pid_t pid;
	int status, fd = sb_memfd_new_sealed("x", "x", 1);

	assert_int_equal(sb_memfd_map(fd, 1, false, &map, &length, NULL), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = { 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)map = 'y';
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	munmap(map, length);
	sb_close(fd);
}

static void test_memfd_limits(void **state)
{
	size_t length = 99;
	void *map = &length;
	struct sb_error e;
	int fd = sb_memfd_new_sealed("empty", NULL, 0);

	assert_true(fd >= 0);
	assert_int_equal(sb_memfd_map(fd, 0, false, &map, &length, NULL), 0);
	assert_null(map);
	assert_int_equal(length, 0);
	sb_close(fd);

	fd = sb_memfd_new_sealed("five", "12345", 5);
	assert_int_equal(sb_memfd_map(fd, 5, false, &map, &length, NULL), 0);
	munmap(map, length);
	check_refused(sb_memfd_map(fd, 4, false, &map, &length, &e), &e, EMSGSIZE,
		      "the passed memfd is 5 bytes long, 4 is the most");
	sb_close(fd);
}

static void test_memfd_without_seals_is_refused(void **state)
{
	static const int too_few[] = {
		0,
		F_SEAL_WRITE,
		F_SEAL_WRITE | F_SEAL_GROW,
		F_SEAL_WRITE | F_SEAL_SHRINK,
		F_SEAL_GROW | F_SEAL_SHRINK,
		F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL,
	};
	struct sb_error e;
	size_t length;
	void *map;

	for (size_t i = 0; i < ARRAY_SIZE(too_few); i++) {
		int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		assert_int_equal(write(fd, "x", 1), 1);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, too_few[i]), 0);
		check_refused(sb_memfd_map(fd, 10, false, &map, &length, &e), &e, EINVAL,
			      "the passed memfd is not sealed; add F_SEAL_WRITE, F_SEAL_GROW and "
			      "F_SEAL_SHRINK before you send it");
		sb_close(fd);
	}
}

static void test_what_is_no_memfd_is_refused(void **state)
{
	struct pair *pair = *state;
	struct sb_error e;
	size_t length;
	void *map;
	int huge, file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int fds[] = { pair->ours, file, -1 };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		check_refused(sb_memfd_map(fds[i], 1 << 30, false, &map, &length, &e), &e, EINVAL,
			      "the passed file is not a memfd (memfd_create)");
	sb_close(file);

	/* sealed, but a page of it may not be there when it is read */
	huge = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	if (huge < 0)
		return;
	assert_int_equal(ftruncate(huge, 2 << 20), 0);
	assert_int_equal(fcntl(huge, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
	check_refused(sb_memfd_map(huge, 1 << 30, false, &map, &length, &e), &e, EINVAL,
		      "the passed file is not a memfd (memfd_create)");
	sb_close(huge);
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
		WITH_PAIR(test_memfd_round_trip),
		WITH_PAIR(test_memfd_map_is_read_only),
		WITH_PAIR(test_memfd_limits),
		WITH_PAIR(test_memfd_without_seals_is_refused),
		WITH_PAIR(test_what_is_no_memfd_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
