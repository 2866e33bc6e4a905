/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "broker/base/clock.h"
#include "broker/systemd/notify.h"
#include "tests/unit/systemd/manager.h"

static void receive(void **state, char *buf, size_t size)
{
	ssize_t n = recv((int)(intptr_t)*state, buf, size - 1, 0);

	assert_true(n >= 0);
	buf[n] = '\0';
}

static void test_ready(void **state)
{
	char buf[1024];

	assert_int_equal(notify_ready("3 labels, 12 rules"), 1);
	receive(state, buf, sizeof(buf));
	assert_string_equal(buf, "READY=1\nSTATUS=3 labels, 12 rules");
}

static void test_stopping(void **state)
{
	char buf[1024];

	assert_int_equal(notify_stopping("traffic flows on"), 1);
	receive(state, buf, sizeof(buf));
	assert_string_equal(buf, "STOPPING=1\nSTATUS=traffic flows on");
}

static void test_status(void **state)
{
	char buf[1024];

	assert_int_equal(notify_status("%d labels", 7), 1);
	receive(state, buf, sizeof(buf));
	assert_string_equal(buf, "STATUS=7 labels");
}

static void test_status_cannot_forge(void **state)
{
	char buf[1024];

	assert_int_equal(notify_status("%s", "bad\nREADY=1"), 1);
	receive(state, buf, sizeof(buf));
	assert_string_equal(buf, "STATUS=bad");
	assert_int_equal(notify_ready("a\x7f"
				      "b"),
			 1);
	receive(state, buf, sizeof(buf));
	assert_string_equal(buf, "READY=1\nSTATUS=a");
}

static void test_status_is_cut(void **state)
{
	char long_text[1000], buf[1024];

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(notify_status("%s", long_text), 1);
	receive(state, buf, sizeof(buf));
	assert_int_equal(strlen(buf), strlen("STATUS=") + 256);
	assert_int_equal(notify_stopping(long_text), 1);
	receive(state, buf, sizeof(buf));
	assert_int_equal(strlen(buf), strlen("STOPPING=1\nSTATUS=") + 256);
}

static void test_reloading_tells_when(void **state)
{
	uint64_t before = clock_monotonic_us(), then, after;
	char buf[1024], *at;

	assert_int_equal(notify_reloading(), 1);
	after = clock_monotonic_us();
	receive(state, buf, sizeof(buf));
	assert_ptr_equal(strstr(buf, "RELOADING=1\n"), buf);
	at = strstr(buf, "\nMONOTONIC_USEC=");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "\nMONOTONIC_USEC=%" SCNu64 "\n", &then), 1);
	assert_true(then >= before && then <= after);
}

static void test_watchdog(void **state)
{
	char buf[1024];

	assert_int_equal(notify_watchdog(), 1);
	receive(state, buf, sizeof(buf));
	assert_string_equal(buf, "WATCHDOG=1");
}

static void test_without_manager(void **state)
{
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_ready("x"), 0);
	assert_int_equal(notify_reloading(), 0);
	assert_int_equal(notify_status("x"), 0);
	assert_int_equal(notify_stopping("x"), 0);
	assert_int_equal(notify_watchdog(), 0);
}

static void test_manager_gone(void **state)
{
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	assert_true(notify_ready("x") < 0);
	unsetenv("NOTIFY_SOCKET");
}

static void test_watchdog_interval(void **state)
{
	char pid[32];

	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	assert_int_equal(notify_watchdog_interval_us(), 0);
	setenv("WATCHDOG_USEC", "3000000", 1);
	assert_int_equal(notify_watchdog_interval_us(), 3000000);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_interval_us(), 3000000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_interval_us(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "soon", 1);
	assert_int_equal(notify_watchdog_interval_us(), 0);
	unsetenv("WATCHDOG_USEC");
}

#define told(f) cmocka_unit_test_setup_teardown(f, manager_setup, manager_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		told(test_ready),
		told(test_stopping),
		told(test_status),
		told(test_status_cannot_forge),
		told(test_status_is_cut),
		told(test_reloading_tells_when),
		told(test_watchdog),
		cmocka_unit_test(test_without_manager),
		cmocka_unit_test(test_manager_gone),
		cmocka_unit_test(test_watchdog_interval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
