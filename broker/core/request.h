/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests: one table names each with its fds, its permission and its handler, so that who may do
 * what is read on one screen (request.c).
 */
#pragma once

#include "broker/base/socket-facts.h"
#include "broker/model/policy.h"
#include "protocol/record.h"
#include "protocol/wire.h"

/* A passed file that a porter (io/porter.h) has looked at, so that the broker need not touch it. */
struct request_socket {
	int looked; /* 0, or the negative errno of looking */
	struct socket_facts facts;
	uint32_t slot; /* reserved for it, see core_slots_reserve() */
	int stored;    /* 0: it is in SLOT; or the negative errno of storing it there */
	bool passed;   /* it is among the request's fds too */
	bool taken;    /* the core's answer: SLOT is a registered socket's now */
};

/* What is to become of the files of a request that a porter has. */
enum files_wanted {
	FILES_UNWANTED,
	FILES_LOOKED_AT, /* they may be sockets to register */
	FILES_PASSED_ON, /* the same, and the broker needs them itself, sockets and pidfds at least
			  */
};

struct request {
	const struct sb_message *message;
	struct actor *actor; /* who asks; the core fills in its unit when a decision needs it */
	int pidfd;           /* of the actor, -1: the kernel did not give one */
	size_t n_fds;        /* that came with it */
	/* They are here, or a porter has looked at them, or neither: then all that can be done is
	 * to refuse the request. */
	const int *fds;                 /* borrowed; NULL: not here, -1: that one is not */
	struct request_socket *sockets; /* borrowed; NULL: not looked at */
};

struct reply {
	struct sb_writer writer;
	struct sb_text table; /* travels as a sealed memfd when has_table; sb_text_free() it */
	bool has_table;
	bool table_optional;      /* the reply is true without its table too, and must go out */
	int fds[SB_WIRE_FDS_MAX]; /* ride on it; owned, to be closed when it is sent */
	size_t n_fds;             /* not with a table */
};
