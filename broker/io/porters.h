/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All porters: which one takes a client, and who gets in at all. Internal to io/. */
#pragma once

#include "broker/io/answer.h"

struct event_base;
struct keepers;
struct porters;

/* All borrowed, but for FILES and OPTIONS, which are copied. NULL: out of memory. */
struct porters *porters_new(struct event_base *base, struct answerer *answerer, struct quota *quota,
			    struct zygote *zygote, struct keepers *keepers,
			    const struct porter_files *files, const struct server_options *options);
void porters_free(struct porters *p);
SB_DEFINE_CLEANUP(struct porters, porters_free)

void porters_configure(struct porters *p, const struct server_options *options);

/* In a forked process: closes what leads to the porters. */
void porters_forked(struct porters *p);

/* Takes the connection FD and the PIDFD of ACTOR, who does not administer. Who is refused is told
 * why. */
void porters_admit(struct porters *p, int fd, const struct actor *actor, int pidfd);

/* Takes FD to tell its client why it is refused, and to close it. */
void porters_refuse(struct porters *p, int fd, const struct actor *actor,
		    const struct sb_error *error);
