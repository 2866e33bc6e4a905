/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/model/rule-sort.h"
#include "tests/unit/model/shapes.h"

#define TCP IPPROTO_TCP
#define UDP IPPROTO_UDP

static void test_make(void **state)
{
	struct sb_prefix p = prefix_of("2001:db8::", 32), q;
	struct rule r = rule_make(UDP, &p, (struct sb_ports){ 80, 443 }, 7, RULE_CONFIG);

	q = rule_prefix(&r);
	assert_memory_equal(&q.address, &p.address, sizeof(p.address));
	assert_int_equal(q.length, 32);
	assert_int_equal(rule_ports(&r).first, 80);
	assert_int_equal(rule_ports(&r).last, 443);
	assert_int_equal(r.label, 7);
	assert_int_equal(r.origin, RULE_CONFIG);
	assert_int_equal(r.protocol, UDP);
	assert_int_equal(r.number, 0);
}

/* Bytes behind an IPv4 address are no part of it. */
static void test_make_ignores_rest(void **state)
{
	struct sb_prefix p = prefix_of("192.0.2.1", 32), q;
	struct rule r;

	q = p;
	q.address.bytes[4] = 1;
	r = rule_make(TCP, &q, SB_PORTS_ANY, 0, RULE_RUNTIME);
	q = rule_prefix(&r);
	assert_memory_equal(&q.address, &p.address, sizeof(p.address));
}

/* Each is less than all behind it. */
static void test_order(void **state)
{
	struct rule rules[] = {
		rule_of(TCP, "0.0.0.0", 0, 0, 65535, 9), rule_of(TCP, "10.0.0.0", 8, 1, 1, 8),
		rule_of(TCP, "10.0.0.0", 16, 1, 1, 1),   rule_of(TCP, "10.0.0.0", 16, 1, 2, 1),
		rule_of(TCP, "10.0.0.0", 16, 2, 2, 7),   rule_of(TCP, "10.0.0.0", 16, 256, 256, 7),
		rule_of(UDP, "10.0.0.0", 16, 1, 1, 0),   rule_of(TCP, "10.0.0.1", 32, 1, 1, 6),
		rule_of(TCP, "10.0.1.0", 24, 1, 1, 6),   rule_of(TCP, "192.0.2.0", 24, 1, 1, 6),
		rule_of(TCP, "::", 0, 1, 1, 5),          rule_of(TCP, "::", 128, 1, 1, 5),
		rule_of(TCP, "::1", 128, 1, 1, 4),       rule_of(TCP, "1::", 16, 1, 1, 3),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(rules); k++)
			assert_int_equal(rule_compare(&rules[i], &rules[k]), (i > k) - (i < k));
	}
	assert_int_equal(rule_compare_prefix(&rules[2], &rules[6]), 0);
	assert_int_equal(rule_compare_prefix(&rules[1], &rules[2]), -1);
	assert_int_equal(rule_compare_prefix(&rules[7], &rules[6]), 1);
}

static void test_identity(void **state)
{
	struct rule a = rule_of(TCP, "10.0.0.0", 8, 1, 1, 8), b = a;

	b.label = 1;
	b.origin = RULE_CONFIG;
	b.number = 3;
	assert_int_equal(rule_compare(&a, &b), 0);
}

static void test_specific(void **state)
{
	struct rule rules[] = {
		rule_of(TCP, "ffff::", 64, 1, 1, 0),   rule_of(TCP, "10.0.0.1", 32, 80, 80, 0),
		rule_of(TCP, "10.0.0.2", 32, 1, 1, 0), rule_of(TCP, "10.0.0.1", 32, 1, 2, 0),
		rule_of(TCP, "1.0.0.0", 31, 1, 1, 0),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(rules); k++)
			assert_int_equal(rule_compare_specific(&rules[i], &rules[k]),
					 (i > k) - (i < k));
	}
}

static void expect_match(bool expected, struct rule r, struct packet p)
{
	assert_int_equal(rule_matches(&r, &p), expected);
}

static void test_matches(void **state)
{
	struct rule r = rule_of(TCP, "10.32.0.0", 11, 80, 90, 0);

	expect_match(true, r, packet_of(TCP, "10.32.0.0", 80));
	expect_match(true, r, packet_of(TCP, "10.63.255.255", 90));
	expect_match(false, r, packet_of(TCP, "10.64.0.0", 80));
	expect_match(false, r, packet_of(TCP, "10.31.255.255", 80));
	expect_match(false, r, packet_of(TCP, "11.32.0.0", 80));
	expect_match(false, r, packet_of(TCP, "10.32.0.0", 79));
	expect_match(false, r, packet_of(TCP, "10.32.0.0", 91));
	expect_match(false, r, packet_of(UDP, "10.32.0.0", 80));
	r = rule_of(TCP, "0.0.0.0", 0, 0, 65535, 0);
	expect_match(true, r, packet_of(TCP, "255.255.255.255", 0));
	expect_match(false, r, packet_of(TCP, "::", 0));
	r = rule_of(UDP, "2001:db8::1", 128, 53, 53, 0);
	expect_match(true, r, packet_of(UDP, "2001:db8::1", 53));
	expect_match(false, r, packet_of(UDP, "2001:db8::", 53));
}

static void test_conflicts(void **state)
{
	struct rule a = rule_of(TCP, "10.0.0.0", 8, 10, 19, 0), b = a;

	b.label = 2;
	assert_true(rule_conflicts(&a, &b));
	b.port_first = 19;
	b.port_last = 28;
	assert_true(rule_conflicts(&a, &b));
	assert_true(rule_conflicts(&b, &a));
	b.port_last = 27; /* narrower: coexists */
	assert_false(rule_conflicts(&a, &b));
	b.port_first = 20;
	b.port_last = 29;
	assert_false(rule_conflicts(&a, &b));
	b = a;
	b.protocol = UDP;
	assert_false(rule_conflicts(&a, &b));
	b = a;
	b.prefix_length = 9;
	assert_false(rule_conflicts(&a, &b));
}

static void test_format(void **state)
{
	char buf[RULE_TEXT_MAX];
	struct rule r = rule_of(TCP, "192.0.2.0", 24, 80, 80, 0);

	assert_string_equal(rule_format(&r, buf), "tcp 192.0.2.0/24 80");
	r = rule_of(UDP, "2001:db8::", 32, 8000, 8999, 0);
	assert_string_equal(rule_format(&r, buf), "udp 2001:db8::/32 8000-8999");
	r = rule_of(UDP, "0.0.0.0", 0, 0, 65535, 0);
	assert_string_equal(rule_format(&r, buf), "udp 0.0.0.0/0 any");
}

static int compare(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;
	int c = rule_compare(x, y);

	/* Equal rules may come out in any order: compare as if each were its own. */
	return c ? c : (x->label > y->label) - (x->label < y->label);
}

static void expect_sorted(struct rule *rules, unsigned n)
{
	struct rule *copy = calloc(n, sizeof(*copy));

	memcpy(copy, rules, n * sizeof(*copy));
	rule_sort(rules, n);
	for (unsigned i = 1; i < n; i++)
		assert_true(rule_compare(&rules[i - 1], &rules[i]) <= 0);
	/* The same rules as before, too. */
	qsort(copy, n, sizeof(*copy), compare);
	qsort(rules, n, sizeof(*rules), compare);
	assert_memory_equal(rules, copy, n * sizeof(*copy));
	free(copy);
}

static void test_sort(void **state)
{
	static const unsigned sizes[] = { 1, 2, 31, 32, 33, 100, 5000 };
	struct random random = random_start("sort");
	struct rule *rules = calloc(5000, sizeof(*rules));

	rule_sort(NULL, 0);
	for (unsigned i = 0; i < n_shapes; i++) {
		for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++) {
			for (unsigned j = 0; j < sizes[k]; j++)
				rules[j] = shapes[i].rule(&random, j);
			expect_sorted(rules, sizes[k]);
		}
	}
	for (unsigned j = 0; j < 1000; j++)
		rules[j] = rules[0];
	expect_sorted(rules, 1000);
	free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make),      cmocka_unit_test(test_make_ignores_rest),
		cmocka_unit_test(test_order),     cmocka_unit_test(test_identity),
		cmocka_unit_test(test_specific),  cmocka_unit_test(test_matches),
		cmocka_unit_test(test_conflicts), cmocka_unit_test(test_format),
		cmocka_unit_test(test_sort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
