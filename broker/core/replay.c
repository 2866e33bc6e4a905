/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/replay.h"

#include <string.h>

#include "broker/base/log.h"
#include "broker/core/replace.h"

static int replay_text(struct core *c, const struct core_saved *saved, struct sb_error *error)
{
	struct parsed_rules parsed = { 0 };
	struct rule a, b;
	char text[RULE_TEXT_MAX], other[RULE_NAME_MAX];
	int r = rules_parse(c, saved->rules, saved->rules_length, &parsed, error);

	for (size_t i = 0; i < parsed.n_bad && r == 0; i++)
		log_error("saved rules, line %zu left out: %s", parsed.bad[i].line,
			  parsed.bad[i].reason);
	if (parsed.n_bad == BAD_LINES_MAX)
		log_error("saved rules: too many bad lines, what follows them is left out");
	while (r == 0) {
		r = ruleset_take(c->rules, &parsed.rules, parsed.n, &a, &b);
		if (r != -EEXIST)
			break;
		/* Only a damaged file has conflicts: leave the later line out, and try again. */
		log_error("saved rules: rule %s left out, it is in conflict with rule %s",
			  rule_format(&b, text), rule_name(c, &a, other));
		r = 0;
		for (size_t i = 0; i < parsed.n; i++) {
			if (rule_compare(&parsed.rules[i], &b) == 0 &&
			    parsed.rules[i].number == b.number) {
				parsed.rules[i] = parsed.rules[--parsed.n];
				break;
			}
		}
	}
	if (r < 0 && !error->code)
		sb_fail(error, -r, "the saved rules: %s", strerror(-r));
	parsed_rules_clear(c, &parsed, false);
	return r;
}

static int replay_add(struct core *c, const struct rule *rule, struct sb_error *error)
{
	struct rule conflict;
	char text[RULE_TEXT_MAX];
	int r = ruleset_relabel(c->rules, rule, rule->label);

	if (r == -ENOENT)
		r = ruleset_add(c->rules, rule, &conflict);
	return r < 0 ? sb_fail(error, -r, "rule %s: %s", rule_format(rule, text), strerror(-r)) : 0;
}

/* One line "+ RULE LABEL" or "- RULE -". */
static int replay_line(struct core *c, const char *line, size_t length, struct sb_error *error)
{
	struct sb_rule_line parsed;
	struct label *l = NULL;
	bool created, add = line[0] == '+';
	char text[512];
	int r;

	if (length < 3 || length >= sizeof(text) || (!add && line[0] != '-'))
		return sb_fail(error, EPROTO, "not a saved change");
	memcpy(text, line, length);
	if (!add)
		text[length - 1] = 'x'; /* no label is named; the parser wants one */
	r = sb_rule_line_parse(text + 2, length - 2, &parsed, error);
	if (r <= 0)
		return r < 0 ? r : sb_fail(error, EPROTO, "not a saved change");
	if (add)
		r = core_label_get(c, parsed.label, &l, &created, error);
	if (r < 0)
		return r;
	for (unsigned udp = 0; udp < 2; udp++) {
		if (!(parsed.protocols & (udp ? SB_PROTOCOL_UDP : SB_PROTOCOL_TCP)))
			continue;
		for (size_t i = 0; i < parsed.n_ports; i++) {
			struct rule rule =
				rule_make(udp ? IPPROTO_UDP : IPPROTO_TCP, &parsed.prefix,
					  parsed.ports[i], l ? l->id : 0, RULE_RUNTIME);

			if (add)
				r = replay_add(c, &rule, error);
			else
				ruleset_remove(c->rules, &rule, NULL);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* The lines of one change, which its "." closed. What makes no sense is left out; what only cannot
 * be done now (no memory) ends the start, or it would be lost. */
static int replay_change(struct core *c, const char *p, const char *end, struct sb_error *error)
{
	struct sb_error nonsense = { 0 };

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		int r;

		if (!newline)
			break;
		r = replay_line(c, p, (size_t)(newline - p), &nonsense);
		if (r < 0 && r != -EINVAL && r != -EPROTO && r != -EEXIST)
			return sb_fail(error, -r, "a saved change: %s", nonsense.message);
		if (r < 0)
			log_error("saved change left out: %s", nonsense.message);
		p = newline + 1;
	}
	return 0;
}

static int replay_journal(struct core *c, const char *journal, size_t length,
			  struct sb_error *error)
{
	const char *end = journal + length, *change = journal, *p = journal;
	int r = 0;

	while (p < end && r == 0) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));

		if (!newline)
			break;
		if (newline - p == 1 && *p == '.') {
			r = replay_change(c, change, p, error);
			change = newline + 1;
		}
		p = newline + 1;
	}
	if (r == 0 && change < end)
		log_notice("the last saved change was not complete, it did not happen");
	return r;
}

int replay_rules(struct core *c, const struct core_saved *saved, struct sb_error *error)
{
	int r = saved->rules ? replay_text(c, saved, error) : 0;

	if (r == 0 && saved->journal)
		r = replay_journal(c, saved->journal, saved->journal_length, error);
	if (r < 0)
		return r;
	rules_recount(c);
	return 0;
}

int replay_compact(struct core *c, const struct ruleset *rules, struct sb_error *error)
{
	_cleanup_(sb_text_free) struct sb_text text = { 0 };
	struct ruleset_cursor cursor;
	const struct rule *rule;
	char buf[RULE_TEXT_MAX];

	for (ruleset_begin(rules, &cursor); (rule = ruleset_next(&cursor));)
		if (rule->origin == RULE_RUNTIME)
			sb_text_printf(&text, "%s %s\n", rule_format(rule, buf),
				       registry_get(c->registry, rule->label)->name);
	if (text.error < 0)
		return sb_fail(error, -text.error, "%s", strerror(-text.error));
	return c->state.stage(c->state.self, STATE_RULES, text.data ? text.data : "", text.length,
			      error);
}
