/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sockbroker-activate: starts units for the broker, which is not privileged to do so itself, and
 * only those that a label file names (Activate=), which is the administrator's to write. systemd
 * starts it with its socket when there is something to start, and it ends when there is nothing
 * more. One packet REQUEST=start, UNIT= on a connection has one answer, OK=1, STATE=, INVOCATION=,
 * when the unit's job is done, or a refusal (protocol/wire.h).
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "broker/activate/starter.h"
#include "broker/base/log.h"
#include "broker/config/activates.h"
#include "protocol/wire-io.h"
#include "protocol/wire.h"

#define IDLE_US 30000000ULL
#define CLIENTS_MAX 256 /* labels that start something at once */

struct client {
	LIST_ENTRY(client) entry;
	struct activate *activate;
	int fd;                  /* owned */
	sd_event_source *source; /* owned */
	struct start *start;     /* borrowed; NULL: nothing is under way */
};

struct activate {
	const char *config;
	sd_event *event;
	sd_event_source *listener, *idle;
	struct starter *starter;
	LIST_HEAD(, client) clients;
	unsigned n_clients;
};

/* -- one client ------------------------------------------------------------------------------- */

static void wait_idle(struct activate *a, bool idle)
{
	sd_event_source_set_time_relative(a->idle, IDLE_US);
	sd_event_source_set_enabled(a->idle, idle ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static void client_free(struct client *c)
{
	struct activate *a = c->activate;

	if (c->start)
		start_cancel(c->start);
	sd_event_source_disable_unref(c->source);
	LIST_REMOVE(c, entry);
	sb_close(c->fd);
	free(c);
	if (--a->n_clients == 0)
		wait_idle(a, true);
}

static void answer(struct client *c, const struct sb_writer *w)
{
	sb_packet_send(c->fd, w->buffer, w->length, NULL, 0, MSG_DONTWAIT);
	client_free(c);
}

static void on_unit_started(void *data, int r, const char *state, const char *invocation,
			    const struct sb_error *error)
{
	struct client *c = data;
	struct sb_writer w = { 0 };

	c->start = NULL; /* the starter frees it */
	sb_writer_accept(&w, false);
	if (r < 0) {
		sb_writer_refuse(&w, false, error);
	} else {
		sb_writer_add(&w, "STATE", "%s", state);
		sb_writer_add(&w, "INVOCATION", "%s", invocation);
	}
	answer(c, &w);
}

/* 0: the answer comes later. */
static int handle(struct client *c, const struct sb_message *m, struct sb_error *error)
{
	const char *request = sb_message_get(m, "REQUEST"), *unit = sb_message_get(m, "UNIT");

	if (m->short_form || !request || strcmp(request, "start") != 0 || !unit)
		return sb_fail(error, EPROTO, "a request is REQUEST=start and UNIT=");
	if (c->start)
		return sb_fail(error, EBUSY, "a start is under way on this connection already");
	if (!config_activates(c->activate->config, unit))
		return sb_fail(error, EPERM, "no label file in %s/labels.d says Activate=%s",
			       c->activate->config, unit);
	log_info("starting %s", unit);
	return starter_start(c->activate->starter, unit, on_unit_started, c, &c->start, error);
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *data)
{
	_cleanup_free_ struct sb_packet *packet = malloc(sizeof(*packet));
	_cleanup_free_ struct sb_message *message = malloc(sizeof(*message));
	struct sb_error error = { 0 };
	struct sb_writer w = { 0 };
	struct client *c = data;
	int r = packet && message ? sb_packet_receive(fd, packet) : -ENOMEM;

	if (r == -EAGAIN)
		return 0;
	if (r <= 0) { /* it does not wait any longer */
		client_free(c);
		return 0;
	}
	sb_packet_close(packet); /* nobody needs fds here */
	r = sb_message_decode(message, packet->data, packet->length, &error);
	if (r == 0)
		r = handle(c, message, &error);
	if (r < 0) {
		sb_writer_refuse(&w, false, &error);
		answer(c, &w);
	}
	return 0;
}

/* -- all of them ------------------------------------------------------------------------------ */

static int on_listener(sd_event_source *source, int listener, uint32_t events, void *data)
{
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	_cleanup_free_ struct client *c = calloc(1, sizeof(*c));
	struct activate *a = data;

	if (fd < 0 || !c || a->n_clients >= CLIENTS_MAX)
		return 0;
	c->activate = a;
	if (sd_event_add_io(a->event, &c->source, fd, EPOLLIN, on_client, c) < 0)
		return 0;
	c->fd = TAKE_FD(fd);
	LIST_INSERT_HEAD(&a->clients, c, entry);
	TAKE_PTR(c);
	a->n_clients++;
	wait_idle(a, false);
	return 0;
}

static int on_idle(sd_event_source *source, uint64_t us, void *data)
{
	struct activate *a = data;

	return sd_event_exit(a->event, 0);
}

static int prepare(struct activate *a, struct sb_error *error)
{
	int n = sd_listen_fds(1), r;

	if (n != 1 || sd_is_socket(SD_LISTEN_FDS_START, AF_UNIX, SOCK_SEQPACKET, 1) <= 0)
		return sb_fail(error, EINVAL,
			       "started without its socket: systemctl start "
			       "sockbroker-activate.socket");
	r = sd_event_default(&a->event);
	if (r >= 0)
		r = sd_event_add_signal(a->event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, NULL,
					NULL);
	if (r >= 0)
		r = sd_event_add_time_relative(a->event, &a->idle, CLOCK_MONOTONIC, IDLE_US, 0,
					       on_idle, a);
	if (r >= 0)
		r = sd_event_add_io(a->event, &a->listener, SD_LISTEN_FDS_START, EPOLLIN,
				    on_listener, a);
	if (r < 0)
		return sb_fail(error, -r, "the event loop: %s", strerror(-r));
	return starter_new(&a->starter, a->event, error);
}

static int run(struct activate *a)
{
	struct sb_error error = { 0 };
	int r = prepare(a, &error);

	if (r == 0) {
		r = sd_event_loop(a->event);
		if (r < 0)
			sb_fail(&error, -r, "the event loop: %s", strerror(-r));
	}
	if (r < 0)
		log_error("%s", error.message);
	while (!LIST_EMPTY(&a->clients))
		client_free(LIST_FIRST(&a->clients));
	starter_free(a->starter);
	sd_event_source_disable_unref(a->listener);
	sd_event_source_disable_unref(a->idle);
	sd_event_unref(a->event);
	return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
						 { 0 } };
	struct activate a = { .config = "/etc/sockbroker" };
	int option;

	LIST_INIT(&a.clients);
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option != 'c')
			return 2;
		a.config = optarg;
	}
	if (optind < argc) {
		fprintf(stderr, "Usage: sockbroker-activate [--config DIR]\n");
		return 2;
	}
	log_setup(LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	return run(&a);
}
