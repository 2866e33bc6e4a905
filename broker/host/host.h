/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host port: facts about sockets, the steered network namespace, and the time. */
#pragma once

#include "broker/core/port.h"

struct host;

/* NETNS: path of the steered network namespace, NULL for the process's own. It is entered for a
 * moment, so this comes before anything that depends on the namespace. UNIT answers for
 * host_port::unit; it gets UNIT_SELF, which stays the caller's. 0 or a negative errno with a
 * sentence. */
int host_open(struct host **ret, const char *netns,
	      int (*unit)(void *self, pid_t pid, int pidfd, char *buf, size_t size),
	      void *unit_self, struct sb_error *error);
/* Who closes what host_port::discard gets; without that it is done here. DATA must outlive the
 * port's use. */
void host_set_discard(struct host *h, void (*discard)(void *data, uid_t uid, int fd), void *data);
void host_free(struct host *h);
SB_DEFINE_CLEANUP(struct host, host_free)

/* The port; valid as long as H. */
struct host_port host_port(struct host *h);
