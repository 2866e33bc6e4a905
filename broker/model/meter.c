/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/meter.h"

#include <sys/queue.h>

#define METER_BUCKETS 256
#define SECOND_US 1000000ULL
#define MINUTE_US (60 * SECOND_US)

struct bucket {
	LIST_ENTRY(bucket) entry; /* meter::buckets */
	uid_t uid;
	uint64_t level;
	uint64_t since_us; /* when it was that high */
	uint64_t refused;  /* the amount that was refused last; 0: it could be had since */
};

struct meter {
	uint64_t per_minute;
	LIST_HEAD(buckets, bucket) buckets[METER_BUCKETS]; /* by the low bits of their uid */
};

struct meter *meter_new(void)
{
	return calloc(1, sizeof(struct meter));
}

void meter_free(struct meter *m)
{
	struct bucket *b;

	if (!m)
		return;
	for (size_t i = 0; i < METER_BUCKETS; i++)
		while ((b = LIST_FIRST(&m->buckets[i]))) {
			LIST_REMOVE(b, entry);
			free(b);
		}
	free(m);
}

void meter_set(struct meter *m, uint64_t per_minute)
{
	m->per_minute = per_minute;
}

/* A * B / C without overflow on the way. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 r = (unsigned __int128)a * b / c;

	return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

static void leak(const struct meter *m, struct bucket *b, uint64_t now_us)
{
	uint64_t gone = scale(m->per_minute, now_us - b->since_us, MINUTE_US);

	if (gone == 0) /* too early: fractions add up */
		return;
	b->level = gone < b->level ? b->level - gone : 0;
	b->since_us = now_us;
}

/* NULL: UID has none. Buckets that are empty by now go on the way. */
static struct bucket *find(struct meter *m, uid_t uid, uint64_t now_us)
{
	struct buckets *chain = &m->buckets[uid % METER_BUCKETS];
	struct bucket *b, *next;

	for (b = LIST_FIRST(chain); b; b = next) {
		next = LIST_NEXT(b, entry);
		leak(m, b, now_us);
		if (b->uid == uid)
			return b;
		if (b->level == 0) {
			LIST_REMOVE(b, entry);
			free(b);
		}
	}
	return NULL;
}

static struct bucket *add(struct meter *m, uid_t uid, uint64_t now_us)
{
	struct bucket *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->uid = uid;
	b->since_us = now_us;
	LIST_INSERT_HEAD(&m->buckets[uid % METER_BUCKETS], b, entry);
	return b;
}

static int ask(const struct meter *m, const struct bucket *b, uint64_t amount, uint64_t *wait_s)
{
	/* More than a minute's worth never has room: it may go when the bucket is empty. */
	uint64_t needed = amount < m->per_minute ? amount : m->per_minute;
	uint64_t highest = m->per_minute - needed;

	if (b->level <= highest)
		return 0;
	*wait_s = scale(b->level - highest, MINUTE_US, m->per_minute);
	*wait_s = *wait_s / SECOND_US + (*wait_s % SECOND_US != 0);
	return -EDQUOT;
}

int meter_take(struct meter *m, uid_t uid, uint64_t amount, uint64_t now_us, uint64_t *wait_s)
{
	struct bucket *b = find(m, uid, now_us);
	int r;

	if (!b)
		b = add(m, uid, now_us);
	if (!b)
		return -ENOMEM;
	r = ask(m, b, amount, wait_s);
	if (r < 0) {
		b->refused = amount;
		return r;
	}
	b->level = amount <= UINT64_MAX - b->level ? b->level + amount : UINT64_MAX;
	return 0;
}

int meter_ask(struct meter *m, uid_t uid, uint64_t now_us, uint64_t *wait_s)
{
	struct bucket *b = find(m, uid, now_us);
	int r;

	if (!b || b->refused == 0)
		return 0;
	r = ask(m, b, b->refused, wait_s);
	if (r == 0) /* it may be less next time, which must not wait for that */
		b->refused = 0;
	return r;
}
