/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/scribe.h"

#include <event2/event.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "broker/base/log.h"
#include "broker/io/answer.h"
#include "broker/io/porter-wire.h"

/* At work at a time in each lane; the others wait, in the order in which they came. */
#define SCRIBES_MAX 2

struct lane {
	TAILQ_HEAD(scribe_queue, scribe) waiting, working;
	unsigned n_working;
};

struct scribe {
	TAILQ_ENTRY(scribe) entry; /* lane::waiting or lane::working */
	struct scribes *all;
	struct lane *lane;
	struct client *client;   /* borrowed; NULL: it is gone, but the process still works */
	struct quota_user *user; /* a reference; NULL: one who administers */
	char *packet;            /* owned */
	size_t length;
	int fd;              /* owned; the other end of the process's, -1: it waits */
	struct event *event; /* owned */
};

struct scribes {
	struct event_base *base;
	struct answerer *answerer;
	struct lane users, admins; /* however many users ask, those who administer do not wait */
	struct porter_message message; /* what a process says at its end: a PORTER_REPLY */
};

/* -- the process ----------------------------------------------------------------------------- */

static void become_scribe(const struct scribe *s)
{
	const struct sched_param param = { 0 };
	const struct server_calls *calls = &s->all->answerer->calls;

	prctl(PR_SET_NAME, "sb-scribe");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The handlers that the broker has would tell the broker. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* Who waits for the broker goes first. Where @resources are denied, as in the unit that
	 * comes with the broker, that is not to be had, and nothing depends on it. */
	if (s->user)
		sched_setscheduler(0, SCHED_BATCH, &param);
	sb_close(s->fd);
	calls->forked(calls->data);
}

static void write_answer(const struct scribe *s, int fd)
{
	struct answerer *a = s->all->answerer;
	struct request request = { 0 };
	struct answer answer;
	struct porter_header header = { .kind = PORTER_REPLY };

	become_scribe(s);
	if (answer_begin(a, s->packet, s->length, &request, &answer) == 0)
		answer_write(a, s->client, &request, &answer);
	header.length = (uint32_t)answer.writer.length;
	porter_send(fd, &header, answer.writer.buffer, answer.fds, answer.n_fds, 0);
	_exit(0);
}

/* -- the broker's side ----------------------------------------------------------------------- */

static void scribe_free(struct scribe *s)
{
	if (s->event)
		event_free(s->event);
	sb_close(s->fd);
	quota_user_put(s->user);
	free(s->packet);
	free(s);
}
SB_DEFINE_CLEANUP(struct scribe, scribe_free)

static void start_next(struct scribes *all, struct lane *lane);

/* The process is done. */
static void end_work(struct scribe *s)
{
	struct scribes *all = s->all;
	struct lane *lane = s->lane;

	TAILQ_REMOVE(&lane->working, s, entry);
	lane->n_working--;
	scribe_free(s);
	start_next(all, lane);
}

static void deliver(struct client *c, struct answer *answer)
{
	c->scribe = NULL;
	c->deliver(c, answer);
	answer_clear(answer);
}

static void refuse(struct scribes *all, struct client *c, int reason)
{
	struct answer answer = { 0 };
	struct sb_error error = { 0 };

	sb_fail(&error, reason, "the answer could not be written: %s", strerror(reason));
	sb_writer_refuse(&answer.writer, false, &error);
	deliver(c, &answer);
}

static void on_result(evutil_socket_t fd, short what, void *data)
{
	struct scribe *s = data;
	struct scribes *all = s->all;
	struct client *c = s->client;
	struct porter_message *m = &all->message;
	struct answer answer = { 0 };
	int r = porter_receive(fd, m, MSG_DONTWAIT);

	if (r == -EAGAIN)
		return;
	end_work(s);
	if (r != 1 || m->header.length >= sizeof(answer.writer.buffer)) {
		if (r == 1)
			porter_message_close(m);
		if (c)
			refuse(all, c, EIO);
		return;
	}
	answer.table = m->n_fds > 0;
	if (answer.table)
		answer.fds[answer.n_fds++] = TAKE_FD(m->fds[0]);
	memcpy(answer.writer.buffer, m->data, m->header.length);
	answer.writer.length = m->header.length;
	porter_message_close(m);
	if (!c) {
		answer_clear(&answer);
		return;
	}
	answer_charge(all->answerer, c, false, &answer);
	deliver(c, &answer);
}

static int start(struct scribe *s)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	s->fd = pair[0];
	s->event = event_new(s->all->base, s->fd, EV_READ | EV_PERSIST, on_result, s);
	pid = s->event && event_add(s->event, NULL) == 0 ? fork() : -1;
	if (pid == 0)
		write_answer(s, pair[1]);
	close(pair[1]);
	return pid < 0 ? -EAGAIN : 0;
}

static void start_next(struct scribes *all, struct lane *lane)
{
	struct scribe *s;

	while (lane->n_working < SCRIBES_MAX && (s = TAILQ_FIRST(&lane->waiting))) {
		struct client *c = s->client;
		int r = start(s);

		TAILQ_REMOVE(&lane->waiting, s, entry);
		if (r < 0) {
			scribe_free(s);
			refuse(all, c, -r);
			continue;
		}
		TAILQ_INSERT_TAIL(&lane->working, s, entry);
		lane->n_working++;
	}
}

static bool has_one(const struct scribe_queue *queue, const struct quota_user *user)
{
	const struct scribe *s;

	TAILQ_FOREACH(s, queue, entry)
	if (s->user == user)
		return true;
	return false;
}

int scribes_add(struct scribes *all, struct client *c, const char *packet, size_t length)
{
	_cleanup_(scribe_freep) struct scribe *s = NULL;
	struct lane *lane = c->user ? &all->users : &all->admins;
	struct scribe *added;

	if (c->user && (has_one(&lane->waiting, c->user) || has_one(&lane->working, c->user)))
		return -EAGAIN;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->all = all;
	s->lane = lane;
	s->fd = -1;
	s->length = length;
	s->packet = malloc(length);
	if (!s->packet)
		return -ENOMEM;
	memcpy(s->packet, packet, length);
	s->client = c;
	s->user = quota_user_ref(c->user);
	c->scribe = s;
	added = TAKE_PTR(s);
	TAILQ_INSERT_TAIL(&lane->waiting, added, entry);
	start_next(all, lane);
	return 0;
}

void scribe_forget(struct scribe *s)
{
	if (!s)
		return;
	s->client = NULL;
	if (s->fd >= 0) /* at work: the place is taken until it is done */
		return;
	TAILQ_REMOVE(&s->lane->waiting, s, entry);
	scribe_free(s);
}

static void lane_init(struct lane *lane)
{
	TAILQ_INIT(&lane->waiting);
	TAILQ_INIT(&lane->working);
}

static void queue_clear(struct scribe_queue *queue)
{
	struct scribe *s;

	while ((s = TAILQ_FIRST(queue))) {
		if (s->client)
			s->client->scribe = NULL;
		TAILQ_REMOVE(queue, s, entry);
		scribe_free(s);
	}
}

struct scribes *scribes_new(struct event_base *base, struct answerer *answerer)
{
	struct scribes *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base = base;
	s->answerer = answerer;
	lane_init(&s->users);
	lane_init(&s->admins);
	return s;
}

void scribes_free(struct scribes *s)
{
	if (!s)
		return;
	queue_clear(&s->users.waiting);
	queue_clear(&s->users.working);
	queue_clear(&s->admins.waiting);
	queue_clear(&s->admins.working);
	free(s);
}
