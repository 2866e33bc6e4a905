/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Protocols and lists of port ranges. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/address.h"
#include "protocol/printable.h"
#include "protocol/span.h"

int sb_protocol_parse_span(const char *s, size_t n, unsigned *ret, struct sb_error *error)
{
	char quoted[SB_QUOTE_MAX];

	if (n == 3 && memcmp(s, "tcp", 3) == 0)
		*ret = SB_PROTOCOL_TCP;
	else if (n == 3 && memcmp(s, "udp", 3) == 0)
		*ret = SB_PROTOCOL_UDP;
	else if (n == 3 && memcmp(s, "any", 3) == 0)
		*ret = SB_PROTOCOL_ANY;
	else
		return sb_fail(error, EINVAL, "protocol %s is none of tcp, udp, any",
			       sb_quote(s, n, quoted));
	return 0;
}

int sb_protocol_parse(const char *s, unsigned *ret, struct sb_error *error)
{
	return sb_protocol_parse_span(s, strlen(s), ret, error);
}

const char *sb_protocol_name(int ipproto)
{
	return ipproto == IPPROTO_TCP ? "tcp" : ipproto == IPPROTO_UDP ? "udp" : "unknown";
}

static bool parse_port(const char *s, size_t n, uint16_t *ret)
{
	unsigned value;

	if (!sb_number_parse_span(s, n, UINT16_MAX, &value) || value == 0)
		return false;
	*ret = (uint16_t)value;
	return true;
}

int sb_port_parse(const char *s, uint16_t *ret, struct sb_error *error)
{
	char quoted[SB_QUOTE_MAX];

	if (!parse_port(s, strlen(s), ret))
		return sb_fail(error, EINVAL, "port %s is not a number from 1 to 65535",
			       sb_quote(s, strlen(s), quoted));
	return 0;
}

static bool means_any(const char *s, size_t n)
{
	return (n == 1 && (*s == '*' || *s == '0')) || (n == 3 && memcmp(s, "any", 3) == 0);
}

/* One element of a list: "80" or "8000-8999". */
static int parse_range(const char *s, size_t n, struct sb_ports *ret, struct sb_error *error)
{
	const char *dash = n > 1 ? memchr(s + 1, '-', n - 1) : NULL;
	size_t first_n = dash ? (size_t)(dash - s) : n;
	char quoted[SB_QUOTE_MAX];

	if (means_any(s, n))
		return sb_fail(error, EINVAL,
			       "%s already means every port and cannot stand in a list of ports",
			       sb_quote(s, n, quoted));
	if (!parse_port(s, first_n, &ret->first) ||
	    (dash && !parse_port(dash + 1, n - first_n - 1, &ret->last)))
		return sb_fail(error, EINVAL,
			       "%s is not a port or range of ports from 1 to 65535, nor any",
			       sb_quote(s, n, quoted));
	if (!dash)
		ret->last = ret->first;
	if (ret->first > ret->last)
		return sb_fail(error, EINVAL, "range of ports %s runs backwards; write %u-%u",
			       sb_quote(s, n, quoted), (unsigned)ret->last, (unsigned)ret->first);
	return 0;
}

/* Puts NEW where it belongs among the N sorted ranges, none of which overlap. */
static int insert_range(struct sb_ports *ranges, size_t n, struct sb_ports new,
			struct sb_error *error)
{
	char one[SB_PORTS_TEXT_MAX], two[SB_PORTS_TEXT_MAX];
	const struct sb_ports *other = NULL;
	size_t i = n;

	while (i > 0 && ranges[i - 1].first > new.first)
		i--;
	if (i > 0 && ranges[i - 1].last >= new.first)
		other = &ranges[i - 1];
	else if (i < n && ranges[i].first <= new.last)
		other = &ranges[i];
	if (other)
		return sb_fail(error, EINVAL, "ports %s and %s of one list overlap",
			       sb_ports_format(other, one), sb_ports_format(&new, two));
	memmove(ranges + i + 1, ranges + i, (n - i) * sizeof(*ranges));
	ranges[i] = new;
	return 0;
}

int sb_ports_parse_span(const char *s, size_t n, struct sb_ports *ret, size_t max, size_t *ret_n,
			struct sb_error *error)
{
	const char *end = s + n;
	size_t count = 0;

	if (n == 0)
		return sb_fail(error, EINVAL, "the list of ports is empty");
	if (means_any(s, n) && max > 0) {
		ret[0] = SB_PORTS_ANY;
		*ret_n = 1;
		return 0;
	}
	for (;;) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		struct sb_ports range;
		int r;

		r = parse_range(s, (size_t)((comma ? comma : end) - s), &range, error);
		if (r < 0)
			return r;
		if (count == max)
			return sb_fail(error, EINVAL,
				       "the list of ports has more than %zu ranges in it", max);
		r = insert_range(ret, count, range, error);
		if (r < 0)
			return r;
		count++;
		if (!comma)
			break;
		s = comma + 1;
	}
	*ret_n = count;
	return 0;
}

int sb_ports_parse(const char *s, struct sb_ports *ret, size_t max, size_t *n,
		   struct sb_error *error)
{
	return sb_ports_parse_span(s, strlen(s), ret, max, n, error);
}

const char *sb_ports_format(const struct sb_ports *p, char buf[static SB_PORTS_TEXT_MAX])
{
	unsigned first = p->first, last = p->last;

	if (first == 0 && last == UINT16_MAX)
		memcpy(buf, "any", sizeof("any"));
	else if (first == last)
		snprintf(buf, SB_PORTS_TEXT_MAX, "%u", first);
	else
		snprintf(buf, SB_PORTS_TEXT_MAX, "%u-%u", first, last);
	return buf;
}
