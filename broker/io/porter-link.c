/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/porter-link.h"

#include <string.h>
#include <sys/socket.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/io/loop.h"
#include "broker/io/table.h"

/* A porter without clients ends after this time: a user that comes often has it at hand. */
#define IDLE_US 1000000
/* A porter is asked for an answer at most so often, and is stuck if none comes for as long. */
#define STUCK_US 250000

/* -- messages to it ------------------------------------------------------------------------- */

static void tell_kind(struct porter *p, enum porter_kind kind, uint32_t id)
{
	const struct porter_header header = { .kind = kind, .id = id };

	outbox_send(&p->outbox, &header, NULL, NULL, 0);
}

void porter_configure(struct porter *p, uint64_t timeout_us)
{
	const struct porter_settings settings = { .timeout_us = timeout_us, .uid = p->uid };
	const struct porter_header header = { .kind = PORTER_SETTINGS, .length = sizeof(settings) };

	outbox_send(&p->outbox, &header, &settings, NULL, 0);
}

/* -- its clients ---------------------------------------------------------------------------- */

static void forget(struct porter *p, uint32_t id)
{
	visitor_free(p->visitors[id]);
	p->visitors[id] = NULL;
	p->n_visitors--;
	if (id < p->first_free)
		p->first_free = id;
}

static void wait_idle(struct porter *p)
{
	loop_add(p->idle_event, IDLE_US);
}

static void on_left(struct porter *p, uint32_t id)
{
	forget(p, id);
	if (p->n_visitors == 0)
		wait_idle(p);
}

/* A place for one more: its id, or -ENOMEM. */
static int64_t find_id(struct porter *p)
{
	while (p->first_free < p->n_ids && p->visitors[p->first_free])
		p->first_free++;
	if (table_reach((void ***)&p->visitors, &p->n_ids, p->first_free) < 0)
		return -ENOMEM;
	return p->first_free;
}

static void ping(struct porter *p)
{
	uint64_t now = clock_monotonic_us();

	if (p->asked_us || now - p->heard_us < STUCK_US)
		return;
	p->asked_us = now;
	tell_kind(p, PORTER_PING, 0);
}

/* An answer may be there that was not read yet. */
bool porter_is_stuck(const struct porter *p, uint64_t now_us)
{
	char c;

	return p->asked_us && now_us - p->asked_us > STUCK_US &&
	       recv(p->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

static int hand_over(struct porter *p, int fd, uint32_t id)
{
	const struct porter_header header = { .kind = PORTER_ADOPT, .id = id };
	int r = -EAGAIN;

	if (outbox_is_empty(&p->outbox))
		r = porter_send(p->fd, &header, NULL, &fd, 1, MSG_DONTWAIT);

	if (r == 0)
		sb_close(fd);
	return r;
}

int porter_adopt(struct porter *p, int fd, struct client *client)
{
	int64_t id = find_id(p);
	_cleanup_(visitor_freep) struct visitor *v = id < 0 ? NULL : visitor_new(p, (uint32_t)id);
	int r = v ? hand_over(p, fd, (uint32_t)id) : -ENOMEM;

	if (r < 0)
		return r;
	visitor_become(v, client);
	p->visitors[id] = TAKE_PTR(v);
	p->n_visitors++;
	event_del(p->idle_event);
	tell_kind(p, PORTER_SERVE, (uint32_t)id);
	ping(p);
	return 0;
}

/* -- messages from it ------------------------------------------------------------------------ */

static struct visitor *find(const struct porter *p, uint32_t id)
{
	return id < p->n_ids ? p->visitors[id] : NULL;
}

static bool makes_sense(const struct porter *p, const struct porter_message *m)
{
	const struct visitor *v = find(p, m->header.id);

	switch ((enum porter_kind)m->header.kind) {
	case PORTER_REQUEST:
	case PORTER_LOOKED:
		return v && visitor_expects(v, &m->header);
	case PORTER_TAKEN:
	case PORTER_CLOSED:
		return v;
	case PORTER_PONG:
		return true;
	default:
		return false;
	}
}

static void handle(struct porter *p, struct porter_message *m)
{
	struct visitor *v = find(p, m->header.id);

	switch ((enum porter_kind)m->header.kind) {
	case PORTER_REQUEST:
		visitor_request(v, m);
		break;
	case PORTER_LOOKED:
		visitor_looked(v, m);
		break;
	case PORTER_TAKEN:
		quota_charge_clear(&v->client.table);
		break;
	case PORTER_CLOSED:
		on_left(p, v->id);
		break;
	default:
		p->asked_us = 0;
		p->heard_us = clock_monotonic_us();
		break;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct porter *p = data;
	struct porter_message *m = &p->owner->message;
	int r = porter_receive(fd, m, MSG_DONTWAIT);

	if (r == -EAGAIN)
		return;
	if (r == 1 && makes_sense(p, m)) {
		handle(p, m);
		porter_message_close(m);
		return;
	}
	if (r == 1)
		porter_message_close(m);
	p->gone = r == 0 && !p->outbox.broken;
	if (r != 0 || p->n_visitors > 0)
		log_warning("the process that serves uid %u ended, %zu clients with it",
			    (unsigned)p->uid, p->n_visitors);
	p->owner->ended(p->owner, p);
}

static void on_idle(evutil_socket_t fd, short what, void *data)
{
	struct porter *p = data;

	p->owner->ended(p->owner, p);
}

/* -- its life -------------------------------------------------------------------------------- */

struct porter *porter_new(struct porter_owner *owner, uid_t uid, int fd)
{
	_cleanup_close_ int owned = fd;
	_cleanup_(porter_freep) struct porter *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->owner = owner;
	p->uid = uid;
	p->fd = TAKE_FD(owned);
	p->heard_us = clock_monotonic_us();
	p->read_event = event_new(owner->base, p->fd, EV_READ | EV_PERSIST, on_readable, p);
	p->idle_event = event_new(owner->base, -1, 0, on_idle, p);
	if (!p->read_event || !p->idle_event ||
	    outbox_init(&p->outbox, owner->base, p->fd, owner->keepers, uid) < 0 ||
	    event_add(p->read_event, NULL) < 0)
		return NULL;
	wait_idle(p);
	return TAKE_PTR(p);
}

void porter_free(struct porter *p)
{
	if (!p)
		return;
	outbox_clear(&p->outbox);
	if (p->read_event)
		event_free(p->read_event);
	if (p->idle_event)
		event_free(p->idle_event);
	for (size_t i = 0; i < p->n_ids; i++)
		if (p->visitors[i])
			forget(p, (uint32_t)i);
	free(p->visitors);
	sb_close(p->fd);
	free(p);
}
