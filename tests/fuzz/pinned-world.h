/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A core among fakes, but for the maps: those are read and written by broker/dataplane/slots.c, in
 * memory, with a sockmap that this makes up. Rules are the fake dataplane's.
 */
#pragma once

#include "broker/core/core-internal.h"
#include "broker/dataplane/internal.h"
#include "tests/fake/fake-dataplane.h"
#include "tests/fake/fake-fdstore.h"
#include "tests/fake/fake-host.h"
#include "tests/fake/fake-state.h"
#include "tests/fake/fake-units.h"
#include "tests/fake/fake-watch.h"
#include "tests/fuzz/fuzz.h"

#define PINNED_SOCKETS 8 /* that there are at the start; as many again can be registered */

struct pinned {
	struct dataplane maps; /* first: slots.c is given a pointer to all of this */
	uint64_t *sockets;     /* the sockmap: cookies, 0: none */
	sb_slot_owner *owners;
	uint64_t *groups;
	uint32_t *lists;
	bool took_over, renewed;
	const char *labels_damage;

	struct fake_calls calls;
	struct fake_host *host;
	struct fake_dataplane *rules;
	struct fake_state *state;
	struct fake_watch *watch;
	struct fake_units *units;
	struct fake_fdstore *fdstore;
	struct dataplane_port rules_port;
	struct quota *quota;
	struct core *core;
	unsigned next_socket;
};

struct pinned *pinned_new(void);
void pinned_free(struct pinned *p);
/* The cookie of one of PINNED_SOCKETS. */
uint64_t pinned_socket(const struct pinned *p, unsigned index);
/* As the dataplane does that finds maps of another version. */
void pinned_renew(struct pinned *p);

/* 0, or the negative errno of a start that was refused. Ends the process when it gave a socket from
 * one owner to another. */
int pinned_start(struct pinned *p);
void pinned_stop(struct pinned *p);
/* One of some requests; it may be refused. */
void pinned_ask(struct pinned *p, uint8_t which);
/* Ends the process when the maps are not what the model says, or when a group leads to a socket of
 * another label. */
void pinned_check(struct pinned *p);
