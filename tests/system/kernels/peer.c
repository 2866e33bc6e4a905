/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Both ends of the connections in run-kernels, statically linked.
 *     peer serve tcp|udp ADDRESS PORT NAME   answers everything with NAME, till it is killed
 *     peer ask tcp|udp ADDRESS PORT          prints the answer, "refused" or "silence"
 * A UDP answer comes from the address and port that was asked: ask's socket is connected.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static socklen_t address_of(const char *text, const char *port, union address *a)
{
	*a = (union address){};
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons((uint16_t)atoi(port));
		return sizeof(a->v4);
	}
	if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) != 1) {
		fprintf(stderr, "%s is no address\n", text);
		exit(2);
	}
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons((uint16_t)atoi(port));
	return sizeof(a->v6);
}

static int open_socket(int family, int type)
{
	const struct timeval patience = { .tv_sec = 10 };
	int fd = socket(family, type | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_IPV6, IPV6_FREEBIND, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

/* Answers one datagram from a socket bound to where it went. */
static void answer_datagram(int fd, const char *name)
{
	char data[64], control[256];
	union address from, asked = {};
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	socklen_t length = 0;
	int reply;

	if (recvmsg(fd, &m, 0) < 0)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR) ||
		    (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR)) {
			length = (socklen_t)(c->cmsg_len - CMSG_LEN(0));
			memcpy(&asked, CMSG_DATA(c), length);
		}
	}
	if (length == 0)
		return;
	reply = open_socket(asked.any.sa_family, SOCK_DGRAM);
	if (bind(reply, &asked.any, length) < 0 ||
	    sendto(reply, name, strlen(name), 0, &from.any, m.msg_namelen) < 0)
		perror("answer");
	close(reply);
}

static void answer_connection(int listener, const char *name)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return;
	if (send(fd, name, strlen(name), MSG_NOSIGNAL) < 0)
		perror("answer");
	close(fd);
}

static _Noreturn void serve(int type, const char *host, const char *port, const char *name)
{
	union address a;
	socklen_t length = address_of(host, port, &a);
	int fd = open_socket(a.any.sa_family, type), on = 1;

	if (bind(fd, &a.any, length) < 0)
		die("bind");
	if (type == SOCK_STREAM && listen(fd, 64) < 0)
		die("listen");
	setsockopt(fd, SOL_IP, IP_RECVORIGDSTADDR, &on, sizeof(on));
	setsockopt(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, &on, sizeof(on));
	for (;;)
		(type == SOCK_STREAM ? answer_connection : answer_datagram)(fd, name);
}

static int ask(int type, const char *host, const char *port)
{
	const struct timeval patience = { .tv_sec = 3 };
	union address a;
	socklen_t length = address_of(host, port, &a);
	int fd = open_socket(a.any.sa_family, type);
	char answer[64];
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	n = connect(fd, &a.any, length);
	if (n == 0 && type == SOCK_DGRAM)
		n = send(fd, "?", 1, 0);
	if (n >= 0)
		n = recv(fd, answer, sizeof(answer), 0);
	if (n > 0)
		printf("%.*s\n", (int)n, answer);
	else if (n < 0 && (errno == EAGAIN || errno == ETIMEDOUT))
		puts("silence");
	else if (n < 0 && errno == ECONNREFUSED)
		puts("refused");
	else
		printf("closed: %s\n", n < 0 ? strerror(errno) : "without an answer");
	return 0;
}

int main(int argc, char **argv)
{
	int type;

	if (argc < 5) {
		fprintf(stderr, "usage: peer serve|ask tcp|udp ADDRESS PORT [NAME]\n");
		return 2;
	}
	type = strcmp(argv[2], "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
	if (strcmp(argv[1], "serve") == 0 && argc == 6)
		serve(type, argv[3], argv[4], argv[5]);
	return ask(type, argv[3], argv[4]);
}
