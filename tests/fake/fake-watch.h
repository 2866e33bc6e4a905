/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An event loop that turns when the test says so. */
#pragma once

#include "broker/core/port.h"
#include "tests/fake/fake-calls.h"

#define FAKE_WATCHES_MAX 256

struct fake_watch {
	struct fake_calls *calls;
	int fds[FAKE_WATCHES_MAX];
	size_t n;
	uint64_t alarm_us; /* 0: none */
};

struct fake_watch *fake_watch_new(struct fake_calls *calls);
void fake_watch_free(struct fake_watch *w);
struct watch_port fake_watch_port(struct fake_watch *w);

/* Whether FD is watched; if so, it is no more: its event has come. */
bool fake_watch_take(struct fake_watch *w, int fd);
