/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/label-file.h"

#include <stdio.h>
#include <string.h>

#include "broker/config/allow.h"
#include "broker/config/grow.h"
#include "broker/config/report.h"
#include "broker/config/settings.h"
#include "broker/config/value.h"

static void set_description(struct settings *s, const char *value)
{
	struct config_label *l = s->target;
	struct sb_error error = { 0 };

	l->description = strdup(value);
	if (!l->description) {
		sb_fail(&error, ENOMEM, "out of memory");
		settings_refuse(s, &error);
	}
}

static int add_rule(struct config_label *l, const struct config_rule *rule)
{
	int r = grow((void **)&l->rules, l->n_rules, sizeof(*l->rules));

	if (r == 0)
		l->rules[l->n_rules++] = *rule;
	return r;
}

static void set_listen(struct settings *s, const char *value, int protocol)
{
	struct config_label *l = s->target;
	struct config_rule rule = { .protocol = protocol, .line = s->line };
	struct sb_ports ports[SB_PORT_LIST_MAX];
	struct sb_error error = { 0 };
	size_t n;
	int r;

	r = value_listen(value, &rule.prefix, ports, ARRAY_SIZE(ports), &n, &error);
	for (size_t i = 0; r == 0 && i < n; i++) {
		rule.ports = ports[i];
		if (add_rule(l, &rule) < 0)
			r = sb_fail(&error, ENOMEM, "out of memory");
	}
	if (r < 0)
		settings_refuse(s, &error);
}

static void set_listen_stream(struct settings *s, const char *value)
{
	set_listen(s, value, IPPROTO_TCP);
}

static void set_listen_datagram(struct settings *s, const char *value)
{
	set_listen(s, value, IPPROTO_UDP);
}

static void set_max_sockets(struct settings *s, const char *value)
{
	struct config_label *l = s->target;
	struct sb_error error = { 0 };

	if (value_number(value, 1, CONFIG_SOCKETS_MAX, &l->max_sockets, &error) < 0)
		settings_refuse(s, &error);
}

static void set_when_empty(struct settings *s, const char *value)
{
	struct config_label *l = s->target;
	struct sb_error error = { 0 };

	if (!strcmp(value, "drop"))
		l->when_empty = WHEN_EMPTY_DROP;
	else if (!strcmp(value, "pass"))
		l->when_empty = WHEN_EMPTY_PASS;
	else if (!strcmp(value, "hold"))
		l->when_empty = WHEN_EMPTY_HOLD;
	else
		sb_fail(&error, EINVAL, "'%s' is none of drop, pass, hold", value);
	if (error.code)
		settings_refuse(s, &error);
}

static void set_hold_timeout(struct settings *s, const char *value)
{
	struct config_label *l = s->target;
	struct sb_error error = { 0 };

	if (value_span(value, CONFIG_HOLD_TIMEOUT_MIN_US, CONFIG_HOLD_TIMEOUT_MAX_US,
		       &l->hold_timeout_us, &error) < 0)
		settings_refuse(s, &error);
}

static void set_activate(struct settings *s, const char *value)
{
	static const char suffix[] = ".service";
	struct config_label *l = s->target;
	struct sb_error error = { 0 };
	size_t n = strlen(value);

	l->activate_line = s->line;
	if (value_unit(value, &error) < 0) {
	} else if (n < sizeof(suffix) || strcmp(value + n - (sizeof(suffix) - 1), suffix) != 0) {
		sb_fail(&error, EINVAL, "%s is no service; only services are started", value);
	} else {
		l->activate = strdup(value);
		if (!l->activate)
			sb_fail(&error, ENOMEM, "out of memory");
	}
	if (error.code)
		settings_refuse(s, &error);
}

static void set_trigger_interval(struct settings *s, const char *value)
{
	struct config_label *l = s->target;
	struct sb_error error = { 0 };

	if (value_span(value, 0, CONFIG_TRIGGER_INTERVAL_MAX_US, &l->trigger_interval_us, &error) <
	    0)
		settings_refuse(s, &error);
}

static void set_trigger_burst(struct settings *s, const char *value)
{
	struct config_label *l = s->target;
	struct sb_error error = { 0 };

	if (value_number(value, 0, CONFIG_TRIGGER_BURST_MAX, &l->trigger_burst, &error) < 0)
		settings_refuse(s, &error);
}

static const struct setting table[] = {
	{ .key = "Description", .set = set_description, .may_be_empty = true },
	{ .key = "ListenStream", .set = set_listen_stream, .list = true },
	{ .key = "ListenDatagram", .set = set_listen_datagram, .list = true },
	{ .key = "AllowUser", .set = allow_users, .list = true },
	{ .key = "AllowGroup", .set = allow_groups, .list = true },
	{ .key = "AllowUnit", .set = allow_units, .list = true },
	{ .key = "MaxSockets", .set = set_max_sockets },
	{ .key = "WhenEmpty", .set = set_when_empty },
	{ .key = "HoldTimeout", .set = set_hold_timeout },
	{ .key = "Activate", .set = set_activate },
	{ .key = "TriggerLimitIntervalSec", .set = set_trigger_interval },
	{ .key = "TriggerLimitBurst", .set = set_trigger_burst },
};

_Static_assert(ARRAY_SIZE(table) <= SETTINGS_KEYS_MAX, "settings has no room for the table");

void label_file_parse(struct config_label *l, const char *text, size_t length,
		      struct config_report *report)
{
	struct settings s = {
		.target = l,
		.path = l->path,
		.report = report,
		.table = table,
		.n_table = ARRAY_SIZE(table),
	};

	settings_parse(&s, "Label", text, length);
	if (l->activate && l->when_empty != WHEN_EMPTY_HOLD)
		report_error(report, l->path, l->activate_line,
			     "Activate= needs WhenEmpty=hold: the connection that starts %s has "
			     "to wait for it",
			     l->activate);
}
