/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state directory: what the broker remembers beside what is pinned.
 *
 *     lock            held while a broker runs
 *     labels          labels and sockets (broker/model/snapshot.h)
 *     labels.journal  changes of them since
 *     rules           the runtime rules as text
 *     journal         changes of them since
 *     *.new           what is being written; of no meaning to the next broker
 *
 * store.h says how a file and its journal belong together, directory.h who may own them. What was
 * committed survives kill -9 of the broker (the page cache does). Nothing is fsync()ed: sockets and
 * the dataplane do not outlive the kernel either.
 */
#pragma once

#include "broker/core/port.h"
#include "broker/state/store.h"

struct state;

/* What was saved. Untrusted bytes. */
struct state_saved {
	struct store_text labels, rules;
	struct sb_error labels_damage; /* why labels may be of no use; code 0: nothing is known */
};

void state_saved_clear(struct state_saved *s);

/*
 * Opens DIR, takes its lock and reads what is there; nothing but the lock file is written. Refused,
 * with a sentence that names the file: what others than the broker's user and root can write or
 * own, what cannot be read, and rules that are not as they were written. -EBUSY when another broker
 * has the lock. SAVED is the caller's to clear also then.
 */
int state_open(const char *dir, struct state **ret, struct state_saved *saved,
	       struct sb_error *error);
void state_free(struct state *s);
SB_DEFINE_CLEANUP(struct state, state_free)

/* The port; valid as long as S. */
struct state_port state_port(struct state *s);

/* For processes that may outlive the broker (borrowed): as long as one has it open, another broker
 * knows that it is not alone. And whether this one was when it began. */
int state_presence(const struct state *s);
bool state_alone(const struct state *s);

/* In a forked process: lets go of the lock, so that it is nobody's when the broker ends. */
void state_forked(struct state *s);

/* Forgets everything (after unload). */
void state_erase(struct state *s);
