/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers that take long to write, like the list of a million rules: a forked process does it,
 * which has everything as it is at that moment, and changes nothing. Everybody else is served
 * meanwhile. Internal to io/.
 */
#pragma once

#include <stddef.h>

#include "protocol/cleanup.h"

struct answerer;
struct client;
struct event_base;
struct scribe;
struct scribes;

/* BASE and ANSWERER are borrowed. NULL: out of memory. */
struct scribes *scribes_new(struct event_base *base, struct answerer *answerer);
/* Forgets all of them; those at work end with the broker, or when they are done. */
void scribes_free(struct scribes *s);
SB_DEFINE_CLEANUP(struct scribes, scribes_free)

/*
 * Has the request in PACKET answered for C, whose deliver() is called some time; the answers of
 * those who administer do not wait for those of users, nor the other way round. 0; -EAGAIN: its
 * user has one being written already; or another negative errno.
 */
int scribes_add(struct scribes *s, struct client *c, const char *packet, size_t length);

/* The client goes, and does not want the answer any more. */
void scribe_forget(struct scribe *scribe);
