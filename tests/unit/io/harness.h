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
	struct quota *quota;
	struct zygote *zygote;
	struct keepers *keepers;
	struct server *server;
	struct server_options options;
	bool nobody_administers; /* all clients are served by porters */
	bool refuses_sockets;    /* no client may register */
	bool keeps_sockets;      /* they are passed on */
	int n_slots;             /* that may be reserved */
	int reserved;            /* that are */
	int sockmap;
	int looked; /* sockets of the last request that a porter has looked at, -1: none did */
	struct request_socket socket; /* the first of them */
	int gate[2];    /* a pipe, of which what takes long reads a byte first; or -1 */
	size_t handled; /* requests */
	size_t n_fds;   /* of the last one */
	size_t n_here;  /* those that this process had */
	struct actor actor;
	size_t fds_before; /* open fds of the process before there was a server */
};

int harness_setup(void **state);
int harness_teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)

/* New limits of connections, in all and for each user, and time that they may be silent. */
void harness_options(struct harness *h, unsigned connections, unsigned per_user, uint64_t us);

/* Porters that are to store a socket do so when HOLD is false again. */
void hold_up_storing(struct harness *h, bool hold);

/* A new client, not blocking; the caller's. */
int client_new(struct harness *h);
/* Sends a packet with fds (ended by -1; NULL: none): 0 or a negative errno. */
int client_send(int fd, const char *packet, size_t n, const int *fds);
#define client_ask(fd, packet) client_send(fd, packet, strlen(packet), NULL)

/* Turns the loop until the client has something to read (false: it has not, for a long while). */
bool harness_turn(struct harness *h, int client);
/* Turns the loop a few times. */
void harness_idle(struct harness *h);

/* Turns the loop until the condition holds (false: it does not, for a long while). */
bool harness_until(struct harness *h, bool (*condition)(struct harness *h));

/* The processes that PARENT has made, at most MAX; how many. And those that the zygote has. */
size_t children_of(pid_t parent, pid_t *pids, size_t max);
size_t porters(pid_t *pids, size_t max);

/* Turns the loop and takes the next reply, whose text stays valid until the next call; NULL: the
 * connection ended. *FD: the fd that came with it, the caller's (NULL or -1: none). */
const char *client_reply(struct harness *h, int client, int *fd);

/* The next reply is TEXT; or it has PART in it. */
void check_reply(struct harness *h, int client, const char *text);
void check_refusal(struct harness *h, int client, const char *part);
/* Asks for NAME, and gets it. */
void ask(struct harness *h, int client, const char *name);
/* Whether there is something to read, an end too. */
bool has_something(int client);

/* Open fds of this process. */
size_t count_fds(void);
