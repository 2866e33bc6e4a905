/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text from strangers, made safe to show and to put on a line. Not for users of the library. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define SB_QUOTE_MAX 168

/* The length of the UTF-8 sequence that the N (> 0) bytes at S start with, 1-4; 0 if they start
 * with none (overlong forms, surrogates and what is above U+10FFFF are none). */
size_t sb_utf8_length(const char *s, size_t n);

/* Whether the sequence of LENGTH bytes at S is a control character (C0, DEL or C1). */
bool sb_is_control(const char *s, size_t length);

/* Turns, in place, control characters into blanks and bytes that are not UTF-8 into '?'. Returns
 * the new length, which is never larger. */
size_t sb_make_printable(char *s, size_t n);

/* Writes S in single quotes into BUF, everything but printable ASCII as \xHH, a long text cut with
 * "...", and returns BUF. */
const char *sb_quote(const char *s, size_t n, char buf[static SB_QUOTE_MAX]);
