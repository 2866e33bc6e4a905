/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How one generation follows another. A switch has these steps, and may stop between any two calls:
 *     1. pin what is new beside what is there: rules_new, prog_new, and, when the lasting maps are
 *        made anew, groups_new and so on
 *     2. update the link (or make it): from here on packets meet the new generation
 *     3. carry the counters over, and rename *_new: the maps, the rules, and prog_new last
 * The link knows the id of the program that it runs, so the next start can tell where it stopped:
 * the link runs prog_new: finish step 3, which may be done any number of times; otherwise remove
 * all of *_new. Whatever it finds, the link runs one whole generation, which needs no pins to go
 * on, for link, program and maps hold each other.
 */
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>

#include "broker/base/log.h"
#include "broker/dataplane/internal.h"

int switch_clear(const struct dataplane *d, struct sb_error *error)
{
	int r = pin_remove(d, PIN_RULES_NEW, error);

	if (r == 0)
		r = pin_remove(d, PIN_PROGRAM_NEW, error);
	for (enum map_id id = MAP_RENEWABLE; id < MAP_COUNT && r == 0; id++) {
		char name[MAP_NAME_MAX];

		r = pin_remove(d, map_name_new(id, name), error);
	}
	return r;
}

int switch_pin(const struct dataplane *d, const struct generation *g, struct sb_error *error)
{
	int r = switch_clear(d, error);

	for (enum map_id id = MAP_RENEWABLE; id < MAP_COUNT && r == 0 && d->renewed; id++) {
		char name[MAP_NAME_MAX];

		r = pin_set(d, map_name_new(id, name), d->maps[id], error);
	}
	if (r == 0)
		r = pin_set(d, PIN_RULES_NEW, g->map, error);
	if (r == 0)
		r = pin_set(d, PIN_PROGRAM_NEW, g->program, error);
	if (r < 0)
		switch_clear(d, NULL);
	return r;
}

/* The pinned counters, if the pinned program counts there; closed by the caller. */
static int counters_of(const struct dataplane *d, const char *program, const char *counters)
{
	_cleanup_close_ int running = pin_get(d, program, OBJECT_PROGRAM, NULL);
	_cleanup_close_ int map = pin_get(d, counters, OBJECT_MAP, NULL);

	return running >= 0 && map >= 0 && program_uses(running, map) ? TAKE_FD(map) : -1;
}

/* Counters are no reason not to go on. */
static void carry_counters(const struct dataplane *d)
{
	char name[MAP_NAME_MAX];
	_cleanup_close_ int next =
		counters_of(d, PIN_PROGRAM_NEW, map_name_new(MAP_COUNTERS, name));
	_cleanup_close_ int former = -1;
	int r;

	if (next < 0)
		return;
	former = counters_of(d, PIN_PROGRAM, map_name(MAP_COUNTERS));
	if (former < 0)
		return;
	/* Until no processor is in the former program any more (it waits for an RCU grace period).
	 * Where the kernel does not offer it, the last packets may not be counted. */
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	r = counters_carry(former, next, d->n_cpus);
	if (r < 0)
		log_notice("counters begin anew, those of the former version cannot be read: %s",
			   strerror(-r));
}

static int rename_new(const struct dataplane *d, const char *from, const char *to,
		      struct sb_error *error)
{
	int r = pin_rename(d, from, to, error);

	return r == -ENOENT ? 0 : r;
}

/* prog_new is there as long as there is something to finish. */
int switch_finish(const struct dataplane *d, struct sb_error *error)
{
	int r = 0;

	carry_counters(d);
	for (enum map_id id = MAP_RENEWABLE; id < MAP_COUNT && r == 0; id++) {
		char name[MAP_NAME_MAX];

		r = rename_new(d, map_name_new(id, name), map_name(id), error);
	}
	if (r == 0)
		r = rename_new(d, PIN_RULES_NEW, PIN_RULES, error);
	return r < 0 ? r : pin_rename(d, PIN_PROGRAM_NEW, PIN_PROGRAM, error);
}
