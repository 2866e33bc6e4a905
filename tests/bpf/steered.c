/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/bpf/steered.h"

int steered_start(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct ruleset *rules = rules_from("tcp 127.1.0.0/16 any", LABEL);
	struct rule more[] = { rule_from("udp 127.1.0.0/16 any", LABEL),
			       rule_from("tcp ::1 any", LABEL) };
	struct sb_error error = {};
	struct rule conflict;

	f->scratch = *(struct scratch *)*state;
	f->dataplane = scratch_open(&f->scratch);
	f->port = dataplane_port(f->dataplane);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		assert_int_equal(ruleset_add(rules, &more[i], &conflict), 0);
	if (f->port.publish(f->port.self, rules, &error) < 0)
		fail_msg("%s", error.message);
	ruleset_free(rules);
	*state = f;
	return 0;
}

/* The scratch directory stays *STATE of the group. */
int steered_stop(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->port.unload(f->port.self, NULL), 0);
	dataplane_free(f->dataplane);
	free(f);
	return 0;
}

struct sb_group_counters counted(const struct fixture *f, const char *kind, uint32_t family)
{
	struct sb_group_counters c;

	assert_int_equal(f->port.counters(f->port.self, group_of(LABEL, kind, family), &c), 0);
	return c;
}

void assert_counted(const struct fixture *f, const char *kind, uint32_t family,
		    struct sb_group_counters wanted)
{
	struct sb_group_counters c = counted(f, kind, family);

	assert_memory_equal(&c, &wanted, sizeof(c));
}

void fill(const struct fixture *f, const char *kind, uint32_t family, uint32_t slot, const int *fds,
	  unsigned n)
{
	group_fill(&f->port, group_of(LABEL, kind, family), slot, fds, n, SB_EMPTY_DROP);
}

void knock(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(client_connect("tcp", STEERED, PORT), -ECONNREFUSED);
}

void open_reuseport_pair(int fds[static 2])
{
	struct sock_filter second[] = { { BPF_RET | BPF_K, 0, 0, 1 } };
	struct sock_fprog selector = { 1, second };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	socklen_t length = sizeof(a);
	int on = 1;

	for (int i = 0; i < 2; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
		assert_int_equal(bind(fds[i], (struct sockaddr *)&a, sizeof(a)), 0);
		assert_int_equal(getsockname(fds[i], (struct sockaddr *)&a, &length), 0);
		assert_int_equal(listen(fds[i], 64), 0);
	}
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &selector,
				    sizeof(selector)),
			 0);
}
