/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status: the broker, its labels, groups, sockets and counters, and what looks wrong. */
#include <inttypes.h>
#include <string.h>

#include "broker/core/core-internal.h"
#include "broker/core/describe.h"

#define PROGRAMS_MAX 64 /* of one network namespace; the kernel's own limit */

static void describe_broker(struct core *c, struct sb_text *text)
{
	struct dataplane_info info = { 0 };
	size_t sockets = 0;

	c->dataplane.info(c->dataplane.self, &info);
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		sockets += label_sockets(l);
	sb_record_begin(text, "broker");
	sb_record_add(text, "version", "%s", c->version);
	sb_record_add(text, "pid", "%d", (int)getpid());
	sb_record_add(text, "netns", "%s", c->netns ? c->netns : "own");
	sb_record_add(text, "netns_inode", "%" PRIu64, info.netns_inode);
	sb_record_add(text, "uptime", "%" PRIu64, c->host.now(c->host.self) - c->started);
	sb_record_add(text, "rules", "%zu", ruleset_count(c->rules));
	sb_record_add(text, "labels", "%zu", c->registry->n_labels);
	sb_record_add(text, "sockets", "%zu", sockets);
	sb_record_add(text, "link", "%" PRIu32, info.link_id);
	sb_record_add(text, "program", "%" PRIu32, info.program_id);
	sb_record_add(text, "generation", "%" PRIu64, info.generation);
	sb_record_add(text, "rules_bytes", "%" PRIu64, info.rules_bytes);
	sb_record_end(text);
	if (info.trouble) {
		sb_record_begin(text, "warning");
		sb_record_add(text, "text", "%s", info.trouble);
		sb_record_end(text);
	}
}

/* Only when ours is not alone: nothing is worth saying otherwise. */
static void describe_programs(struct core *c, struct sb_text *text)
{
	struct other_program programs[PROGRAMS_MAX];
	int n = c->dataplane.programs(c->dataplane.self, programs, PROGRAMS_MAX);

	for (int i = 0; n > 1 && i < n && i < PROGRAMS_MAX; i++) {
		sb_record_begin(text, "program");
		sb_record_add(text, "id", "%" PRIu32, programs[i].id);
		sb_record_add(text, "name", "%s", programs[i].name);
		sb_record_add(text, "position", "%u", programs[i].position);
		sb_record_add(text, "ours", "%s", programs[i].ours ? "yes" : "no");
		sb_record_end(text);
	}
}

/* The sockets that packets of this protocol and family may meet: for IPv4 the dual-stack ones
 * stand in when there is no IPv4 socket. */
static void count_sockets(struct core *c, const struct label *l, unsigned v6, unsigned udp,
			  size_t *total, size_t *living, size_t *served)
{
	unsigned base = udp ? SB_GROUP_UDP : 0;

	*total = *living = *served = 0;
	for (size_t i = 0; i < l->n_members; i++) {
		const struct member *m = &l->members[i];

		if (v6 ? !member_in_group(m, base + SB_GROUP_V6)
		       : !member_in_group(m, base + SB_GROUP_V4) &&
				    !member_in_group(m, base + SB_GROUP_DUAL))
			continue;
		(*total)++;
		*living += member_alive(c, m);
		*served += member_served(m);
	}
}

static void describe_group(struct core *c, const struct label *l, unsigned v6, unsigned udp,
			   struct sb_text *text)
{
	uint32_t group = l->id * SB_GROUPS_PER_LABEL + (udp ? SB_GROUP_UDP : 0) +
			 (v6 ? SB_GROUP_V6 : SB_GROUP_V4);
	struct sb_group_counters n = { 0 };
	size_t total, living, served;

	count_sockets(c, l, v6, udp, &total, &living, &served);
	c->dataplane.counters(c->dataplane.self, group, &n);
	if (total == 0 && l->n_rules[v6][udp] == 0 && n.lookups == 0)
		return;
	sb_record_begin(text, "group");
	sb_record_add(text, "label", "%s", l->name);
	sb_record_add(text, "protocol", "%s", udp ? "udp" : "tcp");
	sb_record_add(text, "family", "%s", v6 ? "ipv6" : "ipv4");
	sb_record_add(text, "rules", "%zu", l->n_rules[v6][udp]);
	sb_record_add(text, "sockets", "%zu", total);
	sb_record_add(text, "living", "%zu", living);
	sb_record_add(text, "lookups", "%" PRIu64, (uint64_t)n.lookups);
	sb_record_add(text, "misses", "%" PRIu64, (uint64_t)n.misses);
	sb_record_add(text, "holds", "%" PRIu64, (uint64_t)n.held);
	sb_record_add(text, "respected", "%" PRIu64, (uint64_t)n.respected);
	sb_record_add(text, "dead_slots", "%" PRIu64, (uint64_t)n.dead_slots);
	sb_record_add(text, "err_family", "%" PRIu64, (uint64_t)n.err_family);
	sb_record_add(text, "err_protocol", "%" PRIu64, (uint64_t)n.err_protocol);
	sb_record_add(text, "err_state", "%" PRIu64, (uint64_t)n.err_state);
	sb_record_add(text, "err_other", "%" PRIu64, (uint64_t)n.err_other);
	sb_record_end(text);
}

static void warn(const struct label *l, struct sb_text *text, const char *sentence,
		 const char *protocol)
{
	sb_record_begin(text, "warning");
	sb_record_add(text, "label", "%s", l->name);
	/* The sentence is one of those below, PROTOCOL fills its gap. */
	sb_record_add(text, "text", "%s %s", protocol, sentence);
	sb_record_end(text);
}

/* What is wrong with the sockets for packets of one family; NULL: nothing. OTHERS: living sockets
 * of the other one. */
static const char *find_fault(const struct label *l, unsigned v6, size_t living, size_t served,
			      size_t others)
{
	if (l->when_empty == WHEN_EMPTY_HOLD && served == 0)
		return v6 ? "it has IPv6 rules, but no service now: packets wait"
			  : "it has IPv4 rules, but no service now: packets wait";
	if (living > 0)
		return NULL;
	if (others == 0)
		return v6 ? "it has IPv6 rules, but no living socket"
			  : "it has IPv4 rules, but no living socket";
	return v6 ? "it has IPv6 rules, but its sockets are IPv4 and cannot take IPv6 packets"
		  : "it has IPv4 rules, but its sockets are IPv6-only (IPV6_V6ONLY, or bound to "
		    "one IPv6 address) and cannot take IPv4 packets";
}

static void describe_warnings(struct core *c, const struct label *l, struct sb_text *text)
{
	const struct activation *a = &l->activation;

	if (a->state == ACTIVATION_FAILED)
		warn(l, text, a->reason, "it is empty until a reload, or until a service comes:");
	else if (a->reason[0])
		warn(l, text, a->reason, "Activate=:");
	for (unsigned udp = 0; udp < 2; udp++) {
		const char *protocol = udp ? "UDP:" : "TCP:", *fault;
		size_t total[2], living[2], served[2];

		for (unsigned v6 = 0; v6 < 2; v6++)
			count_sockets(c, l, v6, udp, &total[v6], &living[v6], &served[v6]);
		for (unsigned v6 = 0; v6 < 2; v6++) {
			if (l->n_rules[v6][udp] == 0)
				continue;
			fault = find_fault(l, v6, living[v6], served[v6], living[!v6]);
			if (fault)
				warn(l, text, fault, protocol);
		}
		if (!l->n_rules[0][udp] && !l->n_rules[1][udp] && total[0] + total[1] > 0)
			warn(l, text, "it has sockets, but no rule leads to them", protocol);
	}
}

static void describe_all(struct core *c, const struct label *l, struct sb_text *text)
{
	describe_label(c, l, text);
	for (unsigned udp = 0; udp < 2; udp++)
		for (unsigned v6 = 0; v6 < 2; v6++)
			describe_group(c, l, v6, udp, text);
	for (size_t i = 0; i < l->n_members; i++)
		describe_member(c, l, &l->members[i], text);
	describe_warnings(c, l, text);
}

/* The kernel is asked of every socket for each of four groups, which takes longer than a record. */
static size_t length_of(const struct label *l)
{
	return 5 + 5 * l->n_members;
}

size_t op_status_length(const struct core *c, const struct label *l)
{
	size_t n = 0;

	if (l)
		return length_of(l);
	for (l = registry_next(c->registry, NULL); l; l = registry_next(c->registry, l))
		n += length_of(l);
	return n;
}

int op_status(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	struct sb_text *text = &reply->table;
	struct label *wanted;
	int r;

	r = request_label(c, rq, true, &wanted, error);
	if (r < 0)
		return r;
	describe_broker(c, text);
	describe_programs(c, text);
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		if (!wanted || l == wanted)
			describe_all(c, l, text);
	if (text->error < 0)
		return sb_fail(error, -text->error, "the table cannot be made: %s",
			       strerror(-text->error));
	reply->has_table = true;
	return 0;
}
