/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status as one document: groups and sockets stand in the label they belong to. */
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/status.h"

/* The label NAME in LABELS, made if it is not there yet; a borrowed reference. */
static json_t *find_label(json_t *labels, const char *name)
{
	json_t *label;
	size_t i;

	json_array_foreach(labels, i, label)
	{
		const char *other = json_string_value(json_object_get(label, "label"));

		if (other && !strcmp(other, name))
			return label;
	}
	label = json_pack("{s:s, s:[], s:[]}", "label", name, "groups", "sockets");
	json_array_append_new(labels, label);
	return label;
}

/* The counts of rules and sockets that a label's record has would hide its arrays. */
static void see_label(json_t *labels, const char *name, json_t *record)
{
	json_object_del(record, "sockets");
	json_object_del(record, "groups");
	json_object_update(find_label(labels, name), record);
}

static void see_record(json_t *doc, const struct sockbroker_table *t)
{
	const char *type = sockbroker_table_type(t), *name = sockbroker_table_get(t, "label");
	json_t *labels = json_object_get(doc, "labels");
	json_t *record = json_from_record(t);

	if (!strcmp(type, "broker")) {
		json_object_set(doc, "broker", record);
	} else if (!strcmp(type, "program")) {
		json_array_append(json_object_get(doc, "programs"), record);
	} else if (!strcmp(type, "warning")) {
		json_array_append(json_object_get(doc, "warnings"), record);
	} else if (!strcmp(type, "label") && name) {
		see_label(labels, name, record);
	} else if (!strcmp(type, "group") && name) {
		json_object_set_new(record, "errors", json_integer((json_int_t)status_errors(t)));
		json_array_append(json_object_get(find_label(labels, name), "groups"), record);
	} else if (!strcmp(type, "socket") && name) {
		json_array_append(json_object_get(find_label(labels, name), "sockets"), record);
	}
	json_decref(record);
}

int status_print_json(struct cli *cli, struct sockbroker_table *t)
{
	json_t *doc =
		json_pack("{s:n, s:[], s:[], s:[]}", "broker", "programs", "labels", "warnings");
	int r;

	while ((r = sockbroker_table_next(t)) > 0)
		see_record(doc, t);
	if (r < 0) {
		json_decref(doc);
		return cli_table_end(cli, r);
	}
	return json_print(cli, doc);
}
