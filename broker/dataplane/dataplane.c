/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/dataplane/dataplane.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "broker/dataplane/internal.h"

static int open_netns(struct dataplane *d, const char *path, struct sb_error *error)
{
	const char *own = "/proc/thread-self/ns/net";
	struct stat st;

	d->netns_path = path;
	d->netns = open(path ? path : own, O_RDONLY | O_CLOEXEC);
	if (d->netns < 0 || fstat(d->netns, &st) < 0)
		return sb_fail(error, errno, "the network namespace %s: %s", path ? path : own,
			       strerror(errno));
	if (ioctl(d->netns, NS_GET_NSTYPE) != CLONE_NEWNET)
		return sb_fail(error, EINVAL,
			       "%s is not a network namespace; `ip netns add NAME` makes one as "
			       "/run/netns/NAME",
			       path ? path : own);
	d->netns_inode = st.st_ino;
	return 0;
}

int dataplane_open(struct dataplane **ret, const struct dataplane_options *options,
		   struct sb_error *error)
{
	_cleanup_(dataplane_freep) struct dataplane *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return sb_fail(error, ENOMEM, "out of memory");
	d->lock = d->netns = d->link = d->hits.map = d->former_counters = -1;
	d->live = GENERATION_NONE;
	for (int i = 0; i < MAP_COUNT; i++)
		d->maps[i] = -1;
	r = libbpf_prepare();
	d->n_cpus = libbpf_num_possible_cpus();
	if (r < 0)
		return sb_fail(error, -r, "preparing libbpf: %s", strerror(-r));
	if (d->n_cpus <= 0)
		return sb_fail(error, EIO, "the number of processors is unknown");

	d->wide = options->wide;
	r = open_netns(d, options->netns, error);
	if (r == 0)
		r = probe_kernel(d, error);
	if (r == 0)
		r = pins_open(d, options->bpffs, error);
	if (r == 0)
		r = adopt(d, error);
	if (r == 0)
		r = maps_open(d, error);
	if (r == 0)
		r = hits_open(d, options->rule_numbers, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(d);
	return 0;
}

void dataplane_free(struct dataplane *d)
{
	if (!d)
		return;
	generation_close(&d->live);
	hits_close(&d->hits);
	maps_close(d);
	sb_close(d->link);
	sb_close(d->netns);
	sb_close(d->lock);
	free(d);
}

void dataplane_forked(struct dataplane *d)
{
	d->lock = sb_close(d->lock);
}

static void info(void *self, struct dataplane_info *ret)
{
	struct dataplane *d = self;

	*ret = (struct dataplane_info){
		.program_id = d->live.program_id,
		.link_id = d->link < 0 ? 0 : d->link_id,
		.generation = d->live.number,
		.netns_inode = d->netns_inode,
		.rules_bytes = SB_RULES_BYTES(d->live.tables.capacity),
		.rule_numbers = d->hits.numbers,
		.former_rules = d->former_rules,
		.took_over = d->took_over,
		.renewed = d->renewed,
		.trouble = d->trouble[0] ? d->trouble : NULL,
	};
}

struct dataplane_port dataplane_port(struct dataplane *d)
{
	return (struct dataplane_port){
		.self = d,
		.publish = publish,
		.edit = edit_live,
		.slot_store = slot_store,
		.slot_clear = slot_clear,
		.slot_cookie = slot_cookie,
		.slot_owner = slot_owner,
		.slot_adopt = slot_adopt,
		.list_store = list_store,
		.group_store = group_store,
		.group_load = group_load,
		.counters = counters_read,
		.counters_reset = counters_reset,
		.hits = hits_read,
		.hits_reset = hits_reset,
		.run = run,
		.programs = programs,
		.info = info,
		.unload = unload,
	};
}
