/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/value.h"

#include <string.h>

#include "protocol/printable.h"

#define SECOND_US 1000000ULL

static const struct unit {
	const char *name;
	uint64_t us;
} units[] = {
	{ "us", 1 },
	{ "usec", 1 },
	{ "ms", 1000 },
	{ "msec", 1000 },
	{ "", SECOND_US },
	{ "s", SECOND_US },
	{ "sec", SECOND_US },
	{ "second", SECOND_US },
	{ "seconds", SECOND_US },
	{ "m", 60 * SECOND_US },
	{ "min", 60 * SECOND_US },
	{ "minute", 60 * SECOND_US },
	{ "minutes", 60 * SECOND_US },
	{ "h", 3600 * SECOND_US },
	{ "hr", 3600 * SECOND_US },
	{ "hour", 3600 * SECOND_US },
	{ "hours", 3600 * SECOND_US },
};

static bool find_unit(const char *s, size_t n, uint64_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strlen(units[i].name) == n && !memcmp(units[i].name, s, n)) {
			*ret = units[i].us;
			return true;
		}
	return false;
}

/* One "1.5min" at *S, which moves behind it and the blanks after it. */
static bool parse_part(const char **s, uint64_t *ret)
{
	static const char digits[] = "0123456789", letters[] = "abcdefghijklmnopqrstuvwxyz";
	const char *whole = *s, *fraction = NULL;
	size_t n_whole = strspn(whole, digits), n_fraction = 0, n_unit;
	uint64_t unit, value = 0;

	*s += n_whole;
	if (**s == '.') {
		fraction = *s + 1;
		n_fraction = strspn(fraction, digits);
		*s = fraction + n_fraction;
	}
	if (n_whole == 0 || n_whole > 9 || (fraction && n_fraction == 0))
		return false;
	*s += strspn(*s, " \t");
	n_unit = strspn(*s, letters);
	if (!find_unit(*s, n_unit, &unit))
		return false;
	*s += n_unit;
	*s += strspn(*s, " \t");
	for (size_t i = 0; i < n_whole; i++)
		value = value * 10 + (unsigned)(whole[i] - '0');
	*ret = value * unit; /* at most 10^9 hours: fits */
	for (size_t i = 0; i < n_fraction; i++) {
		unit /= 10;
		*ret += unit * (unsigned)(fraction[i] - '0');
	}
	return true;
}

int value_span(const char *s, uint64_t min, uint64_t max, uint64_t *ret, struct sb_error *error)
{
	char quoted[SB_QUOTE_MAX];
	const char *at = s;
	uint64_t total = 0;

	sb_quote(s, strlen(s), quoted);
	do {
		uint64_t part;

		if (!parse_part(&at, &part))
			return sb_fail(error, EINVAL,
				       "%s is not a span of time, as in 10, 500ms or 1min 30s",
				       quoted);
		total += part;
	} while (*at && total <= max);
	if (total < min || total > max)
		return sb_fail(error, EINVAL, "%s is not a time from %.6gs to %.6gs", quoted,
			       (double)min / SECOND_US, (double)max / SECOND_US);
	*ret = total;
	return 0;
}
