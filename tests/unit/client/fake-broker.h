/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A broker that answers by a script, on a socket of its own in a directory of its own. */
#pragma once

#include <pthread.h>
#include <stddef.h>

#include "client/sockbroker.h"
#include "protocol/wire.h"

#define FAKE_STEPS_MAX 8

enum fake_action {
	FAKE_REPLY = 0,       /* reply, and file as a sealed memfd if it is not NULL */
	FAKE_OPEN_FILE,       /* the same with a memfd that is not sealed */
	FAKE_SILENCE,         /* read the request, never answer */
	FAKE_HANG_UP,         /* read the request, close the connection */
	FAKE_HANG_UP_AT_ONCE, /* send reply (if not NULL) and close without reading */
};

struct fake_step {
	enum fake_action action;
	const char *reply;
	const char *file;
	int late; /* the reply waits until this fd has something to read; 0: it does not wait */
	const int *fds; /* ride on the reply instead of a file; borrowed */
	size_t n_fds;
};

/* What one request was. */
struct fake_request {
	char text[SB_WIRE_PACKET_MAX + 1];
	size_t n_fds;
	char file[4096]; /* the beginning of what is in the first fd, when it is a file */
};

struct fake_broker {
	char directory[64], path[96];
	int listener, stop[2];
	pthread_t thread;
	const struct fake_step *steps;
	size_t n_steps, n_requests;
	struct fake_request requests[FAKE_STEPS_MAX];
};

/* Starts a thread that takes one connection after another; step K is for the Kth request. Asserts
 * that all goes well. The steps must outlive the broker. */
void fake_broker_start(struct fake_broker *f, const struct fake_step *steps, size_t n_steps);
void fake_broker_stop(struct fake_broker *f);

/* A fake broker F with these steps, and a handle SB that is connected to it. */
#define START(...)                                                                                 \
	const struct fake_step steps[] = { __VA_ARGS__ };                                          \
	struct fake_broker f;                                                                      \
	struct sockbroker *sb = sockbroker_new();                                                  \
                                                                                                   \
	fake_broker_start(&f, steps, ARRAY_SIZE(steps));                                           \
	assert_int_equal(sockbroker_connect(sb, f.path), 0)

#define STOP()                                                                                     \
	do {                                                                                       \
		sockbroker_free(sb);                                                               \
		fake_broker_stop(&f);                                                              \
	} while (0)
