/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fair shares, to the exact number. */
#include "tests/unit/registry/check.h"

#include "broker/model/quota.h"

#define USERS_MAX 8
#define CHARGES_MAX 2048

/* One pool, some users, and what they were charged, one at a time. */
struct world {
	struct quota *quota;
	struct quota_user *users[USERS_MAX];
	struct quota_charge charges[CHARGES_MAX];
	size_t n_charges;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->quota = quota_new();
	for (uid_t i = 0; i < USERS_MAX; i++)
		w->users[i] = quota_user_get(w->quota, 1000 + i);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < w->n_charges; i++)
		quota_charge_clear(&w->charges[i]);
	for (size_t i = 0; i < USERS_MAX; i++)
		quota_user_put(w->users[i]);
	quota_free(w->quota);
	free(w);
	return 0;
}

static int charge(struct world *w, size_t user, uint64_t amount)
{
	int r = quota_charge(&w->charges[w->n_charges], w->users[user], QUOTA_CONNECTIONS, amount);

	if (r == 0)
		w->n_charges++;
	return r;
}

/* As many single ones as USER gets; the refusal is exact, and changes nothing. */
static uint64_t take_all(struct world *w, size_t user)
{
	uint64_t n = 0, before;

	while (charge(w, user, 1) == 0)
		n++;
	before = quota_held(w->users[user], QUOTA_CONNECTIONS);
	assert_true(quota_share(w->users[user], QUOTA_CONNECTIONS) <= before);
	assert_int_equal(charge(w, user, 1), -EDQUOT);
	assert_null(w->charges[w->n_charges].user);
	assert_int_equal(quota_held(w->users[user], QUOTA_CONNECTIONS), before);
	return n;
}

static void test_shares(void **state)
{
	struct world *w = *state;

	quota_set(w->quota, QUOTA_CONNECTIONS, 1024);
	assert_int_equal(quota_share(w->users[0], QUOTA_CONNECTIONS), 512);
	assert_int_equal(take_all(w, 0), 512);
	assert_int_equal(quota_share(w->users[1], QUOTA_CONNECTIONS), 170);
	assert_int_equal(take_all(w, 1), 170);
	/* (1024 - 512 - 170) / 4, and so on */
	assert_int_equal(take_all(w, 2), 85);
	assert_int_equal(take_all(w, 3), 51);
	assert_int_equal(take_all(w, 4), 34);
	assert_int_equal(quota_used(w->quota, QUOTA_CONNECTIONS), 512 + 170 + 85 + 51 + 34);
	/* The others may not have more now, though there is some. */
	assert_int_equal(take_all(w, 0), 0);
	assert_int_equal(take_all(w, 1), 0);
}

/* All at once is as much as one by one. */
static void test_amounts(void **state)
{
	struct world *w = *state;

	quota_set(w->quota, QUOTA_CONNECTIONS, 1024);
	assert_int_equal(charge(w, 0, 513), -EDQUOT);
	assert_int_equal(charge(w, 0, 512), 0);
	assert_int_equal(charge(w, 1, 171), -EDQUOT);
	assert_int_equal(charge(w, 1, 100), 0);
	assert_int_equal(charge(w, 1, 71), -EDQUOT);
	assert_int_equal(charge(w, 1, 70), 0);
}

/* In any order: who takes second does so from what is left, whoever comes third. */
static void test_in_turn(void **state)
{
	struct world *w = *state;
	uint64_t a = 0, b = 0;

	quota_set(w->quota, QUOTA_CONNECTIONS, 1024);
	for (;;) {
		bool more_a = charge(w, 0, 1) == 0, more_b = charge(w, 1, 1) == 0;

		a += more_a;
		b += more_b;
		if (!more_a && !more_b)
			break;
	}
	/* held = (held + 1024 - 2 held) / 3, so held = 256 */
	assert_int_equal(a, 256);
	assert_int_equal(b, 256);
}

static void test_give_back(void **state)
{
	struct world *w = *state;

	quota_set(w->quota, QUOTA_CONNECTIONS, 1024);
	take_all(w, 0);
	take_all(w, 1);
	quota_charge_clear(&w->charges[0]);
	quota_charge_clear(&w->charges[0]);
	assert_int_equal(quota_held(w->users[0], QUOTA_CONNECTIONS), 511);
	/* (511 + 343) / 3 = 284: it held more than its share while it was alone */
	assert_int_equal(charge(w, 0, 1), -EDQUOT);
	for (size_t i = 512; i < w->n_charges; i++)
		quota_charge_clear(&w->charges[i]);
	assert_int_equal(quota_held(w->users[1], QUOTA_CONNECTIONS), 0);
	/* Alone again. */
	assert_int_equal(charge(w, 0, 1), 0);
	assert_int_equal(charge(w, 0, 1), -EDQUOT);
}

/* What root holds is gone from the pool, but root is no user to share with. */
static void test_unshared(void **state)
{
	struct world *w = *state;

	quota_set(w->quota, QUOTA_CONNECTIONS, 1024);
	quota_set_unshared(w->quota, QUOTA_CONNECTIONS, 24);
	assert_int_equal(take_all(w, 0), 500);
	quota_set_unshared(w->quota, QUOTA_CONNECTIONS, 5000);
	assert_int_equal(charge(w, 1, 1), -EDQUOT);
	quota_set_unshared(w->quota, QUOTA_CONNECTIONS, 0);
	assert_int_equal(take_all(w, 0), 12);
}

static void test_less_than_in_use(void **state)
{
	struct world *w = *state;

	quota_set(w->quota, QUOTA_CONNECTIONS, 1024);
	take_all(w, 0);
	quota_set(w->quota, QUOTA_CONNECTIONS, 100);
	assert_int_equal(charge(w, 0, 1), -EDQUOT);
	assert_int_equal(charge(w, 1, 1), -EDQUOT);
	assert_int_equal(quota_held(w->users[0], QUOTA_CONNECTIONS), 512);
	for (size_t i = 0; i < 500; i++)
		quota_charge_clear(&w->charges[i]);
	/* 12 of 100 */
	assert_int_equal(take_all(w, 0), 50 - 12);
	quota_set(w->quota, QUOTA_CONNECTIONS, 0);
	assert_int_equal(charge(w, 1, 1), -EDQUOT);
}

static void test_huge_numbers(void **state)
{
	struct world *w = *state;

	quota_set(w->quota, QUOTA_CONNECTIONS, UINT64_MAX);
	assert_int_equal(charge(w, 0, UINT64_MAX), -EDQUOT);
	assert_int_equal(charge(w, 0, UINT64_MAX / 2 + 1), -EDQUOT);
	assert_int_equal(charge(w, 0, UINT64_MAX / 2), 0);
	assert_int_equal(charge(w, 0, UINT64_MAX), -EDQUOT);
	assert_int_equal(charge(w, 0, 1), -EDQUOT);
	assert_int_equal(charge(w, 1, UINT64_MAX), -EDQUOT);
	assert_int_equal(charge(w, 1, (UINT64_MAX / 2 + 1) / 3), 0);
	quota_set_unshared(w->quota, QUOTA_CONNECTIONS, UINT64_MAX);
	assert_int_equal(charge(w, 2, 1), -EDQUOT);
}

/* What is there already is charged, whatever the share. */
static void test_anyway(void **state)
{
	struct world *w = *state;

	quota_set(w->quota, QUOTA_CONNECTIONS, 10);
	quota_charge_anyway(&w->charges[w->n_charges++], w->users[0], QUOTA_CONNECTIONS, 100);
	assert_int_equal(quota_held(w->users[0], QUOTA_CONNECTIONS), 100);
	assert_int_equal(charge(w, 0, 1), -EDQUOT);
	quota_charge_clear(&w->charges[0]);
	assert_int_equal(take_all(w, 0), 5);
}

static void test_resources_apart(void **state)
{
	struct world *w = *state;
	struct quota_charge bytes = { 0 }, nothing = { 0 };

	quota_set(w->quota, QUOTA_CONNECTIONS, 4);
	quota_set(w->quota, QUOTA_BYTES, 1000);
	assert_int_equal(take_all(w, 0), 2);
	assert_int_equal(quota_charge(&bytes, w->users[0], QUOTA_BYTES, 500), 0);
	assert_int_equal(quota_charge(&nothing, w->users[0], QUOTA_SOCKETS, 1), -EDQUOT);
	assert_int_equal(quota_charge(&nothing, w->users[0], QUOTA_SOCKETS, 0), 0);
	assert_null(nothing.user);
	quota_charge_clear(&bytes);
	assert_int_equal(quota_held(w->users[0], QUOTA_CONNECTIONS), 2);
}

/* A charge keeps its user; the next with that uid is the same one. */
static void test_users(void **state)
{
	struct world *w = *state;
	struct quota_charge charge = { 0 }, moved;
	struct quota_user *u = quota_user_get(w->quota, 7), *again;

	quota_set(w->quota, QUOTA_RULES, 100);
	assert_int_equal(quota_user_uid(u), 7);
	assert_int_equal(quota_charge(&charge, u, QUOTA_RULES, 10), 0);
	quota_user_put(u);
	again = quota_user_get(w->quota, 7);
	assert_int_equal(quota_held(again, QUOTA_RULES), 10);
	moved = charge;
	quota_charge_clear(&moved);
	assert_int_equal(quota_held(again, QUOTA_RULES), 0);
	quota_user_put(again);
	/* Same bucket, another user. */
	u = quota_user_get(w->quota, 1256);
	assert_int_equal(quota_user_uid(u), 1256);
	assert_int_equal(quota_share(u, QUOTA_RULES), 50);
	quota_user_put(u);
	assert_ptr_equal(quota_user_ref(w->users[0]), w->users[0]);
	quota_user_put(w->users[0]);
	assert_int_equal(quota_user_uid(w->users[0]), 1000);
	assert_null(quota_user_ref(NULL));
	quota_user_put(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_shares),       TEST(test_amounts),  TEST(test_in_turn),
		TEST(test_give_back),    TEST(test_unshared), TEST(test_less_than_in_use),
		TEST(test_huge_numbers), TEST(test_anyway),   TEST(test_resources_apart),
		TEST(test_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
