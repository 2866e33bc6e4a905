/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Labels and their sockets as bytes, for the state directory: records (protocol/record.h), the
 * first of which names the format and its version. Pure. The decoder treats its input as hostile.
 *
 *     sockbroker_state  version=
 *     label             name= id=                 then its sockets:
 *     socket            label= protocol= ...
 *     end
 *
 * What changes since is kept as changes: each holds the labels that it changed, each of them whole
 * (`label`, then every `socket` that it has now), and is closed by a line ".". A label takes the
 * place of what had its name or its number before: of one that came to nothing no word is needed.
 *
 * Keys that are not known are passed over, so that records may grow; records are not.
 */
#pragma once

#include "broker/model/registry.h"
#include "protocol/record.h"

/* 1: without changes, and all of it written anew with each of them. */
#define SNAPSHOT_VERSION 2

/* The first record without its end: whoever keeps the file may add keys of its own. */
#define SNAPSHOT_HEAD "sockbroker_state\tversion=2"

/* All labels, as the file has them behind its first record. */
void snapshot_encode(const struct registry *r, struct sb_text *text);
/* A change after which the N LABELS are as they are now. */
void snapshot_encode_change(struct label *const *labels, size_t n, struct sb_text *text);

/*
 * Fills the empty registry R from the LENGTH bytes at DATA (modified): a whole file. 0, or -EPROTO
 * (not such a file, or a damaged one), -EOPNOTSUPP (a newer version), -ENOMEM, with a sentence; R
 * is then incomplete but consistent. Slots of sockets are marked as taken; the lists of groups are
 * empty.
 */
int snapshot_decode(struct registry *r, char *data, size_t length, struct sb_error *error);
/* Makes the changes in the LENGTH bytes at DATA (modified) to R. One that is not closed did not
 * happen. Errors as above, but -EOPNOTSUPP. */
int snapshot_replay(struct registry *r, char *data, size_t length, struct sb_error *error);
