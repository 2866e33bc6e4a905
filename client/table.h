/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables of records, made from what a reply carries. Internal to the library. */
#pragma once

#include "client/handle.h"
#include "protocol/record.h"

/* The most bytes of one table: a million rules are about 100 MiB. */
#define TABLE_MAX (1U << 30)

/* *RET is the table in FD (not consumed), a sealed memfd. -EPROTO or -ENOMEM with a sentence. */
int table_new_from_memfd(int fd, struct sockbroker_table **ret, struct sb_error *error);

/* *RET is a table of TEXT, whose bytes it takes over; TEXT is zeroed. */
int table_new_take_text(struct sb_text *text, struct sockbroker_table **ret);

/* Takes the table that the last reply carries. On failure handle_fail_*() has been called. */
int table_take_from_reply(struct sockbroker *sb, struct sockbroker_table **ret);
