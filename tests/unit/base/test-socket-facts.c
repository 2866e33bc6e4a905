/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What real sockets say of themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>

#include "broker/base/socket-facts.h"
#include "protocol/cleanup.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct socket_facts facts_of(int fd)
{
	struct socket_facts f;

	assert_true(fd >= 0);
	assert_int_equal(socket_facts_read(fd, &f), 0);
	return f;
}

/* Bound to ADDRESS, any port. */
static int bound(int family, int type, int protocol, const char *address)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	bool is6 = family == AF_INET6;
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return -1;
	assert_int_equal(
		inet_pton(family, address, is6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr), 1);
	assert_int_equal(bind(fd, is6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
			      is6 ? sizeof(v6) : sizeof(v4)),
			 0);
	return fd;
}

static void test_tcp_listener(void **state)
{
	_cleanup_close_ int fd = bound(AF_INET, SOCK_STREAM, 0, "127.0.0.1");
	struct socket_facts f = facts_of(fd);

	assert_true(f.is_socket && f.bound);
	assert_false(f.listening || f.connected || f.reuseport || f.v6only);
	assert_int_equal(f.domain, AF_INET);
	assert_int_equal(f.type, SOCK_STREAM);
	assert_int_equal(f.protocol, IPPROTO_TCP);
	assert_string_equal(f.device, "");
	assert_int_equal(listen(fd, 1), 0);
	f = facts_of(fd);
	assert_true(f.listening);
	assert_false(f.connected);
	assert_int_equal(f.local.ss_family, AF_INET);
	assert_int_equal(((struct sockaddr_in *)&f.local)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	assert_int_not_equal(((struct sockaddr_in *)&f.local)->sin_port, 0);
}

static void test_tcp_connection(void **state)
{
	_cleanup_close_ int listener = bound(AF_INET, SOCK_STREAM, 0, "127.0.0.1");
	_cleanup_close_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server = -1;
	struct socket_facts f;

	assert_int_equal(listen(listener, 1), 0);
	f = facts_of(listener);
	assert_false(facts_of(client).connected || facts_of(client).bound);
	assert_int_equal(connect(client, (struct sockaddr *)&f.local, sizeof(struct sockaddr_in)),
			 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(facts_of(client).connected && facts_of(server).connected);
	assert_false(facts_of(client).listening || facts_of(server).listening);
}

static void test_udp(void **state)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int other = bound(AF_INET, SOCK_DGRAM, 0, "127.0.0.1");
	struct socket_facts f = facts_of(fd);

	assert_int_equal(f.type, SOCK_DGRAM);
	assert_int_equal(f.protocol, IPPROTO_UDP);
	assert_false(f.bound || f.listening || f.connected);
	f = facts_of(other);
	assert_true(f.bound);
	assert_false(f.connected);
	assert_int_equal(connect(fd, (struct sockaddr *)&f.local, sizeof(struct sockaddr_in)), 0);
	assert_true(facts_of(fd).connected && facts_of(fd).bound);
}

static void test_ipv6(void **state)
{
	_cleanup_close_ int any = bound(AF_INET6, SOCK_DGRAM, 0, "::"), one = -1, only = -1;
	int on = 1;

	if (any < 0)
		skip();
	assert_false(facts_of(any).v6only);
	assert_int_equal(facts_of(any).domain, AF_INET6);
	assert_true(facts_of(any).bound);
	/* bind() to one address makes a socket IPv6-only; socket_is_dual_stack() counts on it. */
	one = bound(AF_INET6, SOCK_DGRAM, 0, "::1");
	assert_true(facts_of(one).v6only);
	only = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(only, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
	assert_true(facts_of(only).v6only);
	assert_false(facts_of(only).bound);
}

static void test_mptcp(void **state)
{
	_cleanup_close_ int fd = bound(AF_INET, SOCK_STREAM, IPPROTO_MPTCP, "127.0.0.1");

	if (fd < 0)
		skip();
	assert_int_equal(facts_of(fd).protocol, IPPROTO_MPTCP);
}

static void test_other_kinds(void **state)
{
	int pair[2];
	_cleanup_close_ int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	struct socket_facts f;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f = facts_of(pair[0]);
	assert_true(f.is_socket);
	assert_int_equal(f.domain, AF_UNIX);
	assert_int_equal(f.type, SOCK_SEQPACKET);
	assert_false(f.bound);
	close(pair[0]);
	close(pair[1]);
	if (raw >= 0)
		assert_int_equal(facts_of(raw).type, SOCK_RAW);
}

static void test_not_a_socket(void **state)
{
	_cleanup_close_ int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fds[2];
	struct socket_facts f;

	assert_false(facts_of(file).is_socket);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_false(facts_of(fds[0]).is_socket);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(socket_facts_read(fds[0], &f), -EBADF);
	assert_int_equal(socket_facts_read(-1, &f), -EBADF);
}

static void test_cookies(void **state)
{
	_cleanup_close_ int a = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int b = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), again = dup(a);

	assert_int_not_equal(facts_of(a).cookie, 0);
	assert_int_equal(facts_of(a).cookie, facts_of(again).cookie);
	assert_int_not_equal(facts_of(a).cookie, facts_of(b).cookie);
}

static void test_network_namespace(void **state)
{
	_cleanup_close_ int here = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), there = -1;
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	uint64_t cookie = socket_facts_own_netns();

	if (!facts_of(here).has_netns_cookie)
		skip();
	assert_int_not_equal(cookie, 0);
	assert_int_equal(facts_of(here).netns_cookie, cookie);
	if (unshare(CLONE_NEWNET) < 0)
		skip();
	there = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_not_equal(socket_facts_own_netns(), cookie);
	assert_int_equal(setns(own, CLONE_NEWNET), 0);
	assert_int_not_equal(facts_of(there).netns_cookie, cookie);
}

static void test_options(void **state)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_true(facts_of(fd).reuseport);
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) < 0)
		skip();
	assert_string_equal(facts_of(fd).device, "lo");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_listener), cmocka_unit_test(test_tcp_connection),
		cmocka_unit_test(test_udp),          cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_mptcp),        cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_not_a_socket), cmocka_unit_test(test_cookies),
		cmocka_unit_test(test_options),      cmocka_unit_test(test_network_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
