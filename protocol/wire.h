/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wire format: one SOCK_SEQPACKET packet is one request or one reply. No I/O here.
 *
 * Long form: lines KEY=VALUE, each ended by a newline (the last one's may be missing), UTF-8, no
 * control characters. Keys are [A-Z][A-Z0-9_]*; a key may come more than once where the request
 * says so. A request starts with REQUEST=, a reply with either OK=1 or ERROR= and MESSAGE=.
 *
 * Short form: the packet LABEL# registers (with replace) the fds that ride on it; the reply is
 * exactly "OK", or "ERR NAME message".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/errors.h"

#define SB_WIRE_PACKET_MAX 4096 /* bytes of one request or reply */
#define SB_WIRE_FDS_MAX 253     /* the kernel's SCM_MAX_FD */
#define SB_WIRE_FIELDS_MAX 512
#define SB_WIRE_KEY_MAX 32
#define SB_WIRE_VERSION 1
#define SB_SOCKET_PATH "/run/sockbroker/sockbroker.sock"
#define SB_SOCKET_ENV "SOCKBROKER_SOCKET"

struct sb_field {
	const char *key;
	const char *value;
};

/* A decoded packet. Points into its own buffer; the value of a copied struct is not valid. */
struct sb_message {
	size_t n_fields;
	bool short_form; /* one field, LABEL */
	struct sb_field fields[SB_WIRE_FIELDS_MAX];
	char buffer[SB_WIRE_PACKET_MAX + 1];
};

/* Decodes N bytes. -EPROTO (not this protocol), -EMSGSIZE (too long, too many fields), with a
 * sentence. The bytes are copied: PACKET need not outlive the call. */
int sb_message_decode(struct sb_message *m, const void *packet, size_t n, struct sb_error *error);

/* Whether a packet of which only the first N bytes are known begins like the short form: a label,
 * then '#'. */
bool sb_packet_seems_short(const void *packet, size_t n);

/* The value of the only field KEY; NULL if there is none, or more than one (see _count). */
const char *sb_message_get(const struct sb_message *m, const char *key);
size_t sb_message_count(const struct sb_message *m, const char *key);

/* A packet being written. Zero-initialize. The first failure sticks and is what _finish returns. */
struct sb_writer {
	int error; /* negative errno */
	size_t length;
	char buffer[SB_WIRE_PACKET_MAX + 1];
};

/* Adds "KEY=value\n". A newline or other control character in the value becomes a blank, invalid
 * UTF-8 '?', so that one value can never forge another field. */
void sb_writer_add(struct sb_writer *w, const char *key, const char *format, ...) _printf_(3, 4);

/* 0, or -EMSGSIZE if the fields did not fit. */
int sb_writer_finish(const struct sb_writer *w);

/* Writes a refusal: ERROR= and MESSAGE= (long form), or "ERR NAME message" (short form). Starts
 * the packet anew, so it may be called on a writer that holds a half-written reply. */
void sb_writer_refuse(struct sb_writer *w, bool short_form, const struct sb_error *error);

/* Writes "OK" (short form) or starts a reply with OK=1. */
void sb_writer_accept(struct sb_writer *w, bool short_form);

/* Reads the verdict of a decoded reply, or of a short-form reply packet: 0, or the negative errno
 * with the broker's sentence in ERROR. An ERROR= name this version does not know counts as EIO. */
int sb_message_verdict(const struct sb_message *m, struct sb_error *error);
int sb_short_reply_verdict(const void *packet, size_t n, struct sb_error *error);
