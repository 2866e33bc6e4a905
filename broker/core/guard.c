/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/guard.h"

#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"

/* Listeners by port: below[p] of them have a port less than p, so that a range of ports is one
 * subtraction. */
struct port_counts {
	uint32_t below[65536 + 1];
};

struct guard {
	struct core *core;
	struct surroundings around; /* listeners: those that nobody registered */
	/* [IPv6][UDP]: on every address, counted for each family that they take; on one address */
	struct port_counts *wildcards[2][2], *specific[2][2]; /* NULL: none */
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

static int count_port(struct port_counts **counts, uint16_t port)
{
	if (!*counts)
		*counts = calloc(1, sizeof(**counts));
	if (!*counts)
		return -ENOMEM;
	(*counts)->below[port + 1]++;
	return 0;
}

static int count_listener(struct guard *g, const struct local_listener *l)
{
	int r;
	bool udp = l->protocol == IPPROTO_UDP, v6 = l->address.family == AF_INET6;

	if (!is_any(&l->address)) {
		g->n_specific++;
		return count_port(&g->specific[v6][udp], l->port);
	}
	r = count_port(&g->wildcards[v6][udp], l->port);
	return r == 0 && l->dual ? count_port(&g->wildcards[0][udp], l->port) : r;
}

static void sum_up(struct port_counts *counts)
{
	for (size_t p = 1; counts && p <= 65536; p++)
		counts->below[p] += counts->below[p - 1];
}

/* By protocol, family and address: a prefix is one stretch of that. */
static int compare_place(const struct local_listener *a, uint8_t protocol,
			 const struct sb_address *address)
{
	if (a->protocol != protocol)
		return a->protocol < protocol ? -1 : 1;
	if (a->address.family != address->family)
		return a->address.family < address->family ? -1 : 1;
	return memcmp(a->address.bytes, address->bytes, sizeof(address->bytes));
}

/* First those that are bound to one address, in the order of places; the others by protocol and
 * port. */
static int compare_listeners(const void *x, const void *y)
{
	const struct local_listener *a = x, *b = y;
	bool any = is_any(&a->address);
	int order = 0;

	if (any != is_any(&b->address))
		return any ? 1 : -1;
	if (!any)
		order = compare_place(a, b->protocol, &b->address);
	else if (a->protocol != b->protocol)
		order = a->protocol < b->protocol ? -1 : 1;
	return order ? order : (a->port > b->port) - (a->port < b->port);
}

/* Leaves out what is registered. */
static int sort_listeners(struct guard *g)
{
	struct local_listener *list = g->around.listeners;
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < g->around.n_listeners; i++)
		if (!is_registered(g->core, list[i].cookie))
			list[kept++] = list[i];
	g->around.n_listeners = kept;
	if (kept > 1)
		qsort(list, kept, sizeof(list[0]), compare_listeners);
	for (size_t i = 0; i < kept && r == 0; i++)
		r = count_listener(g, &list[i]);
	for (unsigned i = 0; i < 4; i++) {
		sum_up(g->wildcards[i / 2][i % 2]);
		sum_up(g->specific[i / 2][i % 2]);
	}
	return r;
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
	return sort_listeners(g) < 0 ? NULL : TAKE_PTR(g);
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	surroundings_clear(&g->around);
	for (unsigned i = 0; i < 4; i++) {
		free(g->wildcards[i / 2][i % 2]);
		free(g->specific[i / 2][i % 2]);
	}
	free(g);
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

static bool some_in(const struct port_counts *counts, const struct rule *r)
{
	return counts && counts->below[r->port_last + 1] != counts->below[r->port_first];
}

static bool is_within(const struct guard *g, size_t i, const struct rule *r,
		      const struct sb_prefix *prefix)
{
	const struct local_listener *l = &g->around.listeners[i];

	return l->protocol == r->protocol && sb_prefix_contains(prefix, &l->address);
}

/* Where those end that are within the prefix of R, from START on. Mostly there are few. */
static size_t end_of_prefix(const struct guard *g, const struct rule *r, size_t start)
{
	struct sb_prefix prefix = rule_prefix(r);
	size_t low = start, high = start;

	for (size_t step = 1; high < g->n_specific && is_within(g, high, r, &prefix); step *= 2) {
		low = high + 1;
		high = step < g->n_specific - low ? low + step : g->n_specific;
	}
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (is_within(g, middle, r, &prefix))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void look_at_specific(struct guard *g, const struct rule *r)
{
	const struct local_listener *list = g->around.listeners;
	struct sb_prefix prefix = rule_prefix(r);
	size_t low = 0, high = g->n_specific;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_place(&list[middle], r->protocol, &prefix.address) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	high = end_of_prefix(g, r, low);
	for (; low < high; low++)
		if (list[low].port >= r->port_first && list[low].port <= r->port_last)
			warn_listener(g, r, &list[low]);
}

static void look_at_wildcards(struct guard *g, const struct rule *r)
{
	const struct local_listener *list = g->around.listeners;
	size_t low = g->n_specific, high = g->around.n_listeners;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list[middle].protocol < r->protocol ||
		    (list[middle].protocol == r->protocol && list[middle].port < r->port_first))
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < g->around.n_listeners && list[low].protocol == r->protocol &&
	       list[low].port <= r->port_last;
	     low++)
		if (list[low].address.family == r->family ||
		    (list[low].dual && r->family == AF_INET))
			warn_listener(g, r, &list[low]);
}

void guard_look(struct guard *g, const struct rule *r)
{
	bool udp = r->protocol == IPPROTO_UDP, v6 = r->family == AF_INET6;

	if (some_in(g->specific[v6][udp], r))
		look_at_specific(g, r);
	if (some_in(g->wildcards[v6][udp], r))
		look_at_wildcards(g, r);
	look_at_ephemeral(g, r);
}

void guard_report(const struct guard *g, struct reply *reply)
{
	for (size_t i = 0; i < g->found && i < GUARD_WARNINGS_MAX; i++)
		reply_warn(reply, "%s", g->warnings[i]);
	if (g->found > GUARD_WARNINGS_MAX)
		reply_warn(reply, "... and %zu more of this kind", g->found - GUARD_WARNINGS_MAX);
}
