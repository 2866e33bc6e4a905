/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/printable.h"

#include <stdint.h>
#include <string.h>

static bool is_continuation(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

size_t sb_utf8_length(const char *s, size_t n)
{
	const uint8_t *b = (const uint8_t *)s;
	/* The bounds of the second byte are what excludes overlong forms and surrogates. */
	uint8_t low = 0x80, high = 0xbf;
	size_t length;

	if (b[0] < 0x80)
		return 1;
	if (b[0] >= 0xc2 && b[0] <= 0xdf)
		length = 2;
	else if (b[0] >= 0xe0 && b[0] <= 0xef)
		length = 3;
	else if (b[0] >= 0xf0 && b[0] <= 0xf4)
		length = 4;
	else
		return 0;

	if (b[0] == 0xe0)
		low = 0xa0;
	else if (b[0] == 0xed)
		high = 0x9f;
	else if (b[0] == 0xf0)
		low = 0x90;
	else if (b[0] == 0xf4)
		high = 0x8f;

	if (n < length || b[1] < low || b[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if (!is_continuation(b[i]))
			return 0;
	}
	return length;
}

bool sb_is_control(const char *s, size_t length)
{
	const uint8_t *b = (const uint8_t *)s;

	if (length == 1)
		return b[0] < 0x20 || b[0] == 0x7f;
	return length == 2 && b[0] == 0xc2 && b[1] < 0xa0;
}

size_t sb_make_printable(char *s, size_t n)
{
	size_t out = 0;

	for (size_t in = 0; in < n;) {
		size_t length = sb_utf8_length(s + in, n - in);

		if (length == 0) {
			s[out++] = '?';
			in++;
			continue;
		}
		if (sb_is_control(s + in, length)) {
			s[out++] = ' ';
		} else {
			memmove(s + out, s + in, length);
			out += length;
		}
		in += length;
	}
	return out;
}

const char *sb_quote(const char *s, size_t n, char buf[static SB_QUOTE_MAX])
{
	static const char hex[] = "0123456789abcdef";
	/* Behind the text: "...", the quote, the final NUL. */
	const size_t room = SB_QUOTE_MAX - 5;
	size_t out = 0;

	buf[out++] = '\'';
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];

		if (out + 4 > room) {
			memcpy(buf + out, "...", 3);
			out += 3;
			break;
		}
		if (c >= 0x20 && c < 0x7f) {
			buf[out++] = (char)c;
		} else {
			buf[out++] = '\\';
			buf[out++] = 'x';
			buf[out++] = hex[c >> 4];
			buf[out++] = hex[c & 15];
		}
	}
	buf[out++] = '\'';
	buf[out] = '\0';
	return buf;
}
