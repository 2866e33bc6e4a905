/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/guard.h"

#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"

/* Listeners on every address, of one protocol and packet family: below[p] of them have a port less
 * than p, so that a range of ports is one subtraction. */
struct wildcards {
	uint32_t below[65536 + 1];
};

struct guard {
	struct core *core;
	struct surroundings around;       /* listeners: those that nobody registered */
	struct wildcards wildcards[2][2]; /* [IPv6][UDP] */
	size_t n_specific; /* the first of around.listeners are bound to one address */
	size_t found;
	char warnings[GUARD_WARNINGS_MAX][384];
};

static bool is_registered(const struct core *c, uint64_t cookie)
{
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		for (size_t i = 0; i < l->n_members; i++)
			if (l->members[i].cookie == cookie)
				return true;
	return false;
}

static bool is_any(const struct sb_address *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->bytes, zero, sizeof(zero));
}

static void count_wildcards(struct guard *g, const struct local_listener *l)
{
	bool udp = l->protocol == IPPROTO_UDP, v6 = l->address.family == AF_INET6;

	g->wildcards[v6][udp].below[l->port + 1]++;
	if (l->dual)
		g->wildcards[0][udp].below[l->port + 1]++;
}

/* Leaves out what is registered, and puts those that are bound to one address first. */
static void sort_listeners(struct guard *g)
{
	struct local_listener *list = g->around.listeners;
	size_t kept = 0;

	for (size_t i = 0; i < g->around.n_listeners; i++)
		if (!is_registered(g->core, list[i].cookie))
			list[kept++] = list[i];
	g->around.n_listeners = kept;
	for (size_t i = 0; i < kept; i++) {
		struct local_listener l = list[i];

		if (is_any(&l.address)) {
			count_wildcards(g, &l);
			continue;
		}
		list[i] = list[g->n_specific];
		list[g->n_specific++] = l;
	}
	for (unsigned v6 = 0; v6 < 2; v6++)
		for (unsigned udp = 0; udp < 2; udp++)
			for (size_t p = 1; p <= 65536; p++)
				g->wildcards[v6][udp].below[p] +=
					g->wildcards[v6][udp].below[p - 1];
}

struct guard *guard_new(struct core *c)
{
	_cleanup_(guard_freep) struct guard *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return NULL;
	g->core = c;
	r = c->host.surroundings(c->host.self, &g->around);
	if (r < 0) {
		log_debug("local listeners cannot be read: %s", strerror(-r));
		return NULL;
	}
	sort_listeners(g);
	return TAKE_PTR(g);
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	surroundings_clear(&g->around);
	free(g);
}

static bool holds(const struct rule *r, const struct local_listener *l)
{
	struct sb_prefix prefix = rule_prefix(r);

	if (l->protocol != r->protocol || l->port < r->port_first || l->port > r->port_last)
		return false;
	if (!is_any(&l->address))
		return sb_prefix_contains(&prefix, &l->address);
	return l->address.family == r->family || (l->dual && r->family == AF_INET);
}

static void warn_listener(struct guard *g, const struct rule *r, const struct local_listener *l)
{
	char rule[RULE_NAME_MAX], local[SB_ADDRESS_TEXT_MAX];

	if (g->found++ >= GUARD_WARNINGS_MAX)
		return;
	snprintf(g->warnings[g->found - 1], sizeof(g->warnings[0]),
		 "rule %s takes traffic from the %s socket that listens on %s, which is not "
		 "registered",
		 rule_name(g->core, r, rule), l->protocol == IPPROTO_UDP ? "UDP" : "TCP",
		 sb_endpoint_format(&l->address, l->port, local));
}

/* Answers to clients of this host come back to ports of the ephemeral range; those that use
 * unconnected UDP sockets would lose them to the rule. */
static void look_at_ephemeral(struct guard *g, const struct rule *r)
{
	const struct sb_ports *range = &g->around.ephemeral;
	struct sb_prefix prefix = rule_prefix(r);
	char rule[RULE_NAME_MAX], address[SB_ADDRESS_TEXT_MAX];

	if (r->protocol != IPPROTO_UDP || r->port_last < range->first ||
	    r->port_first > range->last)
		return;
	for (size_t i = 0; i < g->around.n_addresses; i++) {
		if (!sb_prefix_contains(&prefix, &g->around.addresses[i]))
			continue;
		if (g->found++ < GUARD_WARNINGS_MAX)
			snprintf(g->warnings[g->found - 1], sizeof(g->warnings[0]),
				 "rule %s covers ports of the ephemeral range %u-%u on this host's "
				 "own address %s: answers to its UDP clients (resolvers) would go "
				 "to the label",
				 rule_name(g->core, r, rule), range->first, range->last,
				 sb_address_format(&g->around.addresses[i], address));
		return;
	}
}

void guard_look(struct guard *g, const struct rule *r)
{
	const uint32_t *below =
		g->wildcards[r->family == AF_INET6][r->protocol == IPPROTO_UDP].below;
	size_t n = g->n_specific;

	/* The others only if there is one in the range. */
	if (below[r->port_last + 1] != below[r->port_first])
		n = g->around.n_listeners;
	for (size_t i = 0; i < n; i++)
		if (holds(r, &g->around.listeners[i]))
			warn_listener(g, r, &g->around.listeners[i]);
	look_at_ephemeral(g, r);
}

void guard_report(const struct guard *g, struct reply *reply)
{
	for (size_t i = 0; i < g->found && i < GUARD_WARNINGS_MAX; i++)
		reply_warn(reply, "%s", g->warnings[i]);
	if (g->found > GUARD_WARNINGS_MAX)
		reply_warn(reply, "... and %zu more of this kind", g->found - GUARD_WARNINGS_MAX);
}
