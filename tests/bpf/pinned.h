/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A dataplane of which one label with one socket is known, for tests of its pins. */
#pragma once

#include "tests/bpf/scratch.h"

#define LABEL 3
#define STEERED "127.1.2.3"
#define PORT 4711

struct fixture {
	struct scratch scratch;
	struct dataplane *dataplane;
	struct dataplane_port port;
	struct ruleset *rules;
	int listener;
};

/* cmocka setup and teardown: fresh, with a socket in its group but nothing published; or published.
 * *STATE is the group's struct scratch, then the fixture. */
int pinned_start(void **state);
int pinned_start_published(void **state);
int pinned_stop(void **state);

void open_it(struct fixture *f);
void close_it(struct fixture *f);
void publish_it(struct fixture *f);
/* Makes the socket the label's again, in maps that are new. */
void fill_it(struct fixture *f);

/* Opening is refused with this code and these words. PINS: NULL for the fixture's. */
void assert_refused(const struct fixture *f, const char *pins, int code, const char *words);
bool steers(const struct fixture *f);
struct dataplane_info info_of(const struct fixture *f);

/* The path of a pin, in one of two buffers. */
char *pin(const struct fixture *f, const char *name);
bool pinned(const struct fixture *f, const char *name);
/* Puts FD (closed) in its place. */
void replace_pin(const struct fixture *f, const char *name, int fd);
int array_of(uint32_t entries, uint32_t flags);
