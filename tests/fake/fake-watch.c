/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fake/fake-watch.h"

#include <stdio.h>

struct fake_watch *fake_watch_new(struct fake_calls *calls)
{
	struct fake_watch *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->calls = calls;
	return w;
}

void fake_watch_free(struct fake_watch *w)
{
	free(w);
}

static size_t find(const struct fake_watch *w, int fd)
{
	size_t i = 0;

	while (i < w->n && w->fds[i] != fd)
		i++;
	return i;
}

bool fake_watch_take(struct fake_watch *w, int fd)
{
	size_t i = find(w, fd);

	if (i == w->n)
		return false;
	w->fds[i] = w->fds[--w->n];
	return true;
}

static int watch(void *self, int fd)
{
	struct fake_watch *w = self;
	int r = fake_call(w->calls, FAKE_CALL_watch);

	if (r < 0)
		return r;
	if (w->n == FAKE_WATCHES_MAX || find(w, fd) < w->n) {
		fprintf(stderr, "fake watch: %d is watched already, or too many are\n", fd);
		abort();
	}
	w->fds[w->n++] = fd;
	return 0;
}

static void unwatch(void *self, int fd)
{
	fake_watch_take(self, fd);
}

static void set_alarm(void *self, uint64_t at_us)
{
	struct fake_watch *w = self;

	w->alarm_us = at_us;
}

struct watch_port fake_watch_port(struct fake_watch *w)
{
	return (struct watch_port){
		.self = w,
		.watch = watch,
		.unwatch = unwatch,
		.alarm = set_alarm,
	};
}
