/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/allow.h"

#include <stdio.h>
#include <string.h>

#include "broker/config/grow.h"
#include "broker/config/nss.h"
#include "broker/config/value.h"

static struct policy *policy_of(struct settings *s)
{
	return &((struct config_label *)s->target)->policy;
}

static int fail_memory(struct sb_error *error)
{
	return sb_fail(error, ENOMEM, "out of memory");
}

/* "user www-data", joined to what the summary says already. */
static int summarize(struct policy *p, const char *what, const char *word, struct sb_error *error)
{
	char *longer;

	if (asprintf(&longer, "%s%s%s %s", p->summary ?: "", p->summary ? ", " : "", what, word) <
	    0)
		return fail_memory(error);
	free(p->summary);
	p->summary = longer;
	return 0;
}

static int add_id(void **ids, size_t *n, uint32_t id, struct sb_error *error)
{
	if (grow(ids, *n, sizeof(id)) < 0)
		return fail_memory(error);
	(*(uint32_t **)ids)[(*n)++] = id;
	return 0;
}

_Static_assert(sizeof(uid_t) == sizeof(uint32_t) && sizeof(gid_t) == sizeof(uint32_t),
	       "uids and gids share one array type here");

/* Each word is taken or refused by itself: the next wrong one is to be reported too. */
static int settle(struct settings *s, int r, const struct sb_error *error)
{
	if (r < 0)
		settings_refuse(s, error);
	return r == -ENOMEM ? r : 0;
}

static int add_user(struct settings *s, const char *word)
{
	struct policy *p = policy_of(s);
	struct sb_error error = { 0 };
	uid_t uid;
	int r;

	r = nss_user(word, &uid, &error);
	if (r == 0)
		r = add_id((void **)&p->users, &p->n_users, uid, &error);
	if (r == 0)
		r = summarize(p, "user", word, &error);
	return settle(s, r, &error);
}

static int add_group(struct settings *s, const char *word)
{
	struct policy *p = policy_of(s);
	struct sb_error error = { 0 };
	gid_t gid;
	int r;

	r = nss_group(word, &gid, &error);
	if (r == 0)
		r = add_id((void **)&p->groups, &p->n_groups, gid, &error);
	if (r == 0)
		r = summarize(p, "group", word, &error);
	return settle(s, r, &error);
}

static int append_unit(struct policy *p, const char *word, struct sb_error *error)
{
	char *copy;

	if (grow((void **)&p->units, p->n_units, sizeof(char *)) < 0)
		return fail_memory(error);
	copy = strdup(word);
	if (!copy)
		return fail_memory(error);
	p->units[p->n_units++] = copy;
	return 0;
}

static int add_unit(struct settings *s, const char *word)
{
	struct policy *p = policy_of(s);
	struct sb_error error = { 0 };
	int r;

	r = value_unit(word, &error);
	if (r == 0)
		r = append_unit(p, word, &error);
	if (r == 0)
		r = summarize(p, "unit", word, &error);
	return settle(s, r, &error);
}

void allow_users(struct settings *s, const char *value)
{
	settings_words(value, add_user, s);
}

void allow_groups(struct settings *s, const char *value)
{
	settings_words(value, add_group, s);
}

void allow_units(struct settings *s, const char *value)
{
	settings_words(value, add_unit, s);
}
