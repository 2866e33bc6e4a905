/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * State as brokers of each version wrote it (tests/golden/state-VERSION) is taken over: every
 * label, socket and rule, and then saved in the present form.
 */
#include "tests/unit/core/world.h"

#include <fcntl.h>
#include <stdio.h>

#include "broker/model/snapshot.h"
#include "broker/state/state.h"

/* What was alive when the state was saved, by slot; labels have the ids that their files say. */
static const struct {
	const char *label;
	uint32_t id, slot;
	bool udp;
	uint64_t cookie;
} sockets[] = {
	{ "web", 1, 0, false, 5450 },   { "web", 1, 1, false, 5451 },
	{ "web", 1, 2, false, 5452 },   { "dns", 3, 4, true, 5453 },
	{ "dns", 3, 5, true, 5454 },    { "app:http", 4, 6, false, 1196 },
	{ "filed", 0, 7, false, 5455 }, { "web", 1, 8, false, 1197 },
};

static const char rules[] = "tcp 2001:db8:1::/48 any alone\n"
			    "udp 2001:db8:1::/48 any alone\n"
			    "udp 192.0.2.53/32 53 app:http\n"
			    "tcp 2001:db8::/32 8000-8999 app:http\n"
			    "udp 2001:db8::/32 8000-8999 app:http\n"
			    "tcp 192.0.2.128/25 8080 web\n"
			    "tcp 192.0.2.0/24 80 web\n";

static void copy_state(const char *from, const char *to)
{
	char command[512];

	snprintf(command, sizeof(command), "cp %s/* %s && chmod 600 %s/*", from, to, to);
	assert_int_equal(system(command), 0);
}

static int start(struct world *w, struct state *state, const struct state_saved *saved)
{
	struct state_port port = state_port(state);
	const struct core_saved what = {
		.labels = saved->labels.file,
		.labels_length = saved->labels.length,
		.labels_journal = saved->labels.journal,
		.labels_journal_length = saved->labels.journal_length,
		.rules = saved->rules.file,
		.rules_length = saved->rules.length,
		.journal = saved->rules.journal,
		.journal_length = saved->rules.journal_length,
	};

	return world_start_on(w, &port, &what);
}

static void check_sockets(struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		const struct label *l = registry_find(w->core->registry, sockets[i].label);
		bool found = false;

		assert_non_null(l);
		assert_int_equal(l->id, sockets[i].id);
		for (size_t k = 0; k < l->n_members; k++) {
			const struct member *m = &l->members[k];

			if (m->slot != sockets[i].slot)
				continue;
			found = true;
			assert_int_equal(m->cookie, sockets[i].cookie);
			assert_int_equal(m->protocol == IPPROTO_UDP, sockets[i].udp);
			assert_string_equal(m->unit, "web.service");
		}
		assert_true(found);
		assert_int_equal(w->kernel->slots[sockets[i].slot].cookie, sockets[i].cookie);
	}
	for (struct label *l = registry_next(w->core->registry, NULL); l;
	     l = registry_next(w->core->registry, l))
		n += l->n_members;
	assert_int_equal(n, ARRAY_SIZE(sockets));
	assert_int_equal(ask(w, "REQUEST=status\nLABEL=app:http\n"), 0);
	assert_string_equal(table_get(w, "socket", 0, "address"), "[::ffff:127.0.0.1]:56967");
}

static void check_traffic(struct world *w)
{
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), 5450);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 443), PASS);
	assert_int_equal(hit(w, "tcp", "192.0.2.129", 8080), 5450);
	assert_int_equal(hit(w, "tcp", "2001:db8::1", 8080), 1196);
	assert_int_equal(hit(w, "udp", "2001:db8::1", 8080), DROP);
}

static void check_taken_over(struct world *w, const char *directory)
{
	struct sb_error error = { 0 };

	for (int again = 0; again < 3; again++) {
		struct state_saved saved = { 0 };
		struct state *state;

		if (state_open(directory, &state, &saved, &error) < 0)
			fail_msg("%s", error.message);
		if (again > 0) {
			assert_memory_equal(saved.labels.file, SNAPSHOT_HEAD,
					    strlen(SNAPSHOT_HEAD));
			assert_string_equal(saved.labels.journal, "");
			assert_string_equal(saved.rules.journal, "");
		}
		if (start(w, state, &saved) < 0)
			fail_msg("%s", w->error.message);
		check_sockets(w);
		check_rules(w, rules);
		check_traffic(w);
		world_stop(w);
		state_free(state);
		state_saved_clear(&saved);
	}
}

static void test_taken_over(void **state)
{
	const char *golden = *state;
	char directory[] = "/tmp/test-golden-XXXXXX", command[64];
	struct world *w = world_new();

	w->kernel->n_generations = 1; /* something is attached: it was taken over */
	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++)
		w->kernel->slots[sockets[i].slot] =
			(struct fake_slot){ sockets[i].cookie,
					    SB_SLOT_OWNER(sockets[i].id, sockets[i].udp) };
	assert_non_null(mkdtemp(directory));
	copy_state(golden, directory);
	check_taken_over(w, directory);
	world_free(w);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

/* ARGV: the directories of all versions. */
int main(int argc, char **argv)
{
	struct CMUnitTest tests[16] = { 0 };
	int n = argc - 1;

	assert_true(n >= 1 && n < 16);
	for (int i = 0; i < n; i++) {
		tests[i] = (struct CMUnitTest){
			.name = argv[i + 1],
			.test_func = test_taken_over,
			.initial_state = argv[i + 1],
		};
	}
	return _cmocka_run_group_tests("golden", tests, (size_t)n, NULL, NULL);
}
