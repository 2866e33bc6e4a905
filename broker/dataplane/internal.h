/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the dataplane, for each other:
 *     privilege   why the kernel refuses, as a sentence
 *     pins        the directory and the names in it
 *     maps        the lasting maps: taking them over, or making them anew
 *     slots       what is in them: slots, lists, groups
 *     counters    and counters, also those of former versions
 *     generation  a rules map and the program bound to it
 *     switch      the pins of a generation while it is switched in
 *     adopt       what is attached when the broker starts
 *     link        attaching, and updating what is attached
 *     watch       what others took away meanwhile
 *     ask         what the kernel says: test runs, other programs
 */
#pragma once

#include <limits.h>

#include "broker/dataplane/dataplane.h"

/* Names in the pin directory. *_NEW are there only while a generation is being switched in. */
#define PIN_LINK "link"
#define PIN_RULES "rules"
#define PIN_PROGRAM "prog"
#define PIN_RULES_NEW "rules_new" /* bpffs takes no dots in names */
#define PIN_PROGRAM_NEW "prog_new"

enum map_id {
	MAP_SOCKMAP,
	/* From here on those that another version may make anew. */
	MAP_GROUPS,
	MAP_SLOT_LISTS,
	MAP_SLOT_OWNERS,
	MAP_COUNTERS,
	MAP_COUNT,
};
#define MAP_RENEWABLE MAP_GROUPS

/* A rules map and the program that walks it. All zero and -1: none. */
struct generation {
	int map, program; /* fds, owned; -1: none */
	uint32_t map_id, program_id;
	uint64_t number;
	struct tables tables; /* words: the map's memory, mapped; NULL: not ours to edit */
};

/* The counters of rules: rows of NUMBERS words, one row for a processor or several. */
struct hits {
	int map; /* owned, -1: none */
	uint64_t *words;
	uint32_t numbers, rows;
};

struct dataplane {
	char directory[PATH_MAX];
	int lock; /* the directory, held with flock */
	int netns;
	const char *netns_path; /* borrowed; NULL: the process's own */
	uint64_t netns_inode;
	bool has_ifindex; /* the kernel's ctx->ingress_ifindex */
	bool took_over;
	bool unloaded;
	uint32_t former_abi;   /* of what was attached at the start; 0: nothing, or not known */
	uint32_t former_rules; /* in its tables; 0: none, or not known */
	bool former_ours;      /* its program was pinned here, by us */
	bool renewed;       /* the maps from MAP_RENEWABLE on are new: the next publish pins them */
	bool unfinished;    /* a switch is done, but for its pins' names */
	char trouble[1024]; /* what dataplane_look() found; "": none */
	enum tables_wide wide;
	int maps[MAP_COUNT];
	void *memory[MAP_COUNT]; /* of mappable ones, else NULL */
	int former_counters;     /* what is attached counts there, until MAP_COUNTERS follows; -1 */
	int n_cpus;
	struct hits hits;
	int link; /* -1: nothing attached */
	uint32_t link_id;
	struct generation live;
};

/* privilege.c */

/* A sentence for ERROR (positive) of WHAT ("creating the map groups"), with the capabilities that
 * are missing and libbpf's last words. Returns -ERROR. */
int explain_refusal(struct sb_error *error, int code, const char *what, ...) _printf_(3, 4);
/* Finds out whether the kernel has sk_lookup programs and what they may read. */
int probe_kernel(struct dataplane *d, struct sb_error *error);
/* From here on libbpf's warnings are kept for explain_refusal instead of being printed, and it asks
 * point_to_values about programs. */
int libbpf_prepare(void);

/* pins.c */

/* Makes or checks the directory and locks it. */
int pins_open(struct dataplane *d, const char *path, struct sb_error *error);
/* DIRECTORY/NAME into BUF, which is returned. */
const char *pin_path(const struct dataplane *d, const char *name, char buf[static PATH_MAX]);

enum object_kind {
	OBJECT_MAP,
	OBJECT_PROGRAM,
	OBJECT_LINK,
};

/* The fd of the object pinned as NAME; -ENOENT without a sentence; -EEXIST with one when something
 * of another kind stands there, -EPERM when it is somebody else's. */
int pin_get(const struct dataplane *d, const char *name, enum object_kind kind,
	    struct sb_error *error);
/* The same, but what is of another kind goes, for -ENOENT: it can be made again. */
int pin_get_or_clear(const struct dataplane *d, const char *name, enum object_kind kind,
		     struct sb_error *error);
int pin_set(const struct dataplane *d, const char *name, int fd, struct sb_error *error);
int pin_rename(const struct dataplane *d, const char *from, const char *to, struct sb_error *error);
/* An absent one is fine. */
int pin_remove(const struct dataplane *d, const char *name, struct sb_error *error);

/* maps.c */

/* Takes over the sockmap and the other lasting maps that the attached program uses, after adopt().
 * Those that are of another version, or not to be believed, are made anew: empty, not pinned yet.
 * A sockmap that is not the program's, or of another shape, is refused: there is no other. */
int maps_open(struct dataplane *d, struct sb_error *error);
void maps_close(struct dataplane *d);
const char *map_name(enum map_id id);
/* "groups_new" */
#define MAP_NAME_MAX 32
const char *map_name_new(enum map_id id, char buf[static MAP_NAME_MAX]);
uint32_t map_number(int fd); /* the kernel's id of a map, 0: unknown */

/* slots.c: the functions of struct dataplane_port. */
int slot_store(void *self, uint32_t slot, uint32_t owner, int fd);
int slot_clear(void *self, uint32_t slot);
int slot_cookie(void *self, uint32_t slot, uint64_t *ret);
int slot_owner(void *self, uint32_t slot, uint32_t *ret);
int slot_adopt(void *self, uint32_t slot, uint32_t owner);
int list_store(void *self, uint32_t offset, const uint32_t *slots, size_t n);
int group_store(void *self, uint32_t group, uint32_t offset, uint32_t count, uint32_t empty);
int group_load(void *self, uint32_t group, uint32_t *offset, uint32_t *count, uint32_t *empty);

/* counters.c: of the port, too. */
int counters_read(void *self, uint32_t group, struct sb_group_counters *ret);
int counters_reset(void *self, uint32_t group);
/* Adds what the map FORMER has counted to the rows for that of the map NEXT, of any versions; as
 * often as you like, once nothing counts in FORMER any more. -EPROTO: it has other rows. */
int counters_carry(int former, int next, int n_cpus);

/* hits.c */

/* NUMBERS 0: rules are not counted, and the map is there for the program's sake alone. */
int hits_open(struct dataplane *d, uint32_t numbers, struct sb_error *error);
void hits_close(struct hits *h);
int hits_read(void *self, uint32_t number, uint64_t *ret);
int hits_reset(void *self, uint32_t number);

/* generation.c */

#define GENERATION_NONE ((struct generation){ .map = -1, .program = -1 })
/* Called by libbpf with a program as it is about to be loaded: what names a map of one large value
 * becomes the address of the value. C has no way to say so of a map that a loader sizes. */
struct bpf_program;
struct bpf_prog_load_opts;
int point_to_values(struct bpf_program *program, struct bpf_prog_load_opts *options, long cookie);
void generation_close(struct generation *g);
/* Compiles RULES into a map of its own and loads a program for it: nothing is pinned or attached.
 */
int generation_build(struct dataplane *d, const struct ruleset *rules, uint64_t number,
		     struct generation *ret, struct sb_error *error);
/* What a pinned map of rules, of whatever version, says of itself; -EPROTO when it is none. How
 * many rules it has is known of this version's only, else 0. */
int generation_identify(int map, uint32_t *abi, uint64_t *number, uint32_t *n_rules);
int edit_live(void *self, const struct ruleset *rules, const struct sb_prefix *prefix,
	      struct sb_error *error);

/* switch.c */

/* Steps 1 and 3 of a switch, and taking back step 1. */
int switch_pin(const struct dataplane *d, const struct generation *g, struct sb_error *error);
int switch_finish(const struct dataplane *d, struct sb_error *error);
int switch_clear(const struct dataplane *d, struct sb_error *error);

/* adopt.c */

/* Looks at the pinned link and at what it runs, refuses what this version cannot take over, and
 * finishes or clears away a switch that a crash interrupted. */
int adopt(struct dataplane *d, struct sb_error *error);
bool program_uses(int program, int map);

/* link.c */
int publish(void *self, const struct ruleset *rules, struct sb_error *error);
int unload(void *self, struct sb_error *error);

/* ask.c */
int run(void *self, const struct packet *packet, const struct sb_address *from, uint16_t from_port,
	struct verdict *ret);
int programs(void *self, struct other_program *ret, size_t max);
int object_info(int fd, void *info, uint32_t size);
