/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an edit of live tables may write, and what it leaves behind. That verdicts are right is for
 * test-differential. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/model/shapes.h"
#include "tests/unit/model/tables-util.h"

#define TCP IPPROTO_TCP
#define FIRST SB_RULES_FIRST_BLOCK

/* A copy of the used words, to see what an edit changed. Wide tables are too large for that at each
 * edit: of them only what is around the root of the prefix. */
struct before {
	uint64_t *words;
	size_t used;
	size_t wide, wide_end; /* words of a wide table that are copied; none: both at its end */
};

#define AROUND 64 /* words of a wide table on both sides */

static void copy_words(const struct before *b, const struct tables *t, size_t from, size_t end)
{
	memcpy(b->words + from, t->words + from, (end - from) * 8);
}

static struct before before_of(const struct tables *t, const struct sb_prefix *p)
{
	const struct key key = key_of(p->address.bytes, p->address.family);
	const size_t first = tables_first_block(t);
	const bool v6 = p->address.family == AF_INET6;
	struct before b = { malloc(t->used * 8), t->used, first, first };

	assert_non_null(b.words);
	if (t->wide_word[v6]) {
		size_t word = tables_root_slot(t, key, v6, SB_WIDE_BITS) / 2;

		b.wide = word < FIRST + AROUND ? FIRST : word - AROUND;
		b.wide_end = word + AROUND > first ? first : word + AROUND;
	}
	copy_words(&b, t, 0, FIRST);
	copy_words(&b, t, b.wide, b.wide_end);
	copy_words(&b, t, first, t->used);
	return b;
}

static bool in_header(size_t slot, size_t field)
{
	return slot == field / sizeof(uint32_t);
}

static unsigned changed_between(const struct tables *t, const struct before *b, size_t from,
				size_t end)
{
	struct tables old = { .words = b->words, .capacity = b->used };
	unsigned changed = 0;

	for (size_t slot = from * 2; slot < end * 2; slot++) {
		if (tables_refs(t)[slot] == tables_refs(&old)[slot] ||
		    in_header(slot, offsetof(struct sb_rules_header, words_used)) ||
		    in_header(slot, offsetof(struct sb_rules_header, n_rules)))
			continue;
		changed++;
	}
	return changed;
}

/* References that changed among the words used before; those blocks are otherwise as they were. */
static unsigned changed_refs(const struct tables *t, const struct before *b)
{
	return changed_between(t, b, 0, FIRST) + changed_between(t, b, b->wide, b->wide_end) +
	       changed_between(t, b, tables_first_block(t), b->used);
}

static void expect_header(const struct tables *t, const struct ruleset *s)
{
	struct sb_rules_header h = tables_header(t);

	assert_int_equal(h.abi, SB_ABI_VERSION);
	assert_int_equal(h.words, t->capacity);
	assert_int_equal(h.words_used, t->used);
	assert_int_equal(h.n_rules, ruleset_count(s));
}

/* Updates PREFIX, with as little room as will do: with less, nothing changes (references neither:
 * they are counted at the end). */
static unsigned update(struct tables *t, const struct ruleset *s, const struct sb_prefix *prefix)
{
	size_t capacity = t->capacity;
	struct before b = before_of(t, prefix);
	unsigned changed;
	int r;

	for (t->capacity = t->used; (r = tables_update_prefix(t, s, prefix)) == -ENOSPC;) {
		assert_memory_equal(t->words, b.words, sizeof(struct sb_rules_header));
		assert_int_equal(t->used, b.used);
		t->capacity++;
	}
	assert_int_equal(r, 0);
	assert_int_equal(t->used, t->capacity);
	t->capacity = capacity;
	changed = changed_refs(t, &b);
	expect_header(t, s);
	free(b.words);
	return changed;
}

static enum tables_wide wide_of(void **state)
{
	return *(enum tables_wide *)*state;
}

/* How often to go through all shapes: wide tables are large. */
static unsigned rounds_of(void **state, unsigned rounds)
{
	return wide_of(state) == WIDE_ALWAYS ? 1 : rounds;
}

static void test_first_and_last(void **state)
{
	static const struct {
		const char *address;
		unsigned length;
	} prefixes[] = { { "10.0.0.0", 8 },      { "10.0.0.0", 16 }, { "10.0.0.1", 32 },
			 { "0.0.0.0", 0 },       { "::", 0 },        { "2001:db8::", 32 },
			 { "2001:db8::1", 128 }, { "10.0.0.0", 21 }, { "10.0.0.0", 22 } };
	struct ruleset *s = ruleset_new();
	struct tables t = tables_compiled_as(s, 1000, wide_of(state));
	struct tables empty = tables_compiled_as(s, 0, wide_of(state));

	for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++) {
		struct sb_prefix p = prefix_of(prefixes[i].address, prefixes[i].length);
		struct rule r = rule_make(TCP, &p, SB_PORTS_ANY, 3, RULE_RUNTIME), conflict;
		struct packet packet = { .destination = p.address, .protocol = TCP };
		size_t used;

		assert_int_equal(ruleset_add(s, &r, &conflict), 0);
		assert_int_equal(update(&t, s, &p), 1);
		assert_int_equal(tables_match(&t, &packet), 3);
		used = t.used;
		assert_int_equal(ruleset_remove(s, &r, NULL), 0);
		assert_int_equal(update(&t, s, &p), 1);
		assert_int_equal(tables_match(&t, &packet), -1);
		assert_int_equal(t.used, used); /* takes no room */
		assert_true(tables_same(&t, &empty));
	}
	tables_free(&t);
	tables_free(&empty);
	ruleset_free(s);
}

/* Of a prefix that has no rules, before and after. */
static void test_nothing_to_do(void **state)
{
	struct random random = random_start("nothing");
	struct rule rules[100];

	for (unsigned i = 0; i < n_shapes * rounds_of(state, 20); i++) {
		unsigned n;
		struct ruleset *s = shape_set(&shapes[i % n_shapes], &random, 50, rules, &n);
		struct tables t = tables_compiled_as(s, 0, wide_of(state));

		for (unsigned k = 0; k < 50; k++) {
			struct rule other = shapes[i % n_shapes].rule(&random, k);
			struct sb_prefix p = rule_prefix(&other);
			struct ruleset_cursor c;
			const struct rule *r;

			other.protocol = 0;
			ruleset_seek(s, &other, &c);
			r = ruleset_next(&c);
			if (!r || rule_compare_prefix(r, &other) != 0)
				assert_int_equal(update(&t, s, &p), 0);
		}
		tables_free(&t);
		ruleset_free(s);
	}
}

/* A label changes: a new entry, nothing else. */
static void test_replace(void **state)
{
	struct random random = random_start("replace");
	struct rule rules[300];

	for (unsigned i = 0; i < n_shapes * rounds_of(state, 4); i++) {
		unsigned n;
		struct ruleset *s = shape_set(&shapes[i % n_shapes], &random, 300, rules, &n);
		struct tables t = tables_compiled_as(s, 100000, wide_of(state)), fresh;

		for (unsigned k = 0; k < n; k += 7) {
			struct sb_prefix p = rule_prefix(&rules[k]);

			ruleset_relabel(s, &rules[k], random_below(&random, 4096));
			assert_int_equal(update(&t, s, &p), 1);
		}
		fresh = tables_compiled_as(s, 0, wide_of(state));
		assert_true(tables_same(&t, &fresh));
		tables_free(&t);
		tables_free(&fresh);
		ruleset_free(s);
	}
}

/* From nothing to all rules and back, one at a time: always the tries that compile makes. */
static void grow_and_shrink(struct random *random, const struct shape *shape, enum tables_wide wide)
{
	struct rule rules[120];
	unsigned n;
	struct ruleset *all = shape_set(shape, random, ARRAY_SIZE(rules), rules, &n);
	struct ruleset *s = ruleset_new();
	struct tables t = tables_compiled_as(s, 400000, wide);

	for (unsigned i = 0; i < 2 * n; i++) {
		struct rule *r = &rules[i % n], conflict;
		struct sb_prefix p = rule_prefix(r);

		if (i < n)
			assert_int_equal(ruleset_add(s, r, &conflict), 0);
		else
			assert_int_equal(ruleset_remove(s, r, NULL), 0);
		assert_int_equal(update(&t, s, &p), 1);
		if (i % 16 == 0 || i + 1 == 2 * n) {
			struct tables fresh = tables_compiled_as(s, 0, wide);

			/* WORDS differs: it is not compared. */
			assert_true(tables_same(&t, &fresh));
			tables_free(&fresh);
		}
	}
	tables_free(&t);
	ruleset_free(s);
	ruleset_free(all);
}

static void test_grow_and_shrink(void **state)
{
	struct random random = random_start("grow");

	for (unsigned i = 0; i < n_shapes * rounds_of(state, 3); i++)
		grow_and_shrink(&random, &shapes[i % n_shapes], wide_of(state));
}

/* Several rules of a prefix, of both protocols, in one edit. */
static void test_many_at_once(void **state)
{
	struct ruleset *s = ruleset_new();
	struct tables t = tables_compiled_as(s, 200000, wide_of(state));
	struct sb_prefix p = prefix_of("192.0.2.1", 32);
	struct rule conflict;
	struct packet packet;

	for (unsigned i = 1; i < 40000; i += 2) {
		struct rule r = rule_of(i % 4 == 1 ? TCP : IPPROTO_UDP, "192.0.2.1", 32, i, i, i);

		assert_int_equal(ruleset_add(s, &r, &conflict), 0);
	}
	assert_int_equal(tables_update_prefix(&t, s, &p), 0);
	assert_int_equal(t.used, tables_first_block(&t) + 2 + 20000);
	packet = packet_of(TCP, "192.0.2.1", 20001);
	assert_int_equal(tables_match(&t, &packet), 20001);
	packet.protocol = IPPROTO_UDP;
	assert_int_equal(tables_match(&t, &packet), -1);
	packet.port += 2;
	assert_int_equal(tables_match(&t, &packet), 20003);
	expect_header(&t, s);
	tables_free(&t);
	ruleset_free(s);
}

/* Numbers of rules are written by edits too. */
static void test_numbers(void **state)
{
	struct ruleset *s = ruleset_new();
	struct rule r = rule_of(TCP, "192.0.2.1", 32, 80, 80, 7), conflict;
	struct sb_prefix p = rule_prefix(&r);
	struct tables t = tables_new(FIRST + 4);

	t.numbers = true;
	assert_int_equal(compile(s, &t), 0);
	r.number = 77;
	assert_int_equal(ruleset_add(s, &r, &conflict), 0);
	assert_int_equal(tables_update_prefix(&t, s, &p), 0);
	assert_int_equal(t.used, FIRST + 4);
	assert_int_equal(t.words[FIRST + 3], 77);
	tables_free(&t);
	ruleset_free(s);
}

int main(void)
{
	static enum tables_wide usual = WIDE_WHEN_MANY, wide = WIDE_ALWAYS;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_first_and_last, &usual),
		cmocka_unit_test_prestate(test_first_and_last, &wide),
		cmocka_unit_test_prestate(test_nothing_to_do, &usual),
		cmocka_unit_test_prestate(test_nothing_to_do, &wide),
		cmocka_unit_test_prestate(test_replace, &usual),
		cmocka_unit_test_prestate(test_replace, &wide),
		cmocka_unit_test_prestate(test_grow_and_shrink, &usual),
		cmocka_unit_test_prestate(test_grow_and_shrink, &wide),
		cmocka_unit_test_prestate(test_many_at_once, &usual),
		cmocka_unit_test_prestate(test_many_at_once, &wide),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
