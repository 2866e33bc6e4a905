/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/policy.h"

#include <string.h>

void policy_clear(struct policy *p)
{
	if (!p)
		return;
	free(p->users);
	free(p->groups);
	for (size_t i = 0; i < p->n_units; i++)
		free(p->units[i]);
	free(p->units);
	free(p->summary);
	memset(p, 0, sizeof(*p));
}

static int copy_array(void *ret, const void *from, size_t n, size_t size)
{
	void *copy;

	if (n == 0)
		return 0;
	copy = calloc(n, size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, from, n * size);
	*(void **)ret = copy;
	return 0;
}

int policy_copy(struct policy *to, const struct policy *from)
{
	if (copy_array(&to->users, from->users, from->n_users, sizeof(uid_t)) < 0)
		goto fail;
	to->n_users = from->n_users;
	if (copy_array(&to->groups, from->groups, from->n_groups, sizeof(gid_t)) < 0)
		goto fail;
	to->n_groups = from->n_groups;
	if (from->n_units > 0) {
		to->units = calloc(from->n_units, sizeof(char *));
		if (!to->units)
			goto fail;
		for (; to->n_units < from->n_units; to->n_units++) {
			to->units[to->n_units] = strdup(from->units[to->n_units]);
			if (!to->units[to->n_units])
				goto fail;
		}
	}
	if (from->summary) {
		to->summary = strdup(from->summary);
		if (!to->summary)
			goto fail;
	}
	return 0;
fail:
	policy_clear(to);
	return -ENOMEM;
}

static bool in_group(const struct actor *a, gid_t gid)
{
	if (gid == POLICY_NO_GROUP)
		return false;
	if (a->gid == gid)
		return true;
	for (size_t i = 0; i < a->n_groups; i++)
		if (a->groups[i] == gid)
			return true;
	return false;
}

bool policy_is_admin(const struct actor *a, const struct policy_groups *g)
{
	return a->uid == 0 || in_group(a, g->admin);
}

bool policy_may_read(const struct actor *a, const struct policy_groups *g)
{
	return g->read == POLICY_NO_GROUP || policy_is_admin(a, g) || in_group(a, g->read);
}

bool policy_may_register(const struct actor *a, const struct policy_groups *g,
			 const struct policy *p)
{
	if (policy_is_admin(a, g))
		return true;
	if (!p)
		return false;
	for (size_t i = 0; i < p->n_users; i++)
		if (p->users[i] == a->uid)
			return true;
	for (size_t i = 0; i < p->n_groups; i++)
		if (in_group(a, p->groups[i]))
			return true;
	if (a->unit[0])
		for (size_t i = 0; i < p->n_units; i++)
			if (!strcmp(p->units[i], a->unit))
				return true;
	return false;
}
