/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run: what the service finds when it starts. */
#include "tests/unit/client/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "client/cli/commands.h"
#include "tests/unit/client/run-cli.h"

/* Files that can be told apart. */
static int file_of(const char *text)
{
	char name[] = "/tmp/test-run-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Runs `sockbroker run WORDS...` in a process of its own, whose standard output comes back in OUT.
 * INHERITED: passed to the command by LISTEN_FDS. Returns its exit status. */
static int run(const char *path, const int *inherited, int n_inherited, const char *names,
	       char *out, size_t size, const char *const *words)
{
	const char *argv[32] = { "sockbroker", "--socket", path, "run" };
	int argc = 4, p[2], status, n;
	size_t used = 0;
	pid_t pid;

	for (; *words; words++)
		argv[argc++] = *words;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct cli cli = { .out = stdout, .err = stdout, .input = -1, .timeout = 5000 };
		char number[16];

		dup2(p[1], STDOUT_FILENO);
		close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* those of the test itself */
		for (int i = 0; i < n_inherited; i++)
			dup2(inherited[i], 3 + i);
		if (n_inherited > 0) {
			snprintf(number, sizeof(number), "%d", n_inherited);
			setenv("LISTEN_FDS", number, 1);
			snprintf(number, sizeof(number), "%d", getpid());
			setenv("LISTEN_PID", number, 1);
			setenv("LISTEN_FDNAMES", names, 1);
		}
		_exit(cli_main(&cli, argc, (char **)argv));
	}
	close(p[1]);
	while ((n = (int)read(p[0], out + used, size - 1 - used)) > 0)
		used += (size_t)n;
	out[used] = '\0';
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define WORDS(...) ((const char *[]){ __VA_ARGS__, NULL })
#define SHOW                                                                                       \
	"echo $LISTEN_FDS $LISTEN_FDNAMES $(($LISTEN_PID == $$)); cat <&3; cat <&4; cat <&5; "     \
	"ls /proc/self/fd | wc -l"

static void test_passed(void **state)
{
	int fds[3] = { file_of("a\n"), file_of("b\n"), file_of("c\n") };
	const struct fake_step step = { .reply = "OK=1\nLABEL=web\nCOUNT=2\nLABEL=a:b\nCOUNT=1\n",
					.fds = fds,
					.n_fds = 3 };
	struct fake_broker f;
	char out[512];

	fake_broker_start(&f, &step, 1);
	assert_int_equal(run(f.path, NULL, 0, NULL, out, sizeof(out),
			     WORDS("web", "a:b", "--", "sh", "-c", SHOW)),
			 0);
	fake_broker_stop(&f);
	assert_string_equal(f.requests[0].text, "REQUEST=take\nLABEL=web\nLABEL=a:b\n");
	/* Nothing else is open in the service: 0-2, these, and the directory that ls reads. */
	assert_string_equal(out, "3 web:web:a_b 1\na\nb\nc\n7\n");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void test_behind_inherited_ones(void **state)
{
	int fds[3] = { file_of("a\n"), file_of("b\n"), file_of("c\n") };
	const struct fake_step step = { .reply = "OK=1\nLABEL=web\nCOUNT=1\n",
					.fds = fds,
					.n_fds = 1 };
	struct fake_broker f;
	char out[512];

	fake_broker_start(&f, &step, 1);
	assert_int_equal(run(f.path, fds + 1, 2, "x:y", out, sizeof(out),
			     WORDS("web", "--", "sh", "-c", SHOW)),
			 0);
	fake_broker_stop(&f);
	assert_string_equal(out, "3 x:y:web 1\nb\nc\na\n7\n");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void test_status_and_words(void **state)
{
	const struct fake_step step = { .reply = "OK=1\nLABEL=web\nCOUNT=1\n",
					.fds = (int[]){ 0 },
					.n_fds = 1 };
	struct fake_broker f;
	char out[512];

	fake_broker_start(&f, &step, 1);
	assert_int_equal(run(f.path, NULL, 0, NULL, out, sizeof(out),
			     WORDS("web", "--", "sh", "-c", "echo \"$0|$1|$2\"; exit 7", "--json",
				   "--", "x y")),
			 7);
	fake_broker_stop(&f);
	assert_string_equal(out, "--json|--|x y\n");
}

static void test_failures(void **state)
{
	const struct fake_step steps[] = {
		{ .reply = "ERROR=ENOENT\nMESSAGE=no sockets are held for label web\n" },
		{ .reply = "OK=1\nLABEL=web\nCOUNT=1\n", .fds = (int[]){ 0 }, .n_fds = 1 },
	};
	struct fake_broker f;
	char out[512];

	fake_broker_start(&f, steps, 2);
	assert_int_equal(run(f.path, NULL, 0, NULL, out, sizeof(out), WORDS("web", "--", "true")),
			 CLI_FAILED);
	assert_string_equal(out, "sockbroker: no sockets are held for label web\n");
	assert_int_equal(
		run(f.path, NULL, 0, NULL, out, sizeof(out), WORDS("web", "--", "/nowhere/at-all")),
		CLI_FAILED);
	check_contains(out, "/nowhere/at-all: No such file");
	fake_broker_stop(&f);
	assert_int_equal(
		run("/nowhere", NULL, 0, NULL, out, sizeof(out), WORDS("web", "--", "true")),
		CLI_UNREACHABLE);
	assert_int_equal(run("/nowhere", NULL, 0, NULL, out, sizeof(out), WORDS("web", "true")),
			 CLI_USAGE);
	check_contains(out, "behind --");
	assert_int_equal(run("/nowhere", NULL, 0, NULL, out, sizeof(out), WORDS("web", "--")),
			 CLI_USAGE);
	assert_int_equal(run("/nowhere", NULL, 0, NULL, out, sizeof(out), WORDS("--", "true")),
			 CLI_USAGE);
	check_contains(out, "LABEL");
	assert_int_equal(run("/nowhere", (int[]){ 0 }, 1, "a:b", out, sizeof(out),
			     WORDS("web", "--", "true")),
			 CLI_FAILED);
	check_contains(out, "malformed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passed),
		cmocka_unit_test(test_behind_inherited_ones),
		cmocka_unit_test(test_status_and_words),
		cmocka_unit_test(test_failures),
	};

	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
