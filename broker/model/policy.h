/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may do what: pure decisions over an actor and a label's allow lists. Deny by default. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "protocol/errors.h"

#define POLICY_UNIT_MAX 256   /* a systemd unit name, with its NUL */
#define POLICY_GROUPS_MAX 256 /* supplementary groups of an actor that are looked at */

#define POLICY_NO_GROUP ((gid_t)-1)

/* Who asks, as the kernel tells. */
struct actor {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	size_t n_groups;
	gid_t groups[POLICY_GROUPS_MAX];
	char unit[POLICY_UNIT_MAX]; /* "" when none or not asked for */
	bool unit_known;            /* asked for: asking costs more than a request otherwise does */
};

/* The broker-wide groups of sockbroker.conf. */
struct policy_groups {
	gid_t admin; /* AdminGroup=, POLICY_NO_GROUP: only root administers */
	gid_t read;  /* ReadGroup=, POLICY_NO_GROUP: everybody may read */
};

/* The allow lists of one label file. All arrays owned. */
struct policy {
	uid_t *users;
	size_t n_users;
	gid_t *groups;
	size_t n_groups;
	char **units;
	size_t n_units;
	char *summary; /* as the file names them, for refusals: "user www-data, unit nginx.service"
			*/
};

void policy_clear(struct policy *p);
/* Deep copy into the zeroed TO; -ENOMEM leaves it cleared. */
int policy_copy(struct policy *to, const struct policy *from);

bool policy_is_admin(const struct actor *a, const struct policy_groups *g);
bool policy_may_read(const struct actor *a, const struct policy_groups *g);

/* P may be NULL (a label without a file): only admins. */
bool policy_may_register(const struct actor *a, const struct policy_groups *g,
			 const struct policy *p);
