/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/state/state.h"

#include <string.h>

#include "broker/base/log.h"
#include "broker/model/snapshot.h"

enum { LABELS, RULES, STORES };

static const struct store_kind kinds[STORES] = {
	[LABELS] = {
		.file = "labels",
		.file_new = "labels.new",
		.journal = "labels.journal",
		.journal_new = "labels.journal.new",
		.head = SNAPSHOT_HEAD "\tepoch=",
		.journal_head = "# sockbroker-labels-journal epoch=",
		.separator = '\t',
		.may_lack_head = true,
	},
	[RULES] = {
		.file = "rules",
		.file_new = "rules.new",
		.journal = "journal",
		.journal_new = "journal.new",
		.head = "# sockbroker-rules epoch=",
		.journal_head = "# sockbroker-journal epoch=",
		.separator = ' ',
	},
};

struct state {
	struct directory directory;
	struct store stores[STORES];
};

void state_saved_clear(struct state_saved *s)
{
	store_text_clear(&s->labels);
	store_text_clear(&s->rules);
	s->labels_damage = (struct sb_error){ 0 };
}

/* -- the port --------------------------------------------------------------------------------- */

static int stage(void *self, enum state_part part, const void *data, size_t length,
		 struct sb_error *error)
{
	struct state *s = self;

	switch (part) {
	case STATE_LABELS:
		return store_replace(&s->stores[LABELS], &s->directory, data, length, error);
	case STATE_LABELS_APPEND:
		return store_append(&s->stores[LABELS], &s->directory, data, length, error);
	case STATE_RULES:
		return store_replace(&s->stores[RULES], &s->directory, data, length, error);
	case STATE_RULES_APPEND:
		return store_append(&s->stores[RULES], &s->directory, data, length, error);
	}
	return sb_fail(error, EINVAL, "no such part of the state");
}

static void rollback(void *self)
{
	struct state *s = self;

	for (size_t i = 0; i < STORES; i++)
		store_rollback(&s->stores[i], &s->directory);
}

static int commit(void *self, struct sb_error *error)
{
	struct state *s = self;
	int r = 0;

	for (size_t i = 0; i < STORES && r == 0; i++)
		r = store_commit_file(&s->stores[i], &s->directory, error);
	if (r < 0) {
		rollback(s);
		return r;
	}
	for (size_t i = 0; i < STORES; i++)
		store_commit_append(&s->stores[i]);
	return 0;
}

static void sizes(void *self, enum state_part part, size_t *whole, size_t *changes)
{
	struct state *s = self;
	const struct store *store = &s->stores[part == STATE_LABELS ? LABELS : RULES];

	*whole = store->length;
	*changes = (size_t)store->journal_length;
}

static int check(void *self, struct sb_error *error)
{
	struct directory there;
	struct state *s = self;
	bool whole = true;
	int r;

	if (!directory_is_there(&s->directory)) {
		r = directory_open(&there, s->directory.path, error);
		if (r < 0)
			return r;
		directory_close(&s->directory);
		s->directory = there;
		for (size_t i = 0; i < STORES; i++)
			s->stores[i].lost = true;
	}
	for (size_t i = 0; i < STORES; i++)
		whole &= store_is_there(&s->stores[i], &s->directory);
	return !whole;
}

struct state_port state_port(struct state *s)
{
	return (struct state_port){
		.self = s,
		.stage = stage,
		.sizes = sizes,
		.check = check,
		.commit = commit,
		.rollback = rollback,
	};
}

/* -- open and close --------------------------------------------------------------------------- */

/* The first start saves rules, if there are none, with the labels, and their journal is there
 * before (store_replace): where labels have a number, rules that left no trace were removed by
 * somebody. */
static void missing_rules(const struct state *s, const struct state_saved *saved,
			  struct sb_error *damage)
{
	const struct store *rules = &s->stores[RULES];

	if (damage->code || rules->exists || saved->rules.journal ||
	    s->stores[LABELS].newest_epoch == 0)
		return;
	sb_fail(damage, EPROTO,
		"state files %s and %s in %s are missing: restore them, or let %s have the line "
		"\"%s0\" alone to start without what they said",
		rules->kind->file, rules->kind->journal, s->directory.path, rules->kind->journal,
		rules->kind->journal_head);
}

int state_open(const char *dir, struct state **ret, struct state_saved *saved,
	       struct sb_error *error)
{
	_cleanup_(state_freep) struct state *s = calloc(1, sizeof(*s));
	struct sb_error damage = { 0 };
	int r;

	if (!s)
		return sb_fail(error, ENOMEM, "out of memory");
	s->directory = DIRECTORY_NULL;
	for (size_t i = 0; i < STORES; i++)
		store_init(&s->stores[i], &kinds[i]);
	r = directory_open(&s->directory, dir, error);
	if (r == 0)
		r = store_load(&s->stores[LABELS], &s->directory, &saved->labels,
			       &saved->labels_damage, error);
	if (r == 0)
		r = store_load(&s->stores[RULES], &s->directory, &saved->rules, &damage, error);
	if (r < 0)
		return r;
	missing_rules(s, saved, &damage);
	/* Without sockets that are alive there is nothing to lose with labels; rules are wanted. */
	if (damage.code)
		return sb_fail(error, damage.code, "%s", damage.message);
	*ret = TAKE_PTR(s);
	return 0;
}

void state_free(struct state *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < STORES; i++)
		store_close(&s->stores[i]);
	directory_close(&s->directory);
	free(s);
}

int state_presence(const struct state *s)
{
	return s->directory.presence;
}

bool state_alone(const struct state *s)
{
	return s->directory.alone;
}

void state_forked(struct state *s)
{
	s->directory.presence = sb_close(s->directory.presence);
	s->directory.lock = sb_close(s->directory.lock);
}

void state_erase(struct state *s)
{
	for (size_t i = 0; i < STORES; i++) { /* labels first: missing_rules */
		const struct store_kind *k = &kinds[i];
		const char *const names[] = { k->file, k->file_new, k->journal, k->journal_new };

		for (size_t n = 0; n < ARRAY_SIZE(names); n++)
			unlinkat(s->directory.fd, names[n], 0);
	}
	unlinkat(s->directory.fd, "lock", 0);
}
