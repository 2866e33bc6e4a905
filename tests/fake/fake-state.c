/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fake/fake-state.h"

#include <string.h>

#include "broker/model/snapshot.h"

struct fake_state *fake_state_new(struct fake_calls *calls)
{
	struct fake_state *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->calls = calls;
	return s;
}

void fake_blob_clear(struct fake_blob *b)
{
	free(b->data);
	*b = (struct fake_blob){ 0 };
}

static void unstage(struct fake_state *s)
{
	fake_blob_clear(&s->staged_labels);
	fake_blob_clear(&s->staged_labels_journal);
	fake_blob_clear(&s->staged_rules);
	fake_blob_clear(&s->staged_journal);
}

void fake_state_free(struct fake_state *s)
{
	if (!s)
		return;
	unstage(s);
	fake_blob_clear(&s->labels);
	fake_blob_clear(&s->labels_journal);
	fake_blob_clear(&s->rules);
	fake_blob_clear(&s->journal);
	free(s);
}

/* A and B, one behind the other. */
static int join(struct fake_blob *to, const char *a, size_t n_a, const char *b, size_t n_b)
{
	char *data = malloc(n_a + n_b + 1);

	if (!data)
		return -ENOMEM;
	if (n_a)
		memcpy(data, a, n_a);
	if (n_b)
		memcpy(data + n_a, b, n_b);
	data[n_a + n_b] = '\0';
	free(to->data);
	to->data = data;
	to->length = n_a + n_b;
	return 0;
}

void fake_blob_set(struct fake_blob *b, const char *data, size_t length)
{
	if (join(b, data, length, NULL, 0) < 0)
		abort();
}

bool fake_blob_same(const struct fake_blob *a, const struct fake_blob *b)
{
	return !a->data == !b->data && a->length == b->length &&
	       (!a->length || !memcmp(a->data, b->data, a->length));
}

bool fake_state_busy(const struct fake_state *s)
{
	return s->staged_labels.data || s->staged_labels_journal.data || s->staged_rules.data ||
	       s->staged_journal.data;
}

static void count_change(struct fake_state *s, const char *change, size_t length)
{
	if (length < 3 || memcmp(change + length - 3, "\n.\n", 3) != 0)
		abort();
	s->n_appended++;
}

static int stage(void *self, enum state_part part, const void *data, size_t length,
		 struct sb_error *error)
{
	static const char head[] = SNAPSHOT_HEAD "\n";
	struct fake_state *s = self;
	int r = fake_call(s->calls, FAKE_CALL_stage);

	if (r == 0 && !data)
		abort();
	if (r == 0 && s->gone && (part == STATE_LABELS_APPEND || part == STATE_RULES_APPEND))
		r = -EIO;
	if (r == 0) {
		switch (part) {
		case STATE_LABELS:
			r = join(&s->staged_labels, head, strlen(head), data, length);
			break;
		case STATE_LABELS_APPEND:
			count_change(s, data, length);
			r = join(&s->staged_labels_journal, s->labels_journal.data,
				 s->labels_journal.length, data, length);
			break;
		case STATE_RULES:
			r = join(&s->staged_rules, data, length, NULL, 0);
			break;
		case STATE_RULES_APPEND:
			count_change(s, data, length);
			r = join(&s->staged_journal, s->journal.data, s->journal.length, data,
				 length);
			break;
		}
	}
	return r < 0 ? sb_fail(error, -r, "fake state: %s", strerror(-r)) : 0;
}

static void move(struct fake_blob *to, struct fake_blob *from)
{
	if (!from->data)
		return;
	fake_blob_clear(to);
	*to = *from;
	*from = (struct fake_blob){ 0 };
}

static int commit(void *self, struct sb_error *error)
{
	struct fake_state *s = self;
	int r = fake_call(s->calls, FAKE_CALL_commit);

	if (r < 0) {
		unstage(s);
		return sb_fail(error, -r, "fake state: %s", strerror(-r));
	}
	if (s->staged_labels.data)
		fake_blob_clear(&s->labels_journal);
	if (s->staged_rules.data)
		fake_blob_clear(&s->journal);
	if (s->staged_labels.data && s->staged_rules.data)
		s->gone = false;
	move(&s->labels, &s->staged_labels);
	move(&s->labels_journal, &s->staged_labels_journal);
	move(&s->rules, &s->staged_rules);
	move(&s->journal, &s->staged_journal);
	return 0;
}

static void rollback(void *self)
{
	unstage(self);
}

static void sizes(void *self, enum state_part part, size_t *whole, size_t *changes)
{
	const struct fake_state *s = self;

	*whole = part == STATE_LABELS ? s->labels.length : s->rules.length;
	*changes = part == STATE_LABELS ? s->labels_journal.length : s->journal.length;
}

static int check(void *self, struct sb_error *error)
{
	struct fake_state *s = self;
	int r = fake_call(s->calls, FAKE_CALL_check);

	if (r == 0 && s->locked)
		r = -EROFS;
	return r < 0 ? sb_fail(error, -r, "fake state: %s", strerror(-r)) : s->gone;
}

struct state_port fake_state_port(struct fake_state *s)
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
