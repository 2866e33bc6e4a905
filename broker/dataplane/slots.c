/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the core stores into the lasting maps, and reads back. */
#include <bpf/bpf.h>
#include <string.h>

#include "broker/dataplane/internal.h"

/* What a word out of bounds is read as: no sockets, and no verdict that there is. */
#define GROUP_NONSENSE SB_GROUP_WORD(0, 0, 3, 0)

static sb_slot_owner *owner_of(const struct dataplane *d, uint32_t slot)
{
	return (sb_slot_owner *)d->memory[MAP_SLOT_OWNERS] + slot;
}

static uint32_t *place(const struct dataplane *d, uint32_t index)
{
	return (uint32_t *)d->memory[MAP_SLOT_LISTS] + index;
}

static uint64_t *word_of(const struct dataplane *d, uint32_t group)
{
	return (uint64_t *)d->memory[MAP_GROUPS] + group;
}

static uint32_t owner_load(const struct dataplane *d, uint32_t slot)
{
	return (uint32_t)__atomic_load_n(owner_of(d, slot), __ATOMIC_SEQ_CST);
}

static void owner_store(struct dataplane *d, uint32_t slot, uint32_t owner)
{
	__atomic_store_n(owner_of(d, slot), owner, __ATOMIC_SEQ_CST);
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
	before = owner_load(d, slot);
	owner_store(d, slot, owner);
	r = bpf_map_update_elem(d->maps[MAP_SOCKMAP], &slot, &value, BPF_NOEXIST);
	/* What nobody owns was not put there by us: no packet ever met it. */
	if (r == -EEXIST && before == 0)
		r = bpf_map_update_elem(d->maps[MAP_SOCKMAP], &slot, &value, BPF_ANY);
	if (r < 0)
		owner_store(d, slot, before);
	return r;
}

int dataplane_store_socket(int sockmap, uint32_t slot, int fd)
{
	uint64_t value = (uint64_t)fd;

	return bpf_map_update_elem(sockmap, &slot, &value, BPF_NOEXIST);
}

int dataplane_sockmap(const struct dataplane *d)
{
	return d->maps[MAP_SOCKMAP];
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
	*ret = owner_load(d, slot);
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
		__atomic_store_n(place(d, offset + (uint32_t)i), slots[i], __ATOMIC_RELAXED);
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
	word = word_of(d, group);
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
	word = __atomic_load_n(word_of(d, group), __ATOMIC_RELAXED);
	if (SB_GROUP_COUNT(word) > SB_GROUP_SLOTS_MAX || SB_GROUP_LIST(word) > SB_SLOT_LIST_MAX ||
	    SB_GROUP_COUNT(word) > SB_SLOT_LIST_MAX - SB_GROUP_LIST(word))
		word = GROUP_NONSENSE;
	if (offset)
		*offset = SB_GROUP_LIST(word);
	if (count)
		*count = SB_GROUP_COUNT(word);
	if (empty)
		*empty = SB_GROUP_EMPTY(word);
	return 0;
}
