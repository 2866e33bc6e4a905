/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which lines of a rule text cannot stand beside earlier ones. Runs only when something is wrong
 * already, but then over a million rules too: ranges of one width that do not overlap begin in
 * different multiples of that width, so each is compared with three others at most.
 */
#include "broker/core/conflicts.h"

#include <stdio.h>
#include <string.h>

#include "broker/model/rule-sort.h"

#define PORTS 65536U

/* The rules of one prefix, protocol and width that stand, by first port / width. */
struct standing {
	struct rule at[PORTS];
	bool taken[PORTS];
};

static unsigned width(const struct rule *r)
{
	return (unsigned)r->port_last - r->port_first + 1;
}

/* Those of label files first, they are in force anyway; then line by line. */
static int compare_line(const void *x, const void *y)
{
	const struct rule *a = x, *b = y;

	if (width(a) != width(b))
		return width(a) < width(b) ? -1 : 1;
	if (a->origin != b->origin)
		return a->origin == RULE_CONFIG ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return rule_compare(a, b);
}

static const char *label_name(const struct core *c, const struct rule *r)
{
	return registry_get(c->registry, r->label)->name;
}

static int add_conflict(const struct core *c, struct parsed_rules *p, const struct rule *first,
			const struct rule *second)
{
	static const char overlap[] = ": same prefix, and port ranges of equal width that overlap";
	char name[RULE_NAME_MAX], other[RULE_NAME_MAX], text[SB_ERROR_MESSAGE_MAX * 2];

	if (!parsed_rules_room_for_bad(p, second->number))
		return 0;
	rule_name(c, second, name);
	rule_name(c, first, other);
	if (first->origin == RULE_CONFIG)
		snprintf(text, sizeof(text),
			 "rule %s is in conflict with rule %s by its label file%s", name, other,
			 overlap);
	else if (rule_compare(first, second) == 0)
		snprintf(text, sizeof(text),
			 "rule %s is in conflict with line %u, which gives it to label %s", name,
			 first->number, label_name(c, first));
	else
		snprintf(text, sizeof(text), "rule %s is in conflict with line %u, rule %s%s", name,
			 first->number, other, overlap);
	return parsed_rules_add_bad(p, second->number, text);
}

static const struct rule *find_standing(const struct standing *s, const struct rule *r)
{
	unsigned middle = r->port_first / width(r);

	for (unsigned i = middle ? middle - 1 : 0; i <= middle + 1 && i < PORTS; i++)
		if (s->taken[i] && rule_conflicts(&s->at[i], r))
			return &s->at[i];
	return NULL;
}

/* The N rules at START of P, all of one width, by line; those that repeat another are left out of
 * what is moved to *OUT. */
static int look_at_width(const struct core *c, struct parsed_rules *p, struct standing *s,
			 size_t start, size_t n, size_t *out)
{
	size_t first = *out;
	int r = 0;

	for (size_t i = start; i < start + n && r == 0; i++) {
		struct rule rule = p->rules[i];
		const struct rule *other = find_standing(s, &rule);

		if (other && other->label == rule.label && rule_compare(other, &rule) == 0) {
			p->skipped++;
			continue;
		}
		if (other) {
			r = add_conflict(c, p, other, &rule);
		} else {
			s->at[rule.port_first / width(&rule)] = rule;
			s->taken[rule.port_first / width(&rule)] = true;
		}
		p->rules[(*out)++] = rule;
	}
	for (size_t i = first; i < *out; i++)
		s->taken[p->rules[i].port_first / width(&p->rules[i])] = false;
	return r;
}

/* The N rules at START of P, all of one prefix and protocol. */
static int look_at_group(const struct core *c, struct parsed_rules *p, struct standing *s,
			 size_t start, size_t n, size_t *out)
{
	size_t end = start + n;
	int r = 0;

	if (n > 1)
		qsort(p->rules + start, n, sizeof(p->rules[0]), compare_line);
	for (size_t i = start; i < end && r == 0;) {
		size_t next = i + 1;

		while (next < end && width(&p->rules[next]) == width(&p->rules[i]))
			next++;
		r = look_at_width(c, p, s, i, next - i, out);
		i = next;
	}
	return r;
}

int conflicts_find(const struct core *c, struct parsed_rules *p)
{
	_cleanup_free_ struct standing *s = calloc(1, sizeof(*s));
	size_t out = 0;
	int r = 0;

	if (!s)
		return -ENOMEM;
	rule_sort(p->rules, p->n);
	for (size_t i = 0; i < p->n && r == 0;) {
		size_t next = i + 1;

		while (next < p->n && p->rules[next].protocol == p->rules[i].protocol &&
		       rule_compare_prefix(&p->rules[next], &p->rules[i]) == 0)
			next++;
		r = look_at_group(c, p, s, i, next - i, &out);
		i = next;
	}
	if (r == 0)
		p->n = out;
	return r;
}
