/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/visitor.h"

#include <string.h>

#include "broker/io/porter-link.h"

/* The porter looks at the files of a request; slots are reserved for them. */
struct looking {
	char *packet; /* owned; to be read again when it has looked */
	size_t length;
	struct quota_charge charge; /* for the slots */
	size_t n;
	struct request_socket sockets[];
};

static void looking_free(struct looking *l)
{
	quota_charge_clear(&l->charge);
	free(l->packet);
	free(l);
}
SB_DEFINE_CLEANUP(struct looking, looking_free)

static struct looking *looking_new(size_t n, const char *packet, size_t length)
{
	_cleanup_(looking_freep) struct looking *l =
		calloc(1, sizeof(*l) + n * sizeof(l->sockets[0]));

	if (!l)
		return NULL;
	l->n = n;
	l->length = length;
	l->packet = malloc(length);
	if (!l->packet)
		return NULL;
	memcpy(l->packet, packet, length);
	return TAKE_PTR(l);
}

static struct answerer *answerer_of(const struct visitor *v)
{
	return v->porter->owner->answerer;
}

static void tell_answer(const struct visitor *v, struct answer *answer)
{
	const struct porter_header header = {
		.kind = PORTER_REPLY,
		.id = v->id,
		.length = (uint32_t)answer->writer.length,
	};

	outbox_send(&v->porter->outbox, &header, answer->writer.buffer, answer->fds, answer->n_fds);
	answer->n_fds = 0;
}

/* -- a request ------------------------------------------------------------------------------- */

/* Reserves slots for its files, and asks the porter to look at them. */
static int begin_look(struct visitor *v, size_t n, const char *packet, size_t length, bool pass,
		      struct sb_error *error)
{
	const struct server_calls *calls = &answerer_of(v)->calls;
	_cleanup_(looking_freep) struct looking *looking = looking_new(n, packet, length);
	uint32_t slots[SB_WIRE_FDS_MAX];
	const struct porter_header header = {
		.kind = pass ? PORTER_PASS : PORTER_LOOK,
		.id = v->id,
		.count = (uint32_t)n,
		.length = (uint32_t)(n * sizeof(*slots)),
	};
	int r;

	if (!looking)
		return sb_fail(error, ENOMEM, "out of memory");
	r = calls->reserve(calls->data, v->client.actor.uid, slots, n, &looking->charge, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		looking->sockets[i].slot = slots[i];
	v->looking = TAKE_PTR(looking);
	outbox_send(&v->porter->outbox, &header, slots, NULL, 0);
	return 0;
}

/* RELEASE: the porter does not store into the slots any more. */
static void end_look(struct visitor *v, bool release)
{
	const struct server_calls *calls = &answerer_of(v)->calls;

	if (!v->looking)
		return;
	if (release)
		calls->release(calls->data, v->looking->sockets, v->looking->n);
	looking_free(v->looking);
	v->looking = NULL;
}

void visitor_request(struct visitor *v, const struct porter_message *m)
{
	struct answerer *a = answerer_of(v);
	struct request request = {
		.actor = &v->client.actor,
		.pidfd = v->client.pidfd,
		.n_fds = m->header.count,
	};
	_cleanup_(answer_clear) struct answer answer;
	enum files_wanted wanted = FILES_UNWANTED;
	struct sb_error error = { 0 };
	int r = answer_begin(a, m->data, m->header.length, &request, &answer);

	if (r == 0 && request.n_fds > 0)
		wanted = a->calls.wants_files(a->calls.data, &request);
	if (r == 0 && wanted != FILES_UNWANTED) {
		if (begin_look(v, request.n_fds, m->data, m->header.length,
			       wanted == FILES_PASSED_ON, &error) == 0)
			return;
		answer_refuse(a, &error, &answer);
	} else if (r == 0 &&
		   !answer_end(a, &v->client, m->data, m->header.length, &request, &answer)) {
		return;
	}
	tell_answer(v, &answer);
}

/* What the porter has found, and which of M's fds are which. */
static void read_looked(struct looking *looking, struct porter_message *m, int *fds)
{
	size_t n = 0;

	for (size_t i = 0; i < looking->n; i++) {
		struct request_socket *s = &looking->sockets[i];
		uint32_t slot = s->slot;

		memcpy(s, m->data + i * sizeof(*s), sizeof(*s));
		s->slot = slot;
		s->taken = false;
		s->passed = s->passed && n < m->n_fds;
		fds[i] = s->passed ? m->fds[n++] : -1;
	}
}

void visitor_looked(struct visitor *v, struct porter_message *m)
{
	struct answerer *a = answerer_of(v);
	struct looking *looking = v->looking;
	int fds[SB_WIRE_FDS_MAX];
	struct request request = {
		.n_fds = looking->n,
		.sockets = looking->sockets,
		.fds = m->n_fds > 0 ? fds : NULL,
	};
	_cleanup_(answer_clear) struct answer answer;

	read_looked(looking, m, fds);
	quota_charge_clear(&looking->charge); /* for what becomes of them the core charges */
	if (answer_begin(a, looking->packet, looking->length, &request, &answer) == 0) {
		answer_write(a, &v->client, &request, &answer);
		answer_charge(a, &v->client, a->message.short_form, &answer);
	}
	end_look(v, true);
	/* Before the reply goes out: who has it may count on the fds being gone. */
	porter_message_close(m);
	tell_answer(v, &answer);
}

bool visitor_expects(const struct visitor *v, const struct porter_header *header)
{
	if (header->kind == PORTER_REQUEST)
		return v->client.user && !v->looking && header->count <= SB_WIRE_FDS_MAX &&
		       header->length <= SB_WIRE_PACKET_MAX;
	return v->looking && header->count == v->looking->n &&
	       header->length == header->count * sizeof(struct request_socket);
}

/* -- its life -------------------------------------------------------------------------------- */

static void on_deliver(struct client *client, struct answer *answer)
{
	tell_answer((struct visitor *)client, answer);
}

struct visitor *visitor_new(struct porter *porter, uint32_t id)
{
	struct visitor *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->porter = porter;
	v->id = id;
	v->client.pidfd = -1;
	return v;
}

void visitor_become(struct visitor *v, struct client *client)
{
	v->client = *client;
	v->client.deliver = on_deliver;
	*client = (struct client){ .pidfd = -1 };
}

void visitor_free(struct visitor *v)
{
	if (!v)
		return;
	end_look(v, v->porter->gone);
	client_clear(&v->client);
	free(v);
}
