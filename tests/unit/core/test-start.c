/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting on what an earlier run left, whatever became of it since. */
#include "tests/unit/core/world.h"

#include <stdio.h>

#define WEB FAKE_FD_FIRST
#define WEB_2 (FAKE_FD_FIRST + 1)
#define DNS (FAKE_FD_FIRST + 2)

/* web: two sockets and a rule; dns: one of each. */
static int setup(void **state)
{
	struct world *w;

	world_setup(state);
	w = *state;
	fake_tcp(w->host, "127.0.0.1", 1);
	fake_tcp(w->host, "127.0.0.1", 2);
	fake_udp(w->host, "127.0.0.1", 3);
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_bind(w, "dns udp 192.0.2.0/24 53"), 0);
	assert_int_equal(ask_fds(w, FDS(WEB, WEB_2), "REQUEST=register\nLABEL=web\n"), 0);
	assert_int_equal(ask_register(w, "dns", DNS), 0);
	return 0;
}

static void check_traffic(struct world *w)
{
	assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, 0), WEB);
	assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, 1), WEB_2);
	assert_int_equal(hit(w, "udp", "192.0.2.1", 53), DNS);
}

static size_t filled(const struct world *w)
{
	size_t n = 0;

	for (uint32_t i = 0; i < SB_SLOTS_MAX; i++)
		n += w->kernel->slots[i].cookie || w->kernel->slots[i].owner;
	return n;
}

static size_t used_groups(const struct world *w)
{
	size_t n = 0;

	for (uint32_t i = 0; i < SB_GROUPS_MAX; i++)
		n += SB_GROUP_COUNT(w->kernel->groups[i]) || SB_GROUP_EMPTY(w->kernel->groups[i]);
	return n;
}

static void test_nothing_changed(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *before = model_text(w), *after = NULL;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(world_start(w), 0);
		check_traffic(w);
		free(after);
		after = model_text(w);
		assert_string_equal(before, after);
		assert_int_equal(w->core->registry->slots.used, 3);
		assert_int_equal(w->core->registry->lists.used, 3);
		assert_int_equal(filled(w), 3);
	}
	/* And it goes on working. */
	assert_int_equal(ask_register(w, "web", fake_tcp(w->host, "127.0.0.1", 4)), 0);
	assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, 1), DNS + 1);
	assert_int_equal(filled(w), 2);
}

static void test_lost_sockets(void **state)
{
	struct world *w = *state;

	fake_close(w->kernel, WEB);
	fake_close(w->kernel, DNS);
	assert_int_equal(world_start(w), 0);
	for (uint16_t from = 0; from < 2; from++)
		assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, from), WEB_2);
	assert_int_equal(hit(w, "udp", "192.0.2.1", 53), DROP);
	assert_int_equal(w->core->registry->slots.used, 1);
	assert_int_equal(filled(w), 1);
	assert_int_equal(ask(w, "REQUEST=status\n"), 0);
	assert_int_equal(table_count(w, "socket"), 1);
}

/* The machine was rebooted: nothing is pinned. Rules are wanted still. */
static void test_empty_kernel(void **state)
{
	struct world *w = *state;

	fake_dataplane_free(w->kernel);
	w->kernel = fake_dataplane_new(&w->calls, w->host);
	assert_int_equal(world_start(w), 0);
	check_rules(w, "tcp 192.0.2.0/24 80 web\nudp 192.0.2.0/24 53 dns\n");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), DROP);
	assert_int_equal(w->core->registry->slots.used, 0);
}

static void forget_state(struct world *w)
{
	fake_blob_clear(&w->state->labels);
	fake_blob_clear(&w->state->labels_journal);
	fake_blob_clear(&w->state->rules);
	fake_blob_clear(&w->state->journal);
}

static void close_all(struct world *w)
{
	fake_close(w->kernel, WEB);
	fake_close(w->kernel, WEB_2);
	fake_close(w->kernel, DNS);
}

/* A start that is refused touches neither kernel nor state. */
static void check_refused(struct world *w, int code, const char *part)
{
	struct fake_kernel *before = fake_kernel_copy(w->kernel), *after;
	size_t generations = w->kernel->n_generations;

	check_refusal(w, world_start(w), code, part);
	assert_non_null(strstr(w->error.message, "3 pinned sockets are in use"));
	assert_non_null(strstr(w->error.message, "remove what is in the pin directory to start"));
	after = fake_kernel_copy(w->kernel);
	assert_null(fake_kernel_compare(before, after));
	fake_kernel_free(before);
	fake_kernel_free(after);
	assert_int_equal(w->kernel->n_generations, generations);
	assert_false(fake_state_busy(w->state));
	check_traffic(w);
}

/* The state is gone, the kernel is not: while sockets are served, that is nobody's to throw away.
 */
static void test_empty_state(void **state)
{
	struct world *w = *state;

	forget_state(w);
	check_refused(w, ENOENT, "are missing");
	assert_null(w->state->labels.data);
	close_all(w);
	assert_int_equal(world_start(w), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), PASS);
	assert_int_equal(filled(w), 0);
	assert_int_equal(used_groups(w), 0);
	assert_int_equal(w->core->registry->n_labels, 0);
}

/* There are saved rules from the first start on, and no labels without them: by that, missing ones
 * are told from none. */
static void test_rules_are_saved_first(void **state)
{
	struct world *w = *state;

	assert_non_null(w->state->rules.data);
	fake_dataplane_free(w->kernel);
	w->kernel = fake_dataplane_new(&w->calls, w->host);
	w->calls.limit[FAKE_CALL_group_load] = w->calls.limit[FAKE_CALL_slot_owner] = 10;
	for (size_t n = 1, failed = 1; failed; n++) {
		forget_state(w);
		fake_calls_begin(&w->calls, n, EIO);
		world_start(w);
		failed = w->calls.failed;
		fake_calls_begin(&w->calls, 0, 0);
		assert_true(w->state->rules.data || !w->state->labels.data);
		assert_false(fake_state_busy(w->state));
	}
	forget_state(w);
	assert_int_equal(world_start(w), 0);
	assert_non_null(w->state->rules.data);
	assert_string_equal(w->state->rules.data, "");
}

/* Changes without rules before them, as former versions had them. */
static void test_changes_alone(void **state)
{
	static const char changes[] = "+ tcp 192.0.2.0/24 80 web\n.\n";
	struct world *w = *state;

	fake_blob_clear(&w->state->rules);
	fake_blob_set(&w->state->journal, changes, strlen(changes));
	assert_int_equal(world_start(w), 0);
	check_rules(w, "tcp 192.0.2.0/24 80 web\n");
	assert_string_equal(w->state->rules.data, "tcp 192.0.2.0/24 80 web\n");
	assert_null(w->state->journal.data);
}

/* What no link leads to steers nothing: no reason to refuse. */
static void test_empty_state_and_nothing_attached(void **state)
{
	struct world *w = *state;

	forget_state(w);
	w->kernel->n_generations = 0;
	assert_int_equal(world_start(w), 0);
	assert_int_equal(filled(w), 0);
}

/* The kernel does not tell whether somebody is there: that is not nobody. */
static void test_empty_state_and_unreadable_slots(void **state)
{
	struct world *w = *state;

	forget_state(w);
	fake_calls_begin(&w->calls, 1, EIO);
	check_refusal(w, world_start(w), EIO, "slots cannot be read");
	fake_calls_begin(&w->calls, 0, 0);
	check_traffic(w);
}

/* Slots and groups that nobody knows, as a registration that was cut short leaves them. */
static void test_strangers(void **state)
{
	struct world *w = *state;
	uint32_t group = 77 * SB_GROUPS_PER_LABEL;

	w->kernel->slots[500] = (struct fake_slot){ 1234, SB_SLOT_OWNER(0, 0) };
	w->kernel->slots[501] = (struct fake_slot){ 1235, SB_SLOT_OWNER(77, 0) };
	w->kernel->slots[502] = (struct fake_slot){ 0, SB_SLOT_OWNER(77, 0) };
	w->kernel->lists[900] = 501;
	w->kernel->groups[group] = SB_GROUP_WORD(900, 1, SB_EMPTY_PASS, 5);
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
	assert_int_equal(filled(w), 3);
	assert_int_equal(SB_GROUP_COUNT(w->kernel->groups[group]), 0);
	assert_int_equal(SB_GROUP_EMPTY(w->kernel->groups[group]), SB_EMPTY_DROP);
	assert_int_equal(w->core->registry->lists.used, 3);
}

/* Another socket sits in the slot, or the slot is another label's: it is not believed. */
static void test_foreign_slots(void **state)
{
	struct world *w = *state;
	const struct label *l = registry_find(w->core->registry, "web");
	uint32_t first = l->members[0].slot, second = l->members[1].slot;

	w->kernel->slots[first].cookie = 4242;
	w->kernel->slots[second].owner += 2;
	assert_int_equal(world_start(w), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), DROP);
	assert_int_equal(filled(w), 1);
	assert_int_equal(hit(w, "udp", "192.0.2.1", 53), DNS);
}

/* Owners, lists and groups were made anew: the same sockets under the same labels, and what was in
 * a slot that the state does not know is cleared as ever. */
static void test_new_maps(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *before = model_text(w), *after = NULL;

	w->kernel->slots[500] = (struct fake_slot){ 1234, SB_SLOT_OWNER(0, 0) };
	w->kernel->other_version = true;
	assert_int_equal(world_start(w), 0);
	assert_false(w->kernel->other_version);
	check_traffic(w);
	after = model_text(w);
	assert_string_equal(before, after);
	assert_int_equal(filled(w), 3);
	assert_int_equal(used_groups(w), 2);
	assert_int_equal(w->core->registry->lists.used, 3);
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
}

/* Every socket of the state is there, but another one sits in its slot. */
static void test_new_maps_and_other_sockets(void **state)
{
	struct world *w = *state;
	const struct label *l = registry_find(w->core->registry, "web");

	w->kernel->slots[l->members[0].slot].cookie = 4242;
	w->kernel->slots[l->members[1].slot].cookie = 4243;
	w->kernel->other_version = true;
	assert_int_equal(world_start(w), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), DROP);
	assert_int_equal(hit(w, "udp", "192.0.2.1", 53), DNS);
	assert_int_equal(filled(w), 1);
}

/* Living sockets are not given up for a lost state, whoever made the maps. */
static void test_new_maps_and_empty_state(void **state)
{
	struct world *w = *state;

	forget_state(w);
	w->kernel->other_version = true;
	check_refusal(w, world_start(w), ENOENT, "3 pinned sockets are in use");
	check_traffic(w);
	close_all(w);
	assert_int_equal(world_start(w), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), PASS);
	assert_int_equal(filled(w), 0);
}

/* It is no packet's business when a start with new maps is given up before they are met. */
static void test_new_maps_given_up(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *labels = strdup(w->state->labels.data);

	w->kernel->other_version = true;
	w->calls.limit[FAKE_CALL_group_load] = w->calls.limit[FAKE_CALL_slot_owner] = 10;
	for (size_t n = 1; n == 1 || w->calls.failed_call != FAKE_CALL_publish; n++) {
		fake_calls_begin(&w->calls, n, EIO);
		if (world_start(w) == 0) { /* a call that may fail */
			w->kernel->other_version = true;
			free(labels);
			labels = strdup(w->state->labels.data);
		}
		assert_true(w->calls.failed);
		fake_calls_begin(&w->calls, 0, 0);
		check_traffic(w);
		assert_string_equal(w->state->labels.data, labels);
	}
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
}

/* Groups whose words make no sense. */
static void test_hostile_groups(void **state)
{
	struct world *w = *state;

	w->kernel->hostile = true;
	w->kernel->groups[800] = SB_GROUP_WORD(0xffffff, 0xfff, 3, 0);
	w->kernel->groups[801] = w->kernel->groups[registry_find(w->core->registry, "web")->id * 8];
	w->kernel->groups[802] = SB_GROUP_WORD(0, 0xfff, 2, 0);
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
	assert_int_equal(used_groups(w), 2);
	assert_int_equal(w->core->registry->lists.used, 3);
}

static void set_labels(struct world *w, const char *labels)
{
	fake_blob_set(&w->state->labels, labels, strlen(labels));
	fake_blob_clear(&w->state->labels_journal);
}

/* The labels in one piece, without changes behind them; owned by the caller. */
static char *whole_labels(struct world *w)
{
	assert_int_equal(world_start(w), 0);
	assert_null(w->state->labels_journal.data);
	return strdup(w->state->labels.data);
}

/* Refused as long as sockets are alive, after that a fresh start with the rules that are saved. */
static void check_unusable(struct world *w, const char *labels, int code, const char *part)
{
	set_labels(w, labels);
	check_refused(w, code, part);
	assert_string_equal(w->state->labels.data, labels);
	close_all(w);
	assert_int_equal(world_start(w), 0);
	check_rules(w, "tcp 192.0.2.0/24 80 web\nudp 192.0.2.0/24 53 dns\n");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), DROP);
	assert_int_equal(filled(w), 0);
	assert_int_equal(w->core->registry->n_labels, 2);
}

static void test_newer_labels(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *newer = whole_labels(w);
	char *version = strstr(newer, "version=2");

	assert_non_null(version);
	version[8] = '9';
	check_unusable(w, newer, EOPNOTSUPP,
		       "written by a newer sockbroker (its format is version 9");
}

static void test_foreign_labels(void **state)
{
	struct world *w = *state;

	set_labels(w, "");
	check_refused(w, EPROTO, "are damaged");
	set_labels(w, "\n\n\n");
	check_refused(w, EPROTO, "are damaged");
	check_unusable(w, "#!/bin/sh\nrm -rf /\n", EPROTO,
		       "restore the files labels and labels.journal");
}

/* The file of labels, cut at every byte: all of it is believed, or nothing. Restored, all is well.
 */
static void test_cut_labels(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *whole = whole_labels(w);
	size_t length = strlen(whole);

	for (size_t n = 0; n < length - 1; n++) {
		fake_blob_set(&w->state->labels, whole, n);
		check_refused(w, EPROTO, "are damaged");
	}
	set_labels(w, whole);
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
}

/* One byte of it changed: no crash, and no socket under a label that it was not saved for. */
static void test_damaged_labels(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *whole = whole_labels(w);
	size_t length = strlen(whole);
	_cleanup_free_ struct fake_slot *slots = malloc(SB_SLOTS_MAX * sizeof(*slots));
	_cleanup_free_ uint32_t *lists = malloc(SB_SLOT_LIST_MAX * sizeof(*lists));
	_cleanup_free_ uint64_t *groups = malloc(SB_GROUPS_MAX * sizeof(*groups));

	memcpy(slots, w->kernel->slots, SB_SLOTS_MAX * sizeof(*slots));
	memcpy(lists, w->kernel->lists, SB_SLOT_LIST_MAX * sizeof(*lists));
	memcpy(groups, w->kernel->groups, SB_GROUPS_MAX * sizeof(*groups));
	for (size_t n = 0; n < length; n += 3) {
		char byte = whole[n];
		int found, r;

		whole[n] = (char)(byte ^ 1);
		fake_blob_set(&w->state->labels, whole, length);
		r = world_start(w);
		if (r < 0) {
			assert_true(r == -EPROTO || r == -EOPNOTSUPP);
			check_traffic(w);
		}
		found = hit(w, "tcp", "192.0.2.1", 80);
		assert_true(found == DROP || found == WEB || found == WEB_2);
		found = hit(w, "udp", "192.0.2.1", 53);
		assert_true(found == DROP || found == DNS);
		whole[n] = byte;
		memcpy(w->kernel->slots, slots, SB_SLOTS_MAX * sizeof(*slots));
		memcpy(w->kernel->lists, lists, SB_SLOT_LIST_MAX * sizeof(*lists));
		memcpy(w->kernel->groups, groups, SB_GROUPS_MAX * sizeof(*groups));
	}
}

/* -- changes of labels ------------------------------------------------------------------------ */

/* What was registered since the start is in the changes alone. */
static void test_changed_labels(void **state)
{
	struct world *w = *state;

	size_t appended;
	uint32_t id;

	assert_null(strstr(w->state->labels.data, "label="));
	assert_non_null(strstr(w->state->labels_journal.data, "label=web"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(world_start(w), 0);
		check_traffic(w);
		assert_non_null(strstr(w->state->labels.data, "label=web"));
		assert_null(w->state->labels_journal.data);
	}
	/* A start writes all of it anew, where nothing that is read yet is touched. */
	appended = w->state->n_appended;
	assert_int_equal(world_start(w), 0);
	assert_int_equal(w->state->n_appended, appended);
	/* A label that comes to nothing, and another that takes its number. */
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=dns\n"), 0);
	assert_int_equal(ask_unbind(w, "dns udp 192.0.2.0/24 53"), 0);
	assert_null(registry_find(w->core->registry, "dns"));
	assert_int_equal(ask_register(w, "mail", fake_tcp(w->host, "127.0.0.1", 4)), 0);
	assert_int_equal(ask_register(w, "dns", DNS), 0);
	assert_int_equal(ask_bind(w, "dns udp 192.0.2.0/24 53"), 0);
	/* Labels without sockets keep their numbers too, under which packets are counted. */
	assert_int_equal(ask_bind(w, "early tcp 10.0.0.0/8 1"), 0);
	assert_int_equal(ask_bind(w, "late tcp 10.0.0.0/8 2"), 0);
	assert_int_equal(ask_apply(w,
				   "tcp 192.0.2.0/24 80 web\nudp 192.0.2.0/24 53 dns\n"
				   "tcp 10.0.0.0/8 2 late\n",
				   false),
			 0);
	assert_null(registry_find(w->core->registry, "early"));
	id = registry_find(w->core->registry, "late")->id;
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
	assert_int_equal(registry_find(w->core->registry, "mail")->n_members, 1);
	assert_int_equal(registry_find(w->core->registry, "late")->id, id);
}

/* Changes, cut at every byte as a broker that is killed leaves them: each label has its sockets of
 * before or of after the last change that is whole, and no other label's. */
static void test_cut_changes_of_labels(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *whole = strdup(w->state->labels_journal.data);
	_cleanup_free_ char *base = strdup(w->state->labels.data);
	size_t length = strlen(whole), web = (size_t)(strstr(whole, "label=web") - whole), dns;
	_cleanup_free_ struct fake_slot *slots = malloc(SB_SLOTS_MAX * sizeof(*slots));

	memcpy(slots, w->kernel->slots, SB_SLOTS_MAX * sizeof(*slots));
	web += (size_t)(strstr(whole + web, "\n.\n") + 3 - (whole + web));
	dns = length;
	assert_true(web < dns);
	for (size_t n = 0; n <= length; n++) {
		set_labels(w, base);
		fake_blob_set(&w->state->labels_journal, whole, n);
		assert_int_equal(world_start(w), 0);
		assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, 1), n >= web ? WEB_2 : DROP);
		assert_int_equal(hit(w, "udp", "192.0.2.1", 53), n >= dns ? DNS : DROP);
		memcpy(w->kernel->slots, slots, SB_SLOTS_MAX * sizeof(*slots));
	}
}

/* What makes no sense in them makes all of it of no use. */
static void test_damaged_changes_of_labels(void **state)
{
	static const char *const changes[] = {
		"label\tname=web\tid=77\n.\n",  /* a second number for web */
		"label\tname=other\tid=1\n.\n", /* web's number, or dns' */
		"label\tname=other\tid=99999\n.\n",
		"socket\tlabel=web\n.\n",
		"- nonsense -\n.\n",
		"\n.\n",
	};
	struct world *w = *state;
	_cleanup_free_ char *whole = whole_labels(w);

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		set_labels(w, whole);
		fake_blob_set(&w->state->labels_journal, changes[i], strlen(changes[i]));
		check_refused(w, EPROTO, "are damaged");
	}
	/* The state directory knows more of them: that one of the two files is another's. */
	set_labels(w, whole);
	w->labels_damage = "state file x/labels.journal is cut";
	check_refused(w, EPROTO, "are damaged (state file x/labels.journal is cut)");
	/* That they are newer is said first, for then it may well be. */
	strstr(w->state->labels.data, "version=2")[8] = '3';
	check_refused(w, EOPNOTSUPP, "newer sockbroker");
	set_labels(w, whole);
	close_all(w);
	assert_int_equal(world_start(w), 0);
	w->labels_damage = NULL;
	assert_int_equal(world_start(w), 0);
	assert_int_equal(filled(w), 0);
}

/* In a state that somebody made up two labels have one socket: neither gets the other's traffic. */
static void test_labels_that_share_a_slot(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *whole = whole_labels(w);
	char *socket = strstr(whole, "socket\tlabel=dns"), *slot = strstr(socket, "slot=");
	char change[512];

	/* The slot of dns, in a change of another label. */
	snprintf(change, sizeof(change), "label\tname=evil\tid=9\nsocket\tlabel=evil%.*s\n.\n",
		 (int)strcspn(socket, "\n") - 16, socket + 16);
	assert_non_null(slot);
	set_labels(w, whole);
	fake_blob_set(&w->state->labels_journal, change, strlen(change));
	check_refused(w, EPROTO, "holds two sockets");
	/* And under a name that it was not registered for: its slot says whose it is. */
	set_labels(w, "sockbroker_state\tversion=2\nend\n");
	fake_blob_set(&w->state->labels_journal, change, strlen(change));
	assert_int_equal(world_start(w), 0);
	assert_int_equal(ask_bind(w, "evil udp 192.0.2.0/24 5353"), 0);
	assert_int_equal(hit(w, "udp", "192.0.2.1", 5353), DROP);
}

/* -- rules ------------------------------------------------------------------------------------ */

static void set_rules(struct world *w, const char *rules, const char *journal)
{
	fake_blob_set(&w->state->rules, rules, strlen(rules));
	fake_blob_set(&w->state->journal, journal, strlen(journal));
	assert_int_equal(world_start(w), 0);
}

static void test_journal(void **state)
{
	struct world *w = *state;

	set_rules(w, "tcp 10.0.0.0/8 1 a\ntcp 10.0.0.0/8 2 b\n",
		  "+ tcp 10.0.0.0/8 3 c\n.\n"
		  "- tcp 10.0.0.0/8 1 -\n+ tcp 10.0.0.0/8 2 c\n.\n");
	check_rules(w, "tcp 10.0.0.0/8 2 c\ntcp 10.0.0.0/8 3 c\n");
	assert_int_equal(w->core->registry->n_labels, 3); /* c, and those with sockets */
	/* One text again, and the same after one more start. */
	assert_null(w->state->journal.data);
	assert_int_equal(world_start(w), 0);
	check_rules(w, "tcp 10.0.0.0/8 2 c\ntcp 10.0.0.0/8 3 c\n");
}

/* A change without its closing "." did not happen, wherever it was cut. */
static void test_cut_journal(void **state)
{
	static const char journal[] = "+ tcp 10.0.0.0/8 1 a\n.\n"
				      "+ tcp 10.0.0.0/8 2 a\n- tcp 10.0.0.0/8 1 -\n.\n";
	struct world *w = *state;
	size_t first = (size_t)(strstr(journal, "\n.\n") + 3 - journal);
	char cut[sizeof(journal)];

	for (size_t n = 0; n < sizeof(journal); n++) {
		snprintf(cut, n + 1, "%s", journal);
		set_rules(w, "", cut);
		check_rules(w, n < first                 ? ""
			       : n < sizeof(journal) - 1 ? "tcp 10.0.0.0/8 1 a\n"
							 : "tcp 10.0.0.0/8 2 a\n");
	}
}

static void test_damaged_journal(void **state)
{
	struct world *w = *state;

	set_rules(w, "tcp 10.0.0.0/8 1 a\n",
		  "+ nonsense\n.\n"
		  "\n.\n"
		  "?\n.\n"
		  "+\n.\n"
		  "+ \n.\n"
		  "- \n.\n"
		  "- tcp 10.0.0.0/8 99 -\n.\n"
		  "+ tcp 10.0.0.0/8 2 a\n.\n");
	check_rules(w, "tcp 10.0.0.0/8 1 a\ntcp 10.0.0.0/8 2 a\n");
}

static void test_damaged_rules(void **state)
{
	struct world *w = *state;

	set_rules(w,
		  "tcp 10.0.0.0/8 1 a\n"
		  "tcp 10.0.0.0/8 x a\n"
		  "tcp 10.0.0.0/8 1 b\n"
		  "tcp 10.0.0.0/8 100-109 a\n"
		  "tcp 10.0.0.0/8 105-114 b\n"
		  "tcp 10.0.0.0/8 110-119 b\n"
		  "\x01\x02\xff\n"
		  "tcp 10.0.0.0/8 2 a",
		  "");
	check_rules(w, "tcp 10.0.0.0/8 1 a\n"
		       "tcp 10.0.0.0/8 2 a\n"
		       "tcp 10.0.0.0/8 100-109 a\n"
		       "tcp 10.0.0.0/8 110-119 b\n");
}

/* -- configuration that changed meanwhile ---------------------------------------------------------
 */

static void test_label_file_appears(void **state)
{
	struct world *w = *state;

	config_label(w, "web", RULES("tcp 192.0.2.0/24 81"))->when_empty = WHEN_EMPTY_PASS;
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 81), WEB);
	config_clear(w);
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 81), PASS);
}

/* With no broker running nobody could unbind what is in the way: the file wins. */
static void test_label_file_against_runtime_rule(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 100-110,443"), 0);
	config_label(w, "mail", RULES("tcp 192.0.2.0/24 80", "tcp 192.0.2.0/24 105-115"));
	assert_int_equal(world_start(w), 0);
	check_rules(w, "tcp 192.0.2.0/24 80 mail\n"
		       "tcp 192.0.2.0/24 443 web\n"
		       "udp 192.0.2.0/24 53 dns\n"
		       "tcp 192.0.2.0/24 105-115 mail\n");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), DROP);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 443), WEB);
	/* For good, not only while the file is there. */
	config_clear(w);
	assert_int_equal(world_start(w), 0);
	check_rules(w, "tcp 192.0.2.0/24 443 web\nudp 192.0.2.0/24 53 dns\n");
}

static void test_limits_lowered(void **state)
{
	struct world *w = *state;

	w->config.settings.max_rules = 1;
	check_refusal(w, world_start(w), ENOSPC, "MaxRules=");
	w->config.settings.max_rules = 2;
	w->config.settings.max_labels = 1; /* those that are there stay */
	w->config.settings.max_sockets = 1;
	assert_int_equal(world_start(w), 0);
	check_traffic(w);
}

/* Many labels are one step, not one each. */
static void test_many_labels(void **state)
{
	struct world *w = *state;
	char rule[64];

	for (int i = 0; i < 90; i++) {
		sprintf(rule, "l%d tcp 10.0.%d.0/24 1", i, i);
		assert_int_equal(ask_bind(w, rule), 0);
	}
	fake_calls_begin(&w->calls, 0, 0);
	assert_int_equal(world_start(w), 0);
	assert_true(w->calls.count[FAKE_CALL_commit] < 5);
	assert_int_equal(w->core->registry->n_labels, 92);
	check_traffic(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_changed),
		TEST(test_lost_sockets),
		TEST(test_empty_kernel),
		TEST(test_empty_state),
		TEST(test_rules_are_saved_first),
		TEST(test_changes_alone),
		TEST(test_empty_state_and_nothing_attached),
		TEST(test_empty_state_and_unreadable_slots),
		TEST(test_strangers),
		TEST(test_foreign_slots),
		TEST(test_new_maps),
		TEST(test_new_maps_and_other_sockets),
		TEST(test_new_maps_and_empty_state),
		TEST(test_new_maps_given_up),
		TEST(test_hostile_groups),
		TEST(test_newer_labels),
		TEST(test_foreign_labels),
		TEST(test_cut_labels),
		TEST(test_damaged_labels),
		TEST(test_changed_labels),
		TEST(test_cut_changes_of_labels),
		TEST(test_damaged_changes_of_labels),
		TEST(test_labels_that_share_a_slot),
		TEST(test_journal),
		TEST(test_cut_journal),
		TEST(test_damaged_journal),
		TEST(test_damaged_rules),
		TEST(test_label_file_appears),
		TEST(test_label_file_against_runtime_rule),
		TEST(test_limits_lowered),
		TEST(test_many_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
