/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a register request asks for, and what has been done for it so far. Its arrays are large, and
 * filled as far as their counts say; what is behind that is not even zeroed. */
#pragma once

#include "broker/core/core-internal.h"

#define REGISTER_LABELS_MAX 64 /* labels of one request */

/* One label of the request and the fds that are meant for it. */
struct part {
	const char *name;
	struct label *label;
	bool created;
	size_t first, count;
};

struct registration {
	struct part parts[REGISTER_LABELS_MAX];
	size_t n_parts;
	bool add;
	size_t n_sockets;
	bool other;                             /* PIDFD=yes: not who asks serves them */
	int pidfd;                              /* then, of who does: borrowed; -1: not here */
	struct life *life;                      /* of the same; NULL as long as nobody needs it */
	struct member members[SB_WIRE_FDS_MAX]; /* by fd; units borrowed from the actor */
	struct member stored[SB_WIRE_FDS_MAX];  /* those that were put into slots for it */
	size_t n_stored;
	int copies[SB_WIRE_FDS_MAX]; /* that were made for it */
	size_t n_copies;
	struct members_change changes[REGISTER_LABELS_MAX];
	size_t n_changes;
};

/* Fills REG from the fields of RQ; nothing has been done for it. */
int registration_parse(const struct request *rq, struct registration *reg, struct sb_error *error);
