/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/watch.h"

#include <event2/event.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/io/table.h"

struct watch {
	struct event_base *base; /* borrowed */
	void (*ready)(void *data, int fd);
	void (*alarm)(void *data);
	void *data;
	struct event **by_fd; /* owned, with the events; NULL: that fd is not watched */
	size_t n;
	struct event *timer;
};

static void forget(struct watch *w, int fd)
{
	event_free(w->by_fd[fd]);
	w->by_fd[fd] = NULL;
}

static void on_ready(evutil_socket_t fd, short what, void *data)
{
	struct watch *w = data;

	forget(w, fd);
	w->ready(w->data, fd);
}

static void on_alarm(evutil_socket_t fd, short what, void *data)
{
	struct watch *w = data;

	w->alarm(w->data);
}

static int watch(void *self, int fd)
{
	struct watch *w = self;
	int r = table_reach((void ***)&w->by_fd, &w->n, (size_t)fd);

	if (r < 0)
		return r;
	w->by_fd[fd] = event_new(w->base, fd, EV_READ, on_ready, w);
	if (!w->by_fd[fd])
		return -ENOMEM;
	if (event_add(w->by_fd[fd], NULL) == 0)
		return 0;
	forget(w, fd);
	return -ENOMEM;
}

static void unwatch(void *self, int fd)
{
	struct watch *w = self;

	if ((size_t)fd < w->n && w->by_fd[fd])
		forget(w, fd);
}

static void set_alarm(void *self, uint64_t at_us)
{
	struct watch *w = self;
	uint64_t now_us = clock_monotonic_us();

	/* The sweep comes by too, only not so soon. */
	if (loop_add(w->timer, at_us > now_us ? at_us - now_us : 0) < 0)
		log_warning("a timer cannot be set");
}

struct watch_port watch_port(struct watch *w)
{
	return (struct watch_port){
		.self = w,
		.watch = watch,
		.unwatch = unwatch,
		.alarm = set_alarm,
	};
}

struct watch *watch_new(struct loop *loop, void (*ready)(void *data, int fd),
			void (*alarm)(void *data), void *data)
{
	_cleanup_(watch_freep) struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->base = loop_base(loop);
	w->ready = ready;
	w->alarm = alarm;
	w->data = data;
	w->timer = event_new(w->base, -1, EV_TIMEOUT, on_alarm, w);
	return w->timer ? TAKE_PTR(w) : NULL;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	for (size_t fd = 0; fd < w->n; fd++)
		unwatch(w, (int)fd);
	free(w->by_fd);
	if (w->timer)
		event_free(w->timer);
	free(w);
}
