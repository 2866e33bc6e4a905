/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dataplane under uid 65534 with CAP_BPF and CAP_NET_ADMIN and nothing else: no CAP_PERFMON, so
 * the verifier assumes the worst of every pointer. And with less.
 */
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/bpf/scratch.h"

#define NOBODY 65534
#define LABEL 3
#define NONE 0ULL
#define BIT(number) (1ULL << (number))

/* For good: the process is NOBODY with just these. */
static void become_nobody(uint64_t capabilities)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)capabilities, (uint32_t)capabilities, 0 },
		{ (uint32_t)(capabilities >> 32), (uint32_t)(capabilities >> 32), 0 },
	};

	assert_int_equal(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
	assert_int_equal(setresgid(NOBODY, NOBODY, NOBODY), 0);
	assert_int_equal(setresuid(NOBODY, NOBODY, NOBODY), 0);
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

/* Runs F in a child with these capabilities and a pin directory of its own; a failed assertion ends
 * the child with an error. */
static void run_as_nobody(const struct scratch *s, uint64_t capabilities,
			  void (*f)(const struct scratch *s))
{
	pid_t pid;
	int status;

	assert_int_equal(mkdir(s->pins, 0700), 0);
	assert_int_equal(chown(s->pins, NOBODY, NOBODY), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		become_nobody(capabilities);
		/* So that a failed assertion aborts, instead of jumping into the parent's tests. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		f(s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(rmdir(s->pins), 0);
}

static void everything_as(const struct scratch *s, enum tables_wide wide)
{
	struct dataplane *d = scratch_open_as(s, wide);
	struct dataplane_port p = dataplane_port(d);
	struct ruleset *rules = rules_from("tcp 127.1.0.0/16 any", LABEL);
	struct rule more = rule_from("tcp 127.3.0.0/16 80", LABEL), conflict;
	struct rule v6 = rule_from("tcp ::1 any", LABEL);
	struct sb_prefix prefix = rule_prefix(&more);
	int fd = socket_open("tcp", "::", 0);
	struct other_program list[4];
	struct sb_group_counters c;
	struct sb_error error = {};

	assert_int_equal(ruleset_add(rules, &v6, &conflict), 0);
	for (int i = 0; i < 2; i++) {
		if (p.publish(p.self, rules, &error) < 0)
			fail_msg("%s", error.message);
	}
	group_fill(&p, group_of(LABEL, "tcp", SB_GROUP_DUAL), 0, &fd, 1, SB_EMPTY_DROP);
	group_fill(&p, group_of(LABEL, "tcp", SB_GROUP_V6), 1, &fd, 1, SB_EMPTY_DROP);
	assert_true(reaches(fd, "127.1.2.3", 4711));
	assert_true(reaches(fd, "::1", 4711));
	assert_int_equal(verdict_of(&p, "tcp", "127.1.2.3", 4711, 1).cookie, socket_cookie(fd));
	assert_int_equal(ruleset_add(rules, &more, &conflict), 0);
	assert_int_equal(p.edit(p.self, rules, &prefix, &error), 0);
	assert_true(reaches(fd, "127.3.0.1", 80));
	assert_int_equal(p.counters(p.self, group_of(LABEL, "tcp", SB_GROUP_V4), &c), 0);
	assert_int_equal(c.lookups, 2);
	assert_int_equal(p.counters_reset(p.self, group_of(LABEL, "tcp", SB_GROUP_V4)), 0);
	assert_int_equal(p.programs(p.self, list, 4), 1);
	assert_true(list[0].ours);

	dataplane_free(d);
	d = scratch_open_as(s, wide);
	p = dataplane_port(d);
	assert_true(reaches(fd, "127.1.2.3", 4711));
	assert_int_equal(p.publish(p.self, rules, &error), 0);
	assert_int_equal(p.unload(p.self, &error), 0);
	dataplane_free(d);
	/* The directory's parent is root's. */
	assert_int_equal(mkdir(s->pins, 0700), -1);
	assert_int_equal(errno, EEXIST);
	ruleset_free(rules);
}

static void everything(const struct scratch *s)
{
	everything_as(s, WIDE_WHEN_MANY);
}

static void everything_wide(const struct scratch *s)
{
	everything_as(s, WIDE_ALWAYS);
}

static uint64_t permitted(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	assert_int_equal(data[0].permitted, data[0].effective);
	assert_int_equal(data[1].permitted, data[1].effective);
	return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

/* What is left after the start is enough for all that follows. */
static void dropped(const struct scratch *s)
{
	struct dataplane *d = scratch_open(s);
	struct dataplane_port p = dataplane_port(d);
	struct ruleset *rules = rules_from("tcp 127.1.0.0/16 any", LABEL);
	struct rule more = rule_from("tcp 127.3.0.0/16 80", LABEL), conflict;
	struct sb_prefix prefix = rule_prefix(&more);
	int fd = socket_open("tcp", "127.0.0.1", 0);
	struct sb_group_counters c;
	struct sb_error error = {};
	struct other_program list[4];

	assert_int_equal(p.publish(p.self, rules, &error), 0);
	assert_int_equal(dataplane_drop_privilege(), 0);
	assert_int_equal(permitted(), BIT(CAP_BPF) | BIT(CAP_PERFMON));

	if (p.publish(p.self, rules, &error) < 0)
		fail_msg("%s", error.message);
	assert_int_equal(ruleset_add(rules, &more, &conflict), 0);
	assert_int_equal(p.edit(p.self, rules, &prefix, &error), 0);
	group_fill(&p, group_of(LABEL, "tcp", SB_GROUP_V4), 0, &fd, 1, SB_EMPTY_DROP);
	assert_true(reaches(fd, "127.3.0.1", 80));
	assert_int_equal(verdict_of(&p, "tcp", "127.1.2.3", 4711, 1).cookie, socket_cookie(fd));
	assert_int_equal(p.counters(p.self, group_of(LABEL, "tcp", SB_GROUP_V4), &c), 0);
	assert_int_equal(p.slot_clear(p.self, 0), 0);
	assert_int_equal(p.programs(p.self, list, 4), -EPERM);
	assert_int_equal(p.unload(p.self, &error), 0);
	dataplane_free(d);
	ruleset_free(rules);
	assert_int_equal(mkdir(s->pins, 0700), -1);
}

static void refused(const struct scratch *s, const char *words)
{
	struct dataplane_options options = { .bpffs = s->pins };
	struct sb_error error = {};
	struct dataplane *d = NULL;

	assert_int_equal(dataplane_open(&d, &options, &error), -EPERM);
	if (!strstr(error.message, words))
		fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

static void nothing(const struct scratch *s)
{
	refused(s, "needs CAP_BPF and CAP_NET_ADMIN,");
}

static void no_bpf(const struct scratch *s)
{
	refused(s, "needs CAP_BPF,");
}

static void no_net_admin(const struct scratch *s)
{
	refused(s, "needs CAP_NET_ADMIN,");
}

static void test_enough(void **state)
{
	run_as_nobody(*state, BIT(CAP_BPF) | BIT(CAP_NET_ADMIN), everything);
	run_as_nobody(*state, BIT(CAP_BPF) | BIT(CAP_NET_ADMIN), everything_wide);
}

static void test_dropped(void **state)
{
	run_as_nobody(*state, BIT(CAP_BPF) | BIT(CAP_NET_ADMIN) | BIT(CAP_PERFMON) | BIT(CAP_CHOWN),
		      dropped);
}

static void test_less(void **state)
{
	run_as_nobody(*state, NONE, nothing);
	run_as_nobody(*state, BIT(CAP_NET_ADMIN), no_bpf);
	run_as_nobody(*state, BIT(CAP_BPF), no_net_admin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enough),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_less),
	};

	scratch_needs_root();
	return cmocka_run_group_tests(tests, scratch_start, scratch_stop);
}
