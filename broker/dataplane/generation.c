/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One rule set in the kernel: the rules map and the program that was loaded with it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "bpf/sockbroker.skel.h"
#include "broker/dataplane/dataplane-internal.h"
#include "broker/dataplane/libbpf-log.h"

/* Words of a rules map beyond what the rules need: a quarter, so that room for edits follows the
 * size, and 512 KiB, so that small sets are edited for long too. */
#define ROOM_WORDS(used) ((used) / 4 + 65536)

void generation_clear(struct generation *g)
{
	if (g->tables.words)
		munmap(g->tables.words, SB_RULES_BYTES(g->tables.capacity));
	sb_close(g->map);
	sb_close(g->program);
	*g = GENERATION_NULL;
}

static int map_words(struct generation *g, size_t words)
{
	void *p = mmap(NULL, SB_RULES_BYTES(words), PROT_READ | PROT_WRITE, MAP_SHARED, g->map, 0);

	if (p == MAP_FAILED)
		return -errno;
	g->tables.words = p;
	g->tables.capacity = words;
	return 0;
}

static int new_map(const struct ruleset *rules, struct generation *g, struct sb_error *error)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	size_t used = g->tables.numbers ? compile_size_numbered(rules) : compile_size(rules);
	size_t words;
	int r;

	if (used == SIZE_MAX)
		return sb_fail(error, ENOMEM, "out of memory while compiling %zu rules",
			       ruleset_count(rules));
	words = used + ROOM_WORDS(used);
	if (SB_RULES_BYTES(words) > SB_RULES_BYTES_MAX)
		return sb_fail(error, E2BIG,
			       "%zu rules need %zu MiB when compiled, a map may have %zu",
			       ruleset_count(rules), (size_t)(SB_RULES_BYTES(words) >> 20),
			       (size_t)(SB_RULES_BYTES_MAX >> 20));
	g->map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "rules", 4, (uint32_t)SB_RULES_BYTES(words), 1,
				&opts);
	if (g->map < 0)
		return sb_fail(error, -g->map,
			       "a BPF map of %zu MiB for %zu rules cannot be made: %s",
			       (size_t)(SB_RULES_BYTES(words) >> 20), ruleset_count(rules),
			       strerror(-g->map));
	r = map_words(g, words);
	if (r == 0)
		r = compile(rules, &g->tables);
	return r < 0 ? sb_fail(error, -r, "%zu rules cannot be compiled: %s", ruleset_count(rules),
			       strerror(-r))
		     : 0;
}

static int reuse_maps(struct dataplane *d, struct sockbroker *skel, const struct generation *g)
{
	struct bpf_map *const maps[LASTING_N] = {
		[LASTING_SOCKMAP] = skel->maps.sockmap,
		[LASTING_GROUPS] = skel->maps.groups,
		[LASTING_SLOT_LISTS] = skel->maps.slot_lists,
		[LASTING_SLOT_OWNERS] = skel->maps.slot_owners,
		[LASTING_COUNTERS] = skel->maps.counters,
	};
	int r = bpf_map__reuse_fd(skel->maps.rules, g->map);

	for (int i = 0; i < LASTING_N && r == 0; i++)
		r = bpf_map__reuse_fd(maps[i], d->lasting[i]);
	return r;
}

static int try_load(struct dataplane *d, struct generation *g, bool has_ifindex)
{
	struct sockbroker *skel = sockbroker__open();
	int r;

	if (!skel)
		return -errno;
	skel->rodata->rules_words = g->tables.capacity;
	skel->rodata->has_ifindex = has_ifindex;
	r = reuse_maps(d, skel, g);
	if (r == 0)
		r = sockbroker__load(skel);
	if (r == 0) {
		g->program = fcntl(bpf_program__fd(skel->progs.sockbroker), F_DUPFD_CLOEXEC, 3);
		r = g->program < 0 ? -errno : 0;
	}
	sockbroker__destroy(skel);
	return r;
}

static int load_program(struct dataplane *d, struct generation *g, struct sb_error *error)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int r;

	libbpf_log_forget();
	r = try_load(d, g, d->has_ifindex);
	/* A kernel before 5.17 refuses the access to ctx->ingress_ifindex. */
	if (r == -EACCES && d->has_ifindex) {
		d->has_ifindex = false;
		r = try_load(d, g, false);
	}
	if (r == -EPERM)
		return sb_fail(error, EPERM,
			       "the kernel does not let this process load a BPF program: it needs "
			       "the capabilities CAP_BPF and CAP_NET_ADMIN (root has them)");
	if (r < 0)
		return sb_fail(error, -r, "the sk_lookup program cannot be loaded: %s%s%s",
			       strerror(-r), libbpf_log_last()[0] ? ": " : "", libbpf_log_last());
	r = bpf_obj_get_info_by_fd(g->program, &info, &size);
	if (r < 0)
		return sb_fail(error, -r, "the sk_lookup program: %s", strerror(-r));
	g->program_id = info.id;
	return 0;
}

int generation_new(struct dataplane *d, const struct ruleset *rules, uint64_t number,
		   struct generation *ret, struct sb_error *error)
{
	struct generation g = GENERATION_NULL;
	struct sb_rules_header *header;
	int r;

	g.number = number;
	g.tables.numbers = d->rule_counters;
	r = new_map(rules, &g, error);
	if (r == 0) {
		header = (struct sb_rules_header *)g.tables.words;
		header->generation = number;
		r = load_program(d, &g, error);
	}
	if (r < 0) {
		generation_clear(&g);
		return r;
	}
	*ret = g;
	return 0;
}

/* Whether program FD uses the map FD. */
static bool uses_map(int program, int map)
{
	struct bpf_map_info map_info = { 0 };
	struct bpf_prog_info info = { 0 };
	uint32_t ids[32], size = sizeof(map_info);

	if (bpf_obj_get_info_by_fd(map, &map_info, &size) < 0)
		return false;
	info.nr_map_ids = ARRAY_SIZE(ids);
	info.map_ids = (uintptr_t)ids;
	size = sizeof(info);
	if (bpf_obj_get_info_by_fd(program, &info, &size) < 0)
		return false;
	for (uint32_t i = 0; i < info.nr_map_ids && i < ARRAY_SIZE(ids); i++)
		if (ids[i] == map_info.id)
			return true;
	return false;
}

/* The header of a pinned rules map is as hostile as everything else that is read back. */
static int check_words(struct generation *g)
{
	const struct sb_rules_header *h;
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int r;

	if (bpf_obj_get_info_by_fd(g->map, &info, &size) < 0 || info.type != BPF_MAP_TYPE_ARRAY ||
	    info.max_entries != 1 || !(info.map_flags & BPF_F_MMAPABLE) || info.value_size % 8 ||
	    info.value_size / 8 < SB_RULES_FIRST_BLOCK)
		return -EPROTO;
	r = map_words(g, info.value_size / 8);
	if (r < 0)
		return r;
	h = (const struct sb_rules_header *)g->tables.words;
	if (h->abi != SB_ABI_VERSION || h->words != g->tables.capacity ||
	    h->words_used > g->tables.capacity)
		return -EPROTO;
	g->tables.used = h->words_used;
	g->number = h->generation;
	return 0;
}

int generation_take_over(struct dataplane *d, uint32_t link_program_id, struct generation *ret)
{
	struct generation g = GENERATION_NULL;
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int r = -ENOENT;

	g.program = pin_get(d, "prog");
	g.map = pin_get(d, "rules");
	if (g.program >= 0 && g.map >= 0 && bpf_obj_get_info_by_fd(g.program, &info, &size) == 0 &&
	    info.id == link_program_id && uses_map(g.program, g.map))
		r = check_words(&g);
	if (r < 0) {
		generation_clear(&g);
		return -ENOENT;
	}
	g.program_id = info.id;
	*ret = g;
	return 0;
}
