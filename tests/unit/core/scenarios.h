/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A broker with labels, rules and sockets, everything that may be asked of it, and pictures of all
 * that must not change when it is refused. */
#pragma once

#include "tests/unit/core/world.h"

struct scenario {
	const char *name;
	int (*request)(struct world *w);  /* 0, or the negative errno with w->error */
	void (*prepare)(struct world *w); /* what happened before; may be NULL */
	bool restarts;                    /* what is refused is a start: there is no core then */
};

extern const struct scenario scenarios[];
extern const size_t n_scenarios;

/* A started world with configured and runtime labels, rules and sockets of every kind, prepared for
 * S. The same each time. */
struct world *scenario_world(const struct scenario *s);

/* All that is in model, kernel and saved state. */
struct picture {
	char *rules;    /* rule text */
	char *verdicts; /* of many packets */
	char *model;    /* rules and status; NULL without a core */
	struct fake_kernel *kernel;
	struct fake_blob labels, saved_rules, journal; /* committed */
	size_t used[4]; /* ids, slots, places in lists, rules' numbers */
};

struct picture picture_take(struct world *w);
void picture_clear(struct picture *p);
/* What differs, or NULL. */
const char *picture_compare(const struct picture *a, const struct picture *b);
/* Only what packets and people notice: the verdicts and the rules. */
const char *picture_compare_outcome(const struct picture *a, const struct picture *b);

/* Verdicts only, as text; owned by the caller. */
char *verdicts_text(struct world *w);
