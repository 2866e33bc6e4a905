/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/registry/check.h"

#include "broker/model/policy.h"

static const struct policy_groups nobody = { POLICY_NO_GROUP, POLICY_NO_GROUP };
static const struct policy_groups both = { .admin = 60, .read = 50 };

static void test_admin(void **state)
{
	const struct actor root = { .uid = 0, .gid = 5 }, user = { .uid = 1, .gid = 0 };
	const struct actor by_gid = { .uid = 1, .gid = 60 };
	const struct actor by_group = { .uid = 1, .n_groups = 2, .groups = { 7, 60 } };
	const struct actor beyond = { .uid = 1, .n_groups = 1, .groups = { 7, 60 } };
	/* POLICY_NO_GROUP is no group that anyone could be in. */
	const struct actor minus_one = { .uid = 1, .gid = (gid_t)-1 };

	assert_true(policy_is_admin(&root, &nobody));
	assert_false(policy_is_admin(&user, &nobody));
	assert_false(policy_is_admin(&by_gid, &nobody));
	assert_false(policy_is_admin(&minus_one, &nobody));
	assert_true(policy_is_admin(&root, &both));
	assert_true(policy_is_admin(&by_gid, &both));
	assert_true(policy_is_admin(&by_group, &both));
	assert_false(policy_is_admin(&beyond, &both));
	assert_false(policy_is_admin(&user, &both));
}

static void test_read(void **state)
{
	const struct actor root = { .uid = 0 }, user = { .uid = 1, .gid = 1 };
	const struct actor reader = { .uid = 1, .gid = 50 }, admin = { .uid = 1, .gid = 60 };

	assert_true(policy_may_read(&user, &nobody));
	assert_false(policy_may_read(&user, &both));
	assert_true(policy_may_read(&reader, &both));
	assert_true(policy_may_read(&admin, &both));
	assert_true(policy_may_read(&root, &both));
	assert_false(policy_is_admin(&reader, &both));
}

static void test_register(void **state)
{
	uid_t users[] = { 33, 34 };
	gid_t groups[] = { 44 };
	char *units[] = { "web.service", "web@.service" };
	const struct policy p = { users, 2, groups, 1, units, 2, NULL }, empty = { 0 };
	static const struct {
		struct actor actor;
		bool may;
	} cases[] = {
		{ { .uid = 0 }, true },
		{ { .uid = 1, .gid = 60 }, true },
		{ { .uid = 34 }, true },
		{ { .uid = 35 }, false },
		{ { .uid = 44, .gid = 33 }, false },
		{ { .uid = 1, .gid = 44 }, true },
		{ { .uid = 1, .n_groups = 1, .groups = { 44 } }, true },
		{ { .uid = 1, .unit = "web.service" }, true },
		{ { .uid = 1, .unit = "web.servic" }, false },
		{ { .uid = 1, .unit = "web.service2" }, false },
		{ { .uid = 1, .unit = "web@1.service" }, false }, /* no patterns */
		{ { .uid = 1, .unit = "" }, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool admin = policy_is_admin(&cases[i].actor, &both);

		assert_int_equal(policy_may_register(&cases[i].actor, &both, &p), cases[i].may);
		assert_int_equal(policy_may_register(&cases[i].actor, &both, NULL), admin);
		assert_int_equal(policy_may_register(&cases[i].actor, &both, &empty), admin);
	}
}

/* A process without a unit is not one of a unit without a name. */
static void test_nameless_unit(void **state)
{
	char *units[] = { "" };
	const struct policy p = { .units = units, .n_units = 1 };
	const struct actor a = { .uid = 1 };

	assert_false(policy_may_register(&a, &nobody, &p));
}

static void test_copy(void **state)
{
	uid_t users[] = { 33, 34 };
	gid_t groups[] = { 44 };
	char *units[] = { "web.service" };
	const struct policy p = { users, 2, groups, 1, units, 1, "user a" };
	const struct actor a = { .uid = 34 }, u = { .uid = 1, .unit = "web.service" };
	struct policy copy = { 0 }, empty = { 0 };

	assert_int_equal(policy_copy(&copy, &p), 0);
	users[1] = 0;
	assert_true(policy_may_register(&a, &nobody, &copy));
	assert_true(policy_may_register(&u, &nobody, &copy));
	assert_string_equal(copy.summary, "user a");
	assert_ptr_not_equal(copy.units[0], units[0]);
	policy_clear(&copy);
	assert_false(policy_may_register(&a, &nobody, &copy));
	policy_clear(&copy);
	policy_clear(NULL);
	assert_int_equal(policy_copy(&copy, &empty), 0);
	assert_null(copy.users);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_admin),    cmocka_unit_test(test_read),
		cmocka_unit_test(test_register), cmocka_unit_test(test_nameless_unit),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
