/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records as JSON: the names of the tables' fields, numbers as numbers, yes and no as booleans. */
#pragma once

#include <jansson.h>

#include "client/cli/commands.h"

/* The value of KEY in a record of TYPE; a new reference, NULL when out of memory. */
json_t *json_from_value(const char *type, const char *key, const char *value);

/* The current record of T as an object; a new reference, NULL when out of memory. */
json_t *json_from_record(const struct sockbroker_table *t);

/* Prints DOCUMENT on cli->out, with an array `warnings` when the broker sent some with its last OK,
 * and drops the reference; NULL means that memory ran out while it was
 * made. CLI_DONE, or CLI_FAILED with everything said. */
int json_print(struct cli *cli, json_t *document);
