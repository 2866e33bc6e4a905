/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests: one table names each with its fds, its permission and its handler, so that who may do
 * what is read on one screen (request.c).
 */
#pragma once

#include "broker/model/policy.h"
#include "protocol/record.h"
#include "protocol/wire.h"

struct request {
	const struct sb_message *message;
	struct actor *actor; /* who asks; the core fills in its unit when a decision needs it */
	int pidfd;           /* of the actor, -1: the kernel did not give one */
	const int *fds;      /* borrowed */
	size_t n_fds;
};

struct reply {
	struct sb_writer writer;
	struct sb_text table; /* travels as a sealed memfd when has_table; sb_text_free() it */
	bool has_table;
	bool table_optional;      /* the reply is true without its table too, and must go out */
	int fds[SB_WIRE_FDS_MAX]; /* ride on it; owned, to be closed when it is sent */
	size_t n_fds;             /* not with a table */
};
