/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rule text of any length to rules. All bad lines are collected (up to BAD_LINES_MAX), so that a
 * person mends them in one go. */
#include <stdio.h>
#include <string.h>

#include "broker/core/core-internal.h"

void parsed_rules_clear(struct core *c, struct parsed_rules *p, bool undo)
{
	if (undo)
		for (size_t i = 0; i < p->n_new_labels; i++)
			core_label_collect(c, p->new_labels[i]);
	free(p->new_labels);
	free(p->rules);
	free(p->bad);
	memset(p, 0, sizeof(*p));
}

/* Where LINE is, or belongs, among the bad ones. */
static size_t bad_place(const struct parsed_rules *p, size_t line)
{
	size_t at = p->n_bad;

	while (at > 0 && p->bad[at - 1].line >= line)
		at--;
	return at;
}

bool parsed_rules_room_for_bad(const struct parsed_rules *p, size_t line)
{
	size_t at = bad_place(p, line);

	return at < BAD_LINES_MAX && (at == p->n_bad || p->bad[at].line != line);
}

int parsed_rules_add_bad(struct parsed_rules *p, size_t line, const char *reason)
{
	size_t at = bad_place(p, line);

	if (!parsed_rules_room_for_bad(p, line))
		return 0;
	if (!p->bad) {
		p->bad = calloc(BAD_LINES_MAX, sizeof(*p->bad));
		if (!p->bad)
			return -ENOMEM;
	}
	if (p->n_bad == BAD_LINES_MAX)
		p->n_bad--;
	memmove(p->bad + at + 1, p->bad + at, (p->n_bad - at) * sizeof(*p->bad));
	p->bad[at].line = line;
	snprintf(p->bad[at].reason, sizeof(p->bad[at].reason), "%s", reason);
	p->n_bad++;
	return 0;
}

static int add_rule(struct parsed_rules *p, const struct rule *rule)
{
	if (p->n == p->capacity) {
		size_t capacity = p->capacity ? p->capacity * 2 : 1024;
		struct rule *bigger = reallocarray(p->rules, capacity, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		p->rules = bigger;
		p->capacity = capacity;
	}
	p->rules[p->n++] = *rule;
	return 0;
}

static int find_label(struct core *c, const char *name, struct parsed_rules *p, struct label **ret,
		      struct sb_error *error)
{
	bool created;
	int r = core_label_get(c, name, ret, &created, error);

	if (r < 0 || !created)
		return r;
	if (p->n_new_labels == p->new_labels_capacity) {
		size_t capacity = p->new_labels_capacity ? p->new_labels_capacity * 2 : 16;
		struct label **bigger = reallocarray(p->new_labels, capacity, sizeof(*bigger));

		if (!bigger) {
			core_label_collect(c, *ret);
			return sb_fail(error, ENOMEM, "out of memory");
		}
		p->new_labels = bigger;
		p->new_labels_capacity = capacity;
	}
	p->new_labels[p->n_new_labels++] = *ret;
	return 0;
}

/* One rule of a line. A rule that a label file has already stays the file's. */
static int take_rule(struct core *c, const struct rule *rule, struct parsed_rules *p,
		     struct sb_error *error)
{
	char text[RULE_TEXT_MAX];
	const struct rule *configured = ruleset_find(c->config_rules, rule);

	if (!configured)
		return add_rule(p, rule) < 0 ? sb_fail(error, ENOMEM, "out of memory") : 0;
	if (configured->label == rule->label) {
		p->skipped++;
		return 0;
	}
	return sb_fail(error, EEXIST, "rule %s belongs to label %s by its label file",
		       rule_format(rule, text), registry_get(c->registry, configured->label)->name);
}

static int take_line(struct core *c, const struct sb_rule_line *line, size_t number,
		     struct parsed_rules *p, struct label **last, struct sb_error *error)
{
	static const int protocols[] = { IPPROTO_TCP, IPPROTO_UDP };
	int r;

	/* Neighbouring lines often name the same label. */
	if (!*last || strcmp((*last)->name, line->label) != 0) {
		r = find_label(c, line->label, p, last, error);
		if (r < 0)
			return r;
	}
	for (size_t k = 0; k < ARRAY_SIZE(protocols); k++) {
		if (!(line->protocols & (k ? SB_PROTOCOL_UDP : SB_PROTOCOL_TCP)))
			continue;
		for (size_t i = 0; i < line->n_ports; i++) {
			struct rule rule = rule_make(protocols[k], &line->prefix, line->ports[i],
						     (*last)->id, RULE_RUNTIME);

			rule.number = (uint32_t)number;
			r = take_rule(c, &rule, p, error);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int rules_parse(struct core *c, const char *text, size_t length, struct parsed_rules *ret,
		struct sb_error *error)
{
	const char *end = length ? text + length : text; /* an empty text may be NULL */
	struct sb_rule_line line;
	struct label *last = NULL;
	size_t number = 0;
	int r;

	for (const char *p = text; p < end && ret->n_bad < BAD_LINES_MAX;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end;

		number++;
		r = sb_rule_line_parse(p, (size_t)(stop - p), &line, error);
		if (r > 0)
			r = take_line(c, &line, number, ret, &last, error);
		if (r == -ENOMEM || r == -ENOSPC || r == -E2BIG || r == -EIO)
			return r;
		if (r < 0 && parsed_rules_add_bad(ret, number, error->message) < 0)
			return sb_fail(error, ENOMEM, "out of memory");
		p = stop + 1;
	}
	return 0;
}
