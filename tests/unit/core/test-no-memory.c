/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every request, with every allocation failing once in turn: as in test-faults, a refusal leaves
 * everything as it was, and the next request works. The executable is linked so that allocations of
 * the core, the model, the protocol and the fakes come through allocations.c.
 */
#include "tests/unit/core/allocations.h"
#include "tests/unit/core/trial.h"

/* The N-th allocation of the core fails. */
static bool fail_nth(struct trial *t)
{
	const struct scenario *s = t->scenario;
	struct world *w = t->world;
	const char *differs = NULL;
	struct picture after;
	bool failed;
	int r;

	allocations_fail(t->n, &w->in_core);
	r = s->request(w);
	failed = allocations_failed();
	assert_false(fake_state_busy(w->state));
	if (!failed)
		assert_int_equal(r, 0);
	if (r < 0 && !s->restarts) {
		after = picture_take(w);
		differs = picture_compare(&t->before, &after);
		picture_clear(&after);
	}
	if (differs)
		fail_msg("%s: allocation %zu failed, and %s changed", s->name, t->n, differs);
	if (r < 0 && s->request(w) < 0)
		fail_msg("%s: allocation %zu failed, and the next request too: %s", s->name, t->n,
			 w->error.message);
	scenario_settle(w);
	after = picture_take(w);
	differs = picture_compare_outcome(&t->wanted, &after);
	if (differs && !s->may_do_less)
		fail_msg("%s: allocation %zu failed, and %s came out wrong", s->name, t->n,
			 differs);
	picture_clear(&after);
	return failed;
}

static void check_scenario(void **state)
{
	const struct scenario *s = *state;
	size_t n = trial_run(s, fail_nth);

	assert_true((n == 0) == s->frugal);
}

int main(int argc, char **argv)
{
	return scenarios_main("no-memory", check_scenario, argc, argv);
}
