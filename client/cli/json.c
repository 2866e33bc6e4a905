/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/number.h"
#include "protocol/cleanup.h"

static const char *const number_keys[] = {
	/* rules, labels, packets */
	"rules",
	"hits",
	"groups",
	"sockets",
	"max_sockets",
	"hold_timeout",
	"port",
	"from_port",
	/* sockets */
	"cookie",
	"slot",
	"pid",
	"uid",
	"gid",
	"since",
	"held_since",
	"waiting_since",
	"hold_left",
	"held_for",
	"waiting",
	"served_by",
	/* groups */
	"living",
	"lookups",
	"misses",
	"holds",
	"respected",
	"dead_slots",
	"errors",
	"err_family",
	"err_protocol",
	"err_state",
	"err_other",
	/* the broker and the programs */
	"uptime",
	"labels",
	"link",
	"program",
	"generation",
	"abi",
	"netns_inode",
	"rules_bytes",
	"id",
	"position",
};
static const char *const boolean_keys[] = { "held", "dual", "reuseport", "agrees", "ours", "own" };

static bool is_one_of(const char *key, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

static bool is_number_key(const char *type, const char *key)
{
	/* Only a version's protocol is a number; a rule's is tcp or udp. */
	if (!strcmp(type, "version") && !strcmp(key, "protocol"))
		return true;
	return is_one_of(key, number_keys, ARRAY_SIZE(number_keys));
}

json_t *json_from_value(const char *type, const char *key, const char *value)
{
	uint64_t n;

	if (is_one_of(key, boolean_keys, ARRAY_SIZE(boolean_keys)) &&
	    (!strcmp(value, "yes") || !strcmp(value, "no")))
		return json_boolean(!strcmp(value, "yes"));
	if (is_number_key(type, key)) {
		if (!*value)
			return json_null();
		if (number_parse(value, &n) && n <= INT64_MAX)
			return json_integer((json_int_t)n);
	}
	return json_string(value);
}

json_t *json_from_record(const struct sockbroker_table *t)
{
	const char *type = sockbroker_table_type(t), *key, *value;
	json_t *object = json_object();

	if (!type || !object)
		return object;
	for (size_t i = 0; sockbroker_table_field(t, i, &key, &value); i++) {
		json_t *v = json_from_value(type, key, value);

		if (!v) /* not UTF-8: better a hint than no document */
			v = json_string("?");
		if (json_object_set_new(object, key, v) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

/* What the broker warned of, for readers that do not look at standard error. */
static void add_warnings(struct cli *cli, json_t *document)
{
	json_t *warnings;
	const char *text;

	if (!json_is_object(document) || json_object_get(document, "warnings") || !cli->broker ||
	    !sockbroker_warning(cli->broker, 0))
		return;
	warnings = json_array();
	for (size_t i = 0; (text = sockbroker_warning(cli->broker, i)); i++)
		json_array_append_new(warnings, json_string(text));
	json_object_set_new(document, "warnings", warnings);
}

int json_print(struct cli *cli, json_t *document)
{
	int r;

	add_warnings(cli, document);
	r = document ? json_dumpf(document, cli->out, JSON_INDENT(2)) : -1;

	json_decref(document);
	if (r < 0)
		return cli_fail(cli, "out of memory");
	fputc('\n', cli->out);
	return CLI_DONE;
}
