/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users and groups by name. Internal to config/.
 *
 * Apart from the other values because <grp.h> and broker/model/label.h each have a struct group.
 */
#pragma once

#include <sys/types.h>

#include "protocol/errors.h"

/* A name that NSS knows, or a number that need not belong to anyone. 0, or -EINVAL with a sentence.
 * Not to be called by two threads at once. */
int nss_user(const char *s, uid_t *ret, struct sb_error *error);
int nss_group(const char *s, gid_t *ret, struct sb_error *error);
