/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bpf/scratch.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

#define SKIPPED 77

void scratch_needs_root(void)
{
	if (geteuid() != 0) {
		fprintf(stderr, "needs root\n");
		exit(SKIPPED);
	}
}

void scratch_new_netns(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
}

int scratch_start(void **state)
{
	struct scratch *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	scratch_new_netns();
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	snprintf(s->root, sizeof(s->root), "/tmp/sockbroker-bpf.XXXXXX");
	assert_non_null(mkdtemp(s->root));
	assert_int_equal(mount("bpf", s->root, "bpf", 0, NULL), 0);
	assert_int_equal(chmod(s->root, 0755), 0);
	snprintf(s->pins, sizeof(s->pins), "%s/pins", s->root);
	*state = s;
	return 0;
}

int scratch_stop(void **state)
{
	struct scratch *s = *state;

	umount2(s->root, MNT_DETACH);
	rmdir(s->root);
	free(s);
	return 0;
}

struct dataplane *scratch_open(const struct scratch *s)
{
	return scratch_open_as(s, WIDE_WHEN_MANY);
}

struct dataplane *scratch_open_as(const struct scratch *s, enum tables_wide wide)
{
	struct dataplane_options options = { .bpffs = s->pins, .wide = wide };
	struct sb_error error = {};
	struct dataplane *d = NULL;

	if (dataplane_open(&d, &options, &error) < 0)
		fail_msg("%s", error.message);
	return d;
}

static socklen_t address_of(const char *text, unsigned port, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		return sizeof(*v4);
	}
	assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	return sizeof(*v6);
}

static int type_of(const char *kind)
{
	return strcmp(kind, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
}

int socket_open(const char *kind, const char *address, unsigned port)
{
	struct sockaddr_storage ss;
	socklen_t length = address_of(address, port, &ss);
	int fd = socket(ss.ss_family, type_of(kind) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	assert_true(fd >= 0);
	/* Only TCP: two UDP sockets of one port would be in each other's way. */
	if (type_of(kind) == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, length), 0);
	if (type_of(kind) == SOCK_STREAM)
		assert_int_equal(listen(fd, 4096), 0);
	return fd;
}

unsigned socket_port(int fd)
{
	struct sockaddr_storage ss;
	socklen_t length = sizeof(ss);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &length), 0);
	return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t length = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length), 0);
	return cookie;
}

int client_connect(const char *kind, const char *address, unsigned port)
{
	struct linger reset = { .l_onoff = 1 }; /* leaves no TIME_WAIT */
	struct sockaddr_storage ss;
	socklen_t length = address_of(address, port, &ss);
	int fd = socket(ss.ss_family, type_of(kind) | SOCK_CLOEXEC, 0), r;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (connect(fd, (struct sockaddr *)&ss, length) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int accept_next(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	poll(&p, 1, 100);
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

bool reaches(int listener, const char *address, unsigned port)
{
	int client = client_connect("tcp", address, port), peer;

	if (client < 0)
		return false;
	peer = accept_next(listener);
	close(client);
	if (peer < 0)
		return false;
	close(peer);
	return true;
}

struct rule rule_from(const char *text, uint32_t label)
{
	struct sb_rule_line line;
	struct sb_error error = {};
	char full[128];
	int n = snprintf(full, sizeof(full), "%s x", text);

	if (sb_rule_line_parse(full, (size_t)n, &line, &error) != 1)
		fail_msg("%s: %s", text, error.message);
	return rule_make(line.protocols == SB_PROTOCOL_UDP ? IPPROTO_UDP : IPPROTO_TCP,
			 &line.prefix, line.ports[0], label, RULE_RUNTIME);
}

struct ruleset *rules_from(const char *text, uint32_t label)
{
	struct ruleset *s = ruleset_new();
	struct rule r = rule_from(text, label), conflict;

	assert_non_null(s);
	assert_int_equal(ruleset_add(s, &r, &conflict), 0);
	return s;
}

uint32_t group_of(uint32_t label, const char *kind, uint32_t family)
{
	return label * SB_GROUPS_PER_LABEL + family +
	       (type_of(kind) == SOCK_DGRAM ? SB_GROUP_UDP : 0);
}

void group_fill(const struct dataplane_port *p, uint32_t group, uint32_t slot, const int *fds,
		unsigned n, uint32_t empty)
{
	const uint32_t owner = SB_SLOT_OWNER(group / SB_GROUPS_PER_LABEL, group & SB_GROUP_UDP);

	/* Each slot has its place in slot_lists, so lists never overlap. */
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t number = slot + i;

		assert_int_equal(p->slot_clear(p->self, number), 0);
		assert_int_equal(p->slot_store(p->self, number, owner, fds[i]), 0);
		assert_int_equal(p->list_store(p->self, number, &number, 1), 0);
	}
	assert_int_equal(p->group_store(p->self, group, slot, n, empty), 0);
}

struct verdict verdict_of(const struct dataplane_port *p, const char *kind, const char *address,
			  unsigned port, unsigned from_port)
{
	struct packet packet = {
		.port = (uint16_t)port,
		.protocol = type_of(kind) == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP,
	};
	struct sb_address from;
	struct verdict v = {};

	assert_int_equal(sb_address_parse(address, &packet.destination, NULL), 0);
	from = packet.destination;
	from.bytes[3] ^= 1;
	assert_int_equal(p->run(p->self, &packet, &from, (uint16_t)from_port, &v), 0);
	return v;
}

int fixed_program(int map)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_ST | BPF_W | BPF_MEM, .dst_reg = 10, .off = -4, .imm = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -4 },
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = 1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map },
		{},
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 7 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 7, .src_reg = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 7 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sk_assign },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 7 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sk_release },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = SK_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_SK_LOOKUP);

	return bpf_prog_load(BPF_PROG_TYPE_SK_LOOKUP, "fixed", "Dual BSD/GPL", code,
			     ARRAY_SIZE(code), &options);
}
