/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lasting maps: made and pinned once; what is pinned is checked before it is believed. */
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>

#include "broker/dataplane/dataplane-internal.h"

static const struct {
	const char *name;
	enum bpf_map_type type;
	uint32_t value_size, max_entries, flags;
} lasting_maps[LASTING_N] = {
	[LASTING_SOCKMAP] = { "sockmap", BPF_MAP_TYPE_SOCKMAP, 8, SB_SLOTS_MAX, 0 },
	[LASTING_GROUPS] = { "groups", BPF_MAP_TYPE_ARRAY, 8, SB_GROUPS_MAX, BPF_F_MMAPABLE },
	[LASTING_SLOT_LISTS] = { "slot_lists", BPF_MAP_TYPE_ARRAY, 4, SB_SLOT_LIST_MAX,
				 BPF_F_MMAPABLE },
	[LASTING_SLOT_OWNERS] = { "slot_owners", BPF_MAP_TYPE_ARRAY, 4, SB_SLOTS_MAX,
				  BPF_F_MMAPABLE },
	[LASTING_COUNTERS] = { "counters", BPF_MAP_TYPE_PERCPU_ARRAY,
			       sizeof(struct sb_group_counters), SB_GROUPS_MAX, 0 },
};

const char *lasting_name(enum lasting which)
{
	return lasting_maps[which].name;
}

static int make(struct dataplane *d, enum lasting which, struct sb_error *error)
{
	const __typeof__(lasting_maps[0]) *m = &lasting_maps[which];
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = m->flags);
	int fd = bpf_map_create(m->type, m->name, 4, m->value_size, m->max_entries, &opts), r;

	if (fd == -EPERM)
		return sb_fail(error, EPERM,
			       "the kernel does not let this process make a BPF map: it needs the "
			       "capabilities CAP_BPF and CAP_NET_ADMIN (root has them)");
	if (fd < 0)
		return sb_fail(error, -fd, "BPF map %s cannot be made: %s", m->name, strerror(-fd));
	d->lasting[which] = fd;
	r = pin_put(d, m->name, fd);
	return r < 0 ? sb_fail(error, -r, "BPF map %s cannot be pinned in %s: %s", m->name, d->path,
			       strerror(-r))
		     : 0;
}

static int check(struct dataplane *d, enum lasting which, struct sb_error *error)
{
	const __typeof__(lasting_maps[0]) *m = &lasting_maps[which];
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int r = bpf_obj_get_info_by_fd(d->lasting[which], &info, &size);

	if (r < 0)
		return sb_fail(error, -r, "pin %s/%s: %s", d->path, m->name, strerror(-r));
	if (info.type != m->type || info.key_size != 4 || info.value_size != m->value_size ||
	    info.max_entries != m->max_entries || info.map_flags != m->flags)
		return sb_fail(error, EPROTO,
			       "pin %s/%s is not a map of this version of sockbroker (type %u, "
			       "%u entries of %u bytes); unload what made it, or name another "
			       "directory with --bpffs",
			       d->path, m->name, info.type, info.max_entries, info.value_size);
	return 0;
}

static int map_array(struct dataplane *d, enum lasting which, uint64_t **ret,
		     struct sb_error *error)
{
	void *p = mmap(NULL, (size_t)lasting_maps[which].max_entries * 8, PROT_READ | PROT_WRITE,
		       MAP_SHARED, d->lasting[which], 0);

	if (p == MAP_FAILED)
		return sb_fail(error, errno, "BPF map %s cannot be mapped: %s",
			       lasting_maps[which].name, strerror(errno));
	*ret = p;
	return 0;
}

static int open_one(struct dataplane *d, enum lasting which, struct sb_error *error)
{
	int fd = pin_get(d, lasting_maps[which].name);

	if (fd == -ENOENT)
		return make(d, which, error);
	if (fd < 0)
		return sb_fail(error, -fd, "pin %s/%s cannot be opened: %s", d->path,
			       lasting_maps[which].name, strerror(-fd));
	d->lasting[which] = fd;
	return check(d, which, error);
}

int lasting_open(struct dataplane *d, struct sb_error *error)
{
	int r = 0;

	for (int i = 0; i < LASTING_N && r == 0; i++)
		r = open_one(d, (enum lasting)i, error);
	if (r == 0)
		r = map_array(d, LASTING_GROUPS, &d->groups, error);
	if (r == 0)
		r = map_array(d, LASTING_SLOT_LISTS, &d->slot_lists, error);
	if (r == 0)
		r = map_array(d, LASTING_SLOT_OWNERS, &d->slot_owners, error);
	if (r < 0)
		return r;
	d->scratch = calloc((size_t)d->n_cpus, sizeof(*d->scratch));
	return d->scratch ? 0 : sb_fail(error, ENOMEM, "out of memory");
}

static void unmap(uint64_t *p, enum lasting which)
{
	if (p)
		munmap(p, (size_t)lasting_maps[which].max_entries * 8);
}

void lasting_close(struct dataplane *d)
{
	unmap(d->groups, LASTING_GROUPS);
	unmap(d->slot_lists, LASTING_SLOT_LISTS);
	unmap(d->slot_owners, LASTING_SLOT_OWNERS);
	free(d->scratch);
	for (int i = 0; i < LASTING_N; i++)
		sb_close(d->lasting[i]);
}
