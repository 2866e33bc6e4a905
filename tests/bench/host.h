/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where programs are measured: a network namespace, a dataplane with sockets in it, packets. */
#pragma once

#include <err.h>

#include "broker/dataplane/dataplane.h"
#include "tests/bench/bench.bpf.h"
#include "tests/bench/sets.h"

/* Each label has a socket for IPv4 in the slot of its number, and one for IPv6 this many on. */
#define IPV6_FIRST_SLOT (LPM_SLOTS / 2)

struct host {
	char root[64];
	bool few_capabilities; /* load programs as the broker's unit does, not as root does */
	uint32_t rule_numbers; /* of rules with hit counters; 0: off */
	struct dataplane *dataplane;
	struct dataplane_port port;
	int sockets[2][SET_LABELS];
	int packets, state; /* maps */
	struct bench_packet *packet_memory;
	volatile struct bench_state *state_memory;
};

/* RULE_NUMBERS: how many rules have hit counters (RuleCounters=). */
struct host *host_new(uint32_t rule_numbers);
void host_free(struct host *h);

/* Fills the list of packets that cold programs go through. */
void host_fill_packets(struct host *h, const struct set *set, struct random *r, uint16_t port);

/* The memory of a mappable map. */
void *map_memory(int map, size_t size);

/* R, unless it is an error. */
static inline int must(int r, const char *what)
{
	if (r < 0)
		err(1, "%s", what);
	return r;
}
