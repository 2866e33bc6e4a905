/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each way in which a socket is not taken, and its sentence. */
#include "tests/unit/registry/check.h"

#include <arpa/inet.h>

#include "broker/model/socket-check.h"

#define NETNS 7

static struct socket_facts tcp(void)
{
	struct socket_facts f = {
		.is_socket = true,
		.domain = AF_INET,
		.type = SOCK_STREAM,
		.protocol = IPPROTO_TCP,
		.listening = true,
		.bound = true,
		.has_netns_cookie = true,
		.netns_cookie = NETNS,
	};
	struct sockaddr_in *in = (struct sockaddr_in *)&f.local;

	in->sin_family = AF_INET;
	in->sin_port = htons(8080);
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return f;
}

static struct socket_facts udp(void)
{
	struct socket_facts f = tcp();

	f.type = SOCK_DGRAM;
	f.protocol = IPPROTO_UDP;
	f.listening = false;
	return f;
}

static void check_bad(const struct socket_facts *f, int code, const char *part)
{
	struct sb_error error = { 0 };

	check_refused(socket_check(f, 3, NETNS, &error), &error, code, part);
}

static void test_good(void **state)
{
	struct socket_facts f = tcp();
	struct sb_error error = { 0 };

	assert_int_equal(socket_check(&f, 0, NETNS, &error), 0);
	f.reuseport = true;
	assert_int_equal(socket_check(&f, 0, NETNS, &error), 0);
	f = udp();
	assert_int_equal(socket_check(&f, 0, NETNS, &error), 0);
	f.domain = AF_INET6;
	assert_int_equal(socket_check(&f, 0, NETNS, &error), 0);
	assert_int_equal(error.code, 0);
}

static void test_kind(void **state)
{
	struct socket_facts f = { 0 };

	check_bad(&f, ENOTSOCK, "file descriptor 3 of the request is not a socket");
	f = tcp();
	f.domain = AF_UNIX;
	check_bad(&f, EAFNOSUPPORT, "socket 3 is of domain AF_UNIX");
	f.domain = 99;
	check_bad(&f, EAFNOSUPPORT, "number 99");
	f = tcp();
	f.type = SOCK_RAW;
	check_bad(&f, ESOCKTNOSUPPORT, "of type SOCK_RAW");
	f.type = SOCK_SEQPACKET;
	check_bad(&f, ESOCKTNOSUPPORT, "of type SOCK_SEQPACKET");
	f = tcp();
	f.protocol = 262;
	check_bad(&f, EPROTONOSUPPORT, "GODEBUG=multipathtcp=0");
	f = udp();
	f.protocol = IPPROTO_UDPLITE;
	check_bad(&f, EPROTONOSUPPORT, "IP protocol 136");
}

static void test_state(void **state)
{
	struct socket_facts f = tcp();

	f.listening = false;
	check_bad(&f, ENOTCONN, "TCP socket 3 (127.0.0.1:8080) is not listening; call listen()");
	f.connected = true;
	check_bad(&f, EISCONN, "is a connection, not a listener");
	f = udp();
	f.connected = true;
	check_bad(&f, EISCONN, "UDP socket 3 (127.0.0.1:8080) is connected");
	f = udp();
	f.bound = false;
	check_bad(&f, EDESTADDRREQ, "UDP socket 3 is not bound; bind() it");
}

static void test_place(void **state)
{
	struct socket_facts f = tcp();
	struct sb_error error = { 0 };

	strcpy(f.device, "eth0");
	check_bad(&f, ENODEV, "is bound to the device eth0 (SO_BINDTODEVICE)");
	f = tcp();
	f.netns_cookie = NETNS + 1;
	check_bad(&f, EXDEV, "another network namespace");
	/* Said first: its state does not matter then. */
	f.listening = false;
	check_bad(&f, EXDEV, "another network namespace");
	f.listening = true;
	/* When either side does not know, it is not compared. */
	assert_int_equal(socket_check(&f, 0, 0, &error), 0);
	f.has_netns_cookie = false;
	assert_int_equal(socket_check(&f, 0, NETNS, &error), 0);
}

static void test_dual_stack(void **state)
{
	struct socket_facts f = tcp();

	assert_false(socket_is_dual_stack(&f));
	f.domain = AF_INET6;
	assert_true(socket_is_dual_stack(&f));
	f.v6only = true;
	assert_false(socket_is_dual_stack(&f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),       cmocka_unit_test(test_kind),
		cmocka_unit_test(test_state),      cmocka_unit_test(test_place),
		cmocka_unit_test(test_dual_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
