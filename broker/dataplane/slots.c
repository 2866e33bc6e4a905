/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the core stores into the lasting maps, and reads back. */
#include <bpf/bpf.h>
#include <string.h>

#include "broker/dataplane/internal.h"

static uint32_t *element32(const struct dataplane *d, enum map_id id, uint32_t index)
{
	return (uint32_t *)d->memory[id] + index;
}

static uint64_t *element64(const struct dataplane *d, enum map_id id, uint32_t index)
{
	return (uint64_t *)d->memory[id] + index;
}

static void owner_store(struct dataplane *d, uint32_t slot, uint32_t owner)
{
	__atomic_store_n(element32(d, MAP_SLOT_OWNERS, slot), owner, __ATOMIC_SEQ_CST);
}

int slot_store(void *self, uint32_t slot, uint32_t owner, int fd)
{
	struct dataplane *d = self;
	uint64_t value = (uint64_t)fd;
	uint32_t before;
	int r;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (slot >= SB_SLOTS_MAX || fd < 0)
		return -EINVAL;
	/* First the owner: whoever finds the socket finds its owner too. */
	before = __atomic_load_n(element32(d, MAP_SLOT_OWNERS, slot), __ATOMIC_SEQ_CST);
	owner_store(d, slot, owner);
	r = bpf_map_update_elem(d->maps[MAP_SOCKMAP], &slot, &value, BPF_NOEXIST);
	if (r < 0)
		owner_store(d, slot, before);
	return r;
}

int slot_clear(void *self, uint32_t slot)
{
	struct dataplane *d = self;
	int r;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (slot >= SB_SLOTS_MAX)
		return -EINVAL;
	r = bpf_map_delete_elem(d->maps[MAP_SOCKMAP], &slot);
	/* EINVAL is what the kernel says of an empty one: its socket closed */
	if (r < 0 && r != -EINVAL && r != -ENOENT)
		return r;
	owner_store(d, slot, 0);
	return 0;
}

int slot_cookie(void *self, uint32_t slot, uint64_t *ret)
{
	struct dataplane *d = self;

	if (d->unloaded)
		return -ESHUTDOWN;
	return bpf_map_lookup_elem(d->maps[MAP_SOCKMAP], &slot, ret);
}

int slot_owner(void *self, uint32_t slot, uint32_t *ret)
{
	struct dataplane *d = self;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (slot >= SB_SLOTS_MAX)
		return -EINVAL;
	*ret = __atomic_load_n(element32(d, MAP_SLOT_OWNERS, slot), __ATOMIC_SEQ_CST);
	return 0;
}

int slot_adopt(void *self, uint32_t slot, uint32_t owner)
{
	struct dataplane *d = self;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (slot >= SB_SLOTS_MAX)
		return -EINVAL;
	owner_store(d, slot, owner);
	return 0;
}

int list_store(void *self, uint32_t offset, const uint32_t *slots, size_t n)
{
	struct dataplane *d = self;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (offset > SB_SLOT_LIST_MAX || n > SB_SLOT_LIST_MAX - offset)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		__atomic_store_n(element32(d, MAP_SLOT_LISTS, offset + (uint32_t)i), slots[i],
				 __ATOMIC_RELAXED);
	return 0;
}

int group_store(void *self, uint32_t group, uint32_t offset, uint32_t count, uint32_t empty)
{
	struct dataplane *d = self;
	uint32_t sequence;
	uint64_t *word;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (group >= SB_GROUPS_MAX || count > SB_GROUP_SLOTS_MAX || offset > SB_SLOT_LIST_MAX ||
	    count > SB_SLOT_LIST_MAX - offset || empty > 3)
		return -EINVAL;
	word = element64(d, MAP_GROUPS, group);
	sequence = SB_GROUP_SEQUENCE(__atomic_load_n(word, __ATOMIC_RELAXED)) + 1;
	/* The list that it names is there for whoever sees this. */
	__atomic_store_n(word, SB_GROUP_WORD(offset, count, empty, sequence), __ATOMIC_SEQ_CST);
	return 0;
}

int group_load(void *self, uint32_t group, uint32_t *offset, uint32_t *count, uint32_t *empty)
{
	struct dataplane *d = self;
	uint64_t word;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (group >= SB_GROUPS_MAX)
		return -EINVAL;
	word = __atomic_load_n(element64(d, MAP_GROUPS, group), __ATOMIC_RELAXED);
	if (offset)
		*offset = SB_GROUP_LIST(word);
	if (count)
		*count = SB_GROUP_COUNT(word);
	if (empty)
		*empty = SB_GROUP_EMPTY(word);
	return 0;
}

/* Room for a row of every processor. */
static struct sb_group_counters *rows_new(const struct dataplane *d)
{
	return calloc((size_t)d->n_cpus, sizeof(struct sb_group_counters));
}

int counters_read(void *self, uint32_t group, struct sb_group_counters *ret)
{
	_cleanup_free_ struct sb_group_counters *rows = NULL;
	struct dataplane *d = self;
	int r;

	if (d->unloaded)
		return -ESHUTDOWN;
	rows = rows_new(d);
	if (!rows)
		return -ENOMEM;
	r = bpf_map_lookup_elem(d->maps[MAP_COUNTERS], &group, rows);
	if (r < 0)
		return r;
	*ret = (struct sb_group_counters){};
	for (int i = 0; i < d->n_cpus; i++) {
		ret->lookups += rows[i].lookups;
		ret->misses += rows[i].misses;
		ret->respected += rows[i].respected;
		ret->dead_slots += rows[i].dead_slots;
		ret->err_family += rows[i].err_family;
		ret->err_protocol += rows[i].err_protocol;
		ret->err_state += rows[i].err_state;
		ret->err_other += rows[i].err_other;
		ret->held += rows[i].held;
	}
	return 0;
}

int counters_reset(void *self, uint32_t group)
{
	_cleanup_free_ struct sb_group_counters *rows = NULL;
	struct dataplane *d = self;

	if (d->unloaded)
		return -ESHUTDOWN;
	rows = rows_new(d);
	if (!rows)
		return -ENOMEM;
	return bpf_map_update_elem(d->maps[MAP_COUNTERS], &group, rows, BPF_ANY);
}
