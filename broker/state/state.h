/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state directory: what the broker remembers beside what is pinned.
 *
 *     lock     held while a broker runs
 *     labels   labels and sockets (broker/model/snapshot.h), replaced by rename
 *     rules    the runtime rules as text, replaced by rename; its first line numbers its epoch
 *     journal  changes since, appended by one write each; its first line names the epoch that it
 *              belongs to, so that one left over from an earlier `rules` is never replayed
 *
 * What was committed survives kill -9 of the broker (the page cache does). Nothing is fsync()ed:
 * sockets and the dataplane do not outlive the kernel either.
 */
#pragma once

#include "broker/core/port.h"

struct state;

/* What was saved; all owned, NULL when absent. Untrusted bytes. */
struct state_saved {
	char *labels, *rules, *journal;
	size_t labels_length, rules_length, journal_length;
};

void state_saved_clear(struct state_saved *s);

/*
 * Opens DIR (made with mode 0755 if missing; its files are 0600), takes its lock and reads what is
 * there. -EBUSY when another broker has the lock; all errors with a sentence that names the file.
 */
int state_open(const char *dir, struct state **ret, struct state_saved *saved,
	       struct sb_error *error);
void state_free(struct state *s);
SB_DEFINE_CLEANUP(struct state, state_free)

/* The port; valid as long as S. */
struct state_port state_port(struct state *s);

/* Forgets everything (after unload). */
void state_erase(struct state *s);
