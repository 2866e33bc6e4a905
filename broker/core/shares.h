/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What users hold of the broker's slots and of MaxRules= (model/quota.h). A socket is its
 * registrant's, a runtime rule that of who bound or applied it. Root's, those of label files, and
 * the runtime rules of an earlier run are nobody's, and leave less for all.
 */
#pragma once

#include "broker/core/core-internal.h"

/* Whether UID may have the sockets that it would have by these N CHANGES, not yet staged. IN_HAND
 * slots are in use for them already. -EDQUOT. */
int shares_check_members(struct core *c, const struct members_change *changes, size_t n, uid_t uid,
			 size_t in_hand, struct sb_error *error);
/* Charges UID for N slots that are reserved for its sockets. -EDQUOT. */
int shares_charge_reserved(struct core *c, uid_t uid, size_t n, struct quota_charge *charge,
			   struct sb_error *error);
/* L's sockets have changed: those that are new are charged. */
void shares_settle_members(struct core *c, struct label *l);

/* The number under which rules are UID's (rule::owner). */
uint8_t shares_owner(struct core *c, uid_t uid);
/* Whether OWNER may have N more rules or, with ALL, exactly N while nobody else has any. -EDQUOT.
 */
int shares_check_rules(struct core *c, uint8_t owner, size_t n, bool all, struct sb_error *error);
/* One rule more, or (SIGN -1) less; nobody is charged until shares_settle_rules(). */
void shares_count_rule(struct core *c, const struct rule *r, int sign);
void shares_forget_rules(struct core *c);
void shares_settle_rules(struct core *c);

/* Gives back everything but what members hold. */
void shares_clear(struct core *c);
