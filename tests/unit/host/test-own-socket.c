/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets for packets to wait in are what a service would have made. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "broker/base/socket-facts.h"
#include "broker/host/own-socket.h"
#include "protocol/address.h"

static void test_kinds(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		bool udp = i % 2, v6 = i / 2;
		int fd = own_socket_open(udp ? IPPROTO_UDP : IPPROTO_TCP, v6 ? AF_INET6 : AF_INET);
		struct socket_facts f;
		struct sb_address a;
		char text[SB_ADDRESS_TEXT_MAX];
		uint16_t port;

		assert_true(fd >= 0);
		assert_int_equal(socket_facts_read(fd, &f), 0);
		assert_int_equal(f.protocol, udp ? IPPROTO_UDP : IPPROTO_TCP);
		assert_int_equal(f.domain, v6 ? AF_INET6 : AF_INET);
		assert_int_equal(f.listening, !udp);
		assert_int_equal(f.v6only, v6);
		assert_true(f.bound && !f.connected && !f.reuseport && !f.device[0]);
		sb_address_from_sockaddr(&f.local, &a, &port);
		assert_string_equal(sb_address_format(&a, text), v6 ? "::1" : "127.0.0.1");
		assert_true(port != 0);
		assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);
	}
}

static int local_port(int fd)
{
	struct sockaddr_in a;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &(socklen_t){ sizeof(a) }), 0);
	return a.sin_port;
}

static int reach(int fd, int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = (in_port_t)local_port(fd),
				 .sin_addr.s_addr = htonl(0x7f000001) };
	int client = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(client, (struct sockaddr *)&a, sizeof(a)), 0);
	return client;
}

static void test_waiting(void **state)
{
	int tcp = own_socket_open(IPPROTO_TCP, AF_INET),
	    udp = own_socket_open(IPPROTO_UDP, AF_INET);
	int clients[3];
	uint32_t n = 9;

	assert_int_equal(own_socket_waiting(tcp, &n), 0);
	assert_int_equal(n, 0);
	for (size_t i = 0; i < 3; i++)
		clients[i] = reach(tcp, SOCK_STREAM);
	assert_int_equal(own_socket_waiting(tcp, &n), 0);
	assert_int_equal(n, 3);
	close(accept(tcp, NULL, NULL));
	assert_int_equal(own_socket_waiting(tcp, &n), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < 3; i++)
		close(clients[i]);
	close(tcp);

	assert_int_equal(own_socket_waiting(udp, &n), 0);
	assert_int_equal(n, 0);
	clients[0] = reach(udp, SOCK_DGRAM);
	assert_int_equal(send(clients[0], "x", 1, 0), 1);
	assert_int_equal(own_socket_waiting(udp, &n), 0);
	assert_int_equal(n, 1);
	close(clients[0]);
	close(udp);
	assert_true(own_socket_waiting(-1, &n) < 0);
}

/* As a socket unit has it: at an address that somebody chose. */
static int socket_of_a_unit(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	int chosen = own_socket_open(IPPROTO_TCP, AF_INET);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_port = (in_port_t)local_port(chosen);
	close(chosen);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 7), 0);
	return fd;
}

/* What waits is gone; the socket is at its place, and the next may wait. */
static void test_emptied(void **state)
{
	int tcp = socket_of_a_unit(), udp = own_socket_open(IPPROTO_UDP, AF_INET);
	int client, port = local_port(tcp);
	char c;
	uint32_t n;

	/* Not touched without need: nobody sees it shut down. */
	assert_int_equal(own_socket_empty(tcp), 0);
	for (int round = 0; round < 2; round++) {
		client = reach(tcp, SOCK_STREAM);
		assert_int_equal(own_socket_empty(tcp), 0);
		assert_int_equal(own_socket_waiting(tcp, &n), 0);
		assert_int_equal(n, 0);
		assert_int_equal(recv(client, &c, 1, 0), -1);
		assert_int_equal(errno, ECONNRESET);
		close(client);
	}
	assert_int_equal(local_port(tcp), port);
	client = reach(tcp, SOCK_STREAM);
	assert_int_equal(own_socket_waiting(tcp, &n), 0);
	assert_int_equal(n, 1);
	close(client);
	close(tcp);

	assert_int_equal(own_socket_empty(udp), 0);
	client = reach(udp, SOCK_DGRAM);
	for (int i = 0; i < 5; i++)
		assert_int_equal(send(client, "xyz", i % 2 ? 3 : 0, 0), i % 2 ? 3 : 0);
	assert_int_equal(own_socket_empty(udp), 0);
	assert_int_equal(own_socket_waiting(udp, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(recv(udp, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(send(client, "x", 1, 0), 1);
	assert_int_equal(recv(udp, &c, 1, MSG_DONTWAIT), 1);
	close(client);
	close(udp);
	assert_true(own_socket_empty(-1) < 0);
}

/* It has the backlog that whoever made it chose. */
static void test_emptied_backlog(void **state)
{
	int tcp = socket_of_a_unit(), client;
	struct tcp_info info;
	socklen_t size = sizeof(info);

	client = reach(tcp, SOCK_STREAM);
	assert_int_equal(own_socket_empty(tcp), 0);
	assert_int_equal(getsockopt(tcp, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
	assert_int_equal(info.tcpi_state, TCP_LISTEN);
	assert_int_equal(info.tcpi_sacked, 7);
	close(client);
	close(tcp);
}

/* A datagram that came before anybody could ask tells where it was sent to. */
/* Only what is no listener any more may take its time to be closed. */
static void test_may_linger(void **state)
{
	int tcp = own_socket_open(IPPROTO_TCP, AF_INET);
	int udp = own_socket_open(IPPROTO_UDP, AF_INET);

	assert_false(own_socket_may_linger(tcp));
	assert_false(own_socket_may_linger(udp));
	assert_int_equal(shutdown(tcp, SHUT_RD), 0);
	assert_true(own_socket_may_linger(tcp));
	close(tcp);
	close(udp);
}

static void test_datagram_knows_its_destination(void **state)
{
	int udp = own_socket_open(IPPROTO_UDP, AF_INET), client = reach(udp, SOCK_DGRAM);
	char data[8], control[256];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct in_pktinfo info;

	assert_int_equal(send(client, "x", 1, 0), 1);
	assert_int_equal(recvmsg(udp, &m, 0), 1);
	assert_non_null(CMSG_FIRSTHDR(&m));
	assert_int_equal(CMSG_FIRSTHDR(&m)->cmsg_type, IP_PKTINFO);
	memcpy(&info, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(info));
	assert_int_equal(ntohl(info.ipi_addr.s_addr), 0x7f000001);
	assert_true(info.ipi_ifindex > 0);
	close(client);
	close(udp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_emptied),
		cmocka_unit_test(test_emptied_backlog),
		cmocka_unit_test(test_may_linger),
		cmocka_unit_test(test_datagram_knows_its_destination),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
