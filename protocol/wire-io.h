/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only I/O of the protocol: one packet with its fds in, one out, and sealed memfds.
 * Every fd that is received is CLOEXEC.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "protocol/errors.h"
#include "protocol/wire.h"

struct sb_packet {
	size_t length;
	char data[SB_WIRE_PACKET_MAX + 1];
	size_t n_fds;
	int fds[SB_WIRE_FDS_MAX]; /* owned by the packet until taken (set to -1) */
};

/* Closes what is left of the fds. Accepts a zeroed packet. */
void sb_packet_close(struct sb_packet *p);

/*
 * Receives one packet into P (whatever P held is forgotten, not closed). Returns 1; 0 at the end of
 * the connection (an empty packet ends it too); -EAGAIN; -EMSGSIZE when the packet was longer than
 * SB_WIRE_PACKET_MAX or its control data did not fit; -EMFILE when this process has no room for all
 * of its fds; or another negative errno. Unless 1 is returned, P holds no fd: they are closed.
 * After -EMSGSIZE and -EMFILE it holds the first bytes (length) of the packet.
 */
int sb_packet_receive(int socket, struct sb_packet *p);

/* Sends one packet with N_FDS fds (not consumed). 0 or a negative errno; never raises SIGPIPE. */
int sb_packet_send(int socket, const void *data, size_t length, const int *fds, size_t n_fds,
		   int flags);

/* The same for other messages between processes of ours: what is in N_IOV pieces, with at most
 * SB_WIRE_FDS_MAX fds. How many bytes were sent, or a negative errno. */
ssize_t sb_send_with_fds(int socket, struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds,
			 int flags);

/* Writes all of it, and does not move the file offset: who has the same file may simply read() from
 * the start. 0 or a negative errno. */
int sb_pwrite_all(int fd, const void *data, size_t length, off_t offset);

/* A new sealed memfd with these bytes: the caller owns it. Negative errno on failure. */
int sb_memfd_new_sealed(const char *name, const void *data, size_t length);

/*
 * Maps a memfd that must be sealed against writing, growing and shrinking, and hold at most MAX
 * bytes. On success *RET (NULL when empty) of *RET_LENGTH bytes, read-only (PROT_READ; with
 * COPY, a private writable copy-on-write mapping) to be munmap()ed by the caller.
 */
int sb_memfd_map(int fd, size_t max, bool copy, void **ret, size_t *ret_length,
		 struct sb_error *error);
