/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the core needs of the world, as tables of functions. Adapters implement them (dataplane/,
 * state/, systemd/, base/), tests use fakes that record the calls and fail the n-th.
 *
 * Every call returns 0 or a negative errno unless said otherwise, never blocks for long, and when
 * it fails has changed nothing. SELF is the adapter's own object.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "bpf/sockbroker-abi.h"
#include "broker/base/socket-facts.h"
#include "broker/model/label.h"
#include "broker/model/rule.h"
#include "broker/model/ruleset.h"
#include "protocol/errors.h"

enum verdict_kind {
	VERDICT_PASS, /* ordinary lookup */
	VERDICT_DROP,
	VERDICT_SOCKET,
	VERDICT_UNKNOWN, /* the kernel could not answer; see error */
};

struct verdict {
	enum verdict_kind kind;
	uint64_t cookie; /* of the chosen socket */
	int error;       /* positive errno when unknown */
};

/* Another sk_lookup program on the same network namespace. */
struct other_program {
	uint32_t id;
	unsigned position; /* order of running, from 0 */
	bool ours;
	char name[16];
};

struct dataplane_info {
	uint32_t program_id, link_id;
	uint64_t generation;
	uint64_t netns_inode;
	uint64_t rules_bytes;  /* kernel memory of the rules map */
	uint32_t rule_numbers; /* rules that can be counted (RuleCounters=); 0: they are not */
	uint32_t former_rules; /* that an earlier run's program went by; 0: none, or not known */
	bool took_over; /* an earlier run's program steers packets to the sockets in the slots */
	bool renewed;   /* groups, lists and owners are new and empty, and no packet meets them
			 * before the next publish */
	const char *trouble; /* what somebody took away from under the dataplane, a sentence for
			      * people; NULL: nothing. Borrowed until the next call */
};

struct dataplane_port {
	void *self;

	/* Compiles RULES into a new generation and switches it in by one link update. */
	int (*publish)(void *self, const struct ruleset *rules, struct sb_error *error);

	/* RULES changed under PREFIX only: edits the live generation, or publishes a new one when
	 * there is no room. Visible to the next packet, all of it or nothing. */
	int (*edit)(void *self, const struct ruleset *rules, const struct sb_prefix *prefix,
		    struct sb_error *error);

	/* Puts the socket FD (not consumed, not kept) into an unused SLOT, owned by OWNER
	 * (SB_SLOT_OWNER). */
	int (*slot_store)(void *self, uint32_t slot, uint32_t owner, int fd);
	/* Empties SLOT; an already empty one is fine. */
	int (*slot_clear)(void *self, uint32_t slot);
	/* The cookie of the socket in SLOT; -ENOENT when it is empty. */
	int (*slot_cookie)(void *self, uint32_t slot, uint64_t *ret);
	/* The owner word of SLOT, 0 for nobody, SB_SLOT_OWNER_UNKNOWN for a socket that an earlier
	 * run left there. */
	int (*slot_owner)(void *self, uint32_t slot, uint32_t *ret);
	/* Gives SLOT to OWNER, with the socket that is in it already, or that somebody else may put
	 * there (SB_SLOT_RESERVED). */
	int (*slot_adopt)(void *self, uint32_t slot, uint32_t owner);

	/* Writes N slots at OFFSET of slot_lists; nothing refers to that stretch yet. */
	int (*list_store)(void *self, uint32_t offset, const uint32_t *slots, size_t n);
	/* Publishes a group in one store. EMPTY is SB_EMPTY_*. The sequence is the adapter's. */
	int (*group_store)(void *self, uint32_t group, uint32_t offset, uint32_t count,
			   uint32_t empty);
	/* What a group's word says now, in bounds: nonsense reads as no slots, and none of
	 * SB_EMPTY_*. Any output pointer may be NULL. */
	int (*group_load)(void *self, uint32_t group, uint32_t *offset, uint32_t *count,
			  uint32_t *empty);

	/* Sums the per-CPU counters of a group. */
	int (*counters)(void *self, uint32_t group, struct sb_group_counters *ret);
	/* Sets the counters of a group to zero (its label is new). */
	int (*counters_reset)(void *self, uint32_t group);

	/* How often the rule with NUMBER won since hits_reset(); numbers are below
	 * dataplane_info::rule_numbers. -EOPNOTSUPP when rules are not counted. */
	int (*hits)(void *self, uint32_t number, uint64_t *ret);
	int (*hits_reset)(void *self, uint32_t number);

	/* Runs the attached program on such a packet (BPF_PROG_TEST_RUN). FROM and FROM_PORT are
	 * the sender's. The run is not counted. Without an answer: VERDICT_UNKNOWN, and 0. */
	int (*run)(void *self, const struct packet *packet, const struct sb_address *from,
		   uint16_t from_port, struct verdict *ret);

	/* The sk_lookup programs of the namespace in order, ours included, at most MAX; returns how
	 * many, or -EPERM and the like when the kernel does not tell. */
	int (*programs)(void *self, struct other_program *ret, size_t max);
	void (*info)(void *self, struct dataplane_info *ret);

	/* Detaches and unpins everything; the other calls then fail with -ESHUTDOWN. */
	int (*unload)(void *self, struct sb_error *error);
};

/* What survives the broker, beside the dataplane. A change is closed by a line ".". */
enum state_part {
	STATE_LABELS,        /* labels and their sockets, whole: makes their changes superfluous */
	STATE_LABELS_APPEND, /* a change of labels, to be replayed on top */
	STATE_RULES,         /* the runtime rules as rule text, whole: the same */
	STATE_RULES_APPEND,  /* a change of the runtime rules */
};

/*
 * Where the broker's own memory survives a crash. One transaction at a time: any number of stages,
 * then commit or rollback. What was committed is durable against kill -9. A crash before that
 * leaves labels as they were or as they were staged, and rules likewise, but not necessarily both;
 * so does a commit that fails after both were staged whole.
 */
struct state_port {
	void *self;
	/* Writes LENGTH bytes aside, so that what can fail fails now. */
	int (*stage)(void *self, enum state_part part, const void *data, size_t length,
		     struct sb_error *error);
	/* How many bytes of PART (STATE_LABELS, STATE_RULES) and of changes to it are committed. */
	void (*sizes)(void *self, enum state_part part, size_t *whole, size_t *changes);
	/* Looks whether what was committed is there still: 0; 1 when somebody removed it, and all
	 * parts have to be staged whole again; a negative errno with a sentence when that cannot be
	 * done now. Appending is refused until it has been. */
	int (*check)(void *self, struct sb_error *error);
	/* Makes what was staged the state. On failure the transaction is rolled back. */
	int (*commit)(void *self, struct sb_error *error);
	void (*rollback)(void *self);
};

/* A socket in the steered namespace that waits for traffic by itself. */
struct local_listener {
	struct sb_address address; /* all zero: any */
	uint16_t port;
	uint8_t protocol; /* IPPROTO_TCP: listening, IPPROTO_UDP: bound and unconnected */
	bool dual;        /* IPv6, takes IPv4 too */
	uint64_t cookie;
};

/* What rules could take traffic from. Arrays owned by whoever asked. */
struct surroundings {
	struct local_listener *listeners;
	size_t n_listeners;
	struct sb_address *addresses; /* of the interfaces */
	size_t n_addresses;
	struct sb_ports ephemeral; /* net.ipv4.ip_local_port_range */
};

static inline void surroundings_clear(struct surroundings *s)
{
	free(s->listeners);
	free(s->addresses);
	*s = (struct surroundings){ 0 };
}

/* The process's surroundings. */
struct host_port {
	void *self;
	int (*inspect)(void *self, int fd, struct socket_facts *ret);
	/* The systemd unit of a process ("" when it has none) into BUF. PIDFD (-1: none) guards
	 * against a reused pid. */
	int (*unit)(void *self, pid_t pid, int pidfd, char *buf, size_t size);
	uint64_t (*now)(void *self);          /* seconds since the epoch */
	uint64_t (*netns_cookie)(void *self); /* of the steered namespace; 0: unknown */
	uint64_t (*monotonic_us)(void *self); /* CLOCK_MONOTONIC */
	/* Looks at the steered namespace. RET is zeroed by the caller. */
	int (*surroundings)(void *self, struct surroundings *ret);

	/* A socket in the steered namespace for packets to wait in: a TCP listener or bound UDP
	 * socket of FAMILY (AF_INET, or AF_INET6 without IPv4) at a port of loopback that the
	 * kernel chooses. It blocks, as whoever is given it expects. *RET is the caller's. */
	int (*own_socket)(void *self, int protocol, int family, int *ret);
	/* Another fd of the same file, the caller's. */
	int (*copy)(void *self, int fd, int *ret);
	/* Closes what came from own_socket, copy or pidfd. */
	void (*close)(void *self, int fd);
	/* The same for a service's socket, whose registrant was UID. If closing it may take as long
	 * as that user wants, somebody else does it. */
	void (*discard)(void *self, uid_t uid, int fd);
	/* How many connections wait to be accepted; for UDP whether (1) a datagram waits. */
	int (*waiting)(void *self, int fd, uint32_t *ret);
	/* Resets the connections, or drops the datagrams, that wait in a socket. It stays bound,
	 * and goes on listening. */
	int (*empty)(void *self, int fd);
	/* A pidfd of process PID, the caller's; -ESRCH when it is gone. */
	int (*pidfd)(void *self, pid_t pid, int *ret);
	/* The process that PIDFD stands for; -EBADF when it is no pidfd, -ESRCH when it is gone. */
	int (*pidfd_pid)(void *self, int pidfd, pid_t *ret);
};

/*
 * Keeps fds beyond the end of this process, in the service manager, which gives them back to the
 * next one under their names. As well as it can: what is not kept is lost with the process, as all
 * is where there is no such service manager.
 */
struct fdstore_port {
	void *self;
	/* FD stays the caller's. NAME has at most FDSTORE_NAME_MAX bytes. */
	void (*push)(void *self, int fd, const char *name);
	/* All of that name. */
	void (*remove)(void *self, const char *name);
};

#define FDSTORE_NAME_MAX 64

/* The service manager. */
struct units_port {
	void *self;
	/* Asks for UNIT to be started. 0: core_unit_started(LABEL, ...) is called from the loop
	 * when the answer is there, once, however long that takes. */
	int (*start)(void *self, const char *unit, uint32_t label, struct sb_error *error);
};

/* The answer. */
struct unit_start {
	int error;   /* positive errno: it could not be started; 0: it was, or ran already */
	bool active; /* it is active, or still becoming so */
	char invocation[INVOCATION_MAX + 1]; /* differs from one start to the next; "": unknown */
	const char *message;                 /* a sentence for people, when there is an error */
};

/* What the event loop tells the core of. */
struct watch_port {
	void *self;
	/* Calls core_ready(FD) once, from the loop, when FD is readable: a packet waits in a
	 * socket, a process (pidfd) is gone. FD is borrowed, and stays open until unwatch(). */
	int (*watch)(void *self, int fd);
	/* A no-op when FD is not watched, or no more. */
	void (*unwatch)(void *self, int fd);
	/* Calls core_alarm() once, from the loop, at this time of CLOCK_MONOTONIC or soon after;
	 * replaces what was set before. */
	void (*alarm)(void *self, uint64_t at_us);
};
