/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a packet to its reply, whoever carries them. Internal to io/. */
#pragma once

#include "broker/io/server.h"
#include "broker/model/meter.h"

struct answer {
	struct sb_writer writer;  /* the packet */
	int fds[SB_WIRE_FDS_MAX]; /* owned: a table, or sockets */
	size_t n_fds;
	bool table;
};

void answer_clear(struct answer *a);

/* Who asks. */
struct client {
	struct actor actor;
	int pidfd; /* owned, -1: none */
	/* Of one that does not administer; otherwise NULL and empty. */
	struct quota_user *user; /* a reference */
	struct quota_charge connection;
	struct quota_charge table; /* the last one, until it was taken */

	struct scribe *scribe; /* that writes the answer to its request; NULL: none does */
	void (*deliver)(struct client *c, struct answer *answer); /* what the scribe wrote */
};

void client_clear(struct client *c);

struct answerer {
	struct server_calls calls;
	struct meter *meter;     /* owned; of the bytes of tables */
	struct scribes *scribes; /* owned */
	/* The one request that is being answered. */
	struct sb_message message;
};

/*
 * Decodes the packet into the message of REQUEST, which the caller has filled in otherwise. If it
 * is no request that is -EPROTO or the like, and RET the refusal, in the form that the packet seems
 * to have.
 */
int answer_begin(struct answerer *a, const char *packet, size_t length, struct request *request,
		 struct answer *ret);

/* Handles REQUEST of C, whose PACKET was begun with. False: it takes long, and is delivered later.
 */
bool answer_end(struct answerer *a, struct client *c, const char *packet, size_t length,
		struct request *request, struct answer *ret);

/* The same in two steps, for a scribe; the second may refuse after all. */
void answer_write(struct answerer *a, struct client *c, struct request *request,
		  struct answer *ret);
void answer_charge(struct answerer *a, struct client *c, bool short_form, struct answer *ret);

/* Refuses what was begun. */
void answer_refuse(const struct answerer *a, const struct sb_error *error, struct answer *ret);
