/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A generation: rules compiled into a map of their own, and a program that has that map built in.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "bpf/sockbroker.skel.h"
#include "broker/dataplane/internal.h"

/* Room that a generation keeps for edits: a quarter and half a mebibyte. */
#define ROOM_WORDS(used) ((used) / 4 + 65536)
#define PAGE_WORDS 512 /* maps are mapped by pages */
/* The verifier lets no pointer into a map be moved further (BPF_MAX_VAR_OFF). */
#define RULES_BYTES_MAX (1U << 29)

void generation_close(struct generation *g)
{
	if (g->tables.words)
		munmap(g->tables.words, SB_RULES_BYTES(g->tables.capacity + SB_RULES_MARGIN));
	sb_close(g->map);
	sb_close(g->program);
	*g = GENERATION_NONE;
}

/* For tables of CAPACITY words. */
static int create_rules_map(size_t capacity)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	uint64_t bytes = SB_RULES_BYTES(capacity + SB_RULES_MARGIN);

	if (bytes > RULES_BYTES_MAX)
		return -E2BIG;
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "sb_rules", 4, (uint32_t)bytes, 1, &options);
}

/* Capacity for tables of WORDS in a map of whole pages. */
static size_t whole_pages(size_t words)
{
	words += SB_RULES_MARGIN;
	return (words + PAGE_WORDS - 1) / PAGE_WORDS * PAGE_WORDS - SB_RULES_MARGIN;
}

/* The map for RULES that need USED words; its size becomes the tables' capacity. */
static int make_map(struct generation *g, size_t used, size_t n_rules, struct sb_error *error)
{
	size_t capacity = whole_pages(used + ROOM_WORDS(used));

	g->map = create_rules_map(capacity);
	if (g->map == -E2BIG) {
		/* Before Linux 6.0 a value has 4 MiB at most: rather no room than no rules. */
		capacity = whole_pages(used);
		g->map = create_rules_map(capacity);
	}
	if (g->map == -E2BIG)
		return sb_fail(
			error, E2BIG,
			"%zu rules need %zu KiB in one BPF map, more than this kernel allows: "
			"Linux 6.0 and later allow 512 MiB",
			n_rules, capacity / 128);
	if (g->map < 0)
		return explain_refusal(error, -g->map, "making a BPF map of %zu KiB for %zu rules",
				       capacity / 128, n_rules);
	g->tables.capacity = capacity;
	return 0;
}

static int make_tables(struct generation *g, const struct ruleset *rules, struct sb_error *error)
{
	size_t used = compile_size_for(rules, &g->tables);
	size_t n = ruleset_count(rules);
	struct tables *t = &g->tables;
	void *words;
	int r;

	if (used == SIZE_MAX)
		return sb_fail(error, ENOMEM, "compiling %zu rules: out of memory", n);
	r = make_map(g, used, n, error);
	if (r < 0)
		return r;
	words = mmap(NULL, SB_RULES_BYTES(t->capacity + SB_RULES_MARGIN), PROT_READ | PROT_WRITE,
		     MAP_SHARED, g->map, 0);
	if (words == MAP_FAILED)
		return sb_fail(error, errno, "mapping the BPF map of %zu rules: %s", n,
			       strerror(errno));
	t->words = words;
	r = compile(rules, t);
	if (r < 0)
		return sb_fail(error, -r, "compiling %zu rules: %s", n, strerror(-r));
	((struct sb_rules_header *)words)->generation = g->number;
	return 0;
}

/* Whether this is a map of one large value, which the program addresses directly. */
static bool has_direct_value(int map)
{
	struct bpf_map_info info = {};

	return object_info(map, &info, sizeof(info)) == 0 && info.type == BPF_MAP_TYPE_ARRAY &&
	       info.max_entries == 1 && info.map_flags == BPF_F_MMAPABLE;
}

int point_to_values(struct bpf_program *program, struct bpf_prog_load_opts *options, long cookie)
{
	size_t n = bpf_program__insn_cnt(program);
	_cleanup_free_ struct bpf_insn *code = calloc(n, sizeof(code[0]));

	if (!code)
		return -ENOMEM;
	memcpy(code, bpf_program__insns(program), n * sizeof(code[0]));
	for (size_t i = 0; i + 1 < n; i++) {
		if (code[i].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (code[i].src_reg == BPF_PSEUDO_MAP_FD && has_direct_value(code[i].imm))
			code[i].src_reg = BPF_PSEUDO_MAP_VALUE;
		i++; /* it is two instructions long */
	}
	return bpf_program__set_insns(program, code, n);
}

static int reuse_maps(struct dataplane *d, struct generation *g, const struct sockbroker *skeleton)
{
	struct bpf_map *const maps[MAP_COUNT] = {
		[MAP_SOCKMAP] = skeleton->maps.sockmap,
		[MAP_GROUPS] = skeleton->maps.groups,
		[MAP_SLOT_LISTS] = skeleton->maps.slot_lists,
		[MAP_SLOT_OWNERS] = skeleton->maps.slot_owners,
		[MAP_COUNTERS] = skeleton->maps.counters,
	};
	int r = bpf_map__reuse_fd(skeleton->maps.rules, g->map);

	if (r == 0)
		r = bpf_map__reuse_fd(skeleton->maps.hits, d->hits.map);
	for (enum map_id id = 0; id < MAP_COUNT && r == 0; id++)
		r = bpf_map__reuse_fd(maps[id], d->maps[id]);
	return r;
}

static int load_skeleton(struct dataplane *d, struct generation *g, struct sockbroker *skeleton)
{
	int r = reuse_maps(d, g, skeleton);

	skeleton->rodata->rules_words = g->tables.capacity;
	skeleton->rodata->wide_word4 = g->tables.wide_word[0];
	skeleton->rodata->wide_word6 = g->tables.wide_word[1];
	skeleton->rodata->has_ifindex = d->has_ifindex;
	skeleton->rodata->hit_numbers = d->hits.numbers;
	skeleton->rodata->hit_rows = d->hits.rows;
	if (r == 0)
		r = sockbroker__load(skeleton);
	if (r < 0)
		return r;
	g->program = fcntl(bpf_program__fd(skeleton->progs.sockbroker), F_DUPFD_CLOEXEC, 3);
	return g->program < 0 ? -errno : 0;
}

static int load_program(struct dataplane *d, struct generation *g, struct sb_error *error)
{
	struct sockbroker *skeleton = sockbroker__open();
	int r;

	if (!skeleton)
		return explain_refusal(error, errno, "opening the sk_lookup program");
	r = load_skeleton(d, g, skeleton);
	sockbroker__destroy(skeleton);
	return r < 0 ? explain_refusal(error, -r, "loading the sk_lookup program") : 0;
}

static int read_ids(struct generation *g, struct sb_error *error)
{
	struct bpf_prog_info program = {};
	struct bpf_map_info map = {};
	int r = object_info(g->program, &program, sizeof(program));

	if (r == 0)
		r = object_info(g->map, &map, sizeof(map));
	if (r < 0)
		return sb_fail(error, -r, "asking for the sk_lookup program's id: %s",
			       strerror(-r));
	g->program_id = program.id;
	g->map_id = map.id;
	return 0;
}

int generation_build(struct dataplane *d, const struct ruleset *rules, uint64_t number,
		     struct generation *ret, struct sb_error *error)
{
	struct generation g = GENERATION_NONE;
	int r;

	g.number = number;
	g.tables.numbers = d->hits.numbers > 0;
	g.tables.wide = d->wide;
	r = make_tables(&g, rules, error);
	if (r == 0)
		r = load_program(d, &g, error);
	if (r == 0)
		r = read_ids(&g, error);
	if (r < 0) {
		generation_close(&g);
		return r;
	}
	*ret = g;
	return 0;
}

int generation_identify(int map, uint32_t *abi, uint64_t *number, uint32_t *n_rules)
{
	struct sb_rules_header *header;
	struct bpf_map_info info = {};
	int r = object_info(map, &info, sizeof(info));

	if (r < 0)
		return r;
	if (info.type != BPF_MAP_TYPE_ARRAY || info.max_entries != 1 ||
	    info.map_flags != BPF_F_MMAPABLE || info.value_size < sizeof(*header))
		return -EPROTO;
	header = mmap(NULL, sizeof(*header), PROT_READ, MAP_SHARED, map, 0);
	if (header == MAP_FAILED)
		return -errno;
	*abi = header->abi;
	*number = header->generation;
	*n_rules = header->abi == SB_ABI_VERSION ? header->n_rules : 0;
	munmap(header, sizeof(*header));
	return *abi ? 0 : -EPROTO;
}

int edit_live(void *self, const struct ruleset *rules, const struct sb_prefix *prefix,
	      struct sb_error *error)
{
	struct dataplane *d = self;
	int r;

	if (d->unloaded)
		return sb_fail(error, ESHUTDOWN, "the dataplane is unloaded");
	/* Tables that this process has not compiled are like some other rules. */
	if (!d->live.tables.words)
		return publish(self, rules, error);
	r = tables_update_prefix(&d->live.tables, rules, prefix);
	if (r == -ENOMEM)
		return sb_fail(error, ENOMEM, "editing the rules: out of memory");
	/* No room left, or the tables were damaged under us: a new generation has neither. */
	return r < 0 ? publish(self, rules, error) : 0;
}
