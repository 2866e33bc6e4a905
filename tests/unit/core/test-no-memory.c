/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every request, with every allocation failing once in turn: as in test-faults, a refusal leaves
 * everything as it was, and the next request works. The executable is linked so that allocations of
 * the core, the model, the protocol and the fakes come through here.
 */
#include "tests/unit/core/scenarios.h"

/* The world whose core's allocations are counted, and the one of them that fails. */
static const struct world *watched;
static size_t n_allocations, fail_at;
static bool failed;

static bool allow(void)
{
	if (!watched || !watched->in_core || ++n_allocations != fail_at)
		return true;
	failed = true;
	return false;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
	return allow() ? __real_malloc(n) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return allow() ? __real_calloc(n, size) : NULL;
}

void *__wrap_realloc(void *p, size_t n)
{
	return allow() ? __real_realloc(p, n) : NULL;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return allow() ? __real_reallocarray(p, n, size) : NULL;
}

char *__wrap_strdup(const char *s)
{
	return allow() ? __real_strdup(s) : NULL;
}

static int request_failing(struct world *w, const struct scenario *s, size_t n)
{
	int r;

	n_allocations = 0;
	failed = false;
	fail_at = n;
	watched = w;
	r = s->request(w);
	watched = NULL;
	assert_false(fake_state_busy(w->state));
	return r;
}

/* False: there are fewer allocations than N. */
static bool fail_nth(const struct scenario *s, const struct picture *wanted, size_t n)
{
	struct world *w = scenario_world(s);
	struct picture before = picture_take(w), after;
	const char *differs = NULL;
	int r = request_failing(w, s, n);

	if (r < 0 && !s->restarts) {
		after = picture_take(w);
		differs = picture_compare(&before, &after);
		picture_clear(&after);
	}
	if (differs)
		fail_msg("%s: allocation %zu failed, and %s changed", s->name, n, differs);
	if (r < 0 && s->request(w) < 0)
		fail_msg("%s: allocation %zu failed, and the next request too: %s", s->name, n,
			 w->error.message);
	scenario_settle(w);
	after = picture_take(w);
	differs = picture_compare_outcome(wanted, &after);
	if (differs)
		fail_msg("%s: allocation %zu failed, and %s came out wrong", s->name, n, differs);
	picture_clear(&after);
	picture_clear(&before);
	world_free(w);
	return failed;
}

static void check_scenario(void **state)
{
	const struct scenario *s = *state;
	struct world *w = scenario_world(s);
	struct picture wanted;
	size_t n = 1;

	assert_int_equal(request_failing(w, s, 0), 0);
	scenario_settle(w);
	wanted = picture_take(w);
	world_free(w);
	while (fail_nth(s, &wanted, n))
		n++;
	assert_true((n == 1) == s->frugal);
	picture_clear(&wanted);
}

int main(void)
{
	struct CMUnitTest tests[64] = { 0 };

	assert_true(n_scenarios <= ARRAY_SIZE(tests));
	for (size_t i = 0; i < n_scenarios; i++)
		tests[i] = (struct CMUnitTest){
			.name = scenarios[i].name,
			.test_func = check_scenario,
			.initial_state = (void *)&scenarios[i],
		};
	return _cmocka_run_group_tests("no-memory", tests, n_scenarios, NULL, NULL);
}
