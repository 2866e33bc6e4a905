/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client of whom nothing was read is turned away. Internal to io/. */
#pragma once

#include <stdbool.h>

#include "protocol/errors.h"

/* Tells the client at FD why, in the long form: nothing was read yet that would tell which form it
 * speaks (docs/PROTOCOL.md). It sees the end now, whoever closes FD when, and can send no more. */
void refusal_send(int fd, const struct sb_error *error);

/*
 * After that: takes what the client had sent before, as long as there are no files with it. True:
 * nothing is left, FD can be closed without anything else being closed by that. False: there are
 * files, or there is too much.
 *
 * Closing FD would drop what is left, and files among that may hold up whoever drops them.
 * Besides, the client would be told of that (ECONNRESET) before it is told what we have said.
 */
bool refusal_drain(int fd);
