/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A dataplane whose rules steer to one label, for tests of what its groups do to packets. */
#pragma once

#include "tests/bpf/scratch.h"

#define LABEL 5
#define REAL "127.0.0.1"    /* where sockets are bound */
#define STEERED "127.1.2.3" /* where clients connect to; "::1" is steered for TCP */
#define PORT 4711
#define PACKETS 7

struct fixture {
	struct scratch scratch;
	struct dataplane *dataplane;
	struct dataplane_port port;
};

/* cmocka setup and teardown of a test. *STATE is the group's struct scratch, then the fixture. */
int steered_start(void **state);
int steered_stop(void **state);

/* The counters of the label for KIND ("tcp", "udp") and packets of FAMILY (SB_GROUP_V4, ...). */
struct sb_group_counters counted(const struct fixture *f, const char *kind, uint32_t family);
/* They are exactly these, all others 0. */
void assert_counted(const struct fixture *f, const char *kind, uint32_t family,
		    struct sb_group_counters wanted);

/* group_fill() for the label; empty: drop. */
void fill(const struct fixture *f, const char *kind, uint32_t family, uint32_t slot, const int *fds,
	  unsigned n);

/* N connections that are refused. */
void knock(unsigned n);

/* Two listeners of one SO_REUSEPORT group whose own program always chooses the second. */
void open_reuseport_pair(int fds[static 2]);
