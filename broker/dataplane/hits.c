/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RuleCounters=: how often each rule won. The map belongs to this run of the broker: the numbers of
 * rules are given anew at every start. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <sys/mman.h>

#include "broker/dataplane/internal.h"

/* More rows cost memory (8 bytes a rule each), fewer let processors wait for each other. */
#define HITS_ROWS_MAX 8

static uint32_t rows_for(int n_cpus)
{
	uint32_t rows = 1;

	while (rows < HITS_ROWS_MAX && rows < (uint32_t)n_cpus)
		rows *= 2;
	return rows;
}

static size_t hits_bytes(const struct hits *h)
{
	size_t words = (size_t)h->rows * h->numbers;

	return (words ? words : 1) * sizeof(uint64_t);
}

int hits_open(struct dataplane *d, uint32_t numbers, struct sb_error *error)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	struct hits *h = &d->hits;
	size_t bytes;
	void *p;

	h->numbers = numbers;
	h->rows = rows_for(d->n_cpus);
	bytes = hits_bytes(h);
	if (bytes > SB_RULES_BYTES_MAX)
		return sb_fail(error, E2BIG,
			       "RuleCounters= for %u rules needs %zu MiB, one BPF map has 512 at "
			       "most: lower MaxRules=",
			       numbers, bytes >> 20);
	h->map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sb_hits", 4, (uint32_t)bytes, 1, &options);
	if (h->map == -E2BIG)
		return sb_fail(error, E2BIG,
			       "RuleCounters= for %u rules needs a BPF map of %zu KiB, more than "
			       "this kernel allows (Linux 6.0 and later allow 512 MiB): lower "
			       "MaxRules=",
			       numbers, bytes >> 10);
	if (h->map < 0)
		return explain_refusal(error, -h->map, "making the BPF map of rule counters");
	if (numbers == 0)
		return 0;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, h->map, 0);
	if (p == MAP_FAILED)
		return sb_fail(error, errno, "mapping the BPF map of rule counters: %s",
			       strerror(errno));
	h->words = p;
	return 0;
}

void hits_close(struct hits *h)
{
	if (h->words)
		munmap(h->words, hits_bytes(h));
	h->words = NULL;
	h->map = sb_close(h->map);
}

int hits_read(void *self, uint32_t number, uint64_t *ret)
{
	const struct dataplane *d = self;
	const struct hits *h = &d->hits;

	if (!h->words)
		return -EOPNOTSUPP;
	if (number >= h->numbers)
		return -EINVAL;
	*ret = 0;
	for (uint32_t row = 0; row < h->rows; row++)
		*ret += __atomic_load_n(&h->words[(size_t)row * h->numbers + number],
					__ATOMIC_RELAXED);
	return 0;
}

int hits_reset(void *self, uint32_t number)
{
	struct dataplane *d = self;
	struct hits *h = &d->hits;

	if (!h->words)
		return -EOPNOTSUPP;
	if (number >= h->numbers)
		return -EINVAL;
	for (uint32_t row = 0; row < h->rows; row++)
		__atomic_store_n(&h->words[(size_t)row * h->numbers + number], 0, __ATOMIC_RELAXED);
	return 0;
}
