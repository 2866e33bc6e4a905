/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A server at a scratch socket, driven turn by turn by the test that is its clients too. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/io/server.h"
#include "protocol/wire-io.h"

struct harness {
	char dir[32], path[64];
	struct loop *loop;
	struct server *server;
	struct server_options options;
	size_t handled; /* requests */
	size_t n_fds;   /* of the last one */
	struct actor actor;
	size_t fds_before; /* open fds of the process before there was a server */
};

int harness_setup(void **state);
int harness_teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)

void harness_options(struct harness *h, unsigned connections, unsigned per_user, uint64_t us);

/* A new client, not blocking; the caller's. */
int client_new(struct harness *h);
/* Sends a packet with fds (ended by -1; NULL: none): 0 or a negative errno. */
int client_send(int fd, const char *packet, size_t n, const int *fds);
#define client_ask(fd, packet) client_send(fd, packet, strlen(packet), NULL)

/* Turns the loop until the client has something to read (false: it has not, for a long while). */
bool harness_turn(struct harness *h, int client);
/* Turns the loop a few times. */
void harness_idle(struct harness *h);

/* Turns the loop and takes the next reply, whose text stays valid until the next call; NULL: the
 * connection ended. *FD: the fd that came with it, the caller's (NULL or -1: none). */
const char *client_reply(struct harness *h, int client, int *fd);

/* Open fds of this process. */
size_t count_fds(void);
