/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* explain: what a packet would meet. The attached program answers; the model says why, and whether
 * it would have said the same. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/core/core-internal.h"
#include "broker/core/describe.h"

#define SHADOWED_MAX 32 /* rules that are named; there may be more */

struct explanation {
	struct packet packet;
	struct sb_address from;
	uint16_t from_port;
	const struct rule *rules[SHADOWED_MAX + 1]; /* winner first */
	size_t n_rules;
	const struct label *label;   /* of the winner */
	const struct member *chosen; /* the socket of the verdict */
	size_t living;               /* sockets that such a packet may meet */
	size_t stepped_over;         /* living IPv4 sockets that did not take it */
	bool reuseport;              /* one of them shares its port (SO_REUSEPORT) */
	bool waits;                  /* none of them has a service: WhenEmpty=hold */
	struct verdict verdict;
	char reason[SB_ERROR_MESSAGE_MAX];
	const char *source;
	bool agrees;
};

static int parse_from(const struct request *rq, struct explanation *x, struct sb_error *error)
{
	const char *address, *port;
	int r;

	x->from.family = x->packet.destination.family;
	if (sb_message_count(rq->message, "FROM_ADDRESS") == 0)
		return 0;
	r = request_need(rq, "FROM_ADDRESS", &address, error);
	if (r == 0)
		r = request_need(rq, "FROM_PORT", &port, error);
	if (r == 0)
		r = sb_address_parse(address, &x->from, error);
	if (r == 0)
		r = sb_port_parse(port, &x->from_port, error);
	if (r == 0 && x->from.family != x->packet.destination.family)
		return sb_fail(error, EINVAL,
			       "a packet cannot go from %s to an address of the other IP version",
			       address);
	return r;
}

static int parse(const struct request *rq, struct explanation *x, struct sb_error *error)
{
	const char *protocol, *address, *port;
	unsigned protocols;
	int r;

	r = request_need(rq, "PROTOCOL", &protocol, error);
	if (r == 0)
		r = request_need(rq, "ADDRESS", &address, error);
	if (r == 0)
		r = request_need(rq, "PORT", &port, error);
	if (r == 0)
		r = sb_protocol_parse(protocol, &protocols, error);
	if (r < 0)
		return r;
	if (protocols == SB_PROTOCOL_ANY)
		return sb_fail(error, EINVAL, "a packet is tcp or udp, not %s", protocol);
	x->packet.protocol = protocols == SB_PROTOCOL_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	r = sb_address_parse(address, &x->packet.destination, error);
	if (r == 0)
		r = sb_port_parse(port, &x->packet.port, error);
	return r < 0 ? r : parse_from(rq, x, error);
}

static const struct member *member_in_slot(const struct label *l, uint32_t slot)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (l->members[i].slot == slot)
			return &l->members[i];
	return NULL;
}

/* Counts the living sockets of group KIND, and looks for the one with the verdict's cookie. */
static size_t look_at_group(struct core *c, struct explanation *x, unsigned kind)
{
	const struct label *l = x->label;
	uint32_t slots[SB_GROUP_SLOTS_MAX];
	size_t n = members_group_slots(l->members, l->n_members, kind, slots), living = 0;

	for (size_t i = 0; i < n; i++) {
		const struct member *m = member_in_slot(l, slots[i]);

		if (!member_alive(c, m) ||
		    (m->own && m->address.family != x->packet.destination.family))
			continue;
		living++;
		x->reuseport |= m->reuseport;
		x->waits = !member_served(m);
		if (x->verdict.kind == VERDICT_SOCKET && m->cookie == x->verdict.cookie)
			x->chosen = m;
	}
	return living;
}

/* The sockets that the packet may meet, and the chosen one among them. IPv4 packets go on to the
 * dual-stack sockets when no IPv4 socket takes them, and all to where they wait. */
static void look_at_sockets(struct core *c, struct explanation *x)
{
	unsigned base = x->packet.protocol == IPPROTO_UDP ? SB_GROUP_UDP : 0;
	bool v6 = x->packet.destination.family == AF_INET6;

	x->living = look_at_group(c, x, base + (v6 ? SB_GROUP_V6 : SB_GROUP_V4));
	if (x->chosen || (x->living > 0 && x->verdict.kind != VERDICT_SOCKET))
		return;
	if (!v6) {
		x->stepped_over = x->living;
		x->living = look_at_group(c, x, base + SB_GROUP_DUAL);
	}
	if (x->living == 0)
		x->living = look_at_group(c, x, base + SB_GROUP_HOLD);
}

static void judge_without_rule(struct explanation *x)
{
	snprintf(x->reason, sizeof(x->reason),
		 "no rule holds this destination: the ordinary socket lookup decides");
	x->agrees = x->verdict.kind == VERDICT_PASS;
}

static void judge_empty(struct explanation *x)
{
	bool pass = x->label->when_empty == WHEN_EMPTY_PASS;
	bool udp = x->packet.protocol == IPPROTO_UDP;

	bool hold = x->label->when_empty == WHEN_EMPTY_HOLD;

	snprintf(x->reason, sizeof(x->reason), "label %s has no living socket for it, and %s%s: %s",
		 x->label->name,
		 hold ? "none for it to wait in, in spite of WhenEmpty=" : "WhenEmpty=",
		 when_empty_name(x->label->when_empty),
		 pass  ? "the ordinary socket lookup decides"
		 : udp ? "the sender gets an ICMP port unreachable"
		       : "the sender gets a TCP reset");
	x->agrees = x->verdict.kind == (pass ? VERDICT_PASS : VERDICT_DROP);
}

/* How it is with a packet that waits. */
static void tell_wait(struct explanation *x)
{
	const struct label *l = x->label;

	snprintf(x->reason, sizeof(x->reason),
		 "label %s has no service for it now, and WhenEmpty=hold: it waits for one, %.6g s "
		 "at most",
		 l->name, (double)l->hold_timeout_us / 1e6);
}

static void judge_socket(struct explanation *x)
{
	x->agrees = x->chosen != NULL;
	if (x->chosen && x->waits) {
		tell_wait(x);
		return;
	}
	if (!x->chosen)
		snprintf(x->reason, sizeof(x->reason),
			 "the kernel chose the socket with cookie %" PRIu64
			 ", which is none of label %s's",
			 x->verdict.cookie, x->label->name);
	else if (x->stepped_over > 0)
		snprintf(x->reason, sizeof(x->reason),
			 "the %zu IPv4 sockets of the rule's label take no packets now (shut down, "
			 "or "
			 "connected by their service); a dual-stack IPv6 one stands in",
			 x->stepped_over);
	else if (x->living > 1)
		snprintf(x->reason, sizeof(x->reason),
			 "the rule's label has %zu living sockets for it; the sender's address and "
			 "port choose this one",
			 x->living);
	else
		snprintf(x->reason, sizeof(x->reason),
			 "it is the one living socket of the rule's label for it");
}

/* Without the kernel's answer: what the model knows. */
static void judge_unknown(struct explanation *x)
{
	if (!x->label) {
		judge_without_rule(x);
		x->verdict.kind = VERDICT_PASS;
	} else if (x->living == 0) {
		judge_empty(x);
		x->verdict.kind =
			x->label->when_empty == WHEN_EMPTY_PASS ? VERDICT_PASS : VERDICT_DROP;
	} else if (x->waits) {
		x->verdict.kind = VERDICT_SOCKET;
		tell_wait(x);
	} else {
		x->verdict.kind = VERDICT_SOCKET;
		snprintf(x->reason, sizeof(x->reason),
			 x->reuseport
				 ? "one of the %zu living sockets of its label, which share a port "
				   "(SO_REUSEPORT): the kernel's selection in that group decides, "
				   "and does not tell beforehand"
				 : "one of the %zu living sockets of its label; the kernel did not "
				   "answer a test run",
			 x->living);
	}
	x->source = "model";
	x->agrees = true;
}

static void judge(struct core *c, struct explanation *x)
{
	x->source = "kernel";
	if (x->label)
		look_at_sockets(c, x);
	if (x->verdict.kind == VERDICT_UNKNOWN)
		judge_unknown(x);
	else if (!x->label)
		judge_without_rule(x);
	else if (x->verdict.kind == VERDICT_SOCKET)
		judge_socket(x);
	else
		judge_empty(x);
	/* A socket that is there but takes no packets now (its service called shutdown() or
	 * connect() on it) is the usual way to disagree. */
	if (x->source[0] == 'k' && x->label && x->living > 0 && x->verdict.kind != VERDICT_SOCKET) {
		x->agrees = false;
		snprintf(x->reason, sizeof(x->reason),
			 "label %s has %zu sockets for it, but none of them takes packets now "
			 "(shut down, or connected by its service)",
			 x->label->name, x->living);
	}
}

static void describe_packet(const struct explanation *x, struct sb_text *text)
{
	char address[SB_ADDRESS_TEXT_MAX];

	sb_record_begin(text, "packet");
	sb_record_add(text, "protocol", "%s", sb_protocol_name(x->packet.protocol));
	sb_record_add(text, "family", "%s", sb_family_name(x->packet.destination.family));
	sb_record_add(text, "address", "%s", sb_address_format(&x->packet.destination, address));
	sb_record_add(text, "port", "%u", x->packet.port);
	sb_record_add(text, "from_address", "%s", sb_address_format(&x->from, address));
	sb_record_add(text, "from_port", "%u", x->from_port);
	sb_record_end(text);
}

static void describe(struct core *c, const struct explanation *x, struct sb_text *text)
{
	static const char *const names[] = {
		[VERDICT_PASS] = "pass",
		[VERDICT_DROP] = "drop",
		[VERDICT_SOCKET] = "socket",
		[VERDICT_UNKNOWN] = "unknown",
	};

	describe_packet(x, text);
	for (size_t i = 0; i < x->n_rules && i < SHADOWED_MAX + 1; i++)
		describe_rule(c, i == 0 ? "rule" : "shadowed", x->rules[i], text);
	if (x->label)
		describe_label(c, x->label, text);
	if (x->chosen)
		describe_member(c, x->label, x->chosen, text);
	sb_record_begin(text, "verdict");
	sb_record_add(text, "verdict", "%s",
		      x->waits && x->verdict.kind == VERDICT_SOCKET ? "hold"
								    : names[x->verdict.kind]);
	sb_record_add(text, "reason", "%s", x->reason);
	sb_record_add(text, "source", "%s", x->source);
	sb_record_add(text, "agrees", "%s", x->agrees ? "yes" : "no");
	sb_record_end(text);
}

int op_explain(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	struct explanation x = { 0 };
	int r;

	r = parse(rq, &x, error);
	if (r < 0)
		return r;
	x.n_rules = ruleset_match(c->rules, &x.packet, x.rules, SHADOWED_MAX + 1);
	if (x.n_rules > 0)
		x.label = registry_get(c->registry, x.rules[0]->label);
	r = c->dataplane.run(c->dataplane.self, &x.packet, &x.from, x.from_port, &x.verdict);
	if (r < 0)
		x.verdict = (struct verdict){ .kind = VERDICT_UNKNOWN, .error = -r };
	judge(c, &x);
	describe(c, &x, &reply->table);
	if (reply->table.error < 0)
		return sb_fail(error, -reply->table.error, "the answer cannot be made: %s",
			       strerror(-reply->table.error));
	reply->has_table = true;
	if (!x.agrees)
		reply_warn(reply,
			   "the kernel's verdict is not what the broker's rules and sockets say: "
			   "%s",
			   x.reason);
	return 0;
}
