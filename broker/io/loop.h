/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The event loop (libevent): signals and timers; connections are in io/server. */
#pragma once

#include <stdint.h>

#include "protocol/cleanup.h"

struct event;
struct event_base;
struct loop;

struct loop *loop_new(void); /* NULL: out of memory, or no epoll */
void loop_free(struct loop *l);
SB_DEFINE_CLEANUP(struct loop, loop_free)

/* For the other files of io/. */
struct event_base *loop_base(struct loop *l);

/* Calls F(DATA) in the loop for every SIGNAL, or every INTERVAL_US microseconds. -ENOMEM. */
int loop_on_signal(struct loop *l, int signal, void (*f)(void *data), void *data);
int loop_every(struct loop *l, uint64_t interval_us, void (*f)(void *data), void *data);

/* For the other files of io/: event_add(), for at most TIMEOUT_US microseconds. */
int loop_add(struct event *event, uint64_t timeout_us);

/* Runs until loop_stop(). 0 or a negative errno. */
int loop_run(struct loop *l);

/* Ends loop_run() once the callback that is running has returned. */
void loop_stop(struct loop *l);
