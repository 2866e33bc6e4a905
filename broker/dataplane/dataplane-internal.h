/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the files of dataplane/, included by nobody else. */
#pragma once

#include "broker/dataplane/dataplane.h"
#include "broker/model/compile.h"

/* The maps that are made once and kept for ever. */
enum lasting {
	LASTING_SOCKMAP,
	LASTING_GROUPS,
	LASTING_SLOT_LISTS,
	LASTING_SLOT_OWNERS,
	LASTING_COUNTERS,
	LASTING_N,
};

/* One rule set in the kernel: its map and the program bound to it. */
struct generation {
	int map;	      /* owned, -1: none */
	int program;	      /* owned, -1: none */
	struct tables tables; /* words: the mapping, owned; NULL: none */
	uint64_t number;
	uint32_t program_id;
};

#define GENERATION_NULL ((struct generation){ .map = -1, .program = -1 })

struct dataplane {
	char *path; /* of the pin directory */
	int dir;    /* owned */
	int netns;  /* owned */
	uint64_t netns_inode;
	bool rule_counters;
	bool has_ifindex; /* the kernel's context knows the interface, 5.17 */
	bool took_over;
	bool unloaded;
	int n_cpus;

	int lasting[LASTING_N]; /* owned */
	/* Mappings of the arrays; elements of an array map are 8 bytes apart whatever their size. */
	uint64_t *groups, *slot_lists, *slot_owners;
	struct sb_group_counters *scratch; /* one value a CPU */

	int link; /* owned, -1: not attached yet */
	uint32_t link_id;
	struct generation live;
};

/* -- lasting.c ------------------------------------------------------------------------------- */

/* Gets the lasting maps from their pins, or makes and pins them. */
int lasting_open(struct dataplane *d, struct sb_error *error);
void lasting_close(struct dataplane *d);
const char *lasting_name(enum lasting which);

/* -- pin.c --------------------------------------------------------------------------------------- */

/* Opens D->path: a directory of a bpffs, our own, closed to others. Makes it if it is missing. */
int pin_open_dir(struct dataplane *d, struct sb_error *error);
/* The object pinned as NAME: a new fd, or -ENOENT and so on. */
int pin_get(const struct dataplane *d, const char *name);
/* Pins FD as NAME, mode 0600, in place of what is there. */
int pin_put(const struct dataplane *d, const char *name, int fd);
/* 0, also when there is none. */
int pin_remove(const struct dataplane *d, const char *name);

/* -- generation.c --------------------------------------------------------------------------------- */

/* Compiles RULES into a new map and loads a program for it. */
int generation_new(struct dataplane *d, const struct ruleset *rules, uint64_t number,
		   struct generation *ret, struct sb_error *error);
/* Takes the generation that is pinned, if it is the one that LINK_PROGRAM_ID runs and can be
 * trusted. -ENOENT otherwise. */
int generation_take_over(struct dataplane *d, uint32_t link_program_id, struct generation *ret);
void generation_clear(struct generation *g);

/* -- link.c --------------------------------------------------------------------------------------- */

/* Finds the pinned link. 0 with d->link -1 when there is none, or its namespace is gone. */
int link_open(struct dataplane *d, uint32_t *program_id, struct sb_error *error);
/* Attaches G, or switches the link to it, and pins everything. */
int link_switch(struct dataplane *d, const struct generation *g, struct sb_error *error);

/* -- the port's functions, by file ------------------------------------------------------------------ */

int publish_rules(void *self, const struct ruleset *rules, struct sb_error *error);
int edit_rules(void *self, const struct ruleset *rules, const struct sb_prefix *prefix,
	       struct sb_error *error);

int slots_store(void *self, uint32_t slot, uint32_t owner, int fd);
int slots_clear(void *self, uint32_t slot);
int slots_cookie(void *self, uint32_t slot, uint64_t *ret);
int slots_owner(void *self, uint32_t slot, uint32_t *ret);
int slots_list_store(void *self, uint32_t offset, const uint32_t *slots, size_t n);
int slots_group_store(void *self, uint32_t group, uint32_t offset, uint32_t count,
		      uint32_t empty);
int slots_group_load(void *self, uint32_t group, uint32_t *offset, uint32_t *count,
		     uint32_t *empty);

int ask_counters(void *self, uint32_t group, struct sb_group_counters *ret);
int ask_counters_reset(void *self, uint32_t group);
int ask_run(void *self, const struct packet *packet, const struct sb_address *from,
	    uint16_t from_port, struct verdict *ret);
int ask_programs(void *self, struct other_program *ret, size_t max);
void ask_info(void *self, struct dataplane_info *ret);
