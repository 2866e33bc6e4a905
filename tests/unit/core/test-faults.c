/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every request, with every call of every port failing once in turn: a refusal leaves model, kernel
 * and saved state as they were, and the same request, asked again, is done. Some calls may fail and
 * the request is done nevertheless (a counter, a look around); then it is done right.
 */
#include "tests/unit/core/trial.h"

static void check_kept(struct world *w, const struct scenario *s, const struct picture *before,
		       size_t n, const char *call)
{
	struct picture after = picture_take(w);
	const char *differs = picture_compare(before, &after);

	if (differs)
		fail_msg("%s: call %zu (%s) failed, and %s changed", s->name, n, call, differs);
	picture_clear(&after);
}

/* What has to survive: rules, labels with their numbers, and what was handed in. Of a socket that
 * is kept for a service nobody here has a copy when the broker ends. */
static char *lasting_text(struct world *w)
{
	const struct registry *r = w->core->registry;
	char *rules = rules_text(w);
	struct sb_text text = { 0 };

	sb_text_printf(&text, "%s", rules);
	free(rules);
	for (const struct label *l = registry_next(r, NULL); l; l = registry_next(r, l)) {
		sb_text_printf(&text, "%s %u\n", l->name, l->id);
		for (size_t i = 0; i < l->n_members; i++) {
			const struct member *m = &l->members[i];

			if (l->when_empty != WHEN_EMPTY_HOLD)
				sb_text_printf(&text, "  %llu %u %d %u %u %s %llu\n",
					       (unsigned long long)m->cookie, m->slot, m->pid,
					       m->uid, m->gid, m->unit ? m->unit : "-",
					       (unsigned long long)m->since);
		}
	}
	assert_int_equal(text.error, 0);
	return text.data;
}

/* The next broker finds all as this one had it. */
static void check_saved(struct world *w, const struct scenario *s, size_t n, const char *call)
{
	_cleanup_free_ char *before = lasting_text(w), *after = NULL;

	assert_int_equal(world_start(w), 0);
	after = lasting_text(w);
	if (strcmp(before, after) != 0)
		fail_msg("%s: call %zu (%s) failed, and the next broker has\n%s\nnot\n%s", s->name,
			 n, call, after, before);
}

static void check_done(struct world *w, const struct scenario *s, const struct picture *wanted,
		       size_t n, const char *call)
{
	struct picture after;
	const char *differs;

	assert_false(fake_state_busy(w->state));
	scenario_settle(w);
	/* Each rule has its number, and no number is lost. */
	assert_int_equal(w->core->numbers.used, ruleset_count(w->core->rules));
	after = picture_take(w);
	differs = picture_compare_outcome(wanted, &after);
	if (differs && !s->may_do_less)
		fail_msg("%s: call %zu (%s) failed, and %s came out wrong:\n%s\nnot\n%s", s->name,
			 n, call, differs, after.verdicts, wanted->verdicts);
	picture_clear(&after);
	if (!s->ends && !s->may_do_less)
		check_saved(w, s, n, call);
}

/* The N-th call fails. */
static bool fail_nth(struct trial *t)
{
	const struct scenario *s = t->scenario;
	struct world *w = t->world;
	const char *call;
	bool fired;
	int r;

	fake_calls_begin(&w->calls, t->n, EIO);
	r = s->request(w);
	fired = w->calls.failed;
	call = fired ? fake_call_name(w->calls.failed_call) : "none";
	fake_calls_begin(&w->calls, 0, 0);
	if (!fired)
		assert_int_equal(r, 0);
	if (r < 0) {
		assert_int_not_equal(w->error.message[0], '\0');
		assert_false(fake_state_busy(w->state));
		/* A start that failed may have got somewhere; test-visible looks at how. */
		if (!s->restarts)
			check_kept(w, s, &t->before, t->n, call);
		r = s->request(w);
		if (r < 0)
			fail_msg("%s: call %zu (%s) failed, and the request after it too: %s",
				 s->name, t->n, call, w->error.message);
	}
	check_done(w, s, &t->wanted, t->n, call);
	return fired;
}

static void check_scenario(void **state)
{
	const struct scenario *s = *state;
	struct world *w = scenario_world(s);
	size_t total;

	fake_calls_begin(&w->calls, 0, 0);
	assert_int_equal(s->request(w), 0);
	total = w->calls.n;
	world_free(w);
	assert_int_equal(trial_run(s, fail_nth), total);
}

int main(int argc, char **argv)
{
	return scenarios_main("faults", check_scenario, argc, argv);
}
