/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that the broker must not close: the kernel may keep whoever does so waiting for as long as
 * a stranger wants (porter.h). Keepers are processes that have them and do nothing, and end after a
 * while, which closes all. One that the kernel holds up at its end counts until it is gone.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "protocol/cleanup.h"

struct event_base;
struct keepers;
struct zygote;

/* BASE and ZYGOTE are borrowed. NULL: out of memory. */
struct keepers *keepers_new(struct event_base *base, struct zygote *zygote);
/* Lets all keepers end. */
void keepers_free(struct keepers *k);
SB_DEFINE_CLEANUP(struct keepers, keepers_free)

/* Takes FD, which is of UID's making. It is closed some time. */
void keepers_take(struct keepers *k, uid_t uid, int fd);

/* Whether many files have to stay open in this process, since no keeper takes them: then it should
 * accept nothing from strangers for a while. */
bool keepers_are_full(const struct keepers *k);

/* In a forked process: lets go of the keepers. */
void keepers_forked(struct keepers *k);

/* What runs in a keeper, a zygote_child. FDS: its control socket. */
void keeper_main(void *data, const int *fds, size_t n);
