/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of rules in trie order that refuses conflicts. Pure; one thread at a time.
 *
 * Made for a million rules: about 40 bytes a rule, adding and removing one touches one small chunk,
 * a whole sorted set is taken over at once.
 */
#pragma once

#include <stddef.h>

#include "broker/model/rule.h"

struct ruleset;

struct ruleset *ruleset_new(void); /* NULL: out of memory */
void ruleset_free(struct ruleset *s);
SB_DEFINE_CLEANUP(struct ruleset, ruleset_free)

size_t ruleset_count(const struct ruleset *s);
/* Those of a family whose prefixes have LENGTH bits and more. */
size_t ruleset_count_long(const struct ruleset *s, int family, unsigned length);

/* 0; -EEXIST with *CONFLICT the rule in the way (possibly the same rule); -ENOMEM. */
int ruleset_add(struct ruleset *s, const struct rule *r, struct rule *conflict);

/* Removes the rule that compares equal; *REMOVED (may be NULL) is what it was. -ENOENT. */
int ruleset_remove(struct ruleset *s, const struct rule *r, struct rule *removed);

/* The rule that compares equal, or NULL. Valid until rules are added or removed. */
const struct rule *ruleset_find(const struct ruleset *s, const struct rule *r);

/* Gives the rule that compares equal to another label. -ENOENT. */
int ruleset_relabel(struct ruleset *s, const struct rule *r, uint32_t label);

/*
 * Replaces S by a copy of the N rules at RULES in any order. On -EEXIST and -ENOMEM the set is as
 * before. On -EEXIST A and B name the first pair in conflict (in trie order); equal rules conflict
 * also when their labels agree. RULES is sorted in place.
 */
int ruleset_assign(struct ruleset *s, struct rule *rules, size_t n, struct rule *a, struct rule *b);

/*
 * The same with the malloc'ed array *RULES itself, which is given back while the set fills up: both
 * together take hardly more memory than one. *RULES is freed and NULL then; only on -EEXIST it
 * stays the caller's, sorted.
 */
int ruleset_take(struct ruleset *s, struct rule **rules, size_t n, struct rule *a, struct rule *b);

/* Iterates in trie order: for (ruleset_begin(s, &c); (r = ruleset_next(&c));). */
struct ruleset_cursor {
	const struct ruleset *set;
	size_t chunk, index;
};
void ruleset_begin(const struct ruleset *s, struct ruleset_cursor *c);
/* Starts at the first rule that is not less than R. */
void ruleset_seek(const struct ruleset *s, const struct rule *r, struct ruleset_cursor *c);
const struct rule *ruleset_next(struct ruleset_cursor *c);

/*
 * The same for the rules of one label: for (ruleset_begin_label(s, label, most, &c);
 * (r = ruleset_next_label(&c));). Ends after MOST of them: who knows how many the label has spares
 * the search behind the last one (SIZE_MAX: who does not).
 */
struct ruleset_label_cursor {
	const struct ruleset *set;
	uint32_t label, index;
	size_t chunk, left;
};
void ruleset_begin_label(const struct ruleset *s, uint32_t label, size_t most,
			 struct ruleset_label_cursor *c);
const struct rule *ruleset_next_label(struct ruleset_label_cursor *c);

/*
 * The rules that hold P, winner first and then in the order in which they would win, at most MAX of
 * them into RET (borrowed, valid until the set changes). Returns how many there are. Cost follows
 * the prefix lengths, not the number of rules.
 */
size_t ruleset_match(const struct ruleset *s, const struct packet *p, const struct rule **ret,
		     size_t max);

/* The reference for tests: looks at every rule. The winner or NULL. */
const struct rule *ruleset_match_naive(const struct ruleset *s, const struct packet *p);
