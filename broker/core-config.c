/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core-config.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>

static void name_group(gid_t gid, char *buf, size_t size)
{
	const struct group *g;

	buf[0] = '\0';
	if (gid == POLICY_NO_GROUP)
		return;
	g = getgrgid(gid);
	if (g)
		snprintf(buf, size, "%s", g->gr_name);
	else
		snprintf(buf, size, "%u", (unsigned)gid);
}

static void convert_label(struct core_label_config *to, const struct config_label *from,
			  struct rule *rules)
{
	*to = (struct core_label_config){
		.name = from->name,
		.description = from->description,
		.file = from->path,
		.policy = from->policy,
		.max_sockets = from->max_sockets,
		.when_empty = from->when_empty,
		.hold_timeout_us = from->hold_timeout_us,
		.activate = from->activate,
		.trigger_interval_us = from->trigger_interval_us,
		.trigger_burst = from->trigger_burst,
		.rules = rules,
		.n_rules = from->n_rules,
	};
	for (size_t i = 0; i < from->n_rules; i++)
		rules[i] = rule_make(from->rules[i].protocol, &from->rules[i].prefix,
				     from->rules[i].ports, 0, RULE_CONFIG);
}

int core_config_from(struct core_config_storage *s, const struct config *config,
		     struct sb_error *error)
{
	size_t used = 0;

	s->labels = calloc(config->n_labels + 1, sizeof(*s->labels));
	s->rules = calloc(config->n_rules + 1, sizeof(*s->rules));
	if (!s->labels || !s->rules)
		return sb_fail(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < config->n_labels; i++) {
		convert_label(&s->labels[i], &config->labels[i], s->rules + used);
		used += config->labels[i].n_rules;
	}
	s->config = (struct core_config){
		.settings = {
			.groups = config->broker.groups,
			.max_rules = config->broker.max_rules,
			.max_labels = config->broker.max_labels,
			.max_sockets = config->broker.max_sockets,
		},
		.labels = s->labels,
		.n_labels = config->n_labels,
	};
	name_group(config->broker.groups.admin, s->config.settings.admin_group,
		   sizeof(s->config.settings.admin_group));
	return 0;
}

void core_config_clear(struct core_config_storage *s)
{
	free(s->labels);
	free(s->rules);
}
