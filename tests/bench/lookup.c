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

#define ROUNDS_MAX 64
#define CHECKS 2000

struct settings {
	const char *prefixes; /* JSON file */
	FILE *json;           /* NULL: none */
	bool quick;
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

/* The programs choose the same sockets, or they are not worth measuring. */
static void check_agreement(const struct programs *programs, const struct set *set,
			    struct random *r, uint16_t port)
{
	struct packet any = set_packet(set, r, port);

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

static void print_line(const char *name, int family, size_t n, const char *kind,
		       const struct series *s)
{
	double empty = median(s, EMPTY);
	double lookup = median(s, LOOKUP) - empty, lpm = median(s, LPM_LOOKUP) - empty;

	printf("%-10s v%c %8zu %-4s | %6.1f %6.1f %7.1f %6.1f %5.1fx %5.2f | %7.1f %6.1f %5.1fx\n",
	       name, family == AF_INET ? '4' : '6', n, kind, empty, median(s, FIXED),
	       median(s, LPM_WHOLE), median(s, WHOLE), median(s, LPM_WHOLE) / median(s, WHOLE),
	       median(s, WHOLE) / median(s, FIXED), lpm, lookup, lpm / lookup);
	fflush(stdout);
}

static void measure(struct settings *o, struct host *h, struct random *r, const char *name,
		    const struct set *set, int family, uint16_t port)
{
	struct programs programs = programs_load(h, set, family);
	struct series hot = {}, cold = {};

	check_agreement(&programs, set, r, port);
	host_fill_packets(h, set, r, port);
	measure_hot(o, &programs, set, r, port, &hot);
	measure_cold(o, h, &programs, family, &cold);
	print_line(name, family, set->n, "hot", &hot);
	print_line(name, family, set->n, "cold", &cold);
	if (o->json) {
		fprintf(o->json,
			"%s\n{\"shape\": \"%s\", \"family\": %d, \"rules\": %zu, "
			"\"rules_bytes\": %llu, \"used_bytes\": %llu, \"lpm_bytes\": %llu, "
			"\"publish_s\": %.4f, \"lpm_fill_s\": %.4f, ",
			o->written++ ? "," : "", name, family == AF_INET ? 4 : 6, set->n,
			(unsigned long long)programs.rules_bytes,
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

static void measure_all(struct settings *o, struct host *h, struct random *r)
{
	static const size_t sizes[] = { 10, 1000, 100000, 1000000 };
	static const char *const names[] = { "scattered", "crowded", "nested" };

	printf("%-18s %8s %-4s | %6s %6s %7s %6s %6s %5s | %7s %6s %6s\n", "ns a packet", "rules",
	       "", "empty", "fixed", "2 LPM", "ours", "", "floor", "2 LPM", "lookup", "");
	if (o->prefixes)
		measure_prefixes(o, h, r);
	if (o->quick) {
		measure_shape(o, h, r, "scattered", 10);
		measure_shape(o, h, r, "scattered", 1000000);
		return;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++)
			measure_shape(o, h, r, names[i], sizes[k]);
	measure_shape(o, h, r, "one port", 1000000);
	measure_shape(o, h, r, "outward", 1000000);
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
		.hot_rounds = 41, .hot_repeat = 20000, .cold_rounds = 21, .cold_repeat = 32768
	};
	const char *shape = NULL;
	size_t n = 1000000;
	struct random r;
	struct host *h;

	parse(&o, argc, argv, &shape, &n);
	if (geteuid() != 0) {
		fprintf(stderr, "needs root\n");
		return 77;
	}
	if (o.quick)
		o.hot_rounds = o.cold_rounds = 11;
	stay_here();
	r = random_start("lookup");
	h = host_new();
	if (o.json)
		fprintf(o.json, "{\"quick\": %s, \"results\": [", o.quick ? "true" : "false");
	if (shape)
		measure_shape(&o, h, &r, shape, n);
	else
		measure_all(&o, h, &r);
	if (o.json) {
		fprintf(o.json, "\n]}\n");
		fclose(o.json);
	}
	host_free(h);
	return 0;
}
