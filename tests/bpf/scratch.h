/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A place of their own for the tests that meet the kernel: a network namespace with loopback up,
 * a mount namespace, and in it a BPF filesystem. Ends with the process.
 */
#pragma once

#include "broker/dataplane/dataplane.h"

struct scratch {
	char root[64]; /* made by mkdtemp, with the BPF filesystem mounted on it */
	char pins[80]; /* a directory in it, not made yet */
};

/* For cmocka_run_group_tests: *STATE becomes the struct scratch. */
int scratch_start(void **state);
int scratch_stop(void **state);

/* Exits with meson's code for a skipped test unless root runs it. */
void scratch_needs_root(void);

/* A network namespace of its own for the calling thread from here on, with loopback up. */
void scratch_new_netns(void);

/* A dataplane over the pins, or fails the test with the reason. */
struct dataplane *scratch_open(const struct scratch *s);
/* The same with wide tables or not. */
struct dataplane *scratch_open_as(const struct scratch *s, enum tables_wide wide);

/* Sockets of "tcp" listeners or bound "udp"; PORT 0: any. Fail the test. */
int socket_open(const char *kind, const char *address, unsigned port);
unsigned socket_port(int fd);
uint64_t socket_cookie(int fd);
/* A connected client's fd, or -errno. */
int client_connect(const char *kind, const char *address, unsigned port);
/* The next connection that waits in LISTENER's queue, or -1 when none does. */
int accept_next(int listener);
/* Connects, and is the connection in LISTENER's queue? Closes everything. */
bool reaches(int listener, const char *address, unsigned port);

/* Rules in sentences, "tcp 127.1.0.0/16 any" -> LABEL. */
struct rule rule_from(const char *text, uint32_t label);
struct ruleset *rules_from(const char *text, uint32_t label);

/* Makes N sockets (fds) all that label has for KIND in group (SB_GROUP_V4, ...), in the slots from
 * SLOT on. */
void group_fill(const struct dataplane_port *p, uint32_t group, uint32_t slot, const int *fds,
		unsigned n, uint32_t empty);
uint32_t group_of(uint32_t label, const char *kind, uint32_t family);

/* The verdict for such a packet from a sender with FROM_PORT. */
struct verdict verdict_of(const struct dataplane_port *p, const char *kind, const char *address,
			  unsigned port, unsigned from_port);

/* A program that assigns the socket in slot 0 of the sockmap MAP to everything; its fd. */
int fixed_program(int map);
