/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rules: the rules, most specific first, as records or as rule text. */
#include <string.h>

#include "broker/core/core-internal.h"
#include "broker/core/describe.h"

static int compare_pointers(const void *a, const void *b)
{
	return rule_compare_specific(*(const struct rule *const *)a,
				     *(const struct rule *const *)b);
}

static void write_text(const struct core *c, const struct rule *r, struct sb_text *text)
{
	char rule[RULE_TEXT_MAX];

	sb_text_printf(text, "%s %s\n", rule_format(r, rule),
		       registry_get(c->registry, r->label)->name);
}

static int parse_format(const struct request *rq, bool *text, struct sb_error *error)
{
	const char *format;
	int r;

	*text = false;
	if (sb_message_count(rq->message, "FORMAT") == 0)
		return 0;
	r = request_need(rq, "FORMAT", &format, error);
	if (r < 0)
		return r;
	*text = !strcmp(format, "text");
	if (!*text && strcmp(format, "records") != 0)
		return sb_fail(error, EINVAL, "FORMAT= is text or records, not \"%s\"", format);
	return 0;
}

/* The rules of L, or all (L is NULL), into LIST, which has room for them; how many. */
static size_t list_rules(const struct core *c, const struct label *l, const struct rule **list)
{
	struct ruleset_label_cursor of_label;
	struct ruleset_cursor cursor;
	const struct rule *rule;
	size_t n = 0;

	if (l) {
		ruleset_begin_label(c->rules, l->id, label_rules(l), &of_label);
		while ((rule = ruleset_next_label(&of_label)))
			list[n++] = rule;
		return n;
	}
	for (ruleset_begin(c->rules, &cursor); (rule = ruleset_next(&cursor));)
		list[n++] = rule;
	return n;
}

size_t op_rules_length(const struct core *c, const struct label *l)
{
	return l ? label_rules(l) : ruleset_count(c->rules);
}

int op_rules(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	_cleanup_free_ const struct rule **list = NULL;
	struct label *l;
	bool text = false;
	size_t n;
	int r;

	r = request_label(c, rq, true, &l, error);
	if (r == 0)
		r = parse_format(rq, &text, error);
	if (r < 0)
		return r;
	list = calloc((l ? label_rules(l) : ruleset_count(c->rules)) + 1, sizeof(*list));
	if (!list)
		return sb_fail(error, ENOMEM, "out of memory");
	n = list_rules(c, l, list);
	qsort(list, n, sizeof(*list), compare_pointers);
	for (size_t i = 0; i < n; i++) {
		if (text)
			write_text(c, list[i], &reply->table);
		else
			describe_rule(c, "rule", list[i], &reply->table);
	}
	if (reply->table.error < 0)
		return sb_fail(error, -reply->table.error, "the list cannot be made: %s",
			       strerror(-reply->table.error));
	reply->has_table = true;
	sb_writer_add(&reply->writer, "COUNT", "%zu", n);
	return 0;
}
