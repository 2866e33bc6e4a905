/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/broker-file.h"

#include "broker/config/nss.h"
#include "broker/config/settings.h"
#include "broker/config/value.h"

void broker_file_defaults(struct config_broker *b)
{
	*b = (struct config_broker){
		.groups = { .admin = POLICY_NO_GROUP, .read = POLICY_NO_GROUP },
		.max_labels = CONFIG_LABELS_DEFAULT,
		.max_rules = CONFIG_RULES_DEFAULT,
		.max_sockets = CONFIG_SOCKETS_DEFAULT,
		.max_connections = CONFIG_CONNECTIONS_DEFAULT,
		.max_connections_per_user = CONFIG_CONNECTIONS_PER_USER_DEFAULT,
		.max_reply_memory = CONFIG_REPLY_MEMORY_DEFAULT,
		.max_reply_rate = CONFIG_REPLY_RATE_DEFAULT,
		.request_timeout_us = CONFIG_REQUEST_TIMEOUT_DEFAULT_US,
	};
}

static void set_group(struct settings *s, const char *value, gid_t *ret)
{
	struct sb_error error = { 0 };

	if (nss_group(value, ret, &error) < 0)
		settings_refuse(s, &error);
}

static void set_number(struct settings *s, const char *value, unsigned max, unsigned *ret)
{
	struct sb_error error = { 0 };

	if (value_number(value, 1, max, ret, &error) < 0)
		settings_refuse(s, &error);
}

static void set_admin_group(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;

	set_group(s, value, &b->groups.admin);
}

static void set_read_group(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;

	set_group(s, value, &b->groups.read);
}

static void set_max_labels(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;

	set_number(s, value, CONFIG_LABELS_MAX, &b->max_labels);
}

static void set_max_rules(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;

	set_number(s, value, CONFIG_RULES_MAX, &b->max_rules);
}

static void set_max_sockets(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;

	set_number(s, value, CONFIG_SOCKETS_MAX, &b->max_sockets);
}

static void set_max_connections(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;

	set_number(s, value, CONFIG_CONNECTIONS_MAX, &b->max_connections);
}

static void set_max_connections_per_user(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;

	set_number(s, value, CONFIG_CONNECTIONS_MAX, &b->max_connections_per_user);
}

static void set_size(struct settings *s, const char *value, uint64_t *ret)
{
	struct sb_error error = { 0 };

	if (value_size(value, CONFIG_REPLY_MIN, CONFIG_REPLY_MAX, ret, &error) < 0)
		settings_refuse(s, &error);
}

static void set_max_reply_memory(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;

	set_size(s, value, &b->max_reply_memory);
}

static void set_max_reply_rate(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;

	set_size(s, value, &b->max_reply_rate);
}

static void set_request_timeout(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;
	struct sb_error error = { 0 };

	if (value_span(value, CONFIG_REQUEST_TIMEOUT_MIN_US, CONFIG_REQUEST_TIMEOUT_MAX_US,
		       &b->request_timeout_us, &error) < 0)
		settings_refuse(s, &error);
}

static void set_rule_counters(struct settings *s, const char *value)
{
	struct config_broker *b = s->target;
	struct sb_error error = { 0 };

	if (value_bool(value, &b->rule_counters, &error) < 0)
		settings_refuse(s, &error);
}

static const struct setting table[] = {
	{ .key = "AdminGroup", .set = set_admin_group },
	{ .key = "ReadGroup", .set = set_read_group },
	{ .key = "MaxLabels", .set = set_max_labels },
	{ .key = "MaxRules", .set = set_max_rules },
	{ .key = "MaxSockets", .set = set_max_sockets },
	{ .key = "MaxConnections", .set = set_max_connections },
	{ .key = "MaxConnectionsPerUser", .set = set_max_connections_per_user },
	{ .key = "MaxReplyMemory", .set = set_max_reply_memory },
	{ .key = "MaxReplyRate", .set = set_max_reply_rate },
	{ .key = "RequestTimeout", .set = set_request_timeout },
	{ .key = "RuleCounters", .set = set_rule_counters },
};

_Static_assert(ARRAY_SIZE(table) <= SETTINGS_KEYS_MAX, "settings has no room for the table");

void broker_file_parse(struct config_broker *b, const char *path, const char *text, size_t length,
		       struct config_report *report)
{
	struct settings s = {
		.target = b,
		.path = path,
		.report = report,
		.table = table,
		.n_table = ARRAY_SIZE(table),
	};

	settings_parse(&s, "Broker", text, length);
}
