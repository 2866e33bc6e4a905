/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/nss.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/printable.h"

#define quote(s) sb_quote(s, strlen(s), (char[SB_QUOTE_MAX]){ 0 })

/* Whether S is digits and nothing else, as no user or group may be called. */
static bool is_number(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

/* A uid or gid; the last number means "none" to the kernel. */
static int parse_id(const char *s, const char *what, uint32_t *ret, struct sb_error *error)
{
	unsigned long long value;

	errno = 0;
	value = strtoull(s, NULL, 10);
	if (errno != 0 || value >= UINT32_MAX)
		return sb_fail(error, EINVAL, "%s is not the number of a %s", quote(s), what);
	*ret = (uint32_t)value;
	return 0;
}

/* NSS says "not found" by several errnos. */
static int fail_lookup(const char *s, const char *what, int e, struct sb_error *error)
{
	if (e == 0 || e == ENOENT || e == ESRCH || e == EBADF || e == EPERM)
		return sb_fail(error, EINVAL, "there is no %s %s", what, quote(s));
	return sb_fail(error, EINVAL, "%s %s could not be looked up: %s", what, quote(s),
		       strerror(e));
}

int nss_user(const char *s, uid_t *ret, struct sb_error *error)
{
	const struct passwd *user;

	if (is_number(s))
		return parse_id(s, "user", ret, error);
	errno = 0;
	user = getpwnam(s);
	if (!user)
		return fail_lookup(s, "user", errno, error);
	*ret = user->pw_uid;
	return 0;
}

int nss_group(const char *s, gid_t *ret, struct sb_error *error)
{
	const struct group *group;

	if (is_number(s))
		return parse_id(s, "group", ret, error);
	errno = 0;
	group = getgrnam(s);
	if (!group)
		return fail_lookup(s, "group", errno, error);
	*ret = group->gr_gid;
	return 0;
}
