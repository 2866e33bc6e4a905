/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the program counts, and what it counted in the maps of earlier versions. */
#include <bpf/bpf.h>
#include <string.h>

#include "broker/dataplane/internal.h"

/* Words of a row that is believed, of whatever version. */
#define ROW_WORDS_MAX 64

/* Of a map of counters: words in a row, rows. */
struct row_shape {
	uint32_t words, rows;
};

static int row_shape_of(int map, struct row_shape *ret)
{
	struct bpf_map_info info = {};
	int r = object_info(map, &info, sizeof(info));

	if (r < 0)
		return r;
	if (info.type != BPF_MAP_TYPE_PERCPU_ARRAY || info.key_size != 4 ||
	    info.value_size % sizeof(uint64_t) || info.value_size > ROW_WORDS_MAX * 8)
		return -EPROTO;
	*ret = (struct row_shape){ info.value_size / 8, info.max_entries };
	return 0;
}

/* Whether the program counts in this row, rather than what went before in another. */
static bool is_counted(uint32_t row)
{
	return !(row & SB_COUNTERS_FORMER);
}

/* Room for a row of every processor. */
static uint64_t *row_new(int n_cpus)
{
	return calloc((size_t)n_cpus, ROW_WORDS_MAX * sizeof(uint64_t));
}

/* Adds the WORDS of ROW, of all processors, to SUM. BUFFER: see row_new(). */
static int row_sum(int map, uint32_t row, uint32_t words, int n_cpus, uint64_t *buffer,
		   uint64_t *sum)
{
	int r = bpf_map_lookup_elem(map, &row, buffer);

	for (size_t cpu = 0; cpu < (size_t)n_cpus && r == 0; cpu++)
		for (uint32_t i = 0; i < words; i++)
			sum[i] += buffer[cpu * words + i];
	return r;
}

int counters_read(void *self, uint32_t group, struct sb_group_counters *ret)
{
	const uint32_t words = sizeof(*ret) / sizeof(uint64_t);
	_cleanup_free_ uint64_t *buffer = NULL;
	struct dataplane *d = self;
	struct sb_group_counters sum = {};
	int r;

	_Static_assert(sizeof(sum) / sizeof(uint64_t) <= ROW_WORDS_MAX, "row");
	if (d->unloaded)
		return -ESHUTDOWN;
	buffer = row_new(d->n_cpus);
	if (!buffer)
		return -ENOMEM;
	r = row_sum(d->maps[MAP_COUNTERS], group, words, d->n_cpus, buffer, (uint64_t *)&sum);
	if (r == 0 && is_counted(group))
		r = row_sum(d->maps[MAP_COUNTERS], group + SB_COUNTERS_FORMER, words, d->n_cpus,
			    buffer, (uint64_t *)&sum);
	if (r == 0)
		*ret = sum;
	return r;
}

int counters_reset(void *self, uint32_t group)
{
	_cleanup_free_ uint64_t *zero = NULL;
	struct dataplane *d = self;

	if (d->unloaded)
		return -ESHUTDOWN;
	zero = row_new(d->n_cpus);
	if (!zero)
		return -ENOMEM;
	/* Or it would be carried over. There may be no such row. */
	if (d->former_counters >= 0)
		bpf_map_update_elem(d->former_counters, &group, zero, BPF_ANY);
	return bpf_map_update_elem(d->maps[MAP_COUNTERS], &group, zero, BPF_ANY);
}

static int carry_row(int former, const struct row_shape *f, int next, const struct row_shape *n,
		     uint32_t row, int n_cpus, uint64_t *buffer)
{
	const uint32_t to = row + SB_COUNTERS_FORMER;
	uint64_t sum[ROW_WORDS_MAX] = {};
	bool any = false;
	int r = row_sum(former, row, f->words, n_cpus, buffer, sum);

	if (r == 0)
		r = row_sum(former, to, f->words, n_cpus, buffer, sum);
	for (uint32_t i = 0; i < f->words; i++)
		any |= sum[i] != 0;
	if (r < 0 || !any)
		return r;
	memset(buffer, 0, (size_t)n_cpus * n->words * sizeof(*buffer));
	memcpy(buffer, sum, f->words * sizeof(*sum));
	return bpf_map_update_elem(next, &to, buffer, BPF_ANY);
}

int counters_carry(int former, int next, int n_cpus)
{
	_cleanup_free_ uint64_t *buffer = row_new(n_cpus);
	struct row_shape f, n;
	uint32_t rows;
	int r = buffer ? row_shape_of(former, &f) : -ENOMEM;

	if (r == 0)
		r = row_shape_of(next, &n);
	if (r < 0)
		return r;
	if (f.words > n.words)
		return -EPROTO;
	rows = f.rows < n.rows ? f.rows : n.rows;
	for (uint32_t row = 0; row + SB_COUNTERS_FORMER < rows && r == 0; row++)
		if (is_counted(row))
			r = carry_row(former, &f, next, &n, row, n_cpus, buffer);
	return r;
}
