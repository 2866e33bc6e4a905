/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/core-internal.h"
#include "broker/model/snapshot.h"

/* The words of a label id may still say what an earlier label of that id had. */
static int reset_groups(struct core *c, const struct label *l)
{
	for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL; kind++) {
		uint32_t group = l->id * SB_GROUPS_PER_LABEL + kind;
		int r = c->dataplane.group_store(c->dataplane.self, group, 0, 0, WHEN_EMPTY_DROP);

		if (r < 0)
			return r;
		r = c->dataplane.counters_reset(c->dataplane.self, group);
		if (r < 0)
			return r;
	}
	return 0;
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
	r = reset_groups(c, *ret);
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
	if (reset_groups(c, l) < 0)
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
