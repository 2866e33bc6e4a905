/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The labels, by name and by id, and the numbers they use: ids, slots, places in slot_lists. */
#pragma once

#include "broker/model/label.h"
#include "broker/model/range.h"

struct registry {
	struct label *by_id[SB_LABELS_MAX]; /* owned */
	struct label **by_name;             /* hash table, linear probing; borrows */
	size_t name_mask;
	size_t n_labels;
	struct range ids, slots, lists;
};

struct registry *registry_new(void); /* NULL: out of memory */
void registry_free(struct registry *r);
SB_DEFINE_CLEANUP(struct registry, registry_free)

/* NULL when there is none. NAME needs no final NUL in the _n form. */
struct label *registry_find(const struct registry *r, const char *name);
struct label *registry_find_n(const struct registry *r, const char *name, size_t length);
struct label *registry_get(const struct registry *r, uint32_t id);

/* A new label. NAME is valid and unknown. ID: -1 for any, else exactly that one. -ENOMEM, -E2BIG
 * (no id left), -EBUSY (that id is taken). */
int registry_add(struct registry *r, const char *name, int64_t id, struct label **ret);

/* Takes L out and frees it and its slots and places. */
void registry_remove(struct registry *r, struct label *l);

/* Iterates by id: for (l = registry_next(r, NULL); l; l = registry_next(r, l)). */
struct label *registry_next(const struct registry *r, const struct label *l);
