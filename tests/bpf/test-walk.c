/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The same rules and packets given to a matcher that looks at every rule and to the program in the
 * kernel: they agree on every packet, for published and for edited tables, with wide tables and
 * without. And tables full of nonsense do no harm.
 */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tests/bpf/scratch.h"
#include "tests/unit/model/shapes.h"

#define SOCKETS 61 /* of each protocol; label L has number L % SOCKETS, and slots of its own */
#define ROUNDS 12  /* of each shape */
#define RULES_MAX 400
#define PACKETS 7500
#define EDITS 20
#define PACKETS_PER_EDIT 100

struct walk {
	struct scratch *scratch;
	struct dataplane *dataplane;
	struct dataplane_port port;
	struct random random;
	enum tables_wide wide;
	uint64_t cookies[2][SOCKETS]; /* by UDP or not */
	struct rule rules[RULES_MAX];
	unsigned n_rules;
	unsigned long packets, matched;
};

/* Every label, protocol and family has one living socket: which, says the label. */
static void fill_labels(struct walk *w)
{
	const struct dataplane_port *p = &w->port;
	int fds[2][SOCKETS];

	for (unsigned i = 0; i < SOCKETS; i++) {
		for (unsigned udp = 0; udp < 2; udp++) {
			fds[udp][i] = socket_open(udp ? "udp" : "tcp", "::", 0);
			w->cookies[udp][i] = socket_cookie(fds[udp][i]);
		}
	}
	for (uint32_t label = 0; label < SB_LABELS_MAX; label++) {
		for (unsigned udp = 0; udp < 2; udp++) {
			uint32_t slot = label * 2 + udp;
			int fd = fds[udp][label % SOCKETS];

			group_fill(p, group_of(label, udp ? "udp" : "tcp", SB_GROUP_V6), slot, &fd,
				   1, SB_EMPTY_DROP);
			assert_int_equal(
				p->group_store(p->self,
					       group_of(label, udp ? "udp" : "tcp", SB_GROUP_DUAL),
					       slot, 1, SB_EMPTY_DROP),
				0);
		}
	}
}

static int start_as(void **state, enum tables_wide wide)
{
	struct walk *w = calloc(1, sizeof(*w));
	int r = scratch_start(state);

	w->scratch = *state;
	w->wide = wide;
	w->dataplane = scratch_open_as(w->scratch, wide);
	w->port = dataplane_port(w->dataplane);
	fill_labels(w);
	*state = w;
	return r;
}

static int start(void **state)
{
	return start_as(state, WIDE_WHEN_MANY);
}

static int start_wide(void **state)
{
	return start_as(state, WIDE_ALWAYS);
}

static int stop(void **state)
{
	struct walk *w = *state;
	void *scratch = w->scratch;

	w->port.unload(w->port.self, NULL);
	dataplane_free(w->dataplane);
	free(w);
	return scratch_stop(&scratch);
}

static void explain_difference(const struct packet *p, const struct rule *r,
			       const struct verdict *v)
{
	char to[SB_ADDRESS_TEXT_MAX], text[RULE_TEXT_MAX] = "no rule";

	if (r)
		rule_format(r, text);
	print_error("%s to %s: %s (label %d), kernel says %d, cookie %llu, error %d\n",
		    sb_protocol_name(p->protocol), sb_endpoint_format(&p->destination, p->port, to),
		    text, r ? (int)r->label : -1, v->kind, (unsigned long long)v->cookie, v->error);
}

static void check_packet(struct walk *w, const struct packet *p, const struct rule *r)
{
	struct verdict v = {};
	bool right;

	assert_int_equal(w->port.run(w->port.self, p, NULL, 1, &v), 0);
	w->packets++;
	w->matched += !!r;
	if (r)
		right = v.kind == VERDICT_SOCKET &&
			v.cookie == w->cookies[p->protocol == IPPROTO_UDP][r->label % SOCKETS];
	else
		right = v.kind == VERDICT_PASS;
	if (!right) {
		explain_difference(p, r, &v);
		fail();
	}
}

static void check_packets(struct walk *w, const struct ruleset *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct packet p = shape_packet(&w->random, w->rules, w->n_rules);

		check_packet(w, &p, ruleset_match_naive(s, &p));
	}
}

static void publish(struct walk *w, const struct ruleset *s)
{
	struct sb_error error = {};

	if (w->port.publish(w->port.self, s, &error) < 0)
		fail_msg("%s", error.message);
}

/* A rule comes or goes; the program goes on. */
static void edit(struct walk *w, struct ruleset *s, const struct shape *shape, unsigned i)
{
	struct rule *known = &w->rules[random_below(&w->random, w->n_rules)], conflict;
	struct rule r = shape->rule(&w->random, i);
	struct sb_error error = {};
	struct sb_prefix prefix;

	if (ruleset_remove(s, known, NULL) < 0) {
		ruleset_add(s, &r, &conflict);
		*known = r;
	}
	prefix = rule_prefix(known);
	if (w->port.edit(w->port.self, s, &prefix, &error) < 0)
		fail_msg("%s", error.message);
}

static void run_round(struct walk *w, const struct shape *shape)
{
	unsigned want = 1 + random_below(&w->random, random_below(&w->random, 3) ? 60 : RULES_MAX);
	struct ruleset *s = shape_set(shape, &w->random, want, w->rules, &w->n_rules);

	publish(w, s);
	check_packets(w, s, PACKETS);
	for (unsigned i = 0; i < EDITS; i++) {
		edit(w, s, shape, want + i);
		check_packets(w, s, PACKETS_PER_EDIT);
	}
	ruleset_free(s);
}

static void test_shapes(void **state)
{
	struct walk *w = *state;

	w->random = random_start("walk");
	w->packets = w->matched = 0;
	for (unsigned i = 0; i < n_shapes; i++) {
		unsigned long packets = w->packets, matched = w->matched;

		for (unsigned round = 0; round < ROUNDS; round++)
			run_round(w, &shapes[i]);
		print_message("%-12s %lu packets, %lu matched\n", shapes[i].name,
			      w->packets - packets, w->matched - matched);
		assert_true(w->matched - matched > (w->packets - packets) / 10);
	}
}

/* Too many rules to look at each for every packet: the index of the set stands in. */
static void test_large(void **state)
{
	struct walk *w = *state;

	w->random = random_start("large");
	for (unsigned i = 0; i < n_shapes; i++) {
		unsigned most = shapes[i].most < 20000 ? shapes[i].most : 20000, n;
		struct rule *rules = calloc(most, sizeof(*rules));
		struct ruleset *s = shape_set(&shapes[i], &w->random, most, rules, &n);

		publish(w, s);
		for (unsigned k = 0; k < 5000; k++) {
			struct packet p = shape_packet(&w->random, rules, n);
			const struct rule *r = NULL;

			ruleset_match(s, &p, &r, 1);
			check_packet(w, &p, r);
		}
		ruleset_free(s);
		free(rules);
	}
}

/* Every port of one address. */
static void test_all_ports(void **state)
{
	struct rule *rules = calloc(65535, sizeof(*rules)), a, b;
	struct ruleset *s = ruleset_new();
	struct walk *w = *state;

	for (unsigned i = 0; i < 65535; i++)
		rules[i] = rule_of(IPPROTO_TCP, "192.0.2.1", 32, i + 1, i + 1, i % SB_LABELS_MAX);
	assert_int_equal(ruleset_assign(s, rules, 65535, &a, &b), 0);
	publish(w, s);
	for (unsigned port = 0; port < 65536; port += 3) {
		struct packet p = packet_of(IPPROTO_TCP, "192.0.2.1", port);
		struct rule r = { .label = (port - 1) % SB_LABELS_MAX };

		check_packet(w, &p, port ? &r : NULL);
		p.protocol = IPPROTO_UDP;
		check_packet(w, &p, NULL);
	}
	ruleset_free(s);
	free(rules);
}

/* A word that may pass for something: a reference somewhere, a position, a count. */
static uint64_t nonsense(struct random *r, size_t words)
{
	uint64_t low = random_below(r, (unsigned)words), x = random_next(r);

	switch (random_below(r, 6)) {
	case 0:
		return low | (uint64_t)random_below(r, (unsigned)words) << 32;
	case 1:
		return low | SB_REF_ENTRY | (low | SB_REF_ENTRY) << 32;
	case 2:
		return random_below(r, 130);
	case 3:
		return ~0ULL;
	case 4:
		return (x & 0xffffffff00000000) | random_below(r, 33);
	default:
		return x;
	}
}

/* The word behind all tables that an address leads into. */
static size_t first_block(const struct walk *w)
{
	return SB_RULES_FIRST_BLOCK + (w->wide == WIDE_ALWAYS ? 2 * SB_WIDE_WORDS : 0);
}

/* Whatever stands in the rules map: every packet gets some verdict, and the machine lives. */
static void test_nonsense(void **state)
{
	struct walk *w = *state;
	char path[128];
	const size_t first = first_block(w), words = first + 8192;
	struct ruleset *s = ruleset_new();
	uint64_t *map;
	int fd;

	w->random = random_start("nonsense");
	publish(w, s);
	snprintf(path, sizeof(path), "%s/rules", w->scratch->pins);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	map = mmap(NULL, words * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	for (unsigned round = 0; round < 20; round++) {
		for (size_t i = 1; i < words; i++) {
			uint64_t x = nonsense(&w->random, words);

			/* The tables should lead somewhere. */
			if (i < first)
				x = (first + x % 8192) * 0x100000001ULL;
			map[i] = x;
		}
		for (unsigned i = 0; i < 5000; i++) {
			struct packet p = shape_packet(&w->random, NULL, 0);
			struct verdict v;

			assert_int_equal(w->port.run(w->port.self, &p, NULL, 1, &v), 0);
			assert_true(v.kind != VERDICT_UNKNOWN);
		}
	}
	munmap(map, words * 8);
	close(fd);
	ruleset_free(s);
}

/* A node that is its own child, with no end of prefixes. */
static void test_circle(void **state)
{
	struct walk *w = *state;
	const uint64_t node = first_block(w);
	struct ruleset *s = ruleset_new();
	struct packet p = packet_of(IPPROTO_TCP, "2001:db8::1", 80);
	struct verdict v;
	char path[128];
	uint64_t *map;
	int fd;

	publish(w, s);
	snprintf(path, sizeof(path), "%s/rules", w->scratch->pins);
	fd = bpf_obj_get(path);
	map = mmap(NULL, (node + 512) * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	for (size_t i = SB_RULES_HEADER_WORDS; i < node; i++)
		map[i] = node | node << 32;
	map[node] = map[node + 1] = ~0ULL;
	for (size_t i = 5; i < 512; i++)
		map[node + i] = node | node << 32;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(w->port.run(w->port.self, &p, NULL, 1, &v), 0);
		assert_int_equal(v.kind, VERDICT_PASS);
	}
	munmap(map, (node + 512) * 8);
	close(fd);
	ruleset_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),    cmocka_unit_test(test_large),
		cmocka_unit_test(test_all_ports), cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_circle),
	};

	int failed;

	scratch_needs_root();
	failed = cmocka_run_group_tests(tests, start, stop);
	return failed + cmocka_run_group_tests_name("with wide tables", tests, start_wide, stop);
}
