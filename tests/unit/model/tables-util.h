/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "broker/model/tables-layout.h"

/* Room for WORDS words that ends where memory ends: reading behind it crashes. */
struct tables tables_new(size_t words);
void tables_free(struct tables *t);

/* S compiled, with room for SPARE words more. */
struct tables tables_compiled(const struct ruleset *s, size_t spare);

/* The same with wide tables for both families, or by the usual rule. */
struct tables tables_compiled_as(const struct ruleset *s, size_t spare, enum tables_wide wide);

/* Whether two tables hold the same tries, wherever their blocks lie. */
bool tables_same(const struct tables *a, const struct tables *b);
