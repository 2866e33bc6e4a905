/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one table of errors: the wire's ERROR= names, the command's exit messages and
 * docs/PROTOCOL.md all come from it.
 *
 * Throughout the project a function that can be refused returns 0 or a negative errno, and leaves
 * the sentence for a person in a struct sb_error that its caller provides.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "protocol/cleanup.h"

#define SB_ERROR_MESSAGE_MAX 512

/* X(errno constant, what it means on this wire). Only these names travel as ERROR=. */
#define SB_ERRORS(X)                                                                               \
	X(EPERM, "you may not do this")                                                            \
	X(ENOENT, "no such label, rule or socket")                                                 \
	X(EIO, "the broker could not complete an operation of the kernel or its state")            \
	X(E2BIG, "a table of the dataplane is full")                                               \
	X(EBADF, "the request says more or fewer file descriptors than it carries")                \
	X(ENOMEM, "out of memory")                                                                 \
	X(EBUSY, "in use, or changed by someone else meanwhile")                                   \
	X(EEXIST, "another rule is in the way")                                                    \
	X(EINVAL, "the request is malformed or a value in it is not valid")                        \
	X(EMFILE, "too many file descriptors")                                                     \
	X(ENOSPC, "a limit that the administrator set is reached")                                 \
	X(EPROTO, "the packet is not a request of this protocol")                                  \
	X(EMSGSIZE, "the request or reply does not fit its bounds")                                \
	X(EDQUOT, "your user has reached its share of a resource of the broker")                   \
	X(ENOTSOCK, "a passed file descriptor is not a socket")                                    \
	X(EAFNOSUPPORT, "a passed socket is not of domain IPv4 or IPv6")                           \
	X(ESOCKTNOSUPPORT, "a passed socket is of a wrong type")                                   \
	X(EPROTONOSUPPORT, "a passed socket speaks neither TCP nor UDP (MPTCP, UDP-Lite, ...)")    \
	X(EDESTADDRREQ, "a passed UDP socket is not bound")                                        \
	X(EISCONN, "a passed socket is connected")                                                 \
	X(ENOTCONN, "a passed TCP socket is not listening")                                        \
	X(EXDEV, "a passed socket belongs to another network namespace")                           \
	X(ENODEV, "a passed socket is bound to a device")                                          \
	X(EOPNOTSUPP, "not supported by this broker or kernel")                                    \
	X(ETIMEDOUT, "the request did not arrive in time")                                         \
	X(EAGAIN, "too busy just now, ask again")                                                  \
	X(ESHUTDOWN, "the broker is stopping")

struct sb_error {
	int code; /* positive errno; 0: no error */
	char message[SB_ERROR_MESSAGE_MAX];
};

/*
 * Records a refusal and returns -code, so that `return sb_fail(e, EINVAL, "...")` reads well.
 * E may be NULL. An overlong message is cut. The sentence names the thing and has no final dot.
 */
int sb_fail(struct sb_error *e, int code, const char *format, ...) _printf_(3, 4);

/* The compiler may know that it never looks like success, or it warns of what a caller would use
 * uninitialized after one. */
#define sb_fail(...)                                                                               \
	({                                                                                         \
		int _refused = (sb_fail)(__VA_ARGS__);                                             \
		if (_refused >= 0)                                                                 \
			__builtin_unreachable();                                                   \
		_refused;                                                                          \
	})

/* Puts "text: " before the message that is already in E. Returns -e->code. */
int sb_fail_prefix(struct sb_error *e, const char *format, ...) _printf_(2, 3);

/* The stable wire name of a positive errno; "EIO" for one that is not in the table. */
const char *sb_error_name(int code);

/* The positive errno of a wire name, or 0 if the table has none. */
int sb_error_code(const char *name);

/* The table's sentence for a positive errno. */
const char *sb_error_meaning(int code);

/* Calls F for every row in order; for documentation and tests. */
void sb_error_each(void (*f)(const char *name, int code, const char *meaning, void *data),
		   void *data);
