/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the broker is, without the world: labels, rules and sockets, and the requests that change
 * them. It meets the world through core/port.h alone. One thread.
 */
#pragma once

#include "broker/core/port.h"
#include "broker/core/request.h"
#include "broker/model/label.h"
#include "broker/model/policy.h"
#include "broker/model/quota.h"
#include "broker/model/ruleset.h"

struct core;

/* Broker-wide settings; may change with every reload. */
struct core_settings {
	struct policy_groups groups;
	char admin_group[64]; /* AdminGroup= as written, for refusals; "" for none */
	size_t max_rules;
	size_t max_labels;
	unsigned max_sockets; /* for labels whose file does not say */
};

/* A label file. All borrowed during the call. */
struct core_label_config {
	const char *name;
	const char *description; /* may be NULL */
	const char *file;        /* for messages */
	struct policy policy;
	unsigned max_sockets; /* 0: the broker-wide one */
	enum when_empty when_empty;
	uint64_t hold_timeout_us; /* 0: the default */
	const char *activate;     /* NULL: none; needs WHEN_EMPTY_HOLD */
	uint64_t trigger_interval_us;
	unsigned trigger_burst;
	const struct rule *rules; /* label and origin are set by the core */
	size_t n_rules;
};

struct core_config {
	struct core_settings settings;
	const struct core_label_config *labels;
	size_t n_labels;
};

/* An fd that was given to the broker at its start, under a name: of core/fdstore.h, or a label. */
struct core_passed_fd {
	int fd; /* taken over, and then -1, or left to the caller */
	const char *name;
};

/* What an earlier run left in the state directory. Bytes of hostile origin; NULL: nothing. */
struct core_saved {
	char *labels,
		*labels_journal; /* whole, then the appended changes; modified while decoding */
	size_t labels_length, labels_journal_length;
	const char
		*labels_damage; /* why they cannot be all that was saved; NULL: nothing is known */
	const char *rules;      /* whole rule text, then the appended changes */
	size_t rules_length;
	const char *journal;
	size_t journal_length;
	struct core_passed_fd *fds; /* from the service manager, not from the directory */
	size_t n_fds;
	bool alone; /* no process of an earlier broker is there, to store into reserved slots */
};

/* The ports are copied; VERSION is borrowed for ever. Sockets and rules are charged to QUOTA, which
 * must outlive the core. NULL: out of memory. */
struct core *core_new(const struct dataplane_port *dataplane, const struct state_port *state,
		      const struct host_port *host, const struct watch_port *watch,
		      const struct units_port *units, const struct fdstore_port *fdstore,
		      struct quota *quota, const char *version, const char *netns);
/* Closes what it holds. What is pinned, or in the fd store, stays. */
void core_free(struct core *c);
SB_DEFINE_CLEANUP(struct core, core_free)

/*
 * First start: takes what was saved, keeps what is still true of it (sockets whose slot still holds
 * the same cookie, rules that still make sense), logs what it had to drop, and publishes rules and
 * groups. 0, or a negative errno with a sentence; -ENOENT, -EPROTO (damaged) or -EOPNOTSUPP (of a
 * newer version) when the saved labels are of no use while sockets are alive in a dataplane that
 * was taken over: then nothing is touched.
 */
int core_start(struct core *c, const struct core_config *config, const struct core_saved *saved,
	       struct sb_error *error);

/* Reload: all of CONFIG or none of it. */
int core_configure(struct core *c, const struct core_config *config, struct sb_error *error);

/* What the request `reload` does: RELOAD(DATA) reads the configuration and hands it to
 * core_configure(). 0, or a negative errno with a sentence and nothing changed. */
void core_on_reload(struct core *c, int (*reload)(void *data, struct sb_error *error), void *data);

/* Drops sockets that were closed by everybody, and keeps the saved changes from growing without
 * bound. Cheap; call it now and then. */
void core_sweep(struct core *c);

/* From the loop: what was asked of the watch port has come. */
void core_ready(struct core *c, int fd);
void core_alarm(struct core *c);
void core_unit_started(struct core *c, uint32_t label, const struct unit_start *start);

/* Whether the answer to REQUEST, of which only the message is looked at, is long to write; then it
 * changes nothing, and a forked process may give it. */
bool core_takes_long(const struct core *c, const struct request *request);

/* Answers one request. REPLY is zero-initialized by the caller and ready to be sent afterwards. The
 * fds stay the caller's. */
void core_request(struct core *c, struct request *request, struct reply *reply);

/*
 * For clients whose files the broker does not touch (struct request_socket). What has to be done
 * with those of REQUEST, of which only message, actor and pidfd are looked at. If they are wanted,
 * N slots are reserved for them, and charged to UID; the empty CHARGE is the caller's to clear just
 * before core_request(), which charges what becomes of them. After it slots are released, but for
 * those that it took. As long as somebody may still store into them they are neither released nor
 * given to it: they stay reserved, also for the next broker.
 */
bool core_is_admin(const struct core *c, const struct actor *actor);
enum files_wanted core_wants_files(struct core *c, struct request *request);
int core_slots_reserve(struct core *c, uid_t uid, uint32_t *slots, size_t n,
		       struct quota_charge *charge, struct sb_error *error);
void core_slots_release(struct core *c, const struct request_socket *sockets, size_t n);

/* After a successful `unload`: the broker should end. */
bool core_unloaded(const struct core *c);

/* "12 rules, 3 labels, 4 sockets" for the service manager's status line. */
void core_summary(const struct core *c, char *buf, size_t size);
