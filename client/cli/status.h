/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status in its two forms; internal to cmd-status.c and status-json.c. */
#pragma once

#include <stdint.h>

#include "client/cli/commands.h"

/* The sum of the current group's err_* counters. */
uint64_t status_errors(const struct sockbroker_table *t);

/* Prints T as one document. An exit status. */
int status_print_json(struct cli *cli, struct sockbroker_table *t);
