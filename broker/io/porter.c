/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/porter.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "broker/io/connection.h"
#include "broker/io/loop.h"
#include "broker/io/porter-wire.h"
#include "broker/io/table.h"
#include "protocol/cleanup.h"

/* Messages taken in one turn of the loop. */
#define MESSAGE_BATCH 16

/* A client. One request with files at a time is at the broker, so that few slots are reserved; the
 * others wait here. */
struct guest {
	TAILQ_ENTRY(guest) entry; /* process::with_files, while it has files */
	uint32_t id;
	int fd;                        /* owned, until it is served; then -1 */
	struct connection *connection; /* owned, while it is served */
	char *packet;                  /* owned, as the files: the request that they came with */
	size_t length;
	int *files;
	size_t n_files;
};

struct process {
	struct connection_owner owner; /* first: what connections know of it */
	struct loop *loop;
	const struct porter_calls *calls;
	int control, sockmap;
	struct guest **guests; /* by id */
	size_t n_guests;
	TAILQ_HEAD(guest_queue, guest)
	with_files; /* the first one's request is at the broker */
	struct porter_message message;
};

/* The broker is gone: so is everybody who could be answered. */
static void tell(const struct process *p, const struct porter_header *header, const void *data)
{
	if (porter_send(p->control, header, data, NULL, 0, 0) < 0)
		_exit(0);
}

static void tell_kind(const struct process *p, enum porter_kind kind, uint32_t id)
{
	const struct porter_header header = { .kind = kind, .id = id };

	tell(p, &header, NULL);
}

/* -- files of a request ---------------------------------------------------------------------- */

static void ask(const struct process *p, uint32_t id, const char *packet, size_t length,
		size_t n_files)
{
	const struct porter_header header = {
		.kind = PORTER_REQUEST,
		.id = id,
		.count = (uint32_t)n_files,
		.length = (uint32_t)length,
	};

	tell(p, &header, packet);
}

static void ask_for_next(const struct process *p)
{
	const struct guest *v = TAILQ_FIRST(&p->with_files);

	if (v)
		ask(p, v->id, v->packet, v->length, v->n_files);
}

static void files_close(struct guest *v)
{
	sb_close_all(v->files, v->n_files);
	free(v->files);
	v->files = NULL;
	v->n_files = 0;
}

/* Takes the files out of PACKET. -ENOMEM: they are still there. */
static int files_take(struct guest *v, struct sb_packet *packet)
{
	v->files = calloc(packet->n_fds, sizeof(int));
	v->packet = malloc(packet->length);
	if (!v->files || !v->packet)
		return -ENOMEM;
	memcpy(v->packet, packet->data, packet->length);
	v->length = packet->length;
	memcpy(v->files, packet->fds, packet->n_fds * sizeof(int));
	v->n_files = packet->n_fds;
	packet->n_fds = 0;
	return 0;
}

/* The request is answered. */
static void files_end(struct process *p, struct guest *v)
{
	if (!v->packet)
		return;
	files_close(v);
	free(v->packet);
	v->packet = NULL;
	TAILQ_REMOVE(&p->with_files, v, entry);
	ask_for_next(p);
}

static bool may_be_stored(const struct socket_facts *f)
{
	return f->is_socket && (f->domain == AF_INET || f->domain == AF_INET6) &&
	       (f->protocol == IPPROTO_UDP || (f->protocol == IPPROTO_TCP && f->listening));
}

static bool is_pidfd(int file)
{
	char path[64], target[32] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return readlink(path, target, sizeof(target) - 1) > 0 &&
	       strcmp(target, "anon_inode:[pidfd]") == 0;
}

static void look_at(const struct process *p, int file, struct request_socket *s)
{
	s->looked = socket_facts_read(file, &s->facts);
	s->stored = -EOPNOTSUPP;
	if (s->looked == 0 && may_be_stored(&s->facts))
		s->stored = p->calls->store(p->sockmap, s->slot, file);
}

/* Each file is closed here before the client has the reply, which may count on that: those that the
 * broker gets when it has replied, so that its own close is never the last. */
static void look(struct process *p, struct guest *v, const uint32_t *slots, bool pass)
{
	struct request_socket *found = (struct request_socket *)p->message.data;
	const struct porter_header header = {
		.kind = PORTER_LOOKED,
		.id = v->id,
		.count = (uint32_t)v->n_files,
		.length = (uint32_t)(v->n_files * sizeof(*found)),
	};
	size_t n_passed = 0;

	memset(found, 0, header.length);
	for (size_t i = 0; i < v->n_files; i++) {
		int file = v->files[i];

		found[i].slot = slots[i];
		look_at(p, file, &found[i]);
		found[i].passed = pass && (found[i].stored == 0 || is_pidfd(file));
		if (found[i].passed)
			v->files[n_passed++] = file;
		else
			close(file);
	}
	v->n_files = n_passed;
	if (porter_send(p->control, &header, found, v->files, n_passed, 0) < 0)
		_exit(0);
}

/* -- guests -------------------------------------------------------------------------------- */

static struct guest *find(const struct process *p, uint32_t id)
{
	return id < p->n_guests ? p->guests[id] : NULL;
}

/* An id is the broker's until it hears that all of it is closed. */
static void guest_end(struct process *p, struct guest *v)
{
	uint32_t id = v->id;

	files_end(p, v);
	connection_free(v->connection);
	sb_close(v->fd);
	free(v);
	p->guests[id] = NULL;
	tell_kind(p, PORTER_CLOSED, id);
}

/* Out of memory, this process is of no use: its end tells the broker. */
static void adopt(struct process *p, struct porter_message *m)
{
	struct guest *v = calloc(1, sizeof(*v));

	if (!v || m->n_fds != 1 ||
	    table_reach((void ***)&p->guests, &p->n_guests, m->header.id) < 0)
		_exit(1);
	v->id = m->header.id;
	v->fd = m->fds[0];
	m->n_fds = 0;
	p->guests[v->id] = v;
}

static void serve(struct process *p, struct guest *v)
{
	v->connection = connection_new(&p->owner, TAKE_FD(v->fd), v->id, v);
	if (!v->connection)
		guest_end(p, v);
}

static void on_came(struct connection_owner *owner, struct connection *c)
{
	struct process *p = (struct process *)owner;
	struct sb_packet *packet = &p->owner.packet;
	struct guest *v = c->data;

	if (packet->n_fds == 0) {
		ask(p, v->id, packet->data, packet->length, 0);
		return;
	}
	if (files_take(v, packet) < 0)
		_exit(1);
	TAILQ_INSERT_TAIL(&p->with_files, v, entry);
	if (TAILQ_FIRST(&p->with_files) == v)
		ask_for_next(p);
}

static void on_taken(struct connection_owner *owner, struct connection *c)
{
	tell_kind((struct process *)owner, PORTER_TAKEN, c->id);
}

static void on_closed(struct connection_owner *owner, struct connection *c)
{
	guest_end((struct process *)owner, c->data);
}

/* -- the broker's messages ------------------------------------------------------------------- */

static void set(struct process *p, const struct porter_message *m)
{
	struct porter_settings settings;
	char name[16];

	memcpy(&settings, m->data, sizeof(settings));
	p->owner.timeout_us = settings.timeout_us;
	snprintf(name, sizeof(name), "sb-%" PRIu64, settings.uid);
	prctl(PR_SET_NAME, name);
}

static void reply(struct process *p, struct guest *v, struct porter_message *m)
{
	size_t n_fds = m->n_fds;

	files_end(p, v);
	m->n_fds = 0;
	connection_reply(v->connection, m->data, m->header.length, m->fds, n_fds);
}

static void handle(struct process *p, struct porter_message *m)
{
	struct guest *v = find(p, m->header.id);
	uint32_t slots[SB_WIRE_FDS_MAX];

	switch ((enum porter_kind)m->header.kind) {
	case PORTER_SETTINGS:
		set(p, m);
		break;
	case PORTER_ADOPT:
		adopt(p, m);
		break;
	case PORTER_SERVE:
		serve(p, v);
		break;
	case PORTER_LOOK:
	case PORTER_PASS:
		if (m->header.length != v->n_files * sizeof(*slots))
			_exit(1);
		memcpy(slots, m->data, m->header.length);
		look(p, v, slots, m->header.kind == PORTER_PASS);
		break;
	case PORTER_REPLY:
		reply(p, v, m);
		break;
	case PORTER_PING:
		tell_kind(p, PORTER_PONG, 0);
		break;
	default:
		_exit(1);
	}
}

static void on_message(evutil_socket_t fd, short what, void *data)
{
	struct process *p = data;

	for (int i = 0; i < MESSAGE_BATCH; i++) {
		int r = porter_receive(fd, &p->message, MSG_DONTWAIT);

		if (r == -EAGAIN)
			return;
		if (r <= 0)
			_exit(0);
		handle(p, &p->message);
		porter_message_close(&p->message);
	}
}

void porter_main(void *data, const int *fds, size_t n)
{
	struct process *p = calloc(1, sizeof(*p));
	struct event *event;

	if (p)
		p->loop = loop_new();
	if (!p || !p->loop || n != 3)
		return;
	p->owner.base = loop_base(p->loop);
	p->owner.came = on_came;
	p->owner.taken = on_taken;
	p->owner.closed = on_closed;
	p->calls = data;
	p->control = fds[0];
	p->sockmap = fds[1];
	TAILQ_INIT(&p->with_files);
	p->calls->drop_privilege();
	event = event_new(p->owner.base, p->control, EV_READ | EV_PERSIST, on_message, p);
	if (event && event_add(event, NULL) == 0)
		loop_run(p->loop);
}
