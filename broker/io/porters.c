/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/porters.h"

#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/rate-limit.h"
#include "broker/io/keepers.h"
#include "broker/io/porter-link.h"
#include "broker/io/refusal.h"
#include "broker/io/zygote.h"
#include "protocol/wire-io.h"

/* Of one user: one, and others while the first ones do not answer. */
#define PORTERS_PER_USER_MAX 4
/* Of all users. The second half is for users that have none. */
#define PORTERS_MAX 256

#define PORTER_BUCKETS 64

struct porters {
	struct porter_owner owner; /* first: what porters know of it */
	struct quota *quota;
	struct zygote *zygote;
	struct keepers *keepers;
	struct porter_files files;
	struct server_options options;
	LIST_HEAD(bucket, porter) buckets[PORTER_BUCKETS]; /* by the low bits of their uid */
	size_t n;
	struct rate_limit refusals, failures; /* of lines in the log */
};

/* -- processes ------------------------------------------------------------------------------ */

static struct bucket *bucket_of(struct porters *p, uid_t uid)
{
	return &p->buckets[uid % PORTER_BUCKETS];
}

static void log_failure(struct porters *p, uid_t uid, int reason)
{
	log_limited(&p->failures, LOG_WARNING, "a process to serve uid %u cannot be had: %s",
		    (unsigned)uid, strerror(-reason));
}

static struct porter *spawn(struct porters *p, uid_t uid)
{
	_cleanup_(porter_freep) struct porter *porter = NULL;
	_cleanup_close_ int theirs = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		log_failure(p, uid, -errno);
		return NULL;
	}
	theirs = pair[1];
	porter = porter_new(&p->owner, uid, pair[0]);
	r = porter ? zygote_spawn(p->zygote, PROCESS_PORTER,
				  (int[]){ theirs, p->files.sockmap, p->files.lock }, 3)
		   : -ENOMEM;
	if (r < 0) {
		log_failure(p, uid, r);
		return NULL;
	}
	porter_configure(porter, p->options.timeout_us);
	return TAKE_PTR(porter);
}

static void on_ended(struct porter_owner *owner, struct porter *porter)
{
	struct porters *p = (struct porters *)owner;

	LIST_REMOVE(porter, entry);
	p->n--;
	porter_free(porter);
}

/* Those who come often find theirs; nobody else has to go without for that. */
static void end_an_idle_one(struct porters *p)
{
	struct porter *porter;

	for (size_t i = 0; i < PORTER_BUCKETS; i++)
		LIST_FOREACH(porter, &p->buckets[i], entry)
	if (porter->n_visitors == 0) {
		on_ended(&p->owner, porter);
		return;
	}
}

static struct porter *add(struct porters *p, uid_t uid, bool first)
{
	size_t max = first ? PORTERS_MAX : PORTERS_MAX / 2;
	struct porter *porter;

	if (p->n >= max)
		end_an_idle_one(p);
	porter = p->n < max ? spawn(p, uid) : NULL;
	if (!porter)
		return NULL;
	LIST_INSERT_HEAD(bucket_of(p, uid), porter, entry);
	p->n++;
	return porter;
}

/* -- who takes a connection ------------------------------------------------------------------- */

/* Gives FD to a porter of the user. 0; -EAGAIN: none takes it; or -ENOBUFS: there is none. */
static int give(struct porters *p, int fd, uid_t uid, struct client *client)
{
	uint64_t now = clock_monotonic_us();
	struct porter *porter;
	size_t n = 0;

	LIST_FOREACH(porter, bucket_of(p, uid), entry)
	{
		if (porter->uid != uid)
			continue;
		n++;
		if (!porter_is_stuck(porter, now) && porter_adopt(porter, fd, client) == 0)
			return 0;
	}
	if (n == PORTERS_PER_USER_MAX)
		return -EAGAIN;
	porter = add(p, uid, n == 0);
	return porter ? porter_adopt(porter, fd, client) : -ENOBUFS;
}

void porters_refuse(struct porters *p, int fd, const struct actor *actor,
		    const struct sb_error *error)
{
	refusal_send(fd, error);
	log_limited(&p->refusals, LOG_INFO, "uid %u pid %d turned away: %s", (unsigned)actor->uid,
		    (int)actor->pid, error->message);
	if (refusal_drain(fd))
		close(fd);
	else
		keepers_take(p->keepers, actor->uid, fd);
}

static int charge(const struct porters *p, struct client *c, struct sb_error *error)
{
	uint64_t held, share;

	c->user = quota_user_get(p->quota, c->actor.uid);
	if (!c->user)
		return sb_fail(error, ENOMEM, "out of memory");
	held = quota_held(c->user, QUOTA_CONNECTIONS);
	share = quota_share(c->user, QUOTA_CONNECTIONS);
	if (held >= p->options.max_connections_per_user)
		return sb_fail(error, EDQUOT,
			       "your user has %" PRIu64 " connections, as many as it may "
			       "(MaxConnectionsPerUser= in sockbroker.conf)",
			       held);
	if (quota_charge(&c->connection, c->user, QUOTA_CONNECTIONS, 1) < 0)
		return sb_fail(error, EDQUOT,
			       "your user has %" PRIu64 " connections, and its share is %" PRIu64
			       " just now (MaxConnections= in sockbroker.conf)",
			       held, share);
	return 0;
}

void porters_admit(struct porters *p, int fd, const struct actor *actor, int pidfd)
{
	struct client client = { .actor = *actor, .pidfd = pidfd };
	struct sb_error error = { 0 };
	int r = charge(p, &client, &error);

	if (r == 0) {
		r = give(p, fd, actor->uid, &client);
		if (r < 0)
			sb_fail(&error, EAGAIN,
				r == -EAGAIN ? "what your user sent before keeps the broker from "
					       "serving it now"
					     : "the broker has no process to serve your user: too "
					       "many users are connected, or the system has no "
					       "room for one");
	}
	if (r < 0)
		porters_refuse(p, fd, actor, &error);
	client_clear(&client);
}

/* -- its life --------------------------------------------------------------------------------- */

void porters_configure(struct porters *p, const struct server_options *options)
{
	struct porter *porter;

	p->options = *options;
	quota_set(p->quota, QUOTA_CONNECTIONS, options->max_connections);
	quota_set(p->quota, QUOTA_BYTES, options->max_reply_bytes);
	meter_set(p->owner.answerer->meter, options->reply_bytes_per_minute);
	for (size_t i = 0; i < PORTER_BUCKETS; i++)
		LIST_FOREACH(porter, &p->buckets[i], entry)
	porter_configure(porter, options->timeout_us);
}

void porters_forked(struct porters *p)
{
	struct porter *porter;

	for (size_t i = 0; i < PORTER_BUCKETS; i++)
		LIST_FOREACH(porter, &p->buckets[i], entry)
	porter->fd = sb_close(porter->fd);
}

struct porters *porters_new(struct event_base *base, struct answerer *answerer, struct quota *quota,
			    struct zygote *zygote, struct keepers *keepers,
			    const struct porter_files *files, const struct server_options *options)
{
	struct porters *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->owner.base = base;
	p->owner.answerer = answerer;
	p->owner.ended = on_ended;
	p->quota = quota;
	p->zygote = zygote;
	p->keepers = p->owner.keepers = keepers;
	p->files = *files;
	p->refusals = (struct rate_limit){ .burst = 10, .interval_us = 10000000 };
	p->failures = (struct rate_limit){ .burst = 3, .interval_us = 10000000 };
	porters_configure(p, options);
	return p;
}

void porters_free(struct porters *p)
{
	struct porter *porter;

	if (!p)
		return;
	for (size_t i = 0; i < PORTER_BUCKETS; i++)
		while ((porter = LIST_FIRST(&p->buckets[i])))
			on_ended(&p->owner, porter);
	free(p);
}
