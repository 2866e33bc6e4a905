/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layout, word by word, and what damaged tables do. That verdicts are right is for
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
#define UDP IPPROTO_UDP
#define FIRST SB_RULES_FIRST_BLOCK
#define DIRECT(v6, first16) ((size_t)SB_DIRECT_WORD(v6) * 2 + (first16))

static struct ruleset *set_of(const struct rule *rules, size_t n)
{
	struct ruleset *s = ruleset_new();
	struct rule conflict;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(ruleset_add(s, &rules[i], &conflict), 0);
	return s;
}

/* The rules compile to these words behind the direct tables; no more references than ROOTS. */
static struct tables expect_words(const struct rule *rules, size_t n, const uint64_t *words,
				  size_t n_words, unsigned roots)
{
	struct ruleset *s = set_of(rules, n);
	struct tables t = tables_compiled(s, 0);
	unsigned found = 0;

	assert_int_equal(t.used, FIRST + n_words);
	for (size_t i = 0; i < n_words; i++)
		assert_int_equal(t.words[FIRST + i], words[i]);
	for (size_t i = DIRECT(0, 0); i < FIRST * 2; i++)
		found += tables_refs(&t)[i] != 0;
	found += tables_header(&t).short_root[0] != 0;
	found += tables_header(&t).short_root[1] != 0;
	assert_int_equal(found, roots);
	ruleset_free(s);
	return t;
}

static void test_empty(void **state)
{
	struct tables t = expect_words(NULL, 0, NULL, 0, 0);
	struct packet p = packet_of(TCP, "10.0.0.0", 1);
	struct sb_rules_header h = tables_header(&t);

	assert_int_equal(h.abi, SB_ABI_VERSION);
	assert_int_equal(h.words, t.capacity);
	assert_int_equal(h.words_used, FIRST);
	assert_int_equal(h.n_rules, 0);
	assert_int_equal(tables_match(&t, &p), -1);
	tables_free(&t);
	t.capacity = 0;
	assert_int_equal(tables_match(&t, &p), -1);
}

static void test_entry4(void **state)
{
	struct rule rules[] = {
		rule_of(UDP, "192.0.2.0", 24, 53, 53, 7),
		rule_of(TCP, "192.0.2.0", 24, 80, 80, 5),
		rule_of(TCP, "192.0.2.0", 24, 0, 65535, 4095),
	};
	uint64_t words[] = {
		0xc000020000000018,     0x0000000100000003,           SB_INTERVAL(0, 79, 4095),
		SB_INTERVAL(80, 80, 5), SB_INTERVAL(81, 65535, 4095), SB_INTERVAL(53, 53, 7),
	};
	struct tables t = expect_words(rules, 3, words, ARRAY_SIZE(words), 1);

	assert_int_equal(tables_refs(&t)[DIRECT(0, 0xc000)], SB_REF_ENTRY | FIRST);
	assert_int_equal(tables_header(&t).n_rules, 3);
	assert_int_equal(tables_header(&t).words_used, FIRST + 6);
	tables_free(&t);
}

static void test_entry6(void **state)
{
	struct rule rules[] = { rule_of(UDP, "2001:db8::1", 128, 53, 54, 7) };
	uint64_t words[] = { 0x20010db800000000, 1, 128, 0x0000000100000000,
			     SB_INTERVAL(53, 54, 7) };
	struct tables t = expect_words(rules, 1, words, ARRAY_SIZE(words), 1);

	assert_int_equal(tables_refs(&t)[DIRECT(1, 0x2001)], SB_REF_ENTRY | FIRST);
	tables_free(&t);
}

/* 192.0.2.0/24 and 192.0.2.1/32 part at position 22: the six bits there are 100000. */
static void test_node4(void **state)
{
	struct rule rules[] = {
		rule_of(TCP, "192.0.2.0", 24, 80, 80, 5),
		rule_of(TCP, "192.0.2.1", 32, 80, 80, 6),
	};
	uint64_t entry24 = SB_REF_ENTRY | (FIRST + 4), entry32 = SB_REF_ENTRY | (FIRST + 7);
	uint64_t words[] = {
		1ULL << 32,
		1ULL << (4 + 2),
		0xc000000000000000 | 22,
		entry32 | entry24 << 32,
		0xc000020000000018,
		1,
		SB_INTERVAL(80, 80, 5),
		0xc000020100000020,
		1,
		SB_INTERVAL(80, 80, 6),
	};
	struct tables t = expect_words(rules, 2, words, ARRAY_SIZE(words), 1);

	assert_int_equal(tables_refs(&t)[DIRECT(0, 0xc000)], FIRST);
	tables_free(&t);
}

/* A node with the last position and all of its lengths, and three references. */
static void test_node6(void **state)
{
	struct rule rules[] = {
		rule_of(TCP, "2001:db8::50", 124, 1, 1, 1),
		rule_of(TCP, "2001:db8::5f", 128, 1, 1, 2),
		rule_of(TCP, "2001:db8::58", 125, 1, 1, 3),
	};
	struct ruleset *s = set_of(rules, 3);
	struct tables t = tables_compiled(s, 0);
	const uint64_t *w = t.words + FIRST;

	assert_int_equal(w[0], 0);
	assert_int_equal(w[1], 1ULL << 1 | 1ULL << (2 + 1) | 1ULL << (16 + 15));
	assert_int_equal(w[2], 0x20010db800000000);
	assert_int_equal(w[3], 0x50);
	assert_int_equal(w[4], 124);
	assert_int_equal(w[5], (SB_REF_ENTRY | (FIRST + 7ULL)) | (SB_REF_ENTRY | (FIRST + 12ULL))
									 << 32);
	assert_int_equal(w[6], SB_REF_ENTRY | (FIRST + 17ULL));
	assert_int_equal(t.used, FIRST + 7 + 3 * 5);
	tables_free(&t);
	ruleset_free(s);
}

static void test_short(void **state)
{
	struct rule rules[] = {
		rule_of(TCP, "0.0.0.0", 0, 1, 1, 1),
		rule_of(TCP, "10.0.0.0", 15, 1, 1, 2),
		rule_of(TCP, "10.0.0.0", 16, 1, 1, 3),
		rule_of(TCP, "2000::", 3, 1, 1, 4),
	};
	/* What is below a slot of the direct table is written before the short ones. */
	uint64_t words[] = {
		0x0a00000000000010,
		1,
		SB_INTERVAL(1, 1, 3),
		/* position 0, a child at 000010 */
		1ULL << 2,
		1ULL << 1,
		0,
		(SB_REF_ENTRY | (FIRST + 10ULL)) | (SB_REF_ENTRY | (FIRST + 7ULL)) << 32,
		0,
		1,
		SB_INTERVAL(1, 1, 1),
		0x0a0000000000000f,
		1,
		SB_INTERVAL(1, 1, 2),
		0x2000000000000000,
		0,
		3,
		1,
		SB_INTERVAL(1, 1, 4),
	};
	struct tables t = expect_words(rules, 4, words, ARRAY_SIZE(words), 3);

	assert_int_equal(tables_refs(&t)[DIRECT(0, 0x0a00)], SB_REF_ENTRY | FIRST);
	assert_int_equal(tables_header(&t).short_root[0], FIRST + 3);
	assert_int_equal(tables_header(&t).short_root[1], SB_REF_ENTRY | (FIRST + 13));
	tables_free(&t);
}

static void test_numbers(void **state)
{
	struct rule rules[] = {
		rule_of(TCP, "192.0.2.0", 24, 0, 65535, 5),
		rule_of(TCP, "192.0.2.0", 24, 80, 80, 5),
		rule_of(UDP, "192.0.2.0", 24, 53, 53, 5),
	};
	static const uint64_t numbers[] = { 100, 101, 100, 102 };
	struct ruleset *s;
	struct tables t, plain;

	for (unsigned i = 0; i < 3; i++)
		rules[i].number = 100 + i;
	s = set_of(rules, 3);
	plain = tables_compiled(s, 0);
	assert_int_equal(plain.used, FIRST + 2 + 2); /* one label: one interval a protocol */
	t = tables_new(compile_size_for(s, &(struct tables){ .numbers = true }));
	t.numbers = true;
	assert_int_equal(compile(s, &t), 0);
	assert_int_equal(t.used, t.capacity);
	assert_int_equal(t.used, FIRST + 2 + 4 + 4);
	assert_int_equal(t.words[FIRST + 1], 0x0000000100000003);
	assert_int_equal(t.words[FIRST + 3], SB_INTERVAL(80, 80, 5));
	assert_memory_equal(t.words + FIRST + 6, numbers, sizeof(numbers));
	tables_free(&t);
	tables_free(&plain);
	ruleset_free(s);
}

static enum tables_wide wide_of(void **state)
{
	return *(enum tables_wide *)*state;
}

static void test_size_is_exact(void **state)
{
	const struct tables how = { .wide = wide_of(state) };
	struct random random = random_start("size");
	struct rule *rules = calloc(3000, sizeof(*rules));

	for (unsigned i = 0; i < n_shapes; i++) {
		unsigned n;
		struct ruleset *s = shape_set(&shapes[i], &random, 3000, rules, &n);
		size_t size = compile_size_for(s, &how);
		struct tables t = tables_new(size), small = tables_new(size - 1);

		t.wide = small.wide = how.wide;
		assert_int_equal(compile(s, &t), 0);
		assert_int_equal(t.used, size);
		assert_int_equal(compile(s, &small), -ENOSPC);
		assert_int_equal(small.used, 0);
		tables_free(&small);
		small = tables_new(tables_first_block(&t) - 1);
		small.wide = how.wide;
		assert_int_equal(compile(s, &small), -ENOSPC);
		tables_free(&small);
		tables_free(&t);
		ruleset_free(s);
	}
	free(rules);
}

/* The order in which rules came does not show. */
static void test_deterministic(void **state)
{
	struct random random = random_start("deterministic");
	struct rule *rules = calloc(2000, sizeof(*rules)), a, b;

	for (unsigned i = 0; i < n_shapes; i++) {
		unsigned n;
		struct ruleset *s = shape_set(&shapes[i], &random, 2000, rules, &n);
		struct ruleset *other = ruleset_new();
		struct tables t = tables_compiled_as(s, 0, wide_of(state)), u;

		assert_int_equal(ruleset_assign(other, rules, n, &a, &b), 0);
		u = tables_compiled_as(other, 0, wide_of(state));
		assert_int_equal(t.used, u.used);
		assert_memory_equal(t.words, u.words, t.used * 8);
		tables_free(&t);
		tables_free(&u);
		ruleset_free(s);
		ruleset_free(other);
	}
	free(rules);
}

/* Every length of one address, each with a port of its own, and one that all have. */
static void expect_nested(const char *address, unsigned bits, enum tables_wide wide)
{
	struct sb_prefix p = prefix_of(address, bits);
	struct ruleset *s = ruleset_new();
	struct packet packet;
	struct rule conflict;
	struct tables t;

	for (unsigned i = 0; i <= bits; i++) {
		struct rule r;

		p.length = (uint8_t)(bits - i);
		r = rule_make(TCP, &p,
			      (struct sb_ports){ (uint16_t)(1000 + p.length),
						 (uint16_t)(1000 + p.length) },
			      p.length, RULE_RUNTIME);
		assert_int_equal(ruleset_add(s, &r, &conflict), 0);
		r.port_first = r.port_last = 1;
		assert_int_equal(ruleset_add(s, &r, &conflict), 0);
		if (p.length > 0) /* the next prefix outward has this bit clear */
			p.address.bytes[(p.length - 1) / 8] &=
				(uint8_t) ~(0x80 >> (p.length - 1) % 8);
	}
	t = tables_compiled_as(s, 0, wide);
	packet = packet_of(TCP, address, 1);
	assert_int_equal(tables_match(&t, &packet), bits);
	for (unsigned i = 0; i <= bits; i++) {
		packet.port = (uint16_t)(1000 + i);
		assert_int_equal(tables_match(&t, &packet), i);
	}
	packet.port = 999;
	assert_int_equal(tables_match(&t, &packet), -1);
	tables_free(&t);
	ruleset_free(s);
}

static void test_nested(void **state)
{
	expect_nested("255.255.255.255", 32, wide_of(state));
	expect_nested("10.1.2.3", 32, wide_of(state));
	expect_nested("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128, wide_of(state));
	expect_nested("2001:db8:1:2:3:4:5:6", 128, wide_of(state));
}

/* A node that is its own child, and one that has itself for a prefix. */
static void test_loop(void **state)
{
	struct rule rules[] = {
		rule_of(TCP, "192.0.2.0", 24, 80, 80, 5),
		rule_of(TCP, "192.0.2.1", 32, 80, 80, 6),
	};
	struct ruleset *s = set_of(rules, 2);
	struct tables t = tables_compiled(s, 100);
	struct packet p = packet_of(TCP, "192.0.2.1", 80);
	struct sb_prefix prefix = prefix_of("192.0.2.1", 32);

	tables_refs(&t)[(FIRST + SB_NODE_REFS4) * 2] = FIRST;
	assert_int_equal(tables_match(&t, &p), 5);
	assert_int_equal(tables_update_prefix(&t, s, &prefix), -EIO);
	tables_refs(&t)[(FIRST + SB_NODE_REFS4) * 2 + 1] = FIRST;
	assert_int_equal(tables_match(&t, &p), -1);
	tables_free(&t);
	ruleset_free(s);
}

static void damage(struct random *random, struct tables *t)
{
	size_t first = tables_first_block(t);
	size_t i = first + random_below(random, (unsigned)(t->used - first));
	uint64_t words = random_below(random, (unsigned)t->capacity + 2);

	switch (random_below(random, 4)) {
	case 0:
		t->words[i] ^= 1ULL << random_below(random, 64);
		break;
	case 1:
		t->words[i] = words | random_next(random) << 32;
		break;
	case 2:
		t->words[i] = random_next(random);
		break;
	default:
		t->words[i] = (words | SB_REF_ENTRY) << 32 | words;
	}
}

/* Whatever the words are, nothing outside of them is touched and every walk ends. */
static void test_damaged(void **state)
{
	struct random random = random_start("damaged");
	const unsigned rounds = wide_of(state) == WIDE_ALWAYS ? 4 : 40;
	struct rule rules[200];

	for (unsigned i = 0; i < n_shapes * rounds; i++) {
		unsigned n;
		struct ruleset *s = shape_set(&shapes[i % n_shapes], &random, 200, rules, &n);
		struct tables t = tables_compiled_as(s, i % 3 * 50, wide_of(state));
		size_t first = tables_first_block(&t);
		struct tables cut =
			tables_new(first + random_below(&random, (unsigned)(t.used - first)));

		memcpy(cut.wide_word, t.wide_word, sizeof(cut.wide_word));
		for (unsigned k = 0; k < 2000; k++) {
			struct packet p = shape_packet(&random, rules, n);
			struct sb_prefix prefix = rule_prefix(&rules[random_below(&random, n)]);

			damage(&random, &t);
			tables_match(&t, &p);
			if (k % 8 == 0) {
				int r = tables_update_prefix(&t, s, &prefix);

				assert_true(r == 0 || r == -EIO || r == -ENOSPC);
			}
			if (k % 100 == 0)
				memcpy(cut.words, t.words, cut.capacity * 8);
			tables_match(&cut, &p);
		}
		tables_free(&cut);
		tables_free(&t);
		ruleset_free(s);
	}
}

/* The prefixes of every tier, and what leads to them. */
static void test_wide(void **state)
{
	struct rule rules[] = {
		rule_of(TCP, "10.0.0.0", 15, 1, 1, 1),   rule_of(TCP, "10.0.0.0", 16, 1, 1, 2),
		rule_of(TCP, "10.0.0.0", 21, 1, 1, 3),   rule_of(TCP, "10.0.4.0", 22, 1, 1, 4),
		rule_of(TCP, "10.0.4.1", 32, 1, 1, 5),   rule_of(TCP, "10.0.8.1", 32, 1, 1, 6),
		rule_of(TCP, "2001:db8::", 32, 1, 1, 7), rule_of(TCP, "2000::", 21, 1, 1, 8),
	};
	const size_t first = FIRST + 2 * SB_WIDE_WORDS;
	struct ruleset *s = set_of(rules, ARRAY_SIZE(rules));
	struct tables t = tables_compiled_as(s, 0, WIDE_ALWAYS);
	const table_ref *wide4 = tables_refs(&t) + FIRST * 2, *wide6 = wide4 + SB_WIDE_SIZE;
	struct sb_rules_header h = tables_header(&t);

	assert_int_equal(h.wide_word[0], FIRST);
	assert_int_equal(h.wide_word[1], FIRST + SB_WIDE_WORDS);
	assert_int_equal(t.used, first + 6 * 3 + 2 * 5 + 2 * 4);
	assert_int_equal(h.words_used, t.used);
	/* 10.0.4.0 is written first: a node at 22, with one child and one prefix. */
	assert_int_equal(wide4[0x0a000400 >> 10], first);
	assert_int_equal((uint32_t)t.words[first + 2], 22);
	assert_int_equal(t.words[first], 1);
	assert_int_equal(t.words[first + 1], 2);
	assert_true(wide4[0x0a000800 >> 10] & SB_REF_ENTRY);
	assert_int_equal(wide4[0x0a000000 >> 10], 0);
	assert_true(wide6[0x20010db8 >> 10] & SB_REF_ENTRY);
	/* 16 and 21 bits: one node at 16. */
	assert_int_equal((uint32_t)t.words[tables_refs(&t)[DIRECT(0, 0x0a00)] + 2], 16);
	assert_true(tables_refs(&t)[DIRECT(1, 0x2000)] & SB_REF_ENTRY);
	assert_int_equal(tables_refs(&t)[DIRECT(1, 0x2001)], 0);
	assert_true(h.short_root[0] & SB_REF_ENTRY);
	tables_free(&t);
	ruleset_free(s);
}

/* One family has enough rules that are long enough, the other not quite. */
static void test_wide_when_many(void **state)
{
	const size_t n = 2 * SB_WIDE_RULES + 1;
	struct rule *rules = calloc(n, sizeof(rules[0])), a, b, gone;
	struct ruleset *s = ruleset_new();
	struct packet packet;
	struct tables t;

	for (size_t i = 0; i < n; i++) {
		bool v6 = i < SB_WIDE_RULES;
		uint8_t *to = rules[i].address + (v6 ? 12 : 0);

		rules[i] = rule_of(TCP, v6 ? "2001:db8::" : "0.0.0.0", v6 ? 128 : 32, 80, 80, 1);
		to[1] = (uint8_t)(i >> 16);
		to[2] = (uint8_t)(i >> 8);
		to[3] = (uint8_t)i;
	}
	rules[n - 1] = rule_of(TCP, "128.0.0.0", SB_WIDE_BITS - 1, 80, 80, 2);
	gone = rules[SB_WIDE_RULES];
	assert_int_equal(ruleset_assign(s, rules, n, &a, &b), 0);
	assert_int_equal(ruleset_remove(s, &gone, NULL), 0);
	t = tables_compiled(s, 0);
	assert_int_equal(t.used, t.capacity);
	assert_int_equal(t.wide_word[0], 0);
	assert_int_equal(t.wide_word[1], FIRST);
	assert_memory_equal(tables_header(&t).wide_word, t.wide_word, sizeof(t.wide_word));
	packet = packet_of(TCP, "2001:db8::7:ffff", 80);
	assert_int_equal(tables_match(&t, &packet), 1);
	packet = packet_of(TCP, "128.0.7.255", 80);
	assert_int_equal(tables_match(&t, &packet), 2);
	tables_free(&t);
	ruleset_free(s);
	free(rules);
}

int main(void)
{
	static enum tables_wide usual = WIDE_WHEN_MANY, wide = WIDE_ALWAYS;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_entry4),
		cmocka_unit_test(test_entry6),
		cmocka_unit_test(test_node4),
		cmocka_unit_test(test_node6),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test_prestate(test_size_is_exact, &usual),
		cmocka_unit_test_prestate(test_size_is_exact, &wide),
		cmocka_unit_test_prestate(test_deterministic, &usual),
		cmocka_unit_test_prestate(test_deterministic, &wide),
		cmocka_unit_test_prestate(test_nested, &usual),
		cmocka_unit_test_prestate(test_nested, &wide),
		cmocka_unit_test(test_loop),
		cmocka_unit_test_prestate(test_damaged, &usual),
		cmocka_unit_test_prestate(test_damaged, &wide),
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_wide_when_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
