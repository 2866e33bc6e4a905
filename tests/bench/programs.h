/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The programs to measure, over one rule set. */
#pragma once

#include "tests/bench/host.h"

enum program {
	EMPTY,
	FIXED,
	LPM_LOOKUP,
	LPM_WHOLE,
	LOOKUP,
	WHOLE,
	PROGRAM_COUNT,
};

const char *program_name(enum program p);

struct programs {
	int hot[PROGRAM_COUNT], cold[PROGRAM_COUNT]; /* fds */
	int live;                                    /* the attached one */
	uint64_t rules_bytes; /* kernel memory of our rules, with room for edits */
	uint64_t lpm_bytes;   /* what the kernel says of the tries */
	uint64_t words_used;  /* of the rules map, without the room */
	double publish_seconds, lpm_seconds;
	struct walk_bench *walk;
	struct baseline_bench *baseline;
};

/* Publishes SET through the dataplane and fills the tries with it. Ends the process on failure. */
struct programs programs_load(struct host *h, const struct set *set, int family);
void programs_clear(struct programs *p);

/* Nanoseconds of this thread's time that one of REPEAT runs takes, for one packet. */
double run_hot(int program, const struct packet *packet, unsigned repeat);
/* The same for packets from the list, from number FIRST on. */
double run_cold(struct host *h, int program, int family, unsigned first, unsigned repeat);
/* The cookie of the socket that a program chooses. */
uint64_t run_once(int program, const struct packet *packet);
