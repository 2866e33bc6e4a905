/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a terminal shows of an `apply` that takes its time. */
#include "tests/unit/client/check.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <termios.h>

#include "client/cli/commands.h"
#include "tests/unit/client/fake-broker.h"

#define DONE "OK=1\nADDED=1234\n"

#define END '\001' /* nothing that the command writes */

struct terminal {
	int master;
	FILE *slave;
	char shown[65536]; /* everything that was written */
	int status;        /* of the command */
};

static int setup(void **state)
{
	struct terminal *t = calloc(1, sizeof(*t));
	struct termios raw;
	int slave;

	assert_non_null(t);
	cfmakeraw(memset(&raw, 0, sizeof(raw)));
	assert_int_equal(openpty(&t->master, &slave, NULL, &raw, NULL), 0);
	assert_int_equal(fcntl(t->master, F_SETFL, O_NONBLOCK), 0);
	t->slave = fdopen(slave, "w");
	assert_non_null(t->slave);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct terminal *t = *state;

	fclose(t->slave);
	close(t->master);
	free(t);
	return 0;
}

static void set_columns(struct terminal *t, unsigned short columns)
{
	struct winsize size = { .ws_col = columns, .ws_row = 25 };

	assert_int_equal(ioctl(t->master, TIOCSWINSZ, &size), 0);
}

/* A file of so many lines in the broker's directory, deleted by whoever made it. */
static void make_file(const char *path, unsigned lines)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	for (unsigned i = 0; i < lines; i++)
		fprintf(f, "# %u\n", i);
	fclose(f);
}

/* What was written to the terminal. The kernel hands it on when it finds time, so a last character
 * is waited for. */
static void read_terminal(struct terminal *t)
{
	struct pollfd readable = { .fd = t->master, .events = POLLIN };
	size_t n = 0;

	fputc(END, t->slave);
	fflush(t->slave);
	while (n == 0 || t->shown[n - 1] != END) {
		ssize_t k;

		assert_true(n < sizeof(t->shown) - 1);
		assert_int_equal(poll(&readable, 1, 10000), 1);
		k = read(t->master, t->shown + n, sizeof(t->shown) - 1 - n);
		assert_true(k > 0);
		n += (size_t)k;
	}
	t->shown[n - 1] = '\0';
}

/* `apply FILE` of a broker with this one step, ERR being its standard error. */
static void run_apply(struct terminal *t, FILE *err, struct fake_step step, const char *timeout)
{
	char path[128], *out,
		*argv[] = { "sockbroker", "--socket", NULL, "--timeout", NULL, "apply", path };
	struct cli cli = { .err = err, .input = -1 };
	struct fake_broker f;
	size_t n;

	fake_broker_start(&f, &step, 1);
	snprintf(path, sizeof(path), "%s/the.rules", f.directory);
	make_file(path, 1234);
	argv[2] = f.path;
	argv[4] = (char *)timeout;
	cli.out = open_memstream(&out, &n);
	t->status = cli_main(&cli, ARRAY_SIZE(argv), argv);
	fclose(cli.out);
	free(out);
	fflush(err);
	unlink(path);
	fake_broker_stop(&f);
	read_terminal(t);
}

/* What stands in the line in the end. */
static const char *left_over(const struct terminal *t)
{
	static char line[512];
	size_t at = 0;

	memset(line, 0, sizeof(line));
	for (const char *p = t->shown; *p; p++) {
		if (*p == '\r')
			at = 0;
		else
			line[at++] = *p;
		assert_true(at < sizeof(line));
	}
	while (strlen(line) > 0 && line[strlen(line) - 1] == ' ')
		line[strlen(line) - 1] = '\0';
	return line;
}

static void test_shown_and_taken_away(void **state)
{
	struct terminal *t = *state;

	set_columns(t, 200);
	run_apply(t, t->slave, (struct fake_step){ .reply = DONE, .late = t->master }, "60");
	assert_int_equal(t->status, CLI_DONE);
	check_contains(t->shown, "\rsockbroker: applying /tmp/sockbroker-test-");
	check_contains(t->shown, "/the.rules (1,234 lines): ");
	check_contains(t->shown, " s ...");
	check_lacks(t->shown, "\n");
	assert_string_equal(left_over(t), "");
	assert_int_equal(t->shown[strlen(t->shown) - 1], '\r');
}

static void test_narrow(void **state)
{
	struct terminal *t = *state;
	unsigned column = 0;

	set_columns(t, 62);
	run_apply(t, t->slave, (struct fake_step){ .reply = DONE, .late = t->master }, "60");
	check_contains(t->shown, "\rsockbroker: applying ...");
	check_contains(t->shown, ".rules (1,234 lines): ");
	for (const char *p = t->shown; *p; p++) {
		column = *p == '\r' ? 0 : column + 1;
		assert_true(column < 62);
	}
	assert_string_equal(left_over(t), "");
}

static void test_very_narrow(void **state)
{
	struct terminal *t = *state;

	set_columns(t, 20);
	run_apply(t, t->slave, (struct fake_step){ .reply = DONE, .late = t->master }, "60");
	check_contains(t->shown, "\rsockbroker: applyin");
	check_lacks(t->shown, "applying");
	assert_string_equal(left_over(t), "");
}

static void test_answered_soon(void **state)
{
	struct terminal *t = *state;

	run_apply(t, t->slave, (struct fake_step){ .reply = DONE }, "60");
	assert_int_equal(t->status, CLI_DONE);
	assert_string_equal(t->shown, "");
}

/* The sentence stands alone in its line. */
static void test_refused(void **state)
{
	struct terminal *t = *state;
	const struct fake_step step = { .reply = "ERROR=EPERM\nMESSAGE=not you\n",
					.late = t->master };

	set_columns(t, 200);
	run_apply(t, t->slave, step, "60");
	assert_int_equal(t->status, CLI_FAILED);
	check_contains(t->shown, "lines): ");
	check_contains(t->shown, " \rsockbroker: not you\n");
}

static void test_no_answer(void **state)
{
	struct terminal *t = *state;

	set_columns(t, 200);
	run_apply(t, t->slave, (struct fake_step){ .action = FAKE_SILENCE }, "1");
	assert_int_equal(t->status, CLI_UNREACHABLE);
	check_contains(t->shown, "lines): ");
	check_contains(t->shown, " \rsockbroker: the broker did not answer within 1 s\n");
}

static void test_no_terminal(void **state)
{
	struct itimerspec after = { .it_value.tv_nsec = 700000000 };
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct terminal *t = *state;
	FILE *err;
	char *text;
	size_t n;

	assert_int_equal(timerfd_settime(timer, 0, &after, NULL), 0);
	err = open_memstream(&text, &n);
	run_apply(t, err, (struct fake_step){ .reply = DONE, .late = timer }, "60");
	fclose(err);
	assert_int_equal(t->status, CLI_DONE);
	assert_string_equal(text, "");
	assert_string_equal(t->shown, "");
	free(text);
	close(timer);
}

#define progress_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		progress_test(test_shown_and_taken_away),
		progress_test(test_narrow),
		progress_test(test_very_narrow),
		progress_test(test_answered_soon),
		progress_test(test_refused),
		progress_test(test_no_answer),
		progress_test(test_no_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
