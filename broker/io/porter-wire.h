/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the broker and a porter say to each other, over a SOCK_SEQPACKET pair. Both are the same
 * program, so that structs travel as they are. Internal to io/. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "broker/core/request.h"
#include "protocol/wire.h"

enum porter_kind {
	/* To the porter. ID is a client. */
	PORTER_SETTINGS, /* struct porter_settings */
	PORTER_ADOPT, /* with its connection. Nothing may be done with it, as long as the broker's
		       * copy is open too, whose close must not be the last: */
	PORTER_SERVE, /* ... that is closed now: serve it */
	PORTER_LOOK,  /* at the files of its request: COUNT slots (uint32_t), one for each */
	PORTER_PASS,  /* the same, and pass on what is harmless: sockets to register, and pidfds */
	PORTER_REPLY, /* the packet, with COUNT fds */
	PORTER_PING,  /* PORTER_PONG is the answer */
	/* From the porter. */
	PORTER_REQUEST, /* the packet, which came with COUNT files */
	PORTER_LOOKED, /* COUNT struct request_socket; the files are closed, fds are those passed on
			*/
	PORTER_TAKEN,  /* the client has the fds of its last reply */
	PORTER_CLOSED, /* ID is free */
	PORTER_PONG,
};

struct porter_settings {
	uint64_t timeout_us; /* see server_options */
	uint64_t uid;        /* of its clients, for its name; as wide as the other: no padding */
};

struct porter_header {
	uint32_t kind; /* enum porter_kind */
	uint32_t id;
	uint32_t count;
	uint32_t length; /* of the data behind it */
};

#define PORTER_DATA_MAX (SB_WIRE_FDS_MAX * sizeof(struct request_socket))
_Static_assert(PORTER_DATA_MAX >= SB_WIRE_PACKET_MAX, "packets travel whole");

struct porter_message {
	struct porter_header header;
	_Alignas(struct request_socket) char data[PORTER_DATA_MAX];
	size_t n_fds;
	int fds[SB_WIRE_FDS_MAX]; /* owned by the message */
};

/* Sends a message; FDS are not consumed. FLAGS: MSG_DONTWAIT or 0. 0 or a negative errno. */
int porter_send(int socket, const struct porter_header *header, const void *data, const int *fds,
		size_t n_fds, int flags);
/* Receives one. 1; 0: the other end is gone; or a negative errno, -EPROTO for what is no message.
 * All but 1 leave M without fds. FLAGS: MSG_DONTWAIT or 0. */
int porter_receive(int socket, struct porter_message *m, int flags);
void porter_message_close(struct porter_message *m);
