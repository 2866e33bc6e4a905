/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A label: the name of a service, the sockets that were handed in under it, and the groups that
 * packets meet. Pure data; core/members changes it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/sockbroker-abi.h"
#include "broker/model/policy.h"
#include "broker/model/quota.h"
#include "protocol/address.h"
#include "protocol/label.h"

#define LABEL_SOCKETS_DEFAULT 64                  /* MaxSockets= when nobody says */
#define LABEL_HOLD_TIMEOUT_DEFAULT_US 90000000ULL /* HoldTimeout= when nobody says */
/* Those of systemd.socket(5) for sockets whose service accepts. */
#define LABEL_TRIGGER_INTERVAL_DEFAULT_US 2000000ULL
#define LABEL_TRIGGER_BURST_DEFAULT 20U

enum when_empty {
	WHEN_EMPTY_DROP = SB_EMPTY_DROP,
	WHEN_EMPTY_PASS = SB_EMPTY_PASS,
	WHEN_EMPTY_HOLD = SB_EMPTY_HOLD,
};

const char *when_empty_name(enum when_empty w);

enum activation_state {
	ACTIVATION_READY,  /* the next packet that waits has the unit started */
	ACTIVATION_ASKED,  /* it is being started */
	ACTIVATION_FAILED, /* too often: the label is empty, until a reload or a service comes */
};

const char *activation_state_name(enum activation_state s);

#define INVOCATION_MAX 32 /* InvocationID= of a unit, in hex */

/* Activate=: the unit that serves the label, started when a packet waits. */
struct activation {
	char *unit;           /* owned; NULL: none */
	uint64_t interval_us; /* at most BURST starts in that time; either 0: any number */
	unsigned burst;
	enum activation_state state;
	uint64_t window_us;                  /* CLOCK_MONOTONIC of the first of ... */
	unsigned starts;                     /* ... so many starts within INTERVAL_US */
	unsigned failures;                   /* in a row */
	unsigned quick_ends;                 /* in a row, of services that had hardly come */
	bool looking;                        /* it is asked for to see whether it runs still, ... */
	char invocation[INVOCATION_MAX + 1]; /* ... as this; "": not known */
	uint64_t ask_at_us;                  /* when to ask again; 0: no time is set */
	char reason[200];                    /* of the last failure */
};

struct life; /* core/lives.h: the process that serves a socket */

/* Of a service that took a socket in which something waits; core/probation.h. */
struct probation {
	uint64_t since_us;     /* of CLOCK_MONOTONIC; 0: there is none, or it is over */
	uint64_t look_us;      /* when to look next */
	uint64_t hold_ends_us; /* when the hold would have ended without it */
	uint32_t waiting;      /* seen so last */
};

/*
 * A socket of a label. Without WhenEmpty=hold the broker has no fd of it: it lives as long as its
 * service does. With it the broker keeps a copy, and says so: a socket that nobody but the broker
 * has is "held" from then on, and for a limited time.
 */
struct member {
	uint64_t cookie; /* SO_COOKIE */
	uint32_t slot;
	struct sb_address address;
	uint16_t port;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	bool dual;        /* IPv6, takes IPv4 packets too */
	bool reuseport;
	pid_t pid; /* the registrant */
	uid_t uid;
	gid_t gid;
	char *unit;     /* owned; NULL: none */
	uint64_t since; /* seconds since the epoch */

	bool own;              /* made by the broker, for packets to wait in; no registrant */
	bool withheld;         /* no packet gets it (ACTIVATION_FAILED) */
	bool inherited;        /* a service manager keeps it too, for us: it is never let go of */
	int copy;              /* the broker's fd of it, core/hold.c closes it; -1: none */
	struct life *life;     /* of its service; NULL: not watched */
	pid_t served_by;       /* the same, as it was saved; 0: nobody, or not watched */
	uint64_t held_since;   /* seconds since the epoch; 0: its service lives */
	uint64_t wait_since;   /* of a held one: since when a packet waits in it; 0: none does */
	uint64_t hold_ends_us; /* of CLOCK_MONOTONIC; 0: no end is set */
	struct probation probation; /* of its service */

	struct quota_charge charge; /* to its registrant, while it is its label's (core/shares.h) */
};

/* What slot_lists holds for one group. */
struct slot_list {
	uint32_t offset, count;
};

struct label {
	uint32_t id;
	char name[SB_LABEL_MAX + 1];

	bool configured; /* has a file; the next six are its */
	char *description;
	struct policy policy;
	unsigned max_sockets;
	enum when_empty when_empty;
	uint64_t hold_timeout_us;
	struct activation activation;

	struct member *members; /* owned, with their units */
	size_t n_members;
	struct slot_list groups[SB_GROUPS_PER_LABEL];

	size_t n_rules[2][2]; /* [IPv6][UDP] */
};

struct label *label_new(const char *name);
void label_free(struct label *l);
SB_DEFINE_CLEANUP(struct label, label_free)

size_t label_rules(const struct label *l);
/* How many of the sockets were handed in. */
size_t label_sockets(const struct label *l);
size_t members_handed_in(const struct member *members, size_t n);

void members_free(struct member *members, size_t n);

/* Whether M can take packets of group KIND (SB_GROUP_V4 and so on, with SB_GROUP_UDP). */
bool member_takes(const struct member *m, unsigned kind);
/* The same, and M is not withheld. */
bool member_in_group(const struct member *m, unsigned kind);

/* Whether a service is there for M, as far as is known. */
bool member_served(const struct member *m);

/* Whether M is there for packets to wait in, whoever serves it: while it is held its time begins
 * with the first packet, and it is there again when that is up. */
bool member_waits_first(const struct member *m);

/* Whether A and B answer for the same protocol and socket family: what --replace replaces. */
bool member_same_kind(const struct member *a, const struct member *b);

/*
 * The slots of group KIND among MEMBERS, into SLOTS (SB_GROUP_SLOTS_MAX); how many. Held sockets
 * are there only when no served one takes packets of that family: they keep what waits in them,
 * but get nothing new.
 */
size_t members_group_slots(const struct member *members, size_t n, unsigned kind, uint32_t *slots);
