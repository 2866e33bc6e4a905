/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/trial.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/core/allocations.h"

enum { HAPPENED, DID_NOT };

/* AddressSanitizer keeps so much of what was freed from being used again (256 by default): enough
 * for one trial, and as little as can be for fork() to copy. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8";
}

/* What S does when nothing fails. */
static struct picture outcome(const struct scenario *s)
{
	struct world *w = scenario_world(s);
	struct picture p;

	if (s->request(w) < 0)
		fail_msg("%s: %s", s->name, w->error.message);
	scenario_settle(w);
	p = picture_take(w);
	world_free(w);
	return p;
}

/* Ends the process, after all that it has was freed: then there are LIVE allocations. */
static _Noreturn void try_and_exit(struct trial *t, trial_func try, size_t live)
{
	bool happened;

	setenv("CMOCKA_TEST_ABORT", "1", 1); /* the other tests are not for this process */
	happened = try(t);
	picture_clear(&t->before);
	world_free(t->world);
	if (allocations_live() != live)
		fail_msg("%s: failure %zu left %zd allocations behind", t->scenario->name, t->n,
			 (ssize_t)(allocations_live() - live));
	_exit(happened ? HAPPENED : DID_NOT);
}

static bool try_once(struct trial *t, trial_func try, size_t live)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		try_and_exit(t, try, live);
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > DID_NOT)
		fail_msg("%s: failure %zu, see above", t->scenario->name, t->n);
	return WEXITSTATUS(status) == HAPPENED;
}

size_t trial_run(const struct scenario *s, trial_func try)
{
	struct trial t = { .scenario = s, .wanted = outcome(s), .n = 1 };
	size_t live = allocations_live();

	t.world = scenario_world(s);
	t.before = picture_take(t.world);
	while (try_once(&t, try, live))
		t.n++;
	picture_clear(&t.before);
	picture_clear(&t.wanted);
	world_free(t.world);
	return t.n - 1;
}
