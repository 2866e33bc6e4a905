/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's side in memory: the same tables, slots, groups and lists as the BPF maps, walked as
 * the program does. Everything that the ports' contracts forbid ends the test: storing into a slot
 * or a stretch that is in use, emptying a slot that a group still leads to.
 */
#pragma once

#include "broker/core/port.h"
#include "broker/model/compile.h"
#include "tests/fake/fake-calls.h"
#include "tests/fake/fake-host.h"

#define FAKE_RULE_NUMBERS 1024

struct fake_slot {
	uint64_t cookie; /* 0: empty */
	uint32_t owner;
};

struct fake_dataplane {
	struct fake_calls *calls;
	struct fake_host *host; /* knows what an fd is */
	struct tables tables;
	size_t spare; /* words of room for edits in a new generation */
	size_t n_generations, n_edits;
	struct fake_slot *slots;
	uint32_t *lists;
	uint64_t *groups;
	struct sb_group_counters *counters;
	uint32_t rule_numbers; /* RuleCounters=; to be set before the core is made */
	uint64_t hits[FAKE_RULE_NUMBERS];
	struct other_program programs[4];
	size_t n_programs;
	bool cannot_run; /* no test run: VERDICT_UNKNOWN */
	const char *trouble;
	bool hostile; /* what is pinned was damaged: do not insist on order */
	/* What packets meet was made by another version: whoever asks for the port next gets
	 * owners, lists and groups that are new, until publish() the packets stay with these. */
	bool other_version;
	struct {
		uint32_t *owners, *lists;
		uint64_t *groups; /* NULL: packets meet those above */
	} former;
	bool unloaded;
};

struct fake_dataplane *fake_dataplane_new(struct fake_calls *calls, struct fake_host *host);
void fake_dataplane_free(struct fake_dataplane *f);
struct dataplane_port fake_dataplane_port(struct fake_dataplane *f);

/* Everybody closed the socket: the kernel empties its slots, their owner words stay. */
void fake_close(struct fake_dataplane *f, uint64_t cookie);

/* What a packet meets, counted, or only looked at. */
struct verdict fake_packet(struct fake_dataplane *f, const struct packet *packet,
			   uint16_t from_port);
struct verdict fake_verdict(struct fake_dataplane *f, const struct packet *packet,
			    uint16_t from_port);

/* All that is in the kernel, for comparing before with after. Sequence numbers, the places of lists
 * and what is not reachable are left out. */
struct fake_kernel {
	/* Of what is not empty: a slot with its cookie and owner; a group's word, then the slots
	 * in its list. */
	uint64_t *slots, *groups;
	size_t n_slots, n_groups; /* words */
};

struct fake_kernel *fake_kernel_copy(const struct fake_dataplane *f);
void fake_kernel_free(struct fake_kernel *k);
/* NULL: the same; else what differs. */
const char *fake_kernel_compare(const struct fake_kernel *a, const struct fake_kernel *b);
