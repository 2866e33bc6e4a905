/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rule sets to measure with, and packets for them. */
#pragma once

#include "broker/model/ruleset.h"
#include "tests/unit/model/shapes.h"

#define SET_LABELS 256

struct set {
	struct rule *rules; /* sorted, no two alike */
	size_t n;
};

struct set_shape {
	const char *name;
	/* Rule number I. */
	struct rule (*rule)(struct random *r, size_t i, int family);
	/* The port of packets; 0: the rule's, or any if it has all. */
	uint16_t port;
};

/* NULL: no such shape. */
const struct set_shape *set_shape(const char *name);

/* N different rules of a shape; fewer if there are not so many. Ends the process without memory. */
struct set set_make(const struct set_shape *shape, struct random *r, size_t n, int family);

/* The prefixes in the JSON file PATH (an array of strings), each with ports 80, 443 and any. */
struct set set_load(const char *path, struct random *r, int family);

void set_clear(struct set *s);

/* The set as the broker holds it. */
struct ruleset *set_ruleset(const struct set *s);

/* A packet that the set has a rule for. PORT is the shape's, 0 for the rule's. */
struct packet set_packet(const struct set *s, struct random *r, uint16_t port);
