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

int op_rules(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	_cleanup_free_ const struct rule **list = NULL;
	struct ruleset_cursor cursor;
	const struct rule *rule;
	struct label *l;
	bool text = false;
	size_t n = 0;
	int r;

	r = request_label(c, rq, true, &l, error);
	if (r == 0)
		r = parse_format(rq, &text, error);
	if (r < 0)
		return r;
	list = calloc((l ? label_rules(l) : ruleset_count(c->rules)) + 1, sizeof(*list));
	if (!list)
		return sb_fail(error, ENOMEM, "out of memory");
	for (ruleset_begin(c->rules, &cursor); (rule = ruleset_next(&cursor));)
		if (!l || rule->label == l->id)
			list[n++] = rule;
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
