/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/registry/check.h"

#include "broker/model/registry.h"

static void test_find(void **state)
{
	struct registry *r = registry_new();
	struct label *a, *b, *c;

	assert_int_equal(registry_add(r, "web", -1, &a), 0);
	assert_int_equal(registry_add(r, "web:http", -1, &b), 0);
	assert_int_equal(registry_add(r, "mail", 77, &c), 0);
	assert_int_equal(r->n_labels, 3);
	assert_ptr_equal(registry_find(r, "web"), a);
	assert_ptr_equal(registry_find_n(r, "web:http", 3), a);
	assert_ptr_equal(registry_find_n(r, "web:http", 8), b);
	assert_null(registry_find(r, "we"));
	assert_null(registry_find(r, ""));
	assert_null(registry_find(r, "Web"));
	assert_ptr_equal(registry_get(r, 77), c);
	assert_int_equal(c->id, 77);
	assert_null(registry_get(r, 76));
	assert_null(registry_get(r, SB_LABELS_MAX));
	assert_null(registry_get(r, UINT32_MAX));
	assert_int_equal(a->max_sockets, LABEL_SOCKETS_DEFAULT);
	registry_free(r);
	registry_free(NULL);
}

static void test_long_names(void **state)
{
	struct registry *r = registry_new();
	char name[SB_LABEL_MAX + 2] = { 0 };
	struct label *l;

	memset(name, 'a', SB_LABEL_MAX);
	assert_int_equal(registry_add(r, name, -1, &l), 0);
	assert_ptr_equal(registry_find(r, name), l);
	assert_string_equal(l->name, name);
	name[SB_LABEL_MAX] = 'a';
	assert_null(registry_find(r, name));
	name[SB_LABEL_MAX - 1] = '\0';
	assert_null(registry_find(r, name));
	registry_free(r);
}

static void test_ids(void **state)
{
	struct registry *r = registry_new();
	struct label *l;

	assert_int_equal(registry_add(r, "a", SB_LABELS_MAX - 1, &l), 0);
	assert_int_equal(registry_add(r, "b", SB_LABELS_MAX - 1, &l), -EBUSY);
	assert_int_equal(registry_add(r, "b", SB_LABELS_MAX, &l), -EINVAL);
	assert_null(registry_find(r, "b"));
	assert_int_equal(r->n_labels, 1);
	registry_free(r);
}

static void test_full(void **state)
{
	struct registry *r = registry_new();
	struct label *l;
	char name[16];

	for (int i = 0; i < SB_LABELS_MAX; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		assert_int_equal(registry_add(r, name, -1, &l), 0);
	}
	assert_int_equal(registry_add(r, "more", -1, &l), -E2BIG);
	assert_null(registry_find(r, "more"));
	registry_remove(r, registry_find(r, "l1000"));
	assert_int_equal(registry_add(r, "more", -1, &l), 0);
	assert_int_equal(l->id, 1000);
	registry_free(r);
}

/* Removing one never hides another, whatever hashes next to it. */
static void test_remove(void **state)
{
	struct registry *r = registry_new();
	struct label *l;
	char name[16];
	size_t seen = 0;

	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(registry_add(r, name, -1, &l), 0);
	}
	for (int i = 0; i < 3000; i += 3) {
		snprintf(name, sizeof(name), "%d", i);
		registry_remove(r, registry_find(r, name));
	}
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		l = registry_find(r, name);
		assert_int_equal(l == NULL, i % 3 == 0);
		assert_true(!l || !strcmp(l->name, name));
	}
	for (l = registry_next(r, NULL); l; l = registry_next(r, l))
		seen++;
	assert_int_equal(seen, 2000);
	assert_int_equal(r->n_labels, 2000);
	assert_int_equal(r->ids.used, 2000);
	registry_free(r);
}

/* A label that goes gives its numbers back. */
static void test_remove_gives_back(void **state)
{
	struct registry *r = registry_new();
	struct label *l;

	assert_int_equal(registry_add(r, "web", -1, &l), 0);
	l->members = calloc(2, sizeof(*l->members));
	for (; l->n_members < 2; l->n_members++) {
		l->members[l->n_members].slot = (uint32_t)range_take(&r->slots, 1);
		l->members[l->n_members].unit = strdup("x.service");
	}
	l->groups[SB_GROUP_V6].offset = (uint32_t)range_take(&r->lists, 2);
	l->groups[SB_GROUP_V6].count = 2;
	registry_remove(r, l);
	assert_int_equal(r->slots.used + r->lists.used + r->ids.used, 0);
	registry_free(r);
}

static void test_groups_of_members(void **state)
{
	static const struct {
		struct member member;
		unsigned kinds; /* bits */
	} cases[] = {
		{ { .protocol = IPPROTO_TCP, .address.family = AF_INET }, 1 << 0 },
		{ { .protocol = IPPROTO_TCP, .address.family = AF_INET6 }, 1 << 1 },
		{ { .protocol = IPPROTO_TCP, .address.family = AF_INET6, .dual = true },
		  1 << 1 | 1 << 2 },
		{ { .protocol = IPPROTO_UDP, .address.family = AF_INET }, 1 << 4 },
		{ { .protocol = IPPROTO_UDP, .address.family = AF_INET6 }, 1 << 5 },
		{ { .protocol = IPPROTO_UDP, .address.family = AF_INET6, .dual = true },
		  1 << 5 | 1 << 6 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL; kind++)
			assert_int_equal(member_in_group(&cases[i].member, kind),
					 cases[i].kinds >> kind & 1);
	for (size_t a = 0; a < ARRAY_SIZE(cases); a++)
		for (size_t b = 0; b < ARRAY_SIZE(cases); b++)
			assert_int_equal(member_same_kind(&cases[a].member, &cases[b].member),
					 cases[a].member.protocol == cases[b].member.protocol &&
						 cases[a].member.address.family ==
							 cases[b].member.address.family);
}

static void test_slots_of_groups(void **state)
{
	static struct member members[SB_GROUP_SLOTS_MAX + 2];
	uint32_t slots[SB_GROUP_SLOTS_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		members[i] = (struct member){
			.slot = (uint32_t)(1000 + i),
			.protocol = IPPROTO_TCP,
			.address.family = AF_INET6,
			.dual = i % 2,
		};
	assert_int_equal(members_group_slots(members, 5, SB_GROUP_DUAL, slots), 2);
	assert_int_equal(slots[0], 1001);
	assert_int_equal(slots[1], 1003);
	assert_int_equal(members_group_slots(members, 5, SB_GROUP_V4, slots), 0);
	/* Never more than there is room for. */
	assert_int_equal(members_group_slots(members, ARRAY_SIZE(members), SB_GROUP_V6, slots),
			 SB_GROUP_SLOTS_MAX);
}

static unsigned listed(const struct member *members, size_t n, unsigned kind)
{
	uint32_t slots[SB_GROUP_SLOTS_MAX];
	size_t found = members_group_slots(members, n, kind, slots);
	unsigned bits = 0;

	for (size_t i = 0; i < found; i++)
		bits |= 1U << slots[i];
	return bits;
}

/* Slot I is bit I. */
static void test_held_sockets(void **state)
{
	struct member m[] = {
		{ .slot = 0, .protocol = IPPROTO_TCP, .address.family = AF_INET },
		{ .slot = 1, .protocol = IPPROTO_TCP, .address.family = AF_INET, .held_since = 9 },
		{ .slot = 2, .protocol = IPPROTO_TCP, .address.family = AF_INET6, .dual = true },
		{ .slot = 3, .protocol = IPPROTO_TCP, .address.family = AF_INET6, .held_since = 9 },
		{ .slot = 4, .protocol = IPPROTO_TCP, .address.family = AF_INET, .own = true },
		{ .slot = 5, .protocol = IPPROTO_UDP, .address.family = AF_INET, .held_since = 9 },
	};

	assert_int_equal(listed(m, 6, SB_GROUP_V4), 1 << 0);
	assert_int_equal(listed(m, 6, SB_GROUP_V6), 1 << 2);
	assert_int_equal(listed(m, 6, SB_GROUP_DUAL), 1 << 2);
	assert_int_equal(listed(m, 6, SB_GROUP_HOLD), 1 << 4);
	/* Another protocol has its own. */
	assert_int_equal(listed(m, 6, SB_GROUP_UDP | SB_GROUP_V4), 1 << 5);
	assert_int_equal(listed(m, 6, SB_GROUP_UDP | SB_GROUP_HOLD), 0);
	/* A served dual-stack socket goes before a held IPv4 one, which packets would meet first.
	 */
	m[0].held_since = 9;
	assert_int_equal(listed(m, 6, SB_GROUP_V4), 0);
	assert_int_equal(listed(m, 6, SB_GROUP_DUAL), 1 << 2);
	/* Nobody serves: packets wait in all of them. */
	m[2].held_since = 9;
	assert_int_equal(listed(m, 6, SB_GROUP_V4), 1 << 0 | 1 << 1);
	assert_int_equal(listed(m, 6, SB_GROUP_V6), 1 << 2 | 1 << 3);
	assert_int_equal(listed(m, 6, SB_GROUP_DUAL), 1 << 2);
	assert_int_equal(members_handed_in(m, 6), 5);
	assert_false(member_served(&m[4]));
}

static void test_names(void **state)
{
	struct label l = { .n_rules = { { 1, 2 }, { 3, 4 } } };

	assert_int_equal(label_rules(&l), 10);
	assert_string_equal(when_empty_name(WHEN_EMPTY_DROP), "drop");
	assert_string_equal(when_empty_name(WHEN_EMPTY_PASS), "pass");
	assert_string_equal(when_empty_name(WHEN_EMPTY_HOLD), "hold");
	label_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_remove_gives_back),
		cmocka_unit_test(test_groups_of_members),
		cmocka_unit_test(test_slots_of_groups),
		cmocka_unit_test(test_held_sockets),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
