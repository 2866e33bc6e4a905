/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of struct sockbroker, and how a request is made. Internal to the library. */
#pragma once

#include <stdbool.h>

#include "client/sockbroker.h"
#include "protocol/errors.h"
#include "protocol/wire-io.h"
#include "protocol/wire.h"

/* Called while a request waits, at once and then again after as many milliseconds (> 0) as it
 * returned. */
typedef int (*handle_waiting)(void *data);

struct sockbroker {
	int socket;  /* owned; -1: not connected */
	int timeout; /* milliseconds, or -1 */
	enum sockbroker_failure failure;
	struct sb_error error;
	struct sb_message reply; /* the last one; its warnings stay readable */
	struct sb_packet packet; /* the fds of the last reply, until taken */
	handle_waiting waiting;  /* NULL: nobody wants to know */
	void *waiting_data;
};

/* What waiting requests call; NULL: nothing. SB may be NULL. */
void handle_set_waiting(struct sockbroker *sb, handle_waiting waiting, void *data);

/* The beginning of every public call: forgets how the last one went. -ENOMEM for NULL. */
int handle_begin(struct sockbroker *sb);

/* Ends a call that failed before anything was asked; the sentence is in sb->error. */
int handle_fail_local(struct sockbroker *sb, int code, const char *format, ...) _printf_(3, 4);

/* Ends a call whose answer is none, and gives the connection up: a late reply must not be taken for
 * that of the next request. */
int handle_fail_unreachable(struct sockbroker *sb, int code, const char *format, ...)
	_printf_(3, 4);

/*
 * Sends W with the fds (not consumed) and waits for the reply, which is then in sb->reply and
 * sb->packet. 0 for OK; else -errno with error and failure set.
 */
int handle_call(struct sockbroker *sb, const struct sb_writer *w, const int *fds, size_t n_fds);

/* The number in the reply's field KEY; 0 when it has none. */
uint64_t handle_reply_number(const struct sockbroker *sb, const char *key);

/* Takes the reply's file out of the packet: *RET is the caller's. Unreachable with -EPROTO unless
 * there is exactly one. */
int handle_take_file(struct sockbroker *sb, int *ret);
