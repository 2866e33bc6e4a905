/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/config/scratch.h"

#include <stdio.h>
#include <string.h>

#define F "sockbroker.conf"

static void expect_defaults(const struct config_broker *b)
{
	assert_int_equal(b->groups.admin, POLICY_NO_GROUP);
	assert_int_equal(b->groups.read, POLICY_NO_GROUP);
	assert_int_equal(b->max_labels, 4096);
	assert_int_equal(b->max_rules, 2000000);
	assert_int_equal(b->max_sockets, 64);
	assert_int_equal(b->max_connections, 1024);
	assert_int_equal(b->max_connections_per_user, 128);
	assert_int_equal(b->request_timeout_us, 10000000);
	assert_false(b->rule_counters);
}

/* sockbroker.conf(5) states these. */
static void test_defaults(void **state)
{
	struct scratch *s = *state;
	_cleanup_(config_freep) struct config *c = config_new();

	expect_defaults(&c->broker);
	scratch_expect(s, "");
	expect_defaults(&s->config->broker);
	scratch_write(s, F, "# nothing\n[Broker]\n");
	scratch_expect(s, "");
	expect_defaults(&s->config->broker);
}

static void test_all(void **state)
{
	struct scratch *s = *state;
	const struct config_broker *b;

	scratch_write(s, F,
		      "[Broker]\n"
		      "AdminGroup=root\n"
		      "ReadGroup=4711\n"
		      "MaxLabels=17\n"
		      "MaxRules=18\n"
		      "MaxSockets=19\n"
		      "MaxConnections=20\n"
		      "MaxConnectionsPerUser=21\n"
		      "MaxReplyMemory=22M\n"
		      "MaxReplyRate=23G\n"
		      "RequestTimeout=1min 2s\n"
		      "RuleCounters=yes\n");
	scratch_expect(s, "");
	b = &s->config->broker;
	assert_int_equal(b->groups.admin, 0);
	assert_int_equal(b->groups.read, 4711);
	assert_int_equal(b->max_labels, 17);
	assert_int_equal(b->max_rules, 18);
	assert_int_equal(b->max_sockets, 19);
	assert_int_equal(b->max_connections, 20);
	assert_int_equal(b->max_connections_per_user, 21);
	assert_int_equal(b->max_reply_memory, 22 << 20);
	assert_int_equal(b->max_reply_rate, 23ULL << 30);
	assert_int_equal(b->request_timeout_us, 62000000);
	assert_true(b->rule_counters);
}

static void test_max_values(void **state)
{
	struct scratch *s = *state;

	scratch_write(s, F,
		      "[Broker]\nMaxLabels=4096\nMaxRules=16000000\nMaxSockets=1024\n"
		      "MaxConnections=65536\nMaxConnectionsPerUser=65536\nRequestTimeout=1h\n"
		      "MaxReplyMemory=1T\nMaxReplyRate=1T\n");
	scratch_expect(s, "");
	scratch_write(s, F,
		      "[Broker]\nMaxLabels=4097\nMaxRules=16000001\nMaxSockets=1025\n"
		      "MaxConnections=65537\nMaxConnectionsPerUser=65537\nRequestTimeout=3601\n"
		      "MaxReplyMemory=2T\nMaxReplyRate=1023K\n");
	scratch_expect(s, F
		       ":2: MaxLabels=: '4097' is not a number from 1 to 4096\n" F
		       ":3: MaxRules=: '16000001' is not a number from 1 to 16000000\n" F
		       ":4: MaxSockets=: '1025' is not a number from 1 to 1024\n" F
		       ":5: MaxConnections=: '65537' is not a number from 1 to 65536\n" F
		       ":6: MaxConnectionsPerUser=: '65537' is not a number from 1 to 65536\n" F
		       ":7: RequestTimeout=: '3601' is not a time from 0.1s to 3600s\n" F
		       ":8: MaxReplyMemory=: '2T' is not a size from 1M to 1T (bytes, or so many "
		       "K, M, G or T)\n" F
		       ":9: MaxReplyRate=: '1023K' is not a size from 1M to 1T (bytes, or so many "
		       "K, M, G or T)\n");
}

static void test_every_error_at_once(void **state)
{
	scratch_write(*state, F,
		      "[Broker]\n"
		      "AdminGroup=no-such-group-here\n"
		      "ReadGroup=4294967295\n"
		      "MaxLabels=0\n"
		      "MaxLabels=5\n"
		      "maxrules=5\n"
		      "MaxSockets=\n"
		      "RequestTimeout=soon\n"
		      "RuleCounters=perhaps\n"
		      "ListenStream=192.0.2.0/24:80\n");
	scratch_expect(*state,
		       F ":2: AdminGroup=: there is no group 'no-such-group-here'\n" F
			 ":3: ReadGroup=: '4294967295' is not the number of a group\n" F
			 ":4: MaxLabels=: '0' is not a number from 1 to 4096\n" F
			 ":5: MaxLabels= stands in line 4 already\n" F
			 ":6: maxrules= is not known; it is written MaxRules=\n" F
			 ":7: MaxSockets= has no value; to have the default, leave the line out\n" F
			 ":8: RequestTimeout=: 'soon' is not a span of time, as in 10, 500ms or "
			 "1min 30s\n" F ":9: RuleCounters=: 'perhaps' is neither yes nor no\n" F
			 ":10: ListenStream= is not known\n");
}

static void test_label_section_here(void **state)
{
	scratch_write(*state, F, "[Label]\nMaxSockets=5\n");
	scratch_expect(*state, F ":1: section [Label] is not known; this file has [Broker] only\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_defaults),           scratch_test(test_all),
		scratch_test(test_max_values),         scratch_test(test_every_error_at_once),
		scratch_test(test_label_section_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
