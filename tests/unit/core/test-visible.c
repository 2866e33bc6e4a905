/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * No packet ever sees half a change: after every single call that a request makes of the kernel,
 * each of many packets meets what it met before the request, or what it meets after it; also when
 * the request fails on the way, and is undone. A request that is refused because lists or state
 * cannot be written is refused before any packet met anything new.
 */
#include "tests/unit/core/scenarios.h"

#include <stdio.h>

struct watch {
	struct world *w;
	char *before, *after; /* verdicts */
	size_t looks;
	bool changed; /* a packet met something else than before */
	char wrong[256];
};

/* Compares line by line. */
static void look(void *data)
{
	struct watch *watch = data;
	_cleanup_free_ char *now = verdicts_text(watch->w);
	const char *a = watch->before, *b = watch->after, *n = now;

	watch->looks++;
	watch->changed |= strcmp(now, watch->before) != 0;
	while (*n && !watch->wrong[0]) {
		size_t length = strcspn(n, "\n") + 1;
		size_t length_a = strcspn(a, "\n") + 1, length_b = strcspn(b, "\n") + 1;

		if ((length != length_a || strncmp(n, a, length) != 0) &&
		    (length != length_b || strncmp(n, b, length) != 0))
			snprintf(watch->wrong, sizeof(watch->wrong),
				 "%.*s\nneither\n%.*s\nnor\n%.*s", (int)length - 1, n,
				 (int)length_a - 1, a, (int)length_b - 1, b);
		n += length;
		a += length_a;
		b += length_b;
	}
}

/* Writing aside is the likely failure (a full disk): it comes before anything is switched. */
static void check_order(const struct scenario *s, const struct watch *watch, size_t fail_at)
{
	const struct fake_calls *calls = &watch->w->calls;

	if (s->restarts || !calls->failed ||
	    (calls->failed_call != FAKE_CALL_stage && calls->failed_call != FAKE_CALL_list_store))
		return;
	if (watch->changed || calls->count[FAKE_CALL_publish] || calls->count[FAKE_CALL_edit])
		fail_msg("%s, call %zu (%s) fails: packets met the change before it was refused",
			 s->name, fail_at, fake_call_name(calls->failed_call));
}

static void watch_request(const struct scenario *s, size_t fail_at, char *after, size_t *calls)
{
	struct world *w = scenario_world(s);
	struct watch watch = { .w = w, .before = verdicts_text(w), .after = after };
	int r;

	fake_calls_begin(&w->calls, fail_at, EIO);
	w->calls.data = &watch;
	w->calls.after = look;
	r = s->request(w);
	w->calls.after = NULL;
	if (r < 0)
		check_order(s, &watch, fail_at);
	*calls = w->calls.n;
	if (watch.wrong[0])
		fail_msg("%s, call %zu fails, look %zu: %s", s->name, fail_at, watch.looks,
			 watch.wrong);
	free(watch.before);
	world_free(w);
}

static void check_scenario(void **state)
{
	const struct scenario *s = *state;
	struct world *w = scenario_world(s);
	_cleanup_free_ char *after = NULL;
	size_t calls, unused;

	if (s->may_do_less) {
		world_free(w);
		skip();
	}
	assert_int_equal(s->request(w), 0);
	after = verdicts_text(w);
	world_free(w);
	watch_request(s, 0, after, &calls);
	for (size_t n = 1; n <= calls; n++)
		watch_request(s, n, after, &unused);
}

int main(int argc, char **argv)
{
	return scenarios_main("visible", check_scenario, argc, argv);
}
