/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The same rules and packets given to a matcher that looks at every rule, to the index of the rule
 * set, to compiled tables and to tables that were edited into what they are: all agree, with wide
 * tables and without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/model/shapes.h"
#include "tests/unit/model/tables-util.h"

#define ROUNDS 90      /* of each shape */
#define ROUNDS_WIDE 30 /* and with wide tables, which take longer to compare */
#define RULES_MAX 400
#define PACKETS 1000 /* for each rule set */
#define EDITS 60
#define PACKETS_PER_EDIT 10

struct differential {
	struct random random;
	enum tables_wide wide;
	unsigned long packets, matched;
	struct rule rules[RULES_MAX];
	unsigned n_rules;
};

static void explain_difference(const struct packet *p, const struct rule *naive,
			       const struct rule *indexed, int64_t label)
{
	char to[SB_ADDRESS_TEXT_MAX], a[RULE_TEXT_MAX] = "none", b[RULE_TEXT_MAX] = "none";

	if (naive)
		rule_format(naive, a);
	if (indexed)
		rule_format(indexed, b);
	print_error("%s to %s: naive %s (label %lld), index %s, tables label %lld\n",
		    sb_protocol_name(p->protocol), sb_endpoint_format(&p->destination, p->port, to),
		    a, naive ? (long long)naive->label : -1, b, (long long)label);
}

static void check_packet(struct differential *d, const struct ruleset *s, const struct tables *t,
			 const struct packet *p)
{
	const struct rule *naive = ruleset_match_naive(s, p), *indexed = NULL;
	size_t n = ruleset_match(s, p, &indexed, 1);
	int64_t label = tables_match(t, p);

	d->packets++;
	d->matched += !!naive;
	if (indexed != naive || !n != !naive || label != (naive ? (int64_t)naive->label : -1)) {
		explain_difference(p, naive, indexed, label);
		fail();
	}
}

static void check_packets(struct differential *d, const struct ruleset *s, const struct tables *t,
			  unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct packet p = shape_packet(&d->random, d->rules, d->n_rules);

		check_packet(d, s, t, &p);
	}
}

/* One prefix gets a rule, loses one, or loses all. */
static struct sb_prefix edit(struct differential *d, struct ruleset *s, const struct shape *shape,
			     unsigned i)
{
	struct rule *known = &d->rules[random_below(&d->random, d->n_rules)], conflict, r;
	struct ruleset_cursor c;
	const struct rule *next;

	switch (random_below(&d->random, 4)) {
	case 0:
		ruleset_remove(s, known, NULL);
		break;
	case 1:
		r = *known;
		r.protocol = 0;
		while (ruleset_seek(s, &r, &c), (next = ruleset_next(&c))) {
			struct rule gone = *next;

			if (rule_compare_prefix(&gone, known) != 0)
				break;
			assert_int_equal(ruleset_remove(s, &gone, NULL), 0);
		}
		break;
	case 2: /* comes back, perhaps with another label */
		r = *known;
		r.label = random_below(&d->random, 4096);
		ruleset_add(s, &r, &conflict);
		break;
	default:
		r = shape->rule(&d->random, i);
		ruleset_add(s, &r, &conflict);
		*known = r;
	}
	return rule_prefix(known);
}

static void run_round(struct differential *d, const struct shape *shape)
{
	unsigned want = 1 + random_below(&d->random, random_below(&d->random, 3) ? 60 : RULES_MAX);
	struct ruleset *s = shape_set(shape, &d->random, want, d->rules, &d->n_rules);
	struct tables edited = tables_compiled_as(s, 200000, d->wide), fresh;

	check_packets(d, s, &edited, PACKETS);
	for (unsigned i = 0; i < EDITS; i++) {
		struct sb_prefix changed = edit(d, s, shape, want + i);

		assert_int_equal(tables_update_prefix(&edited, s, &changed), 0);
		check_packets(d, s, &edited, PACKETS_PER_EDIT);
	}
	fresh = tables_compiled_as(s, 0, d->wide);
	assert_true(tables_same(&edited, &fresh));
	check_packets(d, s, &fresh, PACKETS_PER_EDIT);
	tables_free(&fresh);
	tables_free(&edited);
	ruleset_free(s);
}

static void test_shapes(void **state)
{
	struct differential *d = calloc(1, sizeof(*d));
	unsigned rounds;

	assert_non_null(d);
	d->random = random_start("differential");
	d->wide = *(enum tables_wide *)*state;
	rounds = d->wide == WIDE_ALWAYS ? ROUNDS_WIDE : ROUNDS;
	for (unsigned i = 0; i < n_shapes; i++) {
		unsigned long packets = d->packets, matched = d->matched;

		for (unsigned round = 0; round < rounds; round++)
			run_round(d, &shapes[i]);
		/* Packets that miss everything, or never miss, would show little. */
		print_message("%-12s %lu packets, %lu matched\n", shapes[i].name,
			      d->packets - packets, d->matched - matched);
		assert_true(d->matched - matched > (d->packets - packets) / 5);
		assert_true(d->matched - matched < (d->packets - packets) / 100 * 99);
	}
	assert_true(d->packets >= 10000UL * rounds);
	free(d);
}

/* Sets too large to look at every rule for every packet. */
static void test_large(void **state)
{
	struct random random = random_start("large");

	for (unsigned i = 0; i < n_shapes; i++) {
		unsigned most = shapes[i].most, n;
		struct rule *rules = calloc(most, sizeof(*rules));
		struct ruleset *s = shape_set(&shapes[i], &random, most, rules, &n);
		struct tables t = tables_compiled_as(s, 0, *(enum tables_wide *)*state);

		for (unsigned k = 0; k < 5000; k++) {
			struct packet p = shape_packet(&random, rules, n);
			const struct rule *r = NULL;

			ruleset_match(s, &p, &r, 1);
			assert_int_equal(tables_match(&t, &p), r ? (int64_t)r->label : -1);
			if (k % 500 == 0)
				assert_ptr_equal(ruleset_match_naive(s, &p), r);
		}
		tables_free(&t);
		ruleset_free(s);
		free(rules);
	}
}

/* 65,535 single ports on one address, the label says which. */
static void test_all_ports(void **state)
{
	struct rule *rules = calloc(65535, sizeof(*rules)), a, b;
	struct ruleset *s = ruleset_new();
	struct tables t;

	for (unsigned i = 0; i < 65535; i++)
		rules[i] = rule_of(IPPROTO_TCP, "192.0.2.1", 32, i + 1, i + 1, i + 1);
	assert_int_equal(ruleset_assign(s, rules, 65535, &a, &b), 0);
	t = tables_compiled_as(s, 0, *(enum tables_wide *)*state);
	for (unsigned port = 0; port < 65536; port++) {
		struct packet p = packet_of(IPPROTO_TCP, "192.0.2.1", port);

		assert_int_equal(tables_match(&t, &p), port ? (int64_t)port : -1);
		p.protocol = IPPROTO_UDP;
		assert_int_equal(tables_match(&t, &p), -1);
	}
	tables_free(&t);
	ruleset_free(s);
	free(rules);
}

int main(void)
{
	static enum tables_wide usual = WIDE_WHEN_MANY, wide = WIDE_ALWAYS;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_shapes, &usual),
		cmocka_unit_test_prestate(test_large, &usual),
		cmocka_unit_test_prestate(test_all_ports, &usual),
		cmocka_unit_test_prestate(test_shapes, &wide),
		cmocka_unit_test_prestate(test_large, &wide),
		cmocka_unit_test_prestate(test_all_ports, &wide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
