/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lasting maps. The sockmap is made once and pinned for ever: the sockets are in it. The others
 * are taken over together, when all of them are those of the attached program and of this ABI, or
 * made anew together, for a list means nothing without its group. The attached program keeps its
 * own meanwhile, whatever becomes of their pins.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "broker/base/log.h"
#include "broker/dataplane/internal.h"

static const struct map_shape {
	const char *name;
	enum bpf_map_type type;
	uint32_t value_size, max_entries, flags;
} shapes[MAP_COUNT] = {
	[MAP_SOCKMAP] = { "sockmap", BPF_MAP_TYPE_SOCKMAP, 8, SB_SLOTS_MAX, 0 },
	[MAP_GROUPS] = { "groups", BPF_MAP_TYPE_ARRAY, SB_GROUPS_MAX * 8, 1, BPF_F_MMAPABLE },
	[MAP_SLOT_LISTS] = { "slot_lists", BPF_MAP_TYPE_ARRAY, SB_SLOT_LIST_MAX * 4, 1,
			     BPF_F_MMAPABLE },
	[MAP_SLOT_OWNERS] = { "slot_owners", BPF_MAP_TYPE_ARRAY,
			      SB_SLOTS_MAX * sizeof(sb_slot_owner), 1, BPF_F_MMAPABLE },
	[MAP_COUNTERS] = { "counters", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct sb_group_counters),
			   SB_GROUPS_MAX, 0 },
};

const char *map_name(enum map_id id)
{
	return shapes[id].name;
}

const char *map_name_new(enum map_id id, char buf[static MAP_NAME_MAX])
{
	snprintf(buf, MAP_NAME_MAX, "%s_new", shapes[id].name);
	return buf;
}

uint32_t map_number(int fd)
{
	struct bpf_map_info info = {};

	return object_info(fd, &info, sizeof(info)) < 0 ? 0 : info.id;
}

static size_t memory_size(enum map_id id)
{
	return shapes[id].flags & BPF_F_MMAPABLE ? shapes[id].value_size : 0;
}

static bool has_shape(int fd, enum map_id id)
{
	const struct map_shape *s = &shapes[id];
	struct bpf_map_info info = {};

	return object_info(fd, &info, sizeof(info)) == 0 && info.type == s->type &&
	       info.key_size == 4 && info.value_size == s->value_size &&
	       info.max_entries == s->max_entries && info.map_flags == s->flags;
}

static int map_create(struct dataplane *d, enum map_id id, struct sb_error *error)
{
	const struct map_shape *s = &shapes[id];
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = s->flags);

	d->maps[id] = bpf_map_create(s->type, s->name, 4, s->value_size, s->max_entries, &options);
	return d->maps[id] < 0
		       ? explain_refusal(error, -d->maps[id], "making the BPF map %s", s->name)
		       : 0;
}

static int map_memory(struct dataplane *d, enum map_id id, struct sb_error *error)
{
	void *p;

	if (memory_size(id) == 0)
		return 0;
	p = mmap(NULL, memory_size(id), PROT_READ | PROT_WRITE, MAP_SHARED, d->maps[id], 0);
	if (p == MAP_FAILED)
		return sb_fail(error, errno, "mapping the BPF map %s: %s", shapes[id].name,
			       strerror(errno));
	d->memory[id] = p;
	return 0;
}

/* -- the sockmap ---------------------------------------------------------------------------------
 */

static int check_sockmap(const struct dataplane *d, int fd, struct sb_error *error)
{
	char path[PATH_MAX];

	pin_path(d, map_name(MAP_SOCKMAP), path);
	if (!has_shape(fd, MAP_SOCKMAP))
		return sb_fail(error, EEXIST,
			       "%s is not the map of sockets that every sockbroker pins there: "
			       "another program made it; remove what is in %s to start afresh",
			       path, d->directory);
	if (d->former_ours && !program_uses(d->live.program, fd))
		return sb_fail(
			error, EEXIST,
			"%s is not the map that the attached program takes sockets from, and "
			"that one cannot be made anew: traffic goes on as it is; put it back, "
			"or remove what is in %s to start afresh",
			path, d->directory);
	return 0;
}

/* *CREATED: nobody ever used it. */
static int sockmap_open(struct dataplane *d, bool *created, struct sb_error *error)
{
	int fd = pin_get(d, map_name(MAP_SOCKMAP), OBJECT_MAP, error), r;
	char path[PATH_MAX];

	*created = fd == -ENOENT;
	if (fd >= 0) {
		d->maps[MAP_SOCKMAP] = fd;
		return check_sockmap(d, fd, error);
	}
	if (fd != -ENOENT)
		return fd;
	if (d->former_ours)
		return sb_fail(error, ENOENT,
			       "%s is missing, and with it the sockets of the attached program: "
			       "traffic goes on as it is; remove what is in %s to start "
			       "afresh",
			       pin_path(d, map_name(MAP_SOCKMAP), path), d->directory);
	r = map_create(d, MAP_SOCKMAP, error);
	return r < 0 ? r : pin_set(d, map_name(MAP_SOCKMAP), d->maps[MAP_SOCKMAP], error);
}

/* -- the others ----------------------------------------------------------------------------------
 */

/* Opens the pin of ID if it is the attached program's map, of whatever shape; *FITS: of ours. */
static int map_look(struct dataplane *d, enum map_id id, bool *fits, struct sb_error *error)
{
	_cleanup_close_ int fd = pin_get(d, map_name(id), OBJECT_MAP, error);
	char path[PATH_MAX];

	*fits = false;
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd < 0 || d->live.program < 0 || !program_uses(d->live.program, fd)) {
		if (d->former_ours)
			log_warning("%s is missing, or not the map that the attached program uses",
				    pin_path(d, map_name(id), path));
		return 0;
	}
	*fits = has_shape(fd, id);
	/* It may be a newer one's, to which there is no way back. */
	if (!*fits && d->former_abi == 0)
		return sb_fail(error, EEXIST,
			       "%s was made by another version of sockbroker, and %s/%s does not "
			       "say which: traffic goes on as it is; start that version again, or "
			       "remove what is in %s to start afresh",
			       pin_path(d, map_name(id), path), d->directory, PIN_RULES,
			       d->directory);
	d->maps[id] = TAKE_FD(fd);
	return 0;
}

/* *FIT: all are there, and of this ABI. */
static int look_at_all(struct dataplane *d, bool *fit, struct sb_error *error)
{
	*fit = d->former_abi == SB_ABI_VERSION || (d->former_abi == 0 && d->live.program >= 0);
	for (enum map_id id = MAP_RENEWABLE; id < MAP_COUNT; id++) {
		bool fits;
		int r = map_look(d, id, &fits, error);

		if (r < 0)
			return r;
		*fit = *fit && fits;
	}
	return 0;
}

/* What to write at SLOT, with the former OWNERS, words of SIZE bytes (NULL: not known). A slot that
 * was reserved stays so: whoever may put a socket there does not ask which version runs. */
static uint32_t mark_for(const uint8_t *owners, size_t size, uint32_t slot)
{
	uint8_t any = 0;
	uint32_t word;

	if (!owners)
		return 0;
	for (size_t i = 0; i < size; i++)
		any |= owners[slot * size + i];
	if (size == sizeof(word)) {
		memcpy(&word, owners + slot * size, sizeof(word));
		if (word == SB_SLOT_RESERVED)
			return SB_SLOT_RESERVED;
	}
	return any ? SB_SLOT_OWNER_UNKNOWN : 0;
}

/* Marks the slots in which there are sockets, whose they are the core will know; and those that had
 * an owner: lists of the former program may still lead there. */
static int mark_slots(struct dataplane *d, const uint8_t *owners, size_t size,
		      struct sb_error *error)
{
	for (uint32_t slot = 0; slot < SB_SLOTS_MAX; slot++) {
		uint32_t mark = mark_for(owners, size, slot);
		uint64_t cookie;
		int r = slot_cookie(d, slot, &cookie);

		if (r < 0 && r != -ENOENT)
			return sb_fail(error, EIO, "slot %u cannot be read: %s", slot,
				       strerror(-r));
		if (r == 0 && mark == 0)
			mark = SB_SLOT_OWNER_UNKNOWN;
		if (mark)
			slot_adopt(d, slot, mark);
	}
	return 0;
}

/* The same, with the former map of OWNERS (-1: none), of whatever version. */
static int mark_former_slots(struct dataplane *d, int owners, struct sb_error *error)
{
	struct bpf_map_info info = {};
	void *p = MAP_FAILED;
	int r;

	if (owners >= 0 && object_info(owners, &info, sizeof(info)) == 0 &&
	    info.type == BPF_MAP_TYPE_ARRAY && info.max_entries == 1 &&
	    info.value_size % SB_SLOTS_MAX == 0)
		p = mmap(NULL, info.value_size, PROT_READ, MAP_SHARED, owners, 0);
	r = mark_slots(d, p == MAP_FAILED ? NULL : p, info.value_size / SB_SLOTS_MAX, error);
	if (p != MAP_FAILED)
		munmap(p, info.value_size);
	return r;
}

static int create_renewable(struct dataplane *d, struct sb_error *error)
{
	int r = 0;

	for (enum map_id id = MAP_RENEWABLE; id < MAP_COUNT && r == 0; id++) {
		sb_close(d->maps[id]);
		r = map_create(d, id, error);
		if (r == 0)
			r = map_memory(d, id, error);
	}
	return r;
}

/* The former maps stay with the attached program; its counters will be read once more. */
static int make_anew(struct dataplane *d, bool any_slots, struct sb_error *error)
{
	_cleanup_close_ int owners = TAKE_FD(d->maps[MAP_SLOT_OWNERS]);
	int r;

	if (d->former_abi && d->former_abi != SB_ABI_VERSION)
		log_notice("what is pinned in %s is of ABI %u, this version has ABI %d",
			   d->directory, d->former_abi, SB_ABI_VERSION);
	if (d->link >= 0)
		log_notice("all maps but the one of sockets are made anew, and packets go over to "
			   "them in one step");
	d->renewed = true;
	d->former_counters = TAKE_FD(d->maps[MAP_COUNTERS]);
	r = create_renewable(d, error);
	return r < 0 || !any_slots ? r : mark_former_slots(d, owners, error);
}

int maps_open(struct dataplane *d, struct sb_error *error)
{
	bool fit = false, created;
	int r = sockmap_open(d, &created, error);

	if (r == 0)
		r = look_at_all(d, &fit, error);
	if (r == 0 && !fit)
		r = make_anew(d, !created, error);
	for (enum map_id id = MAP_RENEWABLE; id < MAP_COUNT && r == 0 && fit; id++)
		r = map_memory(d, id, error);
	if (r < 0)
		return r;
	d->took_over = d->link >= 0 &&
		       (d->live.program < 0 || program_uses(d->live.program, d->maps[MAP_SOCKMAP]));
	return 0;
}

void maps_close(struct dataplane *d)
{
	for (enum map_id id = 0; id < MAP_COUNT; id++) {
		if (d->memory[id])
			munmap(d->memory[id], memory_size(id));
		d->memory[id] = NULL;
		d->maps[id] = sb_close(d->maps[id]);
	}
	d->former_counters = sb_close(d->former_counters);
}
