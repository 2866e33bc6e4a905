/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lasting maps: made once, pinned for ever, the same for every version with this ABI. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <sys/mman.h>

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
	[MAP_SLOT_OWNERS] = { "slot_owners", BPF_MAP_TYPE_ARRAY, SB_SLOTS_MAX * 4, 1,
			      BPF_F_MMAPABLE },
	[MAP_COUNTERS] = { "counters", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct sb_group_counters),
			   SB_GROUPS_MAX, 0 },
};

const char *map_name(enum map_id id)
{
	return shapes[id].name;
}

static size_t memory_size(enum map_id id)
{
	return shapes[id].flags & BPF_F_MMAPABLE ? shapes[id].value_size : 0;
}

static int map_check(const struct dataplane *d, enum map_id id, int fd, struct sb_error *error)
{
	const struct map_shape *s = &shapes[id];
	struct bpf_map_info info = {};
	char path[PATH_MAX];
	int r = object_info(fd, &info, sizeof(info));

	if (r < 0)
		return sb_fail(error, -r, "%s: %s", pin_path(d, s->name, path), strerror(-r));
	if (info.type != s->type || info.key_size != 4 || info.value_size != s->value_size ||
	    info.max_entries != s->max_entries || info.map_flags != s->flags)
		return sb_fail(
			error, EEXIST,
			"%s is not the map that sockbroker (ABI %d) pins there: another version "
			"or program made it; remove %s to start afresh",
			pin_path(d, s->name, path), SB_ABI_VERSION, d->directory);
	return 0;
}

static int map_create(const struct dataplane *d, enum map_id id, struct sb_error *error)
{
	const struct map_shape *s = &shapes[id];
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = s->flags);
	_cleanup_close_ int fd =
		bpf_map_create(s->type, s->name, 4, s->value_size, s->max_entries, &options);
	int r;

	if (fd < 0)
		return explain_refusal(error, -fd, "making the BPF map %s", s->name);
	r = pin_set(d, s->name, fd, error);
	return r < 0 ? r : TAKE_FD(fd);
}

static int map_open(struct dataplane *d, enum map_id id, bool *complete, struct sb_error *error)
{
	size_t size = memory_size(id);
	int fd = pin_get(d, shapes[id].name, OBJECT_MAP, error), r;
	void *p;

	if (fd == -ENOENT) {
		*complete = false;
		fd = map_create(d, id, error);
	}
	if (fd < 0)
		return fd;
	d->maps[id] = fd;
	r = map_check(d, id, fd, error);
	if (r < 0 || size == 0)
		return r;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return sb_fail(error, errno, "mapping the BPF map %s: %s", shapes[id].name,
			       strerror(errno));
	d->memory[id] = p;
	return 0;
}

int maps_open(struct dataplane *d, bool *complete, struct sb_error *error)
{
	*complete = true;
	for (enum map_id id = 0; id < MAP_COUNT; id++) {
		int r = map_open(d, id, complete, error);

		if (r < 0)
			return r;
	}
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
}
