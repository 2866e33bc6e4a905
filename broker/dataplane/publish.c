/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/base/log.h"
#include "broker/dataplane/dataplane-internal.h"

int publish_rules(void *self, const struct ruleset *rules, struct sb_error *error)
{
	struct dataplane *d = self;
	struct generation g = GENERATION_NULL;
	int r;

	if (d->unloaded)
		return sb_fail(error, ESHUTDOWN, "the dataplane was unloaded");
	r = generation_new(d, rules, d->live.number + 1, &g, error);
	if (r == 0)
		r = link_switch(d, &g, error);
	if (r < 0) {
		generation_clear(&g);
		return r;
	}
	/* The kernel keeps the old program and map until the last packet has left them. */
	generation_clear(&d->live);
	d->live = g;
	log_debug("generation %llu: %zu rules, %zu of %zu words", (unsigned long long)g.number,
		  ruleset_count(rules), g.tables.used, g.tables.capacity);
	return 0;
}

int edit_rules(void *self, const struct ruleset *rules, const struct sb_prefix *prefix,
	       struct sb_error *error)
{
	struct dataplane *d = self;
	int r;

	if (d->unloaded)
		return sb_fail(error, ESHUTDOWN, "the dataplane was unloaded");
	r = d->live.tables.words ? tables_update_prefix(&d->live.tables, rules, prefix) : -ENOSPC;
	if (r == 0)
		return 0;
	/* No room left, or tables that make no sense: a new generation mends both. */
	return publish_rules(d, rules, error);
}
