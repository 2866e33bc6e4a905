/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may hold how much: fair shares of what the broker has, by uid. Pure.
 *
 * Of each resource a user may hold at most
 *
 *	(what it holds + what is free) / (n + 1)
 *
 * where n is how many users hold some of it, this one included: of 1024 the first user gets 512,
 *then a second one 170. However much some take, something is left for the next, and nobody needs a
 *number of his own. The rule is that of dbus-broker's user accounting (src/util/user.c there), with
 *one level of users instead of two.
 *
 * A charge is part of what it is for, and goes with it: quota_charge() when the thing is made,
 * quota_charge_clear() in its destructor. It keeps its user; a user without charges and references
 *is freed, and nothing can be missing then.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/cleanup.h"

enum quota_resource {
	QUOTA_CONNECTIONS,
	QUOTA_SOCKETS, /* registered, or on the way there */
	QUOTA_RULES,   /* made at runtime */
	QUOTA_BYTES,   /* of replies that their clients have not taken yet */
	QUOTA_RESOURCES,
};

struct quota;
struct quota_user;

/* Zeroed: of nobody. It may be moved, never copied. */
struct quota_charge {
	struct quota_user *user;
	enum quota_resource resource;
	uint64_t amount;
};

/* Nothing of anything: quota_set(). NULL: out of memory. */
struct quota *quota_new(void);
/* All users must be gone. */
void quota_free(struct quota *q);
SB_DEFINE_CLEANUP(struct quota, quota_free)

/* How much there is. It may be less than what is held: then nothing more can be had until enough
 * was given back. */
void quota_set(struct quota *q, enum quota_resource resource, uint64_t max);

/* What belongs to no user (root's, that of configuration files): it leaves less to share, and is
 * bounded by whoever counts it here. */
void quota_set_unshared(struct quota *q, enum quota_resource resource, uint64_t amount);

/* A reference to the user with this UID, to be put back. NULL: out of memory. */
struct quota_user *quota_user_get(struct quota *q, uid_t uid);
/* One more; U may be NULL. */
struct quota_user *quota_user_ref(struct quota_user *u);
void quota_user_put(struct quota_user *u);
SB_DEFINE_CLEANUP(struct quota_user, quota_user_put)

uid_t quota_user_uid(const struct quota_user *u);
/* What all users hold together. */
uint64_t quota_used(const struct quota *q, enum quota_resource resource);
/* What U holds, and the most that it could hold now. */
uint64_t quota_held(const struct quota_user *u, enum quota_resource resource);
uint64_t quota_share(const struct quota_user *u, enum quota_resource resource);

/* Charges U with AMOUNT (0 is charged to nobody) into the empty CHARGE; -EDQUOT, and nothing is
 * charged, if U would hold more than its share. */
int quota_charge(struct quota_charge *charge, struct quota_user *u, enum quota_resource resource,
		 uint64_t amount);
/* The same without asking: for what is there already (after a start). */
void quota_charge_anyway(struct quota_charge *charge, struct quota_user *u,
			 enum quota_resource resource, uint64_t amount);
/* Gives back what CHARGE holds; an empty one is fine. */
void quota_charge_clear(struct quota_charge *charge);
