/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of the saved state while the broker runs: many changes, and a directory that goes.
 */
#include "tests/unit/core/world.h"

#define WEB FAKE_FD_FIRST
#define MIB ((size_t)1 << 20)

/* web: a socket and a rule. */
static int setup(void **state)
{
	struct world *w;

	world_setup(state);
	w = *state;
	fake_tcp(w->host, "127.0.0.1", 1);
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_register(w, "web", WEB), 0);
	return 0;
}

/* The two parts of the state, and a change of each. */
struct part {
	struct fake_blob *whole, *changes;
	const char *change;
	const char *sign; /* in the whole, once the change above and web are part of it */
};

static void parts(struct world *w, struct part ret[2])
{
	ret[0] = (struct part){ &w->state->labels, &w->state->labels_journal,
				"label\tname=web\tid=0\n.\n", "label=web" };
	ret[1] = (struct part){ &w->state->rules, &w->state->journal,
				"+ tcp 192.0.2.0/24 80 web\n.\n", "tcp 192.0.2.0/24 80 web\n" };
}

/* LENGTH bytes of changes, all of them the same one. */
static void set_changes(const struct part *p, size_t length)
{
	_cleanup_free_ char *changes = malloc(length);

	assert_non_null(changes);
	for (size_t i = 0; i < length; i++)
		changes[i] = p->change[i % strlen(p->change)];
	fake_blob_set(p->changes, changes, length);
}

static void check_traffic(struct world *w)
{
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), WEB);
}

/* The sweep makes the saved changes part of the whole when they are more than 1 MiB and twice it.
 */
static void test_many_changes(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *newlines = memset(malloc(MIB), '\n', MIB);
	struct part p[2];

	parts(w, p);
	for (size_t i = 0; i < 2; i++) {
		set_changes(&p[i], MIB);
		core_sweep(w->core);
		assert_int_equal(p[i].changes->length, MIB);
		set_changes(&p[i], MIB + 1);
		core_sweep(w->core);
		assert_null(p[i].changes->data);
		assert_non_null(strstr(p[i].whole->data, p[i].sign));
		fake_blob_set(p[i].whole, newlines, MIB);
		set_changes(&p[i], 2 * MIB + 1);
		core_sweep(w->core);
		assert_non_null(p[i].changes->data);
		set_changes(&p[i], 2 * MIB + 2);
		core_sweep(w->core);
		assert_null(p[i].changes->data);
	}
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
}

/* Very many are not waited for until a sweep. */
static void test_very_many_changes(void **state)
{
	struct world *w = *state;
	struct part p[2];

	parts(w, p);
	for (size_t i = 0; i < 2; i++) {
		set_changes(&p[i], 16 * MIB);
		assert_int_equal(ask(w, "REQUEST=version\n"), 0);
		assert_int_equal(p[i].changes->length, 16 * MIB);
		/* Nor is it tried with every request. */
		set_changes(&p[i], 16 * MIB + 1);
		fake_calls_begin(&w->calls, 1, ENOSPC);
		assert_int_equal(ask(w, "REQUEST=version\n"), 0);
		assert_true(w->calls.failed);
		fake_calls_begin(&w->calls, 0, 0);
		assert_int_equal(ask(w, "REQUEST=version\n"), 0);
		assert_int_equal(p[i].changes->length, 16 * MIB + 1);
		set_changes(&p[i], 17 * MIB + 1);
		assert_int_equal(ask(w, "REQUEST=version\n"), 0);
		assert_null(p[i].changes->data);
		assert_non_null(strstr(p[i].whole->data, p[i].sign));
	}
}

/* A scribe, which answers these, is another process than the one that has the files. */
static void test_very_many_changes_and_scribes(void **state)
{
	struct world *w = *state;
	struct part p[2];

	parts(w, p);
	for (size_t i = 0; i < 2; i++) {
		set_changes(&p[i], 17 * MIB);
		assert_int_equal(ask(w, "REQUEST=rules\n"), 0);
		assert_int_equal(ask(w, "REQUEST=status\n"), 0);
		check_refusal(w, ask(w, "REQUEST=rules\nLABEL=none\n"), ENOENT, "");
		assert_int_equal(p[i].changes->length, 17 * MIB);
	}
}

/* A full disk: the changes stay, and it is not tried again with every sweep. */
static void test_many_changes_and_full_disk(void **state)
{
	struct world *w = *state;
	struct part p[2];

	parts(w, p);
	w->calls.limit[FAKE_CALL_slot_cookie] = 1;
	w->calls.limit[FAKE_CALL_check] = 1;
	for (size_t i = 0; i < 2; i++) {
		for (size_t n = 1; n <= 2; n++) { /* stage, commit */
			bool fired;

			set_changes(&p[i], MIB + 1);
			fake_calls_begin(&w->calls, n + 2, ENOSPC);
			core_sweep(w->core);
			fired = w->calls.failed;
			fake_calls_begin(&w->calls, 0, 0);
			assert_true(fired);
			assert_false(fake_state_busy(w->state));
			assert_int_equal(p[i].changes->length, MIB + 1);
			core_sweep(w->core);
			assert_int_equal(p[i].changes->length, MIB + 1);
			set_changes(&p[i], 2 * MIB + 1);
			core_sweep(w->core);
			assert_null(p[i].changes->data);
		}
	}
}

static void remove_state(struct world *w)
{
	struct part p[2];

	parts(w, p);
	for (size_t i = 0; i < 2; i++) {
		fake_blob_clear(p[i].whole);
		fake_blob_clear(p[i].changes);
	}
	w->state->gone = true;
}

/* Somebody removed the saved state: changes are refused, and change nothing, until the sweep has
 * written all of it again. */
static void test_state_removed(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *before = NULL, *after = NULL;
	int other = fake_tcp(w->host, "127.0.0.1", 2);

	for (int locked = 0; locked < 2; locked++) {
		remove_state(w);
		w->state->locked = locked;
		free(before);
		before = model_text(w);
		for (int i = 0; i <= locked; i++) {
			check_refusal(w, ask_register(w, "web", other), EIO, "fake state");
			check_refusal(w, ask_register(w, "new", other), EIO, "fake state");
			check_refusal(w, ask_bind(w, "web tcp 192.0.2.0/24 81"), EIO, "fake state");
			check_refusal(w, ask_bind(w, "new tcp 192.0.2.0/24 81"), EIO, "fake state");
			check_refusal(w, ask(w, "REQUEST=unregister\nLABEL=web\n"), EIO,
				      "fake state");
			check_refusal(w, ask_unbind(w, "web tcp 192.0.2.0/24 80"), EIO,
				      "fake state");
			free(after);
			after = model_text(w);
			assert_string_equal(before, after);
			check_traffic(w);
			if (locked)
				core_sweep(w->core);
		}
		assert_null(w->state->labels.data);
		w->state->locked = false;
		core_sweep(w->core);
		assert_non_null(strstr(w->state->labels.data, "label=web"));
		assert_string_equal(w->state->rules.data, "tcp 192.0.2.0/24 80 web\n");
		assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 81"), 0);
		assert_int_equal(ask_unbind(w, "web tcp 192.0.2.0/24 81"), 0);
		assert_int_equal(world_start(w), 0);
		check_traffic(w);
	}
}

/* It cannot be written whole: what is there is left, and the next sweep tries again. */
static void test_state_removed_and_full_disk(void **state)
{
	struct world *w = *state;

	w->calls.limit[FAKE_CALL_slot_cookie] = 1;
	for (size_t n = 3; n <= 5; n++) { /* after a look at the socket and a check: stage twice,
					     commit */
		remove_state(w);
		fake_calls_begin(&w->calls, n, ENOSPC);
		core_sweep(w->core);
		assert_true(w->calls.failed);
		fake_calls_begin(&w->calls, 0, 0);
		assert_false(fake_state_busy(w->state));
		assert_null(w->state->labels.data);
		assert_true(w->state->gone);
		core_sweep(w->core);
		assert_false(w->state->gone);
		assert_non_null(w->state->labels.data);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_many_changes),
		TEST(test_very_many_changes),
		TEST(test_very_many_changes_and_scribes),
		TEST(test_many_changes_and_full_disk),
		TEST(test_state_removed),
		TEST(test_state_removed_and_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
