/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel side of the broker: the sk_lookup program, its maps, link and pins. libbpf only.
 *
 * Opening takes over whatever an earlier run left pinned under BPFFS (lasting maps, link, rules map
 * of the live generation), or makes it. Freeing leaves everything pinned and running.
 */
#pragma once

#include "broker/core/port.h"
#include "broker/model/compile.h"

struct dataplane;

struct dataplane_options {
	const char *bpffs;     /* directory for the pins; made with mode 0700 if missing */
	const char *netns;     /* path of the network namespace, NULL: the process's own; borrowed
				* as long as the dataplane is open */
	uint32_t rule_numbers; /* count the hits of so many rules; 0: of none */
	enum tables_wide wide; /* 0, but for tests */
};

/* 0 with *RET, or a negative errno with a sentence that says what is missing (privilege, bpffs, a
 * kernel feature, another broker's namespace) and what to do about it. No rules are published and
 * nothing is attached by opening alone when the directory was empty: that is the first publish. */
int dataplane_open(struct dataplane **ret, const struct dataplane_options *options,
		   struct sb_error *error);
void dataplane_free(struct dataplane *d);
SB_DEFINE_CLEANUP(struct dataplane, dataplane_free)

/*
 * For good, and for the whole process: nothing stays of its capabilities but what loading the next
 * generation of rules takes, CAP_BPF and CAP_PERFMON, as far as they are there. Lost with
 * CAP_NET_ADMIN, which making the sockmap took, is the port's list of other programs. Nothing
 * changes for root, or for who has CAP_SYS_ADMIN instead of CAP_BPF. 0 or a negative errno.
 */
int dataplane_drop_privilege(void);

/* Looks whether the pins and the name of the network namespace are still there; pins again what was
 * removed. What is wrong is logged once, returned (borrowed until the next call; NULL: nothing),
 * and is dataplane_info::trouble. Cheap; call it now and then. */
const char *dataplane_look(struct dataplane *d);

/* In a forked process: lets go of the lock, so that it is nobody's when the broker ends. */
void dataplane_forked(struct dataplane *d);

/* For a process that has nothing but the SOCKMAP (borrowed): puts the socket FD into an empty SLOT.
 */
int dataplane_sockmap(const struct dataplane *d);
int dataplane_store_socket(int sockmap, uint32_t slot, int fd);

/* The port; valid as long as D. */
struct dataplane_port dataplane_port(struct dataplane *d);
