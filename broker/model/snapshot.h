/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Labels and their sockets as bytes, for the state directory: records (protocol/record.h), the
 * first of which names the format and its version. Pure. The decoder treats its input as hostile.
 */
#pragma once

#include "broker/model/registry.h"
#include "protocol/record.h"

#define SNAPSHOT_VERSION 1

void snapshot_encode(const struct registry *r, struct sb_text *text);

/*
 * Fills the empty registry R from the LENGTH bytes at DATA (modified). 0, or -EPROTO (not such a
 * file, or a damaged one), -EOPNOTSUPP (a newer version), -ENOMEM, with a sentence; R is then
 * incomplete but consistent. Slots of sockets are marked as taken; the lists of groups are empty.
 */
int snapshot_decode(struct registry *r, char *data, size_t length, struct sb_error *error);
