/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/core-internal.h"
#include "broker/model/snapshot.h"

static int empty_groups(struct core *c, const struct label *l)
{
	int r = 0;

	for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL && r == 0; kind++)
		r = c->dataplane.group_store(c->dataplane.self, l->id * SB_GROUPS_PER_LABEL + kind,
					     0, 0, WHEN_EMPTY_DROP);
	return r;
}

/* Each is a call of the kernel: only for a label that is new, not for one that goes too. */
static int reset_counters(struct core *c, const struct label *l)
{
	int r = 0;

	for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL && r == 0; kind++)
		r = c->dataplane.counters_reset(c->dataplane.self,
						l->id * SB_GROUPS_PER_LABEL + kind);
	return r;
}

int core_label_get(struct core *c, const char *name, struct label **ret, bool *created,
		   struct sb_error *error)
{
	int r;

	*created = false;
	*ret = registry_find(c->registry, name);
	if (*ret)
		return 0;
	if (c->registry->n_labels >= c->settings.max_labels)
		return sb_fail(error, ENOSPC,
			       "label %s would be one too many: there are %zu already "
			       "(MaxLabels= in sockbroker.conf)",
			       name, c->registry->n_labels);
	r = registry_add(c->registry, name, -1, ret);
	if (r < 0)
		return sb_fail(error, -r, "label %s cannot be made: %s", name, strerror(-r));
	/* The words of a label id may still say what an earlier label of that id had. */
	r = empty_groups(c, *ret);
	if (r == 0)
		r = reset_counters(c, *ret);
	if (r < 0) {
		registry_remove(c->registry, *ret);
		*ret = NULL;
		return sb_fail(error, EIO, "label %s: its groups cannot be written: %s", name,
			       strerror(-r));
	}
	(*ret)->max_sockets = c->settings.max_sockets;
	*created = true;
	return 0;
}

void core_label_collect(struct core *c, struct label *l)
{
	if (l->configured || l->n_members > 0 || label_rules(l) > 0)
		return;
	if (empty_groups(c, l) < 0)
		return; /* stays until the next sweep */
	log_debug("label %s has neither rules nor sockets nor a file, forgotten", l->name);
	registry_remove(c->registry, l);
}

void core_labels_collect(struct core *c)
{
	struct label *next;

	for (struct label *l = registry_next(c->registry, NULL); l; l = next) {
		next = registry_next(c->registry, l);
		core_label_collect(c, l);
	}
}

int core_stage_labels(struct core *c, struct sb_error *error)
{
	_cleanup_(sb_text_free) struct sb_text text = { 0 };

	snapshot_encode(c->registry, &text);
	if (text.error < 0)
		return sb_fail(error, -text.error, "the state cannot be written: %s",
			       strerror(-text.error));
	return c->state.stage(c->state.self, STATE_LABELS, text.data, text.length, error);
}

int core_stage_changed(struct core *c, struct label *const *labels, size_t n,
		       struct sb_error *error)
{
	_cleanup_(sb_text_free) struct sb_text text = { 0 };

	if (c->starting)
		return core_stage_labels(c, error);
	if (n == 0)
		return 0;
	snapshot_encode_change(labels, n, &text);
	if (text.error < 0)
		return sb_fail(error, -text.error, "the change cannot be written: %s",
			       strerror(-text.error));
	return c->state.stage(c->state.self, STATE_LABELS_APPEND, text.data, text.length, error);
}
