/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/programs.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "tests/bench/baseline.bench.skel.h"
#include "tests/bench/walk.bench.skel.h"

const char *program_name(enum program p)
{
	static const char *const names[] = {
		[EMPTY] = "empty",           [FIXED] = "fixed",   [LPM_LOOKUP] = "lpm_lookup",
		[LPM_WHOLE] = "lpm_program", [LOOKUP] = "lookup", [WHOLE] = "program",
	};

	return names[p];
}

/*
 * With neither CAP_PERFMON nor CAP_SYS_ADMIN, which the broker's unit does not have, the verifier
 * adds instructions to programs against speculation (and the other way round, as root).
 */
static void capabilities(bool all)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	const int both[] = { CAP_SYS_ADMIN, CAP_PERFMON };

	must((int)syscall(SYS_capget, &header, data), "capget");
	for (unsigned i = 0; i < ARRAY_SIZE(both); i++) {
		if (all)
			data[both[i] / 32].effective |= 1U << both[i] % 32;
		else
			data[both[i] / 32].effective &= ~(1U << both[i] % 32);
	}
	must((int)syscall(SYS_capset, &header, data), "capset");
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void info_of(int fd, void *info, uint32_t size)
{
	must(bpf_obj_get_info_by_fd(fd, info, &size), "asking for an object's facts");
}

/* The map called NAME of PROGRAM. */
static int map_of(int program, const char *name)
{
	struct bpf_prog_info info = {};
	uint32_t ids[32];

	info.nr_map_ids = ARRAY_SIZE(ids);
	info.map_ids = (uintptr_t)ids;
	info_of(program, &info, sizeof(info));
	for (uint32_t i = 0; i < info.nr_map_ids; i++) {
		struct bpf_map_info map = {};
		int fd = must(bpf_map_get_fd_by_id(ids[i]), "map");

		info_of(fd, &map, sizeof(map));
		if (strcmp(map.name, name) == 0)
			return fd;
		close(fd);
	}
	errx(1, "the program has no map %s", name);
}

static void reuse(struct bpf_map *map, int fd)
{
	must(bpf_map__reuse_fd(map, fd), "reusing a map");
}

static void reuse_live(struct bpf_map *map, int program, const char *name)
{
	_cleanup_close_ int fd = map_of(program, name);

	reuse(map, fd);
}

/* How many counters a rule has. */
static uint32_t hit_rows(int program, uint32_t numbers)
{
	_cleanup_close_ int fd = map_of(program, "sb_hits");
	struct bpf_map_info info = {};

	info_of(fd, &info, sizeof(info));
	return numbers ? info.value_size / 8 / numbers : 1;
}

static void load_walk(struct programs *p, struct host *h)
{
	struct walk_bench *s = p->walk = walk_bench__open();
	_cleanup_close_ int rules = map_of(p->live, "sb_rules");
	struct bpf_map_info info = {};
	struct sb_rules_header *header;

	if (!s)
		err(1, "opening the walk");
	info_of(rules, &info, sizeof(info));
	reuse(s->maps.rules, rules);
	reuse_live(s->maps.sockmap, p->live, "sockmap");
	reuse_live(s->maps.groups, p->live, "groups");
	reuse_live(s->maps.slot_lists, p->live, "slot_lists");
	reuse_live(s->maps.slot_owners, p->live, "slot_owners");
	reuse_live(s->maps.counters, p->live, "counters");
	reuse_live(s->maps.hits, p->live, "sb_hits");
	reuse(s->maps.packets, h->packets);
	reuse(s->maps.state, h->state);
	s->rodata->hit_numbers = h->rule_numbers;
	s->rodata->hit_rows = hit_rows(p->live, h->rule_numbers);
	s->rodata->rules_words = info.value_size / 8 - SB_RULES_MARGIN;
	header = map_memory(rules, 4096);
	p->words_used = header->words_used;
	s->rodata->wide_word4 = header->wide_word[0];
	s->rodata->wide_word6 = header->wide_word[1];
	munmap(header, 4096);
	capabilities(!h->few_capabilities);
	must(walk_bench__load(s), "loading the walk");
	capabilities(true);
	p->rules_bytes = info.value_size;
	p->hot[WHOLE] = bpf_program__fd(s->progs.sockbroker);
	p->hot[LOOKUP] = bpf_program__fd(s->progs.lookup_hot);
	p->cold[LOOKUP] = bpf_program__fd(s->progs.lookup_cold);
	p->cold[WHOLE] = bpf_program__fd(s->progs.whole_cold);
}

static void add_to_trie(int map, const struct rule *r)
{
	bool v6 = r->family == AF_INET6;
	struct lpm_value value = {
		.slot = (v6 ? IPV6_FIRST_SLOT : 0) + r->label,
		.length = r->prefix_length,
	};
	struct lpm_key6 key = {
		.length = LPM_FIXED_BITS + r->prefix_length,
		.port = r->port_first == r->port_last ? r->port_first : 0,
		.protocol = r->protocol,
	};

	_Static_assert(offsetof(struct lpm_key4, address) == offsetof(struct lpm_key6, address),
		       "one stands in for the other");
	memcpy(key.address, r->address, sizeof(key.address));
	must(bpf_map_update_elem(map, &key, &value, 0), "adding to a trie");
}

static uint64_t memlock_of(int fd)
{
	uint64_t bytes = 0;
	char path[64], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "memlock:", 8) == 0)
			bytes = strtoull(line + 8, NULL, 10);
	if (f)
		fclose(f);
	return bytes;
}

static void load_baseline(struct programs *p, struct host *h, const struct set *set, int family)
{
	struct baseline_bench *s = p->baseline = baseline_bench__open();
	struct bpf_map *trie;
	double start;

	if (!s)
		err(1, "opening the baselines");
	trie = family == AF_INET ? s->maps.lpm4 : s->maps.lpm6;
	must(bpf_map__set_max_entries(trie, (uint32_t)set->n + 1), "trie's size");
	reuse_live(s->maps.sockmap, p->live, "sockmap");
	reuse(s->maps.packets, h->packets);
	reuse(s->maps.state, h->state);
	capabilities(!h->few_capabilities);
	must(baseline_bench__load(s), "loading the baselines");
	capabilities(true);
	start = seconds(CLOCK_MONOTONIC);
	for (size_t i = 0; i < set->n; i++)
		add_to_trie(bpf_map__fd(trie), &set->rules[i]);
	p->lpm_seconds = seconds(CLOCK_MONOTONIC) - start;
	p->lpm_bytes = memlock_of(bpf_map__fd(trie));
	p->hot[EMPTY] = bpf_program__fd(s->progs.empty_hot);
	p->hot[FIXED] = bpf_program__fd(s->progs.fixed_hot);
	p->hot[LPM_LOOKUP] = bpf_program__fd(s->progs.lpm_lookup_hot);
	p->hot[LPM_WHOLE] = bpf_program__fd(s->progs.lpm_hot);
	p->cold[EMPTY] = bpf_program__fd(s->progs.empty_cold);
	p->cold[FIXED] = bpf_program__fd(s->progs.fixed_cold);
	p->cold[LPM_LOOKUP] = bpf_program__fd(s->progs.lpm_lookup_cold);
	p->cold[LPM_WHOLE] = bpf_program__fd(s->progs.lpm_cold);
}

struct programs programs_load(struct host *h, const struct set *set, int family)
{
	struct dataplane_info info = {};
	struct ruleset *rules = set_ruleset(set);
	struct sb_error error = {};
	struct programs p = {};
	double start = seconds(CLOCK_MONOTONIC);

	if (h->port.publish(h->port.self, rules, &error) < 0)
		errx(1, "%s", error.message);
	p.publish_seconds = seconds(CLOCK_MONOTONIC) - start;
	ruleset_free(rules);
	h->port.info(h->port.self, &info);
	p.live = must(bpf_prog_get_fd_by_id(info.program_id), "the program");
	load_walk(&p, h);
	load_baseline(&p, h, set, family);
	return p;
}

void programs_clear(struct programs *p)
{
	walk_bench__destroy(p->walk);
	baseline_bench__destroy(p->baseline);
	sb_close(p->live);
}

static struct bpf_sk_lookup context_of(const struct packet *p)
{
	struct bpf_sk_lookup c = {
		.family = p->destination.family,
		.protocol = p->protocol,
		.local_port = p->port,
		.remote_port = htons(40000),
	};

	if (c.family == AF_INET) {
		memcpy(&c.local_ip4, p->destination.bytes, 4);
		c.remote_ip4 = htonl(0xc6336401);
	} else {
		memcpy(c.local_ip6, p->destination.bytes, 16);
		c.remote_ip6[3] = htonl(1);
	}
	return c;
}

static double run(int program, const struct packet *packet, unsigned repeat, uint64_t *cookie)
{
	struct bpf_sk_lookup in = context_of(packet), out = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &in, .ctx_size_in = sizeof(in),
		    .ctx_out = &out, .ctx_size_out = sizeof(out), .repeat = (int)repeat);
	double start = seconds(CLOCK_THREAD_CPUTIME_ID), end;

	must(bpf_prog_test_run_opts(program, &options), "a test run");
	end = seconds(CLOCK_THREAD_CPUTIME_ID);
	if (cookie)
		*cookie = out.cookie;
	return (end - start) * 1e9 / repeat;
}

double run_hot(int program, const struct packet *packet, unsigned repeat)
{
	return run(program, packet, repeat, NULL);
}

double run_cold(struct host *h, int program, int family, unsigned first, unsigned repeat)
{
	const struct packet packet = {
		.destination.family = (uint8_t)family,
		.port = 443,
		.protocol = IPPROTO_TCP,
	};

	h->state_memory->next = first;
	return run(program, &packet, repeat, NULL);
}

uint64_t run_once(int program, const struct packet *packet)
{
	uint64_t cookie = 0;

	run(program, packet, 1, &cookie);
	return cookie;
}
