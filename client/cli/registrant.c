/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>

#include "client/cli/registrant.h"
#include "client/number.h"

const char *registrant_user(const char *uid, char buf[static REGISTRANT_USER_MAX])
{
	struct passwd entry, *found = NULL;
	char memory[4096];
	uint64_t n;

	if (number_parse(uid, &n) && n < UINT32_MAX)
		getpwuid_r((uid_t)n, &entry, memory, sizeof(memory), &found);
	snprintf(buf, REGISTRANT_USER_MAX, "%s", found ? entry.pw_name : uid);
	return buf;
}
