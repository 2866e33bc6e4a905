/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/quota.h"

#include <assert.h>
#include <sys/queue.h>

#define USER_BUCKETS 256

struct quota_user {
	LIST_ENTRY(quota_user) entry; /* quota::users */
	struct quota *quota;          /* borrowed */
	size_t references;            /* charges among them */
	uid_t uid;
	uint64_t held[QUOTA_RESOURCES];
};

struct pool {
	uint64_t max;
	uint64_t unshared;
	uint64_t held;  /* by users */
	uint64_t users; /* that hold something */
};

struct quota {
	struct pool pools[QUOTA_RESOURCES];
	LIST_HEAD(, quota_user) users[USER_BUCKETS]; /* by the low bits of their uid */
};

struct quota *quota_new(void)
{
	return calloc(1, sizeof(struct quota));
}

void quota_free(struct quota *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < USER_BUCKETS; i++)
		assert(LIST_EMPTY(&q->users[i]));
	free(q);
}

void quota_set(struct quota *q, enum quota_resource resource, uint64_t max)
{
	q->pools[resource].max = max;
}

void quota_set_unshared(struct quota *q, enum quota_resource resource, uint64_t amount)
{
	q->pools[resource].unshared = amount;
}

struct quota_user *quota_user_get(struct quota *q, uid_t uid)
{
	struct quota_user *u;

	LIST_FOREACH(u, &q->users[uid % USER_BUCKETS], entry)
	if (u->uid == uid) {
		u->references++;
		return u;
	}
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->quota = q;
	u->references = 1;
	u->uid = uid;
	LIST_INSERT_HEAD(&q->users[uid % USER_BUCKETS], u, entry);
	return u;
}

struct quota_user *quota_user_ref(struct quota_user *u)
{
	if (u)
		u->references++;
	return u;
}

void quota_user_put(struct quota_user *u)
{
	if (!u || --u->references > 0)
		return;
	for (size_t i = 0; i < QUOTA_RESOURCES; i++)
		assert(u->held[i] == 0);
	LIST_REMOVE(u, entry);
	free(u);
}

uid_t quota_user_uid(const struct quota_user *u)
{
	return u->uid;
}

uint64_t quota_used(const struct quota *q, enum quota_resource resource)
{
	return q->pools[resource].held;
}

uint64_t quota_held(const struct quota_user *u, enum quota_resource resource)
{
	return u->held[resource];
}

/* Sums of the numbers here do not overflow: what is held is at most what was there to hold. But
 * after quota_set() there may be less. */
static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

uint64_t quota_share(const struct quota_user *u, enum quota_resource resource)
{
	const struct pool *p = &u->quota->pools[resource];
	uint64_t held = u->held[resource];
	uint64_t free = minus(minus(p->max, p->unshared), p->held);
	uint64_t users = p->users + (held == 0);

	return (held + free) / (users + 1);
}

void quota_charge_anyway(struct quota_charge *charge, struct quota_user *u,
			 enum quota_resource resource, uint64_t amount)
{
	struct pool *p = &u->quota->pools[resource];

	assert(!charge->user);
	assert(amount <= UINT64_MAX - p->held);
	if (amount == 0)
		return;
	*charge = (struct quota_charge){ u, resource, amount };
	u->references++;
	p->users += u->held[resource] == 0;
	u->held[resource] += amount;
	p->held += amount;
}

int quota_charge(struct quota_charge *charge, struct quota_user *u, enum quota_resource resource,
		 uint64_t amount)
{
	if (amount > minus(quota_share(u, resource), u->held[resource]))
		return -EDQUOT;
	quota_charge_anyway(charge, u, resource, amount);
	return 0;
}

void quota_charge_clear(struct quota_charge *charge)
{
	struct quota_user *u = charge->user;
	struct pool *p;

	if (!u)
		return;
	p = &u->quota->pools[charge->resource];
	u->held[charge->resource] -= charge->amount;
	p->held -= charge->amount;
	p->users -= u->held[charge->resource] == 0;
	*charge = (struct quota_charge){ 0 };
	quota_user_put(u);
}
