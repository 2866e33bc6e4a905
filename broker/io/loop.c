/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/loop.h"

#include <event2/event.h>
#include <stdbool.h>

#define LOOP_SOURCES_MAX 8

struct source {
	struct event *event; /* owned */
	void (*f)(void *data);
	void *data;
};

struct loop {
	struct event_base *base;
	struct source sources[LOOP_SOURCES_MAX];
	size_t n_sources;
};

struct loop *loop_new(void)
{
	_cleanup_(loop_freep) struct loop *l = calloc(1, sizeof(*l));
	struct event_config *config = event_config_new();

	if (!l || !config) {
		if (config)
			event_config_free(config);
		return NULL;
	}
	/* One thread: no locks. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	l->base = event_base_new_with_config(config);
	event_config_free(config);
	return l->base ? TAKE_PTR(l) : NULL;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_sources; i++)
		event_free(l->sources[i].event);
	if (l->base)
		event_base_free(l->base);
	free(l);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

static void on_source(evutil_socket_t fd, short what, void *data)
{
	const struct source *s = data;

	s->f(s->data);
}

static int add_source(struct loop *l, int signal, short what, const struct timeval *timeout,
		      void (*f)(void *data), void *data)
{
	struct source *s;

	if (l->n_sources == LOOP_SOURCES_MAX)
		return -ENOSPC;
	s = &l->sources[l->n_sources];
	*s = (struct source){ .f = f, .data = data };
	s->event = event_new(l->base, signal, what | EV_PERSIST, on_source, s);
	if (!s->event)
		return -ENOMEM;
	l->n_sources++;
	return event_add(s->event, timeout) < 0 ? -ENOMEM : 0;
}

int loop_on_signal(struct loop *l, int signal, void (*f)(void *data), void *data)
{
	return add_source(l, signal, EV_SIGNAL, NULL, f, data);
}

static struct timeval timeval_of(uint64_t us)
{
	return (struct timeval){
		.tv_sec = (time_t)(us / 1000000),
		.tv_usec = (suseconds_t)(us % 1000000),
	};
}

int loop_add(struct event *event, uint64_t timeout_us)
{
	struct timeval tv = timeval_of(timeout_us);

	return event_add(event, &tv);
}

int loop_every(struct loop *l, uint64_t interval_us, void (*f)(void *data), void *data)
{
	struct timeval tv = timeval_of(interval_us);

	return add_source(l, -1, 0, &tv, f, data);
}

int loop_run(struct loop *l)
{
	return event_base_dispatch(l->base) < 0 ? -EIO : 0;
}

void loop_stop(struct loop *l)
{
	event_base_loopbreak(l->base);
}
