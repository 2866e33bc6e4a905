/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/registry.h"

#include <string.h>

/* Twice the labels there can be, so that probing ends soon. */
#define NAME_TABLE_SIZE ((size_t)SB_LABELS_MAX * 2)

_Static_assert((NAME_TABLE_SIZE & (NAME_TABLE_SIZE - 1)) == 0, "power of two");

struct registry *registry_new(void)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->by_name = calloc(NAME_TABLE_SIZE, sizeof(*r->by_name));
	r->name_mask = NAME_TABLE_SIZE - 1;
	if (!r->by_name || range_init(&r->ids, SB_LABELS_MAX) < 0 ||
	    range_init(&r->slots, SB_SLOTS_MAX) < 0 ||
	    range_init(&r->lists, SB_SLOT_LIST_MAX) < 0) {
		registry_free(r);
		return NULL;
	}
	return r;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < SB_LABELS_MAX; i++)
		label_free(r->by_id[i]);
	free(r->by_name);
	range_clear(&r->ids);
	range_clear(&r->slots);
	range_clear(&r->lists);
	free(r);
}

/* FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash_name(const char *name, size_t length)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < length; i++)
		h = (h ^ (unsigned char)name[i]) * 0x100000001b3ULL;
	return h ^ h >> 32;
}

/* The place of NAME, or the free place where it would go. */
static size_t place_of(const struct registry *r, const char *name, size_t length)
{
	size_t i = hash_name(name, length) & r->name_mask;

	for (; r->by_name[i]; i = (i + 1) & r->name_mask)
		if (!strncmp(r->by_name[i]->name, name, length) && !r->by_name[i]->name[length])
			break;
	return i;
}

struct label *registry_find_n(const struct registry *r, const char *name, size_t length)
{
	return length > SB_LABEL_MAX ? NULL : r->by_name[place_of(r, name, length)];
}

struct label *registry_find(const struct registry *r, const char *name)
{
	return registry_find_n(r, name, strlen(name));
}

struct label *registry_get(const struct registry *r, uint32_t id)
{
	return id < SB_LABELS_MAX ? r->by_id[id] : NULL;
}

int registry_add(struct registry *r, const char *name, int64_t id, struct label **ret)
{
	_cleanup_(label_freep) struct label *l = label_new(name);

	if (!l)
		return -ENOMEM;
	if (id < 0) {
		id = range_take(&r->ids, 1);
		if (id < 0)
			return -E2BIG;
	} else {
		int taken = range_take_at(&r->ids, (uint32_t)id, 1);

		if (taken < 0)
			return taken;
	}
	l->id = (uint32_t)id;
	r->by_id[l->id] = l;
	r->by_name[place_of(r, l->name, strlen(l->name))] = l;
	r->n_labels++;
	*ret = TAKE_PTR(l);
	return 0;
}

/* Linear probing: what stands behind the gap up to the next gap is put in anew. */
static void unlink_name(struct registry *r, const struct label *l)
{
	size_t i = place_of(r, l->name, strlen(l->name));

	r->by_name[i] = NULL;
	for (i = (i + 1) & r->name_mask; r->by_name[i]; i = (i + 1) & r->name_mask) {
		struct label *moved = r->by_name[i];

		r->by_name[i] = NULL;
		r->by_name[place_of(r, moved->name, strlen(moved->name))] = moved;
	}
}

void registry_remove(struct registry *r, struct label *l)
{
	unlink_name(r, l);
	for (size_t i = 0; i < l->n_members; i++)
		range_give(&r->slots, l->members[i].slot, 1);
	for (size_t i = 0; i < SB_GROUPS_PER_LABEL; i++)
		if (l->groups[i].count)
			range_give(&r->lists, l->groups[i].offset, l->groups[i].count);
	r->by_id[l->id] = NULL;
	range_give(&r->ids, l->id, 1);
	r->n_labels--;
	label_free(l);
}

struct label *registry_next(const struct registry *r, const struct label *l)
{
	for (size_t i = l ? l->id + 1 : 0; i < SB_LABELS_MAX; i++)
		if (r->by_id[i])
			return r->by_id[i];
	return NULL;
}
