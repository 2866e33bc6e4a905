/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses and prefixes, read and written. IPv4 is done by hand: it is what most of a million rule
 * lines consist of. */
#include "protocol/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/printable.h"
#include "protocol/span.h"

static bool ipv4_parse(const char *s, size_t n, struct sb_address *ret)
{
	const char *end = s + n;

	memset(ret->bytes, 0, sizeof(ret->bytes));
	for (size_t i = 0; i < 4; i++) {
		unsigned value = 0;
		const char *start;

		if (i > 0 && (s == end || *s++ != '.'))
			return false;
		for (start = s; s < end && s - start < 3; s++) {
			unsigned digit = (unsigned)(unsigned char)*s - '0';

			if (digit > 9)
				break;
			value = value * 10 + digit;
		}
		/* A leading zero is refused: some read it as octal. */
		if (s == start || value > 255 || (*start == '0' && s - start > 1))
			return false;
		ret->bytes[i] = (uint8_t)value;
	}
	ret->family = AF_INET;
	return s == end;
}

static bool ipv6_parse(const char *s, size_t n, struct sb_address *ret)
{
	char copy[INET6_ADDRSTRLEN];

	if (n >= sizeof(copy) || memchr(s, '\0', n))
		return false;
	memcpy(copy, s, n);
	copy[n] = '\0';
	if (inet_pton(AF_INET6, copy, ret->bytes) != 1)
		return false;
	ret->family = AF_INET6;
	return true;
}

static bool is_mapped(const struct sb_address *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return a->family == AF_INET6 && memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

/* The IPv4 address in a mapped one. */
static struct sb_address unmapped(const struct sb_address *a)
{
	struct sb_address v4 = { .family = AF_INET };

	memcpy(v4.bytes, a->bytes + 12, 4);
	return v4;
}

static bool bracketed(const char *s, size_t n)
{
	return n >= 2 && s[0] == '[' && s[n - 1] == ']';
}

/* The address alone, brackets allowed around an IPv6 one. */
static bool parse_address(const char *s, size_t n, struct sb_address *ret)
{
	if (ipv4_parse(s, n, ret))
		return true;
	if (bracketed(s, n)) {
		s++;
		n -= 2;
	}
	return ipv6_parse(s, n, ret);
}

/* Why no address could be read from S; WHAT is "address" or "prefix". */
static int refuse_address(const char *s, size_t n, const char *what, struct sb_error *error)
{
	char quoted[SB_QUOTE_MAX];

	if (n == 0)
		return sb_fail(error, EINVAL, "the %s is empty", what);
	sb_quote(s, n, quoted);
	if (memchr(s, '%', n))
		return sb_fail(error, EINVAL, "%s %s has a zone, and rules know none; leave it out",
			       what, quoted);
	return sb_fail(error, EINVAL,
		       "%s is not a numeric IPv4 or IPv6 %s (names are not looked up)", quoted,
		       what);
}

int sb_address_parse(const char *s, struct sb_address *ret, struct sb_error *error)
{
	char quoted[SB_QUOTE_MAX], text[SB_ADDRESS_TEXT_MAX];
	size_t n = strlen(s);

	if (!parse_address(s, n, ret))
		return refuse_address(s, n, "address", error);
	if (is_mapped(ret)) {
		struct sb_address v4 = unmapped(ret);

		return sb_fail(error, EINVAL, "%s is an IPv4-mapped address; write %s",
			       sb_quote(s, n, quoted), sb_address_format(&v4, text));
	}
	return 0;
}

static void clear_host_bits(struct sb_prefix *p)
{
	size_t size = p->address.family == AF_INET ? 4 : 16;
	size_t whole = p->length / 8;

	if (whole >= size)
		return;
	p->address.bytes[whole] &= (uint8_t)(0xff00 >> (p->length % 8));
	for (size_t i = whole + 1; i < size; i++)
		p->address.bytes[i] = 0;
}

static int refuse_mapped(const char *s, size_t n, const struct sb_prefix *mapped,
			 struct sb_error *error)
{
	char quoted[SB_QUOTE_MAX], text[SB_ADDRESS_TEXT_MAX];
	struct sb_prefix v4;

	sb_quote(s, n, quoted);
	if (mapped->length < 96)
		return sb_fail(error, EINVAL,
			       "%s is an IPv4-mapped prefix; write the IPv4 prefix that is meant",
			       quoted);
	v4.address = unmapped(&mapped->address);
	v4.length = (uint8_t)(mapped->length - 96);
	clear_host_bits(&v4);
	return sb_fail(error, EINVAL, "%s is an IPv4-mapped prefix; write the IPv4 prefix %s",
		       quoted, sb_prefix_format(&v4, text));
}

int sb_prefix_parse_span(const char *s, size_t n, struct sb_prefix *ret, struct sb_error *error)
{
	const char *text = s, *slash;
	size_t size = n, address_size;
	char quoted[SB_QUOTE_MAX];
	unsigned length, most;

	/* "[2001:db8::/32]"; "[2001:db8::]/32" is for parse_address(). */
	if (bracketed(text, size) && memchr(text, '/', size)) {
		text++;
		size -= 2;
		if (!memchr(text, ':', size) || text[0] == '[')
			return refuse_address(s, n, "prefix", error);
	}
	slash = memchr(text, '/', size);
	address_size = slash ? (size_t)(slash - text) : size;
	if (!parse_address(text, address_size, &ret->address))
		return refuse_address(s, n, "prefix", error);

	most = ret->address.family == AF_INET ? 32 : 128;
	length = most;
	if (slash && !sb_number_parse_span(slash + 1, size - address_size - 1, most, &length))
		return sb_fail(error, EINVAL,
			       "prefix %s does not end in a length from 0 to %u behind its slash",
			       sb_quote(s, n, quoted), most);
	ret->length = (uint8_t)length;
	if (is_mapped(&ret->address))
		return refuse_mapped(s, n, ret, error);
	clear_host_bits(ret);
	return 0;
}

int sb_prefix_parse(const char *s, struct sb_prefix *ret, struct sb_error *error)
{
	return sb_prefix_parse_span(s, strlen(s), ret, error);
}

static char *put_number(char *out, unsigned value)
{
	if (value >= 100)
		*out++ = (char)('0' + value / 100);
	if (value >= 10)
		*out++ = (char)('0' + value / 10 % 10);
	*out++ = (char)('0' + value % 10);
	return out;
}

/* Writes the address and returns where its final NUL is. */
static char *put_address(const struct sb_address *a, char *out)
{
	if (a->family != AF_INET) {
		if (!inet_ntop(AF_INET6, a->bytes, out, INET6_ADDRSTRLEN))
			*out = '\0';
		return out + strlen(out);
	}
	for (size_t i = 0; i < 4; i++) {
		if (i > 0)
			*out++ = '.';
		out = put_number(out, a->bytes[i]);
	}
	*out = '\0';
	return out;
}

const char *sb_address_format(const struct sb_address *a, char buf[static SB_ADDRESS_TEXT_MAX])
{
	put_address(a, buf);
	return buf;
}

const char *sb_prefix_format(const struct sb_prefix *p, char buf[static SB_ADDRESS_TEXT_MAX])
{
	char *end = put_address(&p->address, buf);

	*end++ = '/';
	*put_number(end, p->length) = '\0';
	return buf;
}

const char *sb_endpoint_format(const struct sb_address *a, uint16_t port,
			       char buf[static SB_ADDRESS_TEXT_MAX])
{
	char text[SB_ADDRESS_TEXT_MAX];

	put_address(a, text);
	snprintf(buf, SB_ADDRESS_TEXT_MAX, a->family == AF_INET ? "%.*s:%u" : "[%.*s]:%u",
		 INET6_ADDRSTRLEN, text, (unsigned)port);
	return buf;
}

int sb_address_from_sockaddr(const struct sockaddr_storage *ss, struct sb_address *ret,
			     uint16_t *ret_port)
{
	memset(ret, 0, sizeof(*ret));
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		memcpy(ret->bytes, &in->sin_addr, 4);
		*ret_port = ntohs(in->sin_port);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

		memcpy(ret->bytes, &in6->sin6_addr, 16);
		*ret_port = ntohs(in6->sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	ret->family = (uint8_t)ss->ss_family;
	return 0;
}

bool sb_prefix_contains(const struct sb_prefix *prefix, const struct sb_address *address)
{
	size_t whole = prefix->length / 8;
	uint8_t mask = (uint8_t)(0xff00 >> (prefix->length % 8));

	if (prefix->address.family != address->family ||
	    memcmp(prefix->address.bytes, address->bytes, whole) != 0)
		return false;
	/* A full-length prefix has no byte left to compare; its mask is 0. */
	return mask == 0 || ((prefix->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

const char *sb_family_name(int family)
{
	return family == AF_INET ? "ipv4" : family == AF_INET6 ? "ipv6" : "unknown";
}
