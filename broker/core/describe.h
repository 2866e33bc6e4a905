/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records that status and explain share. */
#pragma once

#include "broker/core/core-internal.h"

/* The record `label` of L. */
void describe_label(struct core *c, const struct label *l, struct sb_text *text);
/* The record `socket` of M. */
void describe_member(struct core *c, const struct label *l, const struct member *m,
		     struct sb_text *text);
/* A record TYPE for rule R: `rule` or `shadowed`. */
void describe_rule(struct core *c, const char *type, const struct rule *r, struct sb_text *text);

/* Whether M's slot still holds it. */
bool member_alive(struct core *c, const struct member *m);
