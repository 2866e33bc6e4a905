/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parsers of label.h and address.h for text that does not end in NUL. Internal to protocol/:
 * a rule line is parsed where it lies, without copying its words. N is the length in bytes; a NUL
 * within them is an ordinary wrong character.
 */
#pragma once

#include "protocol/address.h"

int sb_label_check_span(const char *s, size_t n, struct sb_error *error);
int sb_protocol_parse_span(const char *s, size_t n, unsigned *ret, struct sb_error *error);
int sb_prefix_parse_span(const char *s, size_t n, struct sb_prefix *ret, struct sb_error *error);
int sb_ports_parse_span(const char *s, size_t n, struct sb_ports *ret, size_t max, size_t *ret_n,
			struct sb_error *error);

/* A decimal number from 0 to MAX (< 100000), without sign or leading zeros. */
static inline bool sb_number_parse_span(const char *s, size_t n, unsigned max, unsigned *ret)
{
	unsigned value = 0;

	if (n == 0 || n > 5 || (n > 1 && s[0] == '0'))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned digit = (unsigned)(unsigned char)s[i] - '0';

		if (digit > 9)
			return false;
		value = value * 10 + digit;
	}
	*ret = value;
	return value <= max;
}
