/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state directory in memory. Its `labels` come with a first record, as those of a real one do. */
#pragma once

#include "broker/core/core.h"
#include "tests/fake/fake-calls.h"

struct fake_blob {
	char *data; /* owned, ends in a NUL; NULL: no such file */
	size_t length;
};

struct fake_state {
	struct fake_calls *calls;
	struct fake_blob labels, labels_journal, rules, journal; /* committed */
	struct fake_blob staged_labels, staged_labels_journal;   /* the latter: all of it */
	struct fake_blob staged_rules, staged_journal;
	size_t n_appended; /* changes, also those that were not committed */
	bool gone;         /* somebody removed it: check() says so, and nothing is appended */
	bool locked;       /* and it cannot be written again */
};

struct fake_state *fake_state_new(struct fake_calls *calls);
void fake_state_free(struct fake_state *s);
struct state_port fake_state_port(struct fake_state *s);

void fake_blob_set(struct fake_blob *b, const char *data, size_t length);
void fake_blob_clear(struct fake_blob *b);
bool fake_blob_same(const struct fake_blob *a, const struct fake_blob *b);

/* Whether a transaction is under way. */
bool fake_state_busy(const struct fake_state *s);
