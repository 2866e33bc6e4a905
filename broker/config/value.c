/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "protocol/printable.h"

#define UNIT_NAME_MAX 255

#define quote(s) sb_quote(s, strlen(s), (char[SB_QUOTE_MAX]){ 0 })

/* Digits only; false also when the number does not fit. */
static bool parse_u32(const char *s, uint32_t *ret)
{
	uint64_t value = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		value = value * 10 + (unsigned)(*s - '0');
		if (value > UINT32_MAX)
			return false;
	}
	*ret = (uint32_t)value;
	return true;
}

int value_number(const char *s, unsigned min, unsigned max, unsigned *ret, struct sb_error *error)
{
	uint32_t value;

	if (!parse_u32(s, &value) || value < min || value > max)
		return sb_fail(error, EINVAL, "%s is not a number from %u to %u", quote(s), min,
			       max);
	*ret = value;
	return 0;
}

/* "536870912" -> "512M" */
static const char *size_text(uint64_t n, char buf[static 32])
{
	size_t unit = 0;

	while (n > 0 && n % 1024 == 0 && unit < 4) {
		n /= 1024;
		unit++;
	}
	snprintf(buf, 32, "%" PRIu64 "%.1s", n, &"\0KMGT"[unit]);
	return buf;
}

int value_size(const char *s, uint64_t min, uint64_t max, uint64_t *ret, struct sb_error *error)
{
	static const char units[] = "KMGT";
	char lowest[32], highest[32];
	size_t digits = strspn(s, "0123456789");
	const char *unit = s[digits] ? strchr(units, s[digits]) : NULL;
	unsigned shift = unit ? 10 * ((unsigned)(unit - units) + 1) : 0;
	uint64_t value = 0;
	bool fits = digits > 0 && (!s[digits] || (unit && !s[digits + 1]));

	for (size_t i = 0; i < digits && fits; i++) {
		value = value * 10 + (unsigned)(s[i] - '0');
		fits = value <= max >> shift;
	}
	value <<= shift;
	if (!fits || value < min)
		return sb_fail(error, EINVAL,
			       "%s is not a size from %s to %s (bytes, or so many K, M, G or T)",
			       quote(s), size_text(min, lowest), size_text(max, highest));
	*ret = value;
	return 0;
}

int value_bool(const char *s, bool *ret, struct sb_error *error)
{
	static const char *const yes[] = { "yes", "true", "on", "y", "t", "1" };
	static const char *const no[] = { "no", "false", "off", "n", "f", "0" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (!strcasecmp(s, yes[i]) || !strcasecmp(s, no[i])) {
			*ret = !strcasecmp(s, yes[i]);
			return 0;
		}
	return sb_fail(error, EINVAL, "%s is neither yes nor no", quote(s));
}

int value_unit(const char *s, struct sb_error *error)
{
	static const char *const suffixes[] = { "service", "scope", "socket", "mount", "swap" };
	const char *dot = strrchr(s, '.');
	bool known = false;

	if (!dot)
		return sb_fail(error, EINVAL,
			       "unit %s has no suffix; write all of its name, as in "
			       "nginx.service",
			       quote(s));
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		known = known || !strcmp(dot + 1, suffixes[i]);
	if (!known)
		return sb_fail(error, EINVAL,
			       "unit %s is of no kind that has processes (service, scope, socket, "
			       "mount, swap)",
			       quote(s));
	for (const char *c = s; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@",
			    *c))
			return sb_fail(error, EINVAL, "%s is not the name of a unit", quote(s));
	if (dot == s || s[0] == '@' || strlen(s) > UNIT_NAME_MAX)
		return sb_fail(error, EINVAL, "%s is not the name of a unit", quote(s));
	if (dot[-1] == '@')
		return sb_fail(error, EINVAL,
			       "unit %s is a template, and no process is in one; name its instance",
			       quote(s));
	return 0;
}

/* The bracketed prefix may hold colons; behind it, the ports hold none. */
int value_listen(const char *s, struct sb_prefix *prefix, struct sb_ports *ports, size_t max,
		 size_t *n, struct sb_error *error)
{
	_cleanup_free_ char *copy = NULL;
	const char *colon = strrchr(s, ':'), *bracket = strrchr(s, ']');
	int r;

	if (!colon || colon == s || (bracket && colon < bracket))
		return sb_fail(error, EINVAL,
			       "%s is not of the form PREFIX:PORTS, as in 192.0.2.0/24:80 or "
			       "[2001:db8::/48]:80,443",
			       quote(s));
	if (s[0] != '[' && memchr(s, ':', (size_t)(colon - s)))
		return sb_fail(error, EINVAL,
			       "%s: write an IPv6 prefix in brackets, as in [2001:db8::/48]:80",
			       quote(s));
	copy = strndup(s, (size_t)(colon - s));
	if (!copy)
		return sb_fail(error, ENOMEM, "out of memory");
	r = sb_prefix_parse(copy, prefix, error);
	if (r < 0)
		return r;
	return sb_ports_parse(colon + 1, ports, max, n, error);
}
