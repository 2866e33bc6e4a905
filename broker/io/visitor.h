/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One client of a porter, and what it asks. Internal to io/. */
#pragma once

#include "broker/io/answer.h"
#include "broker/io/porter-wire.h"

struct looking;
struct porter;

struct visitor {
	struct client client;    /* first: what is delivered to */
	struct porter *porter;   /* borrowed */
	uint32_t id;             /* the porter's name for it */
	struct looking *looking; /* owned; at the files of its request the porter is looking */
};

/* One that is nobody yet. NULL: out of memory. */
struct visitor *visitor_new(struct porter *porter, uint32_t id);
/* If the porter is looking at its files, and is not gone (porter-link.h), the slots stay reserved:
 * it may store into them at any time. */
void visitor_free(struct visitor *v);
SB_DEFINE_CLEANUP(struct visitor, visitor_free)

/* It is *CLIENT from now on, which is empty then. */
void visitor_become(struct visitor *v, struct client *client);

/* Whether the porter may say M (a PORTER_REQUEST or PORTER_LOOKED) of V. It is the same program as
 * the broker, but has met strangers. */
bool visitor_expects(const struct visitor *v, const struct porter_header *header);

/* V has sent a request. */
void visitor_request(struct visitor *v, const struct porter_message *m);
/* The porter has looked at its files. */
void visitor_looked(struct visitor *v, struct porter_message *m);
