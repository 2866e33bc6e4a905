/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sealed memfds of wire-io.h. */
#include "tests/unit/protocol/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "protocol/wire-io.h"

static int setup(void **state)
{
	static size_t fds_before;

	fds_before = count_fds();
	*state = &fds_before;
	return 0;
}

/* No test leaves an fd behind. */
static int teardown(void **state)
{
	return count_fds() == *(size_t *)*state ? 0 : -1;
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
	struct sb_error e;
	size_t length;
	void *map;
	int directory = open("/proc/self", O_RDONLY | O_CLOEXEC);
	int huge, file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int fds[] = { directory, file, -1 };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		check_refused(sb_memfd_map(fds[i], 1 << 30, false, &map, &length, &e), &e, EINVAL,
			      "the passed file is not a memfd (memfd_create)");
	sb_close(directory);
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

#define COUNTED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COUNTED(test_memfd_round_trip),
		COUNTED(test_memfd_map_is_read_only),
		COUNTED(test_memfd_limits),
		COUNTED(test_memfd_without_seals_is_refused),
		COUNTED(test_what_is_no_memfd_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
