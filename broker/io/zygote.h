/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small process that makes others, forked off while the broker has nothing open and little
 * memory. What it makes has no fd but those it was given, and standard error: not the locks of the
 * broker's directories, not its listening socket, nobody's connection. (A fork of the broker itself
 * would have to close all of that, would take long with a million rules, and keep their memory.)
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "protocol/cleanup.h"

struct zygote;

/* What runs in a process that was made, which ends when it returns. FDS are its. */
typedef void (*zygote_child)(void *data, const int *fds, size_t n);

enum process_kind {
	PROCESS_PORTER, /* porter.h */
	PROCESS_KEEPER, /* keepers.h */
	PROCESS_KINDS,
};

/* CHILDREN are copied; DATA lives as long as the zygote. NULL: out of memory. */
struct zygote *zygote_new(const zygote_child children[static PROCESS_KINDS], void *data);
/* Ends the zygote; what it has made goes on. */
void zygote_free(struct zygote *z);
SB_DEFINE_CLEANUP(struct zygote, zygote_free)

/*
 * Makes a process of this KIND, with copies of the N FDS. 0, or a negative errno. It is there some
 * time later: nobody waits for it, and if the system has no room for a process now, the zygote
 * tries until there is. A zygote that is gone is replaced.
 */
int zygote_spawn(struct zygote *z, enum process_kind kind, const int *fds, size_t n);
