/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a packet costs: the broker's program, and beside it in the same run nothing at all, a fixed
 * slot, and two lookups in longest prefix match tries, over the same rules and packets.
 *
 * hot   the same packet again and again; every round has another
 * cold  every run has another packet, out of a million, and waits for the one before
 *
 * The machine may be busy: each round measures all programs, in changing order, for a few
 * milliseconds of this thread's time; medians of many rounds count.
 */
#include <err.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "tests/bench/programs.h"

#define ROUNDS_MAX 128
#define CHECKS 2000
#define MILLION 1000000

/* What is different about a measurement. */
enum mode {
	AS_ROOT,
	AS_UNIT, /* loaded with the capabilities of the broker's unit */
	COUNTED, /* with RuleCounters= */
};

static const struct {
	const char *name;
	char mark;
} modes[] = { { "root", ' ' }, { "unit", '*' }, { "counted", '+' } };

struct settings {
	const char *prefixes; /* JSON file */
	FILE *json;           /* NULL: none */
	bool quick;
	enum mode mode;
	unsigned hot_rounds, hot_repeat, cold_rounds, cold_repeat;
	unsigned written;
};

struct series {
	double ns[PROGRAM_COUNT][ROUNDS_MAX];
	unsigned rounds;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sort(struct series *s)
{
	for (unsigned p = 0; p < PROGRAM_COUNT; p++)
		qsort(s->ns[p], s->rounds, sizeof(double), compare);
}

static double median(const struct series *s, enum program p)
{
	return s->ns[p][s->rounds / 2];
}

static void measure_hot(const struct settings *o, const struct programs *programs,
			const struct set *set, struct random *r, uint16_t port, struct series *s)
{
	s->rounds = o->hot_rounds;
	for (unsigned round = 0; round < s->rounds; round++) {
		struct packet packet = set_packet(set, r, port);

		for (unsigned i = 0; i < PROGRAM_COUNT; i++) {
			unsigned p = (round + i) % PROGRAM_COUNT;

			s->ns[p][round] = run_hot(programs->hot[p], &packet, o->hot_repeat);
		}
	}
	sort(s);
}

static void measure_cold(const struct settings *o, struct host *h, const struct programs *programs,
			 int family, struct series *s)
{
	unsigned first = 0;

	s->rounds = o->cold_rounds;
	for (unsigned round = 0; round < s->rounds; round++) {
		for (unsigned i = 0; i < PROGRAM_COUNT; i++) {
			unsigned p = (round + i) % PROGRAM_COUNT;

			s->ns[p][round] =
				run_cold(h, programs->cold[p], family, first, o->cold_repeat);
			first += o->cold_repeat;
		}
	}
	sort(s);
}

/* Hits of all rules together. */
static uint64_t sum_hits(const struct host *h)
{
	uint64_t sum = 0, hits;

	for (uint32_t i = 0; i < h->rule_numbers; i++)
		if (h->port.hits(h->port.self, i, &hits) == 0)
			sum += hits;
	return sum;
}

/* The programs choose the same sockets, and ours counts if it should, or they are not worth
 * measuring. */
static void check_agreement(const struct host *h, const struct programs *programs,
			    const struct set *set, struct random *r, uint16_t port)
{
	struct packet any = set_packet(set, r, port);
	uint64_t hits = sum_hits(h);

	if (!run_once(programs->hot[FIXED], &any) || !run_once(programs->live, &any))
		errx(1, "a program chose no socket");
	for (unsigned i = 0; i < CHECKS; i++) {
		struct packet p = set_packet(set, r, port);
		uint64_t ours = run_once(programs->hot[WHOLE], &p);
		uint64_t theirs = run_once(programs->hot[LPM_WHOLE], &p);

		if (!ours || ours != theirs)
			errx(1, "packet %u: our program chose %llu, the tries %llu", i,
			     (unsigned long long)ours, (unsigned long long)theirs);
	}
	hits = sum_hits(h) - hits;
	if (hits != (h->rule_numbers ? CHECKS : 0))
		errx(1, "the rules counted %llu hits", (unsigned long long)hits);
}

static void write_series(FILE *f, const char *name, const struct series *s)
{
	fprintf(f, "\"%s\": {", name);
	for (enum program p = 0; p < PROGRAM_COUNT; p++)
		fprintf(f, "%s\"%s\": {\"median\": %.1f, \"min\": %.1f, \"max\": %.1f}",
			p ? ", " : "", program_name(p), median(s, p), s->ns[p][0],
			s->ns[p][s->rounds - 1]);
	fprintf(f, "}");
}

static void print_line(const char *name, enum mode mode, int family, size_t n, const char *kind,
		       const struct series *s)
{
	double empty = median(s, EMPTY);
	double lookup = median(s, LOOKUP) - empty, lpm = median(s, LPM_LOOKUP) - empty;

	printf("%-9s%c v%c %8zu %-4s | %6.1f %6.1f %7.1f %6.1f %5.1fx %5.2f | %7.1f %6.1f %5.1fx\n",
	       name, modes[mode].mark, family == AF_INET ? '4' : '6', n, kind, empty,
	       median(s, FIXED), median(s, LPM_WHOLE), median(s, WHOLE),
	       median(s, LPM_WHOLE) / median(s, WHOLE), median(s, WHOLE) / median(s, FIXED), lpm,
	       lookup, lpm / lookup);
	fflush(stdout);
}

static void measure(struct settings *o, struct host *h, struct random *r, const char *name,
		    const struct set *set, int family, uint16_t port)
{
	struct programs programs = programs_load(h, set, family);
	struct series hot = {}, cold = {};

	check_agreement(h, &programs, set, r, port);
	host_fill_packets(h, set, r, port);
	measure_hot(o, &programs, set, r, port, &hot);
	measure_cold(o, h, &programs, family, &cold);
	print_line(name, o->mode, family, set->n, "hot", &hot);
	print_line(name, o->mode, family, set->n, "cold", &cold);
	if (o->json) {
		fprintf(o->json,
			"%s\n{\"shape\": \"%s\", \"mode\": \"%s\", \"family\": %d, "
			"\"rules\": %zu, "
			"\"rules_bytes\": %llu, \"used_bytes\": %llu, \"lpm_bytes\": %llu, "
			"\"publish_s\": %.4f, \"lpm_fill_s\": %.4f, ",
			o->written++ ? "," : "", name, modes[o->mode].name,
			family == AF_INET ? 4 : 6, set->n, (unsigned long long)programs.rules_bytes,
			(unsigned long long)programs.words_used * 8,
			(unsigned long long)programs.lpm_bytes, programs.publish_seconds,
			programs.lpm_seconds);
		write_series(o->json, "hot", &hot);
		fprintf(o->json, ", ");
		write_series(o->json, "cold", &cold);
		fprintf(o->json, "}");
	}
	programs_clear(&programs);
}

static void measure_shape(struct settings *o, struct host *h, struct random *r, const char *name,
			  size_t n)
{
	static const int families[] = { AF_INET, AF_INET6 };
	const struct set_shape *shape = set_shape(name);

	if (!shape)
		errx(1, "no shape %s", name);
	for (unsigned i = 0; i < ARRAY_SIZE(families); i++) {
		struct set set = set_make(shape, r, n, families[i]);

		measure(o, h, r, name, &set, families[i], shape->port);
		set_clear(&set);
	}
}

static void measure_prefixes(struct settings *o, struct host *h, struct random *r)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (unsigned i = 0; i < ARRAY_SIZE(families); i++) {
		struct set set = set_load(o->prefixes, r, families[i]);

		measure(o, h, r, "edge", &set, families[i], 0);
		set_clear(&set);
	}
}

static void measure_as_root(struct settings *o, struct host *h, struct random *r)
{
	static const size_t sizes[] = { 10, 1000, 100000, MILLION };
	static const char *const names[] = { "scattered", "crowded", "nested" };

	if (o->prefixes)
		measure_prefixes(o, h, r);
	for (unsigned i = 0; i < (o->quick ? 1 : ARRAY_SIZE(names)); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(sizes); k += o->quick ? 3 : 1)
			measure_shape(o, h, r, names[i], sizes[k]);
	if (o->quick)
		return;
	measure_shape(o, h, r, "one port", MILLION);
	measure_shape(o, h, r, "outward", MILLION);
}

static void measure_as_unit(struct settings *o, struct host *h, struct random *r)
{
	if (o->quick) {
		measure_shape(o, h, r, "scattered", MILLION);
		return;
	}
	if (o->prefixes)
		measure_prefixes(o, h, r);
	measure_shape(o, h, r, "scattered", 10);
	measure_shape(o, h, r, "scattered", MILLION);
	measure_shape(o, h, r, "crowded", MILLION);
	measure_shape(o, h, r, "nested", MILLION);
}

static void measure_counted(struct settings *o, struct host *h, struct random *r)
{
	if (o->quick)
		return;
	measure_shape(o, h, r, "scattered", 10);
	measure_shape(o, h, r, "scattered", MILLION);
}

/* All rule sets of a mode, or N rules of SHAPE. */
static void measure_mode(struct settings *o, enum mode mode, struct random *r, const char *shape,
			 size_t n)
{
	struct host *h = host_new(mode == COUNTED ? MILLION : 0);

	o->mode = mode;
	h->few_capabilities = mode == AS_UNIT;
	if (shape)
		measure_shape(o, h, r, shape, n);
	else if (mode == AS_ROOT)
		measure_as_root(o, h, r);
	else if (mode == AS_UNIT)
		measure_as_unit(o, h, r);
	else
		measure_counted(o, h, r);
	host_free(h);
}

static void measure_modes(struct settings *o, struct random *r, const char *shape, size_t n)
{
	printf("%-18s %8s %-4s | %6s %6s %7s %6s %6s %5s | %7s %6s %6s\n", "ns a packet", "rules",
	       "", "empty", "fixed", "2 LPM", "ours", "", "floor", "2 LPM", "lookup", "");
	for (enum mode mode = AS_ROOT; mode <= COUNTED; mode++)
		measure_mode(o, mode, r, shape, n);
	printf("*: loaded with CAP_BPF and CAP_NET_ADMIN only\n"
	       "+: with rule counters\n");
}

/* One processor, so that its caches keep what they have. */
static void stay_here(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		warn("sched_setaffinity");
}

static void parse(struct settings *o, int argc, char **argv, const char **shape, size_t *n)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "output", required_argument, NULL, 'o' },
		{ "prefixes", required_argument, NULL, 'p' },
		{ "shape", required_argument, NULL, 's' },
		{ "rules", required_argument, NULL, 'n' },
		{},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'q') {
			o->quick = true;
		} else if (c == 'o') {
			o->json = fopen(optarg, "we");
			if (!o->json)
				err(1, "%s", optarg);
		} else if (c == 'p') {
			o->prefixes = optarg;
		} else if (c == 's') {
			*shape = optarg;
		} else if (c == 'n') {
			*n = strtoul(optarg, NULL, 10);
		} else {
			errx(2, "usage: bench-lookup [--quick] [--output FILE] [--prefixes FILE] "
				"[--shape NAME] [--rules N]");
		}
	}
}

int main(int argc, char **argv)
{
	struct settings o = {
		.hot_rounds = 101, .hot_repeat = 10000, .cold_rounds = 21, .cold_repeat = 32768
	};
	const char *shape = NULL;
	size_t n = MILLION;
	struct random r;

	parse(&o, argc, argv, &shape, &n);
	if (geteuid() != 0) {
		fprintf(stderr, "needs root\n");
		return 77;
	}
	if (o.quick) {
		o.hot_rounds = 31;
		o.cold_rounds = 9;
	}
	stay_here();
	r = random_start("lookup");
	if (o.json)
		fprintf(o.json, "{\"quick\": %s, \"results\": [", o.quick ? "true" : "false");
	measure_modes(&o, &r, shape, n);
	if (o.json) {
		fprintf(o.json, "\n]}\n");
		fclose(o.json);
	}
	return 0;
}
