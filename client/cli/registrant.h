/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who handed a socket in, for people. */
#pragma once

#define REGISTRANT_USER_MAX 64

/* The name of the user with the number UID (a text), or the number if it has none, into BUF,
 * returned. "" stays "". */
const char *registrant_user(const char *uid, char buf[static REGISTRANT_USER_MAX]);
