/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fuzz/pinned-world.h"

#include <bpf/bpf.h>

#include "broker/base/log.h"

/* -- the sockmap ----------------------------------------------------------------------------------
 */

/* libbpf's calls name a map by its fd alone, and there is one at a time. */
static struct pinned *current;

int bpf_map_lookup_elem(int fd, const void *key, void *value)
{
	uint64_t cookie = current->sockets[*(const uint32_t *)key];

	require(fd == current->maps.maps[MAP_SOCKMAP]);
	if (cookie)
		memcpy(value, &cookie, sizeof(cookie));
	return cookie ? 0 : -ENOENT;
}

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	const uint32_t slot = *(const uint32_t *)key;
	const struct socket_facts *facts = fake_facts(current->host, (int)*(const uint64_t *)value);

	require(fd == current->maps.maps[MAP_SOCKMAP] && slot < SB_SLOTS_MAX);
	if (!facts)
		return -EBADF;
	if (flags == BPF_NOEXIST && current->sockets[slot])
		return -EEXIST;
	current->sockets[slot] = facts->cookie;
	return 0;
}

int bpf_map_delete_elem(int fd, const void *key)
{
	uint64_t *socket = &current->sockets[*(const uint32_t *)key];
	int r = *socket ? 0 : -EINVAL;

	require(fd == current->maps.maps[MAP_SOCKMAP]);
	*socket = 0;
	return r;
}

static void socket_is_gone(void *data, uint64_t cookie)
{
	struct pinned *p = data;

	for (uint32_t slot = 0; slot < SB_SLOTS_MAX; slot++)
		if (p->sockets[slot] == cookie)
			p->sockets[slot] = 0;
}

/* -- the other calls of the port ------------------------------------------------------------------
 */

static int forward_publish(void *self, const struct ruleset *rules, struct sb_error *error)
{
	struct pinned *p = self;
	int r = p->rules_port.publish(p->rules, rules, error);

	p->renewed &= r < 0;
	return r;
}

static int forward_edit(void *self, const struct ruleset *rules, const struct sb_prefix *prefix,
			struct sb_error *error)
{
	struct pinned *p = self;

	return p->rules_port.edit(p->rules, rules, prefix, error);
}

static int forward_counters(void *self, uint32_t group, struct sb_group_counters *ret)
{
	struct pinned *p = self;

	return p->rules_port.counters(p->rules, group, ret);
}

static int forward_counters_reset(void *self, uint32_t group)
{
	struct pinned *p = self;

	return p->rules_port.counters_reset(p->rules, group);
}

static int forward_hits(void *self, uint32_t number, uint64_t *ret)
{
	struct pinned *p = self;

	return p->rules_port.hits(p->rules, number, ret);
}

static int forward_hits_reset(void *self, uint32_t number)
{
	struct pinned *p = self;

	return p->rules_port.hits_reset(p->rules, number);
}

static int cannot_run(void *self, const struct packet *packet, const struct sb_address *from,
		      uint16_t from_port, struct verdict *ret)
{
	*ret = (struct verdict){ .kind = VERDICT_UNKNOWN, .error = ENOTSUP };
	return 0;
}

static int no_programs(void *self, struct other_program *ret, size_t max)
{
	return -EPERM;
}

static void tell_info(void *self, struct dataplane_info *ret)
{
	const struct pinned *p = self;

	*ret = (struct dataplane_info){
		.rule_numbers = p->rules->rule_numbers,
		.took_over = p->took_over,
		.renewed = p->renewed,
	};
}

static int no_unload(void *self, struct sb_error *error)
{
	return sb_fail(error, EIO, "not here");
}

static const struct dataplane_port port = {
	.publish = forward_publish,
	.edit = forward_edit,
	.slot_store = slot_store,
	.slot_clear = slot_clear,
	.slot_cookie = slot_cookie,
	.slot_owner = slot_owner,
	.slot_adopt = slot_adopt,
	.list_store = list_store,
	.group_store = group_store,
	.group_load = group_load,
	.counters = forward_counters,
	.counters_reset = forward_counters_reset,
	.hits = forward_hits,
	.hits_reset = forward_hits_reset,
	.run = cannot_run,
	.programs = no_programs,
	.info = tell_info,
	.unload = no_unload,
};

/* -- life -----------------------------------------------------------------------------------------
 */

struct pinned *pinned_new(void)
{
	struct pinned *p = calloc(1, sizeof(*p));

	require(p);
	log_setup(LOG_EMERG);
	p->host = fake_host_new(&p->calls);
	p->rules = fake_dataplane_new(&p->calls, p->host);
	p->rules->rule_numbers = FAKE_RULE_NUMBERS;
	p->rules_port = fake_dataplane_port(p->rules);
	p->state = fake_state_new(&p->calls);
	p->watch = fake_watch_new(&p->calls);
	p->units = fake_units_new(&p->calls);
	p->fdstore = fake_fdstore_new(p->host);
	p->fdstore->off = true;
	p->quota = quota_new();
	p->sockets = calloc(SB_SLOTS_MAX, sizeof(*p->sockets));
	p->owners = calloc(SB_SLOTS_MAX, sizeof(*p->owners));
	p->groups = calloc(SB_GROUPS_MAX, sizeof(*p->groups));
	p->lists = calloc(SB_SLOT_LIST_MAX, sizeof(*p->lists));
	require(p->quota && p->sockets && p->owners && p->groups && p->lists);
	p->maps.maps[MAP_SOCKMAP] = 3;
	p->maps.memory[MAP_SLOT_OWNERS] = p->owners;
	p->maps.memory[MAP_GROUPS] = p->groups;
	p->maps.memory[MAP_SLOT_LISTS] = p->lists;
	p->host->last_close = socket_is_gone;
	p->host->data = p;
	for (unsigned i = 0; i < 2 * PINNED_SOCKETS; i++)
		fake_socket(p->host, i & 1 ? IPPROTO_UDP : IPPROTO_TCP,
			    i & 4   ? "::"
			    : i & 2 ? "::1"
				    : "127.0.0.1",
			    (uint16_t)(8000 + i));
	current = p;
	return p;
}

void pinned_free(struct pinned *p)
{
	pinned_stop(p);
	free(p->sockets);
	free(p->owners);
	free(p->groups);
	free(p->lists);
	quota_free(p->quota);
	fake_fdstore_free(p->fdstore);
	fake_units_free(p->units);
	fake_watch_free(p->watch);
	fake_state_free(p->state);
	fake_dataplane_free(p->rules);
	fake_host_free(p->host);
	free(p);
}

uint64_t pinned_socket(const struct pinned *p, unsigned index)
{
	return p->host->files[index].facts.cookie;
}

void pinned_renew(struct pinned *p)
{
	for (uint32_t slot = 0; slot < SB_SLOTS_MAX; slot++)
		if (p->sockets[slot] || p->owners[slot])
			p->owners[slot] = SB_SLOT_OWNER_UNKNOWN;
	memset(p->groups, 0, SB_GROUPS_MAX * sizeof(*p->groups));
	memset(p->lists, 0, SB_SLOT_LIST_MAX * sizeof(*p->lists));
	p->renewed = true;
}

void pinned_stop(struct pinned *p)
{
	core_free(p->core);
	p->core = NULL;
	require(fake_core_fds(p->host) == 0 && p->watch->n == 0);
}

static struct rule config_rule(uint8_t protocol, uint8_t first, uint16_t port_number)
{
	struct sb_prefix prefix = { .address = { .family = AF_INET, .bytes = { first } },
				    .length = 8 };

	return rule_make(protocol, &prefix, (struct sb_ports){ port_number, port_number }, 0,
			 RULE_CONFIG);
}

static char *exact_blob(const struct fake_blob *b)
{
	char *copy = b->data ? exact_copy(b->data, b->length + 1) : NULL;

	return copy;
}

static int start_on(struct pinned *p, const struct core_saved *saved)
{
	const struct rule web = config_rule(IPPROTO_TCP, 10, 80);
	const struct rule keep = config_rule(IPPROTO_UDP, 11, 53);
	const struct core_label_config labels[] = {
		{ .name = "web", .file = "web.label", .rules = &web, .n_rules = 1 },
		{ .name = "keep",
		  .file = "keep.label",
		  .rules = &keep,
		  .n_rules = 1,
		  .when_empty = WHEN_EMPTY_HOLD },
	};
	const struct core_config config = {
		.settings = { .groups = { POLICY_NO_GROUP, POLICY_NO_GROUP },
			      .max_rules = 200,
			      .max_labels = 50,
			      .max_sockets = 32 },
		.labels = labels,
		.n_labels = ARRAY_SIZE(labels),
	};
	struct dataplane_port dataplane = port;
	struct state_port state = fake_state_port(p->state);
	struct host_port host = fake_host_port(p->host);
	struct watch_port watch = fake_watch_port(p->watch);
	struct units_port units = fake_units_port(p->units);
	struct fdstore_port fdstore = fake_fdstore_port(p->fdstore);
	struct sb_error error = { 0 };
	int r;

	dataplane.self = p;
	p->core =
		core_new(&dataplane, &state, &host, &watch, &units, &fdstore, p->quota, "1", NULL);
	require(p->core);
	r = core_start(p->core, &config, saved, &error);
	require(r == 0 || (r == -error.code && error.message[0]));
	return r;
}

/* What is in the slots: who owned a socket before owns it still, or nobody does. */
struct pinned_slots {
	uint64_t *sockets;
	sb_slot_owner *owners;
};

static struct pinned_slots remember(const struct pinned *p)
{
	struct pinned_slots s = {
		.sockets = (uint64_t *)exact_copy(p->sockets, SB_SLOTS_MAX * sizeof(*s.sockets)),
		.owners = (sb_slot_owner *)exact_copy(p->owners, SB_SLOTS_MAX * sizeof(*s.owners)),
	};

	return s;
}

static void check_owners(const struct pinned *p, struct pinned_slots *before)
{
	for (uint32_t slot = 0; slot < SB_SLOTS_MAX; slot++) {
		const sb_slot_owner was = before->owners[slot], is = p->owners[slot];

		require(!p->sockets[slot] || p->sockets[slot] != before->sockets[slot] || is == 0 ||
			is == was || was == SB_SLOT_OWNER_UNKNOWN);
	}
	free(before->sockets);
	free(before->owners);
}

int pinned_start(struct pinned *p)
{
	struct pinned_slots before = remember(p);
	const struct fake_state *s = p->state;
	char *labels = exact_blob(&s->labels), *changes = exact_blob(&s->labels_journal);
	char *rules = exact_blob(&s->rules), *journal = exact_blob(&s->journal);
	const struct core_saved saved = {
		.labels = labels,
		.labels_length = s->labels.length,
		.labels_journal = changes,
		.labels_journal_length = s->labels_journal.length,
		.labels_damage = p->labels_damage,
		.rules = rules,
		.rules_length = s->rules.length,
		.journal = journal,
		.journal_length = s->journal.length,
	};
	int r = start_on(p, &saved);

	check_owners(p, &before);
	free(labels);
	free(changes);
	free(rules);
	free(journal);
	p->took_over |= r == 0;
	p->labels_damage = r == 0 ? NULL : p->labels_damage;
	return r;
}

/* -- requests -------------------------------------------------------------------------------------
 */

void pinned_ask(struct pinned *p, uint8_t which)
{
	static const char *const packets[] = {
		"REQUEST=register\nLABEL=web\n",
		"REQUEST=register\nLABEL=dns\nMODE=add\n",
		"REQUEST=register\nLABEL=keep\n",
		"REQUEST=unregister\nLABEL=web\n",
		"REQUEST=unregister\nLABEL=dns\n",
		"REQUEST=bind\nLABEL=new\nPROTOCOL=any\nPREFIX=192.0.2.0/24\nPORTS=80\n",
		"REQUEST=bind\nLABEL=keep\nPROTOCOL=tcp\nPREFIX=2001:db8::/32\nPORTS=1-99\n",
		"REQUEST=unbind\nPROTOCOL=tcp\nPREFIX=192.0.2.0/24\nPORTS=80\n",
		"REQUEST=take\nLABEL=keep\n",
		"REQUEST=status\n",
		"REQUEST=rules\n",
		"REQUEST=explain\nPROTOCOL=tcp\nADDRESS=10.1.2.3\nPORT=80\n",
	};
	const char *text = packets[which % ARRAY_SIZE(packets)];
	int fd = FAKE_FD_FIRST + PINNED_SOCKETS + (int)(p->next_socket++ % PINNED_SOCKETS);
	struct actor root = { .pid = 1 };
	struct reply reply = { 0 };
	struct sb_message message;
	struct request request = {
		.message = &message,
		.actor = &root,
		.pidfd = -1,
		.fds = &fd,
		.n_fds = strstr(text, "=register") ? 1 : 0,
	};
	char *packet = exact_copy(text, strlen(text));

	require(sb_message_decode(&message, packet, strlen(text), NULL) == 0);
	core_request(p->core, &request, &reply);
	require(!fake_state_busy(p->state));
	sb_text_free(&reply.table);
	while (reply.n_fds > 0)
		fake_close_fd(p->host, reply.fds[--reply.n_fds]);
	free(packet);
}

/* -- what has to be so ----------------------------------------------------------------------------
 */

struct owned {
	const struct label *label;
	const struct member *member;
};

static void check_group(const struct pinned *p, uint32_t group, const struct owned *slots)
{
	const struct label *l = registry_get(p->core->registry, group / SB_GROUPS_PER_LABEL);
	const unsigned kind = group % SB_GROUPS_PER_LABEL;
	const uint64_t word = p->groups[group];
	const uint32_t offset = SB_GROUP_LIST(word), count = SB_GROUP_COUNT(word);

	if (!l) {
		require(count == 0 && SB_GROUP_EMPTY(word) == SB_EMPTY_DROP);
		return;
	}
	require(count == l->groups[kind].count);
	require(count == 0 || offset == l->groups[kind].offset);
	require(count <= SB_GROUP_SLOTS_MAX && offset <= SB_SLOT_LIST_MAX - count);
	require(SB_GROUP_EMPTY(word) == l->when_empty || kind % SB_GROUP_UDP > SB_GROUP_V6);
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t slot = p->lists[offset + i];

		require(slot < SB_SLOTS_MAX && slots[slot].label == l);
		require(p->owners[slot] == SB_SLOT_OWNER(l->id, kind >= SB_GROUP_UDP));
	}
}

static void check_member(const struct pinned *p, const struct label *l, const struct member *m,
			 struct owned *slots)
{
	const bool udp = m->protocol == IPPROTO_UDP;

	require(m->slot < SB_SLOTS_MAX && !slots[m->slot].label);
	slots[m->slot] = (struct owned){ l, m };
	require(p->owners[m->slot] == SB_SLOT_OWNER(l->id, udp));
	/* It may have been closed since. */
	require(p->sockets[m->slot] == m->cookie || p->sockets[m->slot] == 0);
}

void pinned_check(struct pinned *p)
{
	struct owned *slots = calloc(SB_SLOTS_MAX, sizeof(*slots));
	const struct registry *r = p->core->registry;
	size_t n_labels = 0;

	require(slots);
	for (struct label *l = registry_next(r, NULL); l; l = registry_next(r, l), n_labels++)
		for (size_t i = 0; i < l->n_members; i++)
			check_member(p, l, &l->members[i], slots);
	require(n_labels == r->n_labels);
	/* Nothing is left of what nobody knows, but slots where an earlier run's porter may be. */
	for (uint32_t slot = 0; slot < SB_SLOTS_MAX; slot++)
		require(slots[slot].label || p->owners[slot] == 0 ||
			(p->owners[slot] == SB_SLOT_RESERVED && !p->sockets[slot]));
	for (uint32_t group = 0; group < SB_GROUPS_MAX; group++)
		check_group(p, group, slots);
	require(p->core->numbers.used == ruleset_count(p->core->rules));
	free(slots);
}
