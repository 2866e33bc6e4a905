/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/saved.h"

#include "broker/base/log.h"
#include "broker/core/replay.h"

/* Changes of so many bytes are kept in any case: less is no matter. So many more are not waited for
 * until the next sweep: where the state is, there may be little room. */
#define JOURNAL_MIN ((size_t)1 << 20)
#define JOURNAL_MAX ((size_t)16 << 20)

static const struct part {
	enum state_part part;
	const char *name;
} parts[] = {
	{ STATE_LABELS, "labels" },
	{ STATE_RULES, "rules" },
};

static int stage_whole(struct core *c, enum state_part part, struct sb_error *error)
{
	return part == STATE_LABELS ? core_stage_labels(c, error)
				    : replay_compact(c, c->rules, error);
}

static void compact(struct core *c, const struct part *p, size_t least, size_t *tried)
{
	struct sb_error error = { 0 };
	size_t whole, changes;
	int r;

	c->state.sizes(c->state.self, p->part, &whole, &changes);
	/* Twice the whole: then compacting costs each change no more than writing it did. */
	if (changes <= least || changes / 2 <= whole) {
		if (changes <= JOURNAL_MIN)
			*tried = 0;
		return;
	}
	/* After a failure not with every sweep. */
	if (*tried && changes < *tried + JOURNAL_MIN)
		return;
	*tried = changes;
	r = stage_whole(c, p->part, &error);
	if (r < 0)
		c->state.rollback(c->state.self);
	else
		r = c->state.commit(c->state.self, &error);
	if (r < 0) {
		log_warning("the saved changes of %s stay as they are for now: %s", p->name,
			    error.message);
		return;
	}
	*tried = 0;
	log_debug("%zu bytes of saved changes became part of the saved %s", changes, p->name);
}

/* The saved state is gone, or part of it; the broker still knows all of it. */
static int write_again(struct core *c, struct sb_error *error)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++)
		r = stage_whole(c, parts[i].part, error);
	if (r < 0) {
		c->state.rollback(c->state.self);
		return r;
	}
	return c->state.commit(c->state.self, error);
}

/* Whether the saved state is there. */
static bool keep_there(struct core *c)
{
	struct sb_error error = { 0 };
	int r = c->state.check(c->state.self, &error);

	if (r == 0) {
		c->state_lost = false;
		return true;
	}
	if (r > 0)
		r = write_again(c, &error);
	if (r == 0) {
		log_warning("the saved state was not there as it was written; it is written again");
		c->state_lost = false;
	} else if (!c->state_lost) {
		log_error("the saved state is not there as it was written; what changes it is "
			  "refused until it can be written again: %s",
			  error.message);
		c->state_lost = true;
	}
	return r == 0;
}

void saved_sweep(struct core *c)
{
	if (!keep_there(c))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		compact(c, &parts[i], JOURNAL_MIN, &c->journal_tried[i]);
}

void saved_bound(struct core *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		compact(c, &parts[i], JOURNAL_MAX, &c->journal_tried[i]);
}
