/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets, their slots, and the groups that name them. The arrays are written through their
 * mappings: one store is one step for the program. */
#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "broker/dataplane/dataplane-internal.h"

static void store32(uint64_t *element, uint32_t value)
{
	/* The value is the first four bytes of an element, whatever the byte order. */
	__atomic_store_n((uint32_t *)element, value, __ATOMIC_RELEASE);
}

static uint32_t load32(const uint64_t *element)
{
	return __atomic_load_n((const uint32_t *)element, __ATOMIC_ACQUIRE);
}

int slots_store(void *self, uint32_t slot, uint32_t owner, int fd)
{
	struct dataplane *d = self;
	uint64_t value = (uint64_t)fd;
	int r;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (slot >= SB_SLOTS_MAX)
		return -E2BIG;
	store32(&d->slot_owners[slot], owner);
	r = bpf_map_update_elem(d->lasting[LASTING_SOCKMAP], &slot, &value, BPF_NOEXIST);
	if (r < 0)
		store32(&d->slot_owners[slot], 0);
	return r;
}

int slots_clear(void *self, uint32_t slot)
{
	struct dataplane *d = self;
	int r;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (slot >= SB_SLOTS_MAX)
		return -E2BIG;
	store32(&d->slot_owners[slot], 0);
	r = bpf_map_delete_elem(d->lasting[LASTING_SOCKMAP], &slot);
	/* The kernel's answer for an empty slot is EINVAL. */
	return r == -EINVAL || r == -ENOENT ? 0 : r;
}

int slots_cookie(void *self, uint32_t slot, uint64_t *ret)
{
	struct dataplane *d = self;

	if (d->unloaded)
		return -ESHUTDOWN;
	return bpf_map_lookup_elem(d->lasting[LASTING_SOCKMAP], &slot, ret);
}

int slots_owner(void *self, uint32_t slot, uint32_t *ret)
{
	struct dataplane *d = self;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (slot >= SB_SLOTS_MAX)
		return -E2BIG;
	*ret = load32(&d->slot_owners[slot]);
	return 0;
}

int slots_list_store(void *self, uint32_t offset, const uint32_t *slots, size_t n)
{
	struct dataplane *d = self;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (n > SB_SLOT_LIST_MAX || offset > SB_SLOT_LIST_MAX - n)
		return -E2BIG;
	for (size_t i = 0; i < n; i++)
		store32(&d->slot_lists[offset + i], slots[i]);
	return 0;
}

int slots_group_store(void *self, uint32_t group, uint32_t offset, uint32_t count, uint32_t empty)
{
	struct dataplane *d = self;
	uint64_t old;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (group >= SB_GROUPS_MAX || count > SB_GROUP_SLOTS_MAX)
		return -E2BIG;
	old = __atomic_load_n(&d->groups[group], __ATOMIC_RELAXED);
	__atomic_store_n(&d->groups[group],
			 SB_GROUP_WORD(offset, count, empty, SB_GROUP_SEQUENCE(old) + 1),
			 __ATOMIC_RELEASE);
	return 0;
}

int slots_group_load(void *self, uint32_t group, uint32_t *offset, uint32_t *count, uint32_t *empty)
{
	struct dataplane *d = self;
	uint64_t word;

	if (d->unloaded)
		return -ESHUTDOWN;
	if (group >= SB_GROUPS_MAX)
		return -E2BIG;
	word = __atomic_load_n(&d->groups[group], __ATOMIC_ACQUIRE);
	if (offset)
		*offset = SB_GROUP_LIST(word);
	if (count)
		*count = SB_GROUP_COUNT(word);
	if (empty)
		*empty = SB_GROUP_EMPTY(word);
	return 0;
}
