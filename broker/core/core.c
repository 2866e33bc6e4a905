/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/core.h"

#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/hold.h"
#include "broker/core/numbers.h"
#include "broker/core/saved.h"
#include "broker/core/shares.h"

struct core *core_new(const struct dataplane_port *dataplane, const struct state_port *state,
		      const struct host_port *host, const struct watch_port *watch,
		      const struct units_port *units, const struct fdstore_port *fdstore,
		      struct quota *quota, const char *version, const char *netns)
{
	_cleanup_(core_freep) struct core *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->dataplane = *dataplane;
	c->state = *state;
	c->host = *host;
	c->watch = *watch;
	c->units = *units;
	c->fdstore = *fdstore;
	c->quota = quota;
	c->log = (struct rate_limit){ .burst = 100, .interval_us = 10000000 };
	quota_set(quota, QUOTA_SOCKETS, SB_SLOTS_MAX);
	LIST_INIT(&c->lives);
	c->version = version;
	c->netns = netns;
	c->started = host->now(host->self);
	c->settings.groups = (struct policy_groups){ POLICY_NO_GROUP, POLICY_NO_GROUP };
	c->registry = registry_new();
	c->rules = ruleset_new();
	c->config_rules = ruleset_new();
	if (!c->registry || !c->rules || !c->config_rules || numbers_init(c) < 0)
		return NULL;
	return TAKE_PTR(c);
}

void core_free(struct core *c)
{
	if (!c)
		return;
	if (c->registry)
		hold_clear(c);
	shares_clear(c);
	ruleset_free(c->config_rules);
	ruleset_free(c->rules);
	registry_free(c->registry);
	range_clear(&c->numbers);
	free(c);
}

void core_on_reload(struct core *c, int (*reload)(void *data, struct sb_error *error), void *data)
{
	c->reload = reload;
	c->reload_data = data;
}

bool core_unloaded(const struct core *c)
{
	return c->unloaded;
}

static size_t count_members(const struct core *c)
{
	size_t n = 0;

	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		n += label_sockets(l);
	return n;
}

void core_summary(const struct core *c, char *buf, size_t size)
{
	snprintf(buf, size, "%zu rules, %zu labels, %zu sockets", ruleset_count(c->rules),
		 c->registry->n_labels, count_members(c));
}

static bool any_gone(const struct core *c, const struct label *l)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (member_gone(c, &l->members[i]))
			return true;
	return false;
}

void core_sweep_label(struct core *c, struct label *l)
{
	struct members_change change = { 0 };
	struct sb_error error = { 0 };
	size_t before = label_sockets(l);

	if (!any_gone(c, l))
		return;
	/* Beginning a change leaves out what is gone. */
	if (members_change_begin(c, &change, l) < 0 || members_apply(c, &change, 1, &error) < 0)
		log_warning("label %s: closed sockets stay listed for now: %s", l->name,
			    error.message);
	else
		log_info("label %s: %zu of %zu sockets closed by their service", l->name,
			 before - label_sockets(l), before);
	members_change_end(&change, 1);
}

void core_sweep(struct core *c)
{
	struct label *next;

	if (c->unloaded)
		return;
	for (struct label *l = registry_next(c->registry, NULL); l; l = next) {
		next = registry_next(c->registry, l);
		core_sweep_label(c, l);
		hold_update(c, l);
		hold_refresh(c, l, NULL, &(struct sb_error){ 0 });
		core_label_collect(c, l);
	}
	saved_sweep(c);
}
