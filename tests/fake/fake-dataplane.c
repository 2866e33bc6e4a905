/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fake/fake-dataplane.h"

#include <stdio.h>
#include <string.h>

static void last_close(void *data, uint64_t cookie)
{
	fake_close(data, cookie);
}

struct fake_dataplane *fake_dataplane_new(struct fake_calls *calls, struct fake_host *host)
{
	struct fake_dataplane *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->calls = calls;
	f->host = host;
	f->spare = 4096;
	f->slots = calloc(SB_SLOTS_MAX, sizeof(*f->slots));
	f->lists = calloc(SB_SLOT_LIST_MAX, sizeof(*f->lists));
	f->groups = calloc(SB_GROUPS_MAX, sizeof(*f->groups));
	f->counters = calloc(SB_GROUPS_MAX, sizeof(*f->counters));
	if (!f->slots || !f->lists || !f->groups || !f->counters)
		abort();
	f->programs[0] = (struct other_program){ .id = 7, .ours = true, .name = "sockbroker" };
	f->n_programs = 1;
	host->last_close = last_close;
	host->data = f;
	return f;
}

static void forget_former(struct fake_dataplane *f)
{
	free(f->former.owners);
	free(f->former.lists);
	free(f->former.groups);
	memset(&f->former, 0, sizeof(f->former));
}

/* What an earlier start wrote into new maps is gone with it, as they were never pinned. */
static void renew(struct fake_dataplane *f)
{
	bool first = !f->former.groups;

	if (first) {
		f->former.owners = calloc(SB_SLOTS_MAX, sizeof(*f->former.owners));
		f->former.lists = f->lists;
		f->former.groups = f->groups;
		f->lists = malloc(SB_SLOT_LIST_MAX * sizeof(*f->lists));
		f->groups = malloc(SB_GROUPS_MAX * sizeof(*f->groups));
	}
	if (!f->former.owners || !f->lists || !f->groups)
		abort();
	memset(f->lists, 0, SB_SLOT_LIST_MAX * sizeof(*f->lists));
	memset(f->groups, 0, SB_GROUPS_MAX * sizeof(*f->groups));
	for (uint32_t i = 0; i < SB_SLOTS_MAX; i++) {
		if (first)
			f->former.owners[i] = f->slots[i].owner;
		f->slots[i].owner =
			f->slots[i].cookie || f->former.owners[i] ? SB_SLOT_OWNER_UNKNOWN : 0;
	}
}

void fake_dataplane_free(struct fake_dataplane *f)
{
	if (!f)
		return;
	forget_former(f);
	free(f->tables.words);
	free(f->slots);
	free(f->lists);
	free(f->groups);
	free(f->counters);
	free(f);
}

static void violation(const struct fake_dataplane *f, const char *what, uint32_t index)
{
	if (f->hostile)
		return;
	fprintf(stderr, "fake dataplane: %s (%u)\n", what, index);
	abort();
}

static int call(struct fake_dataplane *f, enum fake_call kind)
{
	int r = fake_call(f->calls, kind);

	return r < 0 ? r : f->unloaded ? -ESHUTDOWN : 0;
}

static int fail(struct sb_error *error, int r)
{
	return sb_fail(error, -r, "fake dataplane: %s", strerror(-r));
}

/* -- rules --------------------------------------------------------------------------------------
 */

static int compile_new(struct fake_dataplane *f, const struct ruleset *rules)
{
	struct tables t = { 0 };
	size_t size = compile_size(rules);
	int r;

	if (size == SIZE_MAX)
		return -ENOMEM;
	t.capacity = size + f->spare;
	t.words = calloc(t.capacity, sizeof(*t.words));
	if (!t.words)
		return -ENOMEM;
	r = compile(rules, &t);
	if (r < 0) {
		free(t.words);
		return r;
	}
	free(f->tables.words);
	f->tables = t;
	f->n_generations++;
	f->other_version = false;
	forget_former(f);
	return 0;
}

static int publish(void *self, const struct ruleset *rules, struct sb_error *error)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_publish);

	if (r == 0)
		r = compile_new(f, rules);
	return r < 0 ? fail(error, r) : fake_call_changed(f->calls);
}

static int edit(void *self, const struct ruleset *rules, const struct sb_prefix *prefix,
		struct sb_error *error)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_edit);

	if (r == 0) {
		r = f->tables.words ? tables_update_prefix(&f->tables, rules, prefix) : -ENOSPC;
		if (r == -ENOSPC)
			r = compile_new(f, rules);
		else
			f->n_edits++;
	}
	return r < 0 ? fail(error, r) : fake_call_changed(f->calls);
}

/* -- slots and groups -----------------------------------------------------------------------------
 */

static bool is_in(const uint64_t *groups, const uint32_t *lists, uint32_t slot)
{
	for (uint32_t g = 0; groups && g < SB_GROUPS_MAX; g++)
		for (uint32_t i = 0; i < SB_GROUP_COUNT(groups[g]); i++)
			if (lists[SB_GROUP_LIST(groups[g]) + i] == slot)
				return true;
	return false;
}

static bool is_listed(const struct fake_dataplane *f, uint32_t slot)
{
	return is_in(f->groups, f->lists, slot) || is_in(f->former.groups, f->former.lists, slot);
}

static int slot_store(void *self, uint32_t slot, uint32_t owner, int fd)
{
	struct fake_dataplane *f = self;
	const struct socket_facts *facts = fake_facts(f->host, fd);
	int r = call(f, FAKE_CALL_slot_store);

	if (r < 0)
		return r;
	if (!facts)
		return -EBADF;
	if (slot >= SB_SLOTS_MAX || f->slots[slot].cookie || is_listed(f, slot))
		violation(f, "a slot in use is stored into", slot);
	f->slots[slot] = (struct fake_slot){ facts->cookie, owner };
	return fake_call_changed(f->calls);
}

static int slot_clear(void *self, uint32_t slot)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_slot_clear);

	if (r < 0)
		return r;
	if (is_listed(f, slot))
		violation(f, "a slot is emptied that a group leads to", slot);
	f->slots[slot] = (struct fake_slot){ 0 };
	return fake_call_changed(f->calls);
}

static int slot_cookie(void *self, uint32_t slot, uint64_t *ret)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_slot_cookie);

	if (r < 0)
		return r;
	if (!f->slots[slot].cookie)
		return -ENOENT;
	*ret = f->slots[slot].cookie;
	return 0;
}

static int slot_owner(void *self, uint32_t slot, uint32_t *ret)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_slot_owner);

	if (r == 0)
		*ret = f->slots[slot].owner;
	return r;
}

static bool may_adopt(const struct fake_slot *s, uint32_t owner)
{
	if (s->owner == SB_SLOT_RESERVED)
		return true;
	return owner == SB_SLOT_RESERVED ? !s->cookie && !s->owner
					 : s->cookie && s->owner == SB_SLOT_OWNER_UNKNOWN;
}

static int slot_adopt(void *self, uint32_t slot, uint32_t owner)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_slot_adopt);

	if (r < 0)
		return r;
	if (!may_adopt(&f->slots[slot], owner))
		violation(f, "a slot is adopted that has an owner, or no socket", slot);
	f->slots[slot].owner = owner;
	return fake_call_changed(f->calls);
}

static int list_store(void *self, uint32_t offset, const uint32_t *slots, size_t n)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_list_store);

	if (r < 0)
		return r;
	if (n == 0 || n > SB_GROUP_SLOTS_MAX || offset > SB_SLOT_LIST_MAX - n)
		violation(f, "a list out of bounds", offset);
	for (uint32_t g = 0; g < SB_GROUPS_MAX; g++) {
		uint32_t first = SB_GROUP_LIST(f->groups[g]), count = SB_GROUP_COUNT(f->groups[g]);

		if (count && offset < first + count && first < offset + n)
			violation(f, "a list in use is written", offset);
	}
	memcpy(f->lists + offset, slots, n * sizeof(*slots));
	return fake_call_changed(f->calls);
}

static int group_store(void *self, uint32_t group, uint32_t offset, uint32_t count, uint32_t empty)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_group_store);

	if (r < 0)
		return r;
	if (group >= SB_GROUPS_MAX || count > SB_GROUP_SLOTS_MAX ||
	    offset > SB_SLOT_LIST_MAX - count)
		violation(f, "a group out of bounds", group);
	f->groups[group] =
		SB_GROUP_WORD(offset, count, empty, SB_GROUP_SEQUENCE(f->groups[group]) + 1);
	return fake_call_changed(f->calls);
}

static int group_load(void *self, uint32_t group, uint32_t *offset, uint32_t *count,
		      uint32_t *empty)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_group_load);

	if (r < 0)
		return r;
	if (offset)
		*offset = SB_GROUP_LIST(f->groups[group]);
	if (count)
		*count = SB_GROUP_COUNT(f->groups[group]);
	if (empty)
		*empty = SB_GROUP_EMPTY(f->groups[group]);
	return 0;
}

static int counters(void *self, uint32_t group, struct sb_group_counters *ret)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_counters);

	if (r == 0)
		*ret = f->counters[group];
	return r;
}

static int counters_reset(void *self, uint32_t group)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_counters_reset);

	if (r == 0)
		memset(&f->counters[group], 0, sizeof(f->counters[group]));
	return r;
}

static int hits(void *self, uint32_t number, uint64_t *ret)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_hits);

	if (r < 0)
		return r;
	if (number >= f->rule_numbers)
		violation(f, "a rule number out of bounds", number);
	*ret = f->hits[number];
	return 0;
}

static int hits_reset(void *self, uint32_t number)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_hits_reset);

	if (r < 0)
		return r;
	if (number >= f->rule_numbers)
		violation(f, "a rule number out of bounds", number);
	f->hits[number] = 0;
	return 0;
}

void fake_close(struct fake_dataplane *f, uint64_t cookie)
{
	for (uint32_t i = 0; i < SB_SLOTS_MAX; i++)
		if (f->slots[i].cookie == cookie)
			f->slots[i].cookie = 0;
}

/* -- packets --------------------------------------------------------------------------------------
 */

static uint64_t word_met(const struct fake_dataplane *f, uint32_t group)
{
	return (f->former.groups ? f->former.groups : f->groups)[group];
}

static uint32_t owner_met(const struct fake_dataplane *f, uint32_t slot)
{
	return f->former.owners ? f->former.owners[slot] : f->slots[slot].owner;
}

static uint64_t pick(const struct fake_dataplane *f, uint32_t group, uint32_t owner,
		     uint16_t from_port, struct sb_group_counters *n)
{
	const uint32_t *lists = f->former.lists ? f->former.lists : f->lists;
	uint64_t word = word_met(f, group);
	uint32_t offset = SB_GROUP_LIST(word), count = SB_GROUP_COUNT(word);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t slot = lists[(offset + (from_port + i) % count) % SB_SLOT_LIST_MAX];

		if (slot < SB_SLOTS_MAX && f->slots[slot].cookie && owner_met(f, slot) == owner)
			return f->slots[slot].cookie;
		n->dead_slots++;
	}
	return 0;
}

/* The socket of the packet's family where it waits. */
static uint64_t pick_hold(const struct fake_dataplane *f, uint32_t group, uint32_t owner, bool v6)
{
	for (uint32_t i = 0; i < SB_GROUP_COUNT(f->groups[group]) && i < 2; i++) {
		uint32_t slot = f->lists[SB_GROUP_LIST(f->groups[group]) + i];
		uint64_t cookie = slot < SB_SLOTS_MAX ? f->slots[slot].cookie : 0;

		if (cookie && f->slots[slot].owner == owner &&
		    (f->host->files[cookie - FAKE_FD_FIRST].facts.domain == AF_INET6) == v6)
			return cookie;
	}
	return 0;
}

static struct verdict walk(const struct fake_dataplane *f, const struct packet *p,
			   uint16_t from_port, struct sb_group_counters *counters)
{
	bool udp = p->protocol == IPPROTO_UDP, v6 = p->destination.family == AF_INET6;
	struct sb_group_counters unused = { 0 }, *n;
	int64_t label = f->tables.words ? tables_match(&f->tables, p) : -1;
	uint32_t base, group, owner;
	uint64_t cookie;

	if (label < 0 || label >= SB_LABELS_MAX)
		return (struct verdict){ .kind = VERDICT_PASS };
	base = (uint32_t)label * SB_GROUPS_PER_LABEL + (udp ? SB_GROUP_UDP : 0);
	group = base + (v6 ? SB_GROUP_V6 : SB_GROUP_V4);
	owner = SB_SLOT_OWNER(label, udp);
	n = counters ? &counters[group] : &unused;
	n->lookups++;
	cookie = pick(f, group, owner, from_port, n);
	if (!cookie && !v6)
		cookie = pick(f, base + SB_GROUP_DUAL, owner, from_port, n);
	if (!cookie && SB_GROUP_EMPTY(f->groups[group]) == SB_EMPTY_HOLD) {
		cookie = pick_hold(f, base + SB_GROUP_HOLD, owner, v6);
		n->held += cookie != 0;
	}
	if (cookie)
		return (struct verdict){ .kind = VERDICT_SOCKET, .cookie = cookie };
	n->misses++;
	return (struct verdict){
		.kind = SB_GROUP_EMPTY(word_met(f, group)) == SB_EMPTY_PASS ? VERDICT_PASS
									    : VERDICT_DROP,
	};
}

struct verdict fake_packet(struct fake_dataplane *f, const struct packet *packet,
			   uint16_t from_port)
{
	return walk(f, packet, from_port, f->counters);
}

struct verdict fake_verdict(struct fake_dataplane *f, const struct packet *packet,
			    uint16_t from_port)
{
	return walk(f, packet, from_port, NULL);
}

static int run(void *self, const struct packet *packet, const struct sb_address *from,
	       uint16_t from_port, struct verdict *ret)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_run);

	if (r < 0)
		return r;
	*ret = f->cannot_run ? (struct verdict){ .kind = VERDICT_UNKNOWN, .error = ENOTSUP }
			     : walk(f, packet, from_port, NULL);
	return 0;
}

/* -- the rest
 * --------------------------------------------------------------------------------------- */

static int programs(void *self, struct other_program *ret, size_t max)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_programs);

	if (r < 0)
		return r;
	for (size_t i = 0; i < f->n_programs && i < max; i++)
		ret[i] = f->programs[i];
	return (int)f->n_programs;
}

static void info(void *self, struct dataplane_info *ret)
{
	const struct fake_dataplane *f = self;
	const struct sb_rules_header *header = (const void *)f->tables.words;

	*ret = (struct dataplane_info){
		.program_id = 7,
		.link_id = 8,
		.generation = f->n_generations,
		.netns_inode = 9,
		.rule_numbers = f->rule_numbers,
		.rules_bytes = f->tables.capacity * sizeof(uint64_t),
		.former_rules = header ? header->n_rules : 0,
		.took_over = f->n_generations > 0,
		.renewed = f->former.groups != NULL,
		.trouble = f->trouble,
	};
}

static int unload(void *self, struct sb_error *error)
{
	struct fake_dataplane *f = self;
	int r = call(f, FAKE_CALL_unload);

	if (r < 0)
		return fail(error, r);
	f->unloaded = true;
	free(f->tables.words);
	f->tables = (struct tables){ 0 };
	return fake_call_changed(f->calls);
}

struct dataplane_port fake_dataplane_port(struct fake_dataplane *f)
{
	if (f->other_version)
		renew(f);
	return (struct dataplane_port){
		.self = f,
		.publish = publish,
		.edit = edit,
		.slot_store = slot_store,
		.slot_clear = slot_clear,
		.slot_cookie = slot_cookie,
		.slot_owner = slot_owner,
		.slot_adopt = slot_adopt,
		.list_store = list_store,
		.group_store = group_store,
		.group_load = group_load,
		.counters = counters,
		.counters_reset = counters_reset,
		.hits = hits,
		.hits_reset = hits_reset,
		.run = run,
		.programs = programs,
		.info = info,
		.unload = unload,
	};
}

/* -- before and after
 * ------------------------------------------------------------------------------- */

static void add(uint64_t **words, size_t *n, uint64_t word)
{
	if ((*n & (*n - 1)) == 0) /* a power of two, or nothing yet */
		*words = reallocarray(*words, *n ? *n * 2 : 1, sizeof(**words));
	if (!*words)
		abort();
	(*words)[(*n)++] = word;
}

static void copy_group(const struct fake_dataplane *f, uint32_t group, struct fake_kernel *k)
{
	uint64_t w = f->groups[group];

	w = SB_GROUP_WORD(0, SB_GROUP_COUNT(w), SB_GROUP_EMPTY(w), 0);
	if (w == 0)
		return;
	add(&k->groups, &k->n_groups, group);
	add(&k->groups, &k->n_groups, w);
	for (uint32_t i = 0; i < SB_GROUP_COUNT(w); i++)
		add(&k->groups, &k->n_groups, f->lists[SB_GROUP_LIST(f->groups[group]) + i]);
}

struct fake_kernel *fake_kernel_copy(const struct fake_dataplane *f)
{
	struct fake_kernel *k = calloc(1, sizeof(*k));

	if (!k)
		abort();
	for (uint32_t i = 0; i < SB_SLOTS_MAX; i++) {
		if (!f->slots[i].cookie && !f->slots[i].owner)
			continue;
		add(&k->slots, &k->n_slots, i);
		add(&k->slots, &k->n_slots, f->slots[i].cookie);
		add(&k->slots, &k->n_slots, f->slots[i].owner);
	}
	for (uint32_t g = 0; g < SB_GROUPS_MAX; g++)
		copy_group(f, g, k);
	return k;
}

void fake_kernel_free(struct fake_kernel *k)
{
	if (!k)
		return;
	free(k->slots);
	free(k->groups);
	free(k);
}

static bool same(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
	return n_a == n_b && (n_a == 0 || !memcmp(a, b, n_a * sizeof(*a)));
}

const char *fake_kernel_compare(const struct fake_kernel *a, const struct fake_kernel *b)
{
	if (!same(a->slots, a->n_slots, b->slots, b->n_slots))
		return "a slot";
	return same(a->groups, a->n_groups, b->groups, b->n_groups) ? NULL : "a group";
}
