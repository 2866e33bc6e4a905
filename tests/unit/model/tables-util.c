/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/model/tables-util.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/model/compile-trie.h"

static size_t mapped_bytes(const struct tables *t)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (t->capacity * 8 + page - 1) / page * page + page;
}

static uint8_t *mapped_start(const struct tables *t)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (uint8_t *)(t->words + t->capacity) + page - mapped_bytes(t);
}

struct tables tables_new(size_t words)
{
	struct tables t = { .capacity = words };
	size_t bytes = mapped_bytes(&t), page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + bytes - page, page, PROT_NONE) < 0)
		abort();
	t.words = (uint64_t *)(p + bytes - page) - words;
	return t;
}

void tables_free(struct tables *t)
{
	if (t->words)
		munmap(mapped_start(t), mapped_bytes(t));
	*t = (struct tables){};
}

struct tables tables_compiled(const struct ruleset *s, size_t spare)
{
	return tables_compiled_as(s, spare, WIDE_WHEN_MANY);
}

struct tables tables_compiled_as(const struct ruleset *s, size_t spare, enum tables_wide wide)
{
	const struct tables how = { .wide = wide };
	struct tables t = tables_new(compile_size_for(s, &how) + spare);

	t.wide = wide;
	if (compile(s, &t) < 0)
		abort();
	return t;
}

static bool same_below(const struct tables *a, size_t slot_a, const struct tables *b, size_t slot_b,
		       bool v6)
{
	uint32_t ref_a = tables_refs(a)[slot_a], ref_b = tables_refs(b)[slot_b];
	struct entry ea, eb;
	struct node na, nb;

	if (!ref_a || !ref_b)
		return !ref_a && !ref_b;
	if (entry_read(a, v6, ref_a, &ea))
		return entry_read(b, v6, ref_b, &eb) && ea.key.hi == eb.key.hi &&
		       ea.key.lo == eb.key.lo && ea.length == eb.length && ea.n_tcp == eb.n_tcp &&
		       ea.n_udp == eb.n_udp &&
		       memcmp(ea.intervals, eb.intervals, (ea.n_tcp + ea.n_udp) * 8UL) == 0;
	if (!node_read(a, v6, ref_a, &na) || !node_read(b, v6, ref_b, &nb) || na.pos != nb.pos ||
	    na.children != nb.children || na.internal != nb.internal || na.key.hi != nb.key.hi ||
	    na.key.lo != nb.key.lo)
		return false;
	for (unsigned i = 0; i < node_refs(&na); i++) {
		if (!same_below(a, na.slots + i, b, nb.slots + i, v6))
			return false;
	}
	return true;
}

/* All roots to which BITS bits lead. */
static bool same_roots(const struct tables *a, const struct tables *b, bool v6, unsigned bits)
{
	size_t slot_a = tables_root_slot(a, (struct key){}, v6, bits);
	size_t slot_b = tables_root_slot(b, (struct key){}, v6, bits);

	for (size_t i = 0; i < (size_t)1 << bits; i++) {
		if ((tables_refs(a)[slot_a + i] || tables_refs(b)[slot_b + i]) &&
		    !same_below(a, slot_a + i, b, slot_b + i, v6))
			return false;
	}
	return true;
}

bool tables_same(const struct tables *a, const struct tables *b)
{
	for (int v6 = 0; v6 < 2; v6++) {
		if (a->wide_word[v6] != b->wide_word[v6] || !same_roots(a, b, v6, 0) ||
		    !same_roots(a, b, v6, SB_DIRECT_BITS) ||
		    (a->wide_word[v6] && !same_roots(a, b, v6, SB_WIDE_BITS)))
			return false;
	}
	return tables_header(a).n_rules == tables_header(b).n_rules;
}
