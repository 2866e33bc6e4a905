/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the files of core/, included by nobody else. */
#pragma once

#include <sys/queue.h>

#include "broker/base/rate-limit.h"
#include "broker/core/core.h"
#include "broker/model/registry.h"

/* Whose runtime rules are charged to whom, see shares.h. */
struct rule_owner {
	uid_t uid;
	size_t n; /* of rules; 0: the place is free */
	struct quota_charge charge;
};

struct core {
	struct dataplane_port dataplane;
	struct state_port state;
	struct host_port host;
	struct watch_port watch;
	struct units_port units;
	struct fdstore_port fdstore;
	int (*reload)(void *data, struct sb_error *error); /* see core_on_reload() */
	void *reload_data;
	const char *version;
	const char *netns; /* NULL: the process's own */
	uint64_t started;  /* seconds since the epoch */

	struct core_settings settings;
	struct registry *registry;
	struct ruleset *rules;        /* all rules */
	struct ruleset *config_rules; /* those of label files once more: few, looked up often */
	struct range numbers;         /* of rules, see numbers.h; size 0: rules are not counted */
	struct quota *quota;          /* borrowed */
	struct rate_limit log;        /* of what is said of registrations */
	struct rule_owner owners[RULE_OWNERS_MAX + 1]; /* by rule::owner; 0 is nobody */
	bool starting; /* the kernel's groups are an earlier run's: write them all anew */
	bool unloaded;
	size_t journal_tried[2]; /* their sizes when they could not be compacted, see saved.c */
	bool state_lost;         /* said already: the saved state is gone */
	LIST_HEAD(, life) lives;
	uint64_t alarm_us; /* what the watch port was asked for; 0: nothing */
};

/* A handler: 0, or a negative errno with a sentence; then nothing has changed. */
typedef int (*request_handler)(struct core *c, struct request *rq, struct reply *reply,
			       struct sb_error *error);

int op_version(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_register(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_unregister(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_take(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_bind(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_unbind(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_apply(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_rules(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_status(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_explain(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_reload(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);
int op_unload(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error);

/* How many records they would write, of L or (NULL) of all. */
size_t op_status_length(const struct core *c, const struct label *l);
size_t op_rules_length(const struct core *c, const struct label *l);

/* -- request.c: reading fields ------------------------------------------------------------- */

/* The value of KEY, which must be there once; -EINVAL otherwise. */
int request_need(const struct request *rq, const char *key, const char **ret,
		 struct sb_error *error);
/* -EAGAIN: the files that came with the request are not here, since nobody knew that they would be
 * needed: who may do what, or WhenEmpty=, has changed meanwhile. */
int request_refuse_files(struct sb_error *error);
/* "yes" or "no"; absent: false. */
int request_flag(const struct request *rq, const char *key, bool *ret, struct sb_error *error);
/* The label KEY=LABEL names, which must exist; *RET NULL when the field is absent and OPTIONAL. */
int request_label(const struct core *c, const struct request *rq, bool optional, struct label **ret,
		  struct sb_error *error);
/* Whether who asks may register under NAME: 0, or -EPERM. Notes its unit in the actor. */
int request_may_register(struct core *c, struct request *rq, const char *name,
			 struct sb_error *error);
/* PROTOCOL=, PREFIX= and PORTS= of a rule. */
int request_rule(const struct request *rq, struct sb_rule_line *ret, struct sb_error *error);

/* Adds a WARNING= to a reply, if there is room: what was done must not be refused for it. */
void reply_warn(struct reply *reply, const char *format, ...) _printf_(2, 3);

/* -- core.c -------------------------------------------------------------------------------------
 */

/* Drops the sockets of L that everybody closed. */
void core_sweep_label(struct core *c, struct label *l);

/* -- labels.c: labels that come and go -------------------------------------------------------- */

/* The label NAME, made when it is new (*CREATED). Its groups' words are stored: empty, drop. */
int core_label_get(struct core *c, const char *name, struct label **ret, bool *created,
		   struct sb_error *error);
/* Removes L if nothing is left of it: no file, no rules, no sockets. */
void core_label_collect(struct core *c, struct label *l);
/* The same for every label. */
void core_labels_collect(struct core *c);
/* Writes the saved form of all labels and sockets aside (state stage). */
int core_stage_labels(struct core *c, struct sb_error *error);
/* The same of N LABELS that changed; of all of them when starting, for what was saved before may be
 * of an earlier version. */
int core_stage_changed(struct core *c, struct label *const *labels, size_t n,
		       struct sb_error *error);

/* -- members.c: changing the sockets of labels ------------------------------------------------ */

/* The wanted sockets of one label. After members_apply() it holds the former ones. */
struct members_change {
	struct label *label;
	struct member *members; /* owned, in slots that are already filled; copies are borrowed */
	size_t n_members;
	struct slot_list groups[SB_GROUPS_PER_LABEL];
	enum when_empty when_empty;
	size_t n_rules[2][2]; /* that the label will have, [IPv6][UDP] */
	int made[2][2];       /* fds of own sockets that are new, 0: none; see hold_adjust() */
	bool withhold;        /* own sockets get no packet */
	unsigned n_reset;     /* waiting connections that it cost, see hold_settle() */
	bool rewrite;         /* also what looks the same */
	bool early;           /* published before the others: see members_publish() */
	uint8_t stored;       /* kinds whose words are the new ones, a bit each */
};

/* Whether everybody closed M: its slot is empty, or holds a socket that is not it. When the kernel
 * does not tell it is not gone: nothing is dropped on a doubt. */
bool member_gone(const struct core *c, const struct member *m);

/* Takes an unused slot for M, a socket of L, and puts FD (not consumed) into it. */
int member_store(struct core *c, const struct label *l, struct member *m, int fd,
		 struct sb_error *error);
/* M gets the slot that was reserved for it, where a porter has put it (or could not). */
int member_own(struct core *c, const struct label *l, struct member *m,
	       const struct request_socket *s, struct sb_error *error);
/* Empties the slot of M and gives it back. */
void member_unstore(struct core *c, const struct member *m);

/* Starts a change from L's living sockets, copied; -ENOMEM. */
int members_change_begin(struct core *c, struct members_change *m, struct label *l);
void members_change_end(struct members_change *m, size_t n);
/* Adds a copy of MEMBER; -ENOMEM. */
int members_change_add(struct members_change *m, const struct member *member);
/* Drops the members for which DROP says so; returns how many. */
size_t members_change_drop(struct members_change *m,
			   bool (*drop)(const struct member *member, const void *data),
			   const void *data);
/*
 * Makes all N changes: lists, saved state, group words. On failure everything is as before, but
 * the slots of new members stay filled, for the caller who filled them. After success the slots of
 * members that left are empty and free.
 */
int members_apply(struct core *c, struct members_change *changes, size_t n, struct sb_error *error);

/*
 * The same in steps, for what has to happen between them. members_stage() makes the changes in the
 * model, and writes lists and saved state where nobody looks yet; on failure everything is as
 * before, and nothing is staged any more, neither by others. Then members_publish() and
 * members_commit(), or members_unstage(), which takes everything back.
 */
int members_stage(struct core *c, struct members_change *changes, size_t n, struct sb_error *error);
/* Stores the words of the groups of one change, EARLY or not. On failure the words of some of its
 * groups are the new ones, and to be taken back. */
int members_publish(struct core *c, struct members_change *m, bool early, struct sb_error *error);
/* Puts back the words of those changes that were published EARLY, or of those that were not. */
void members_unpublish(struct core *c, struct members_change *changes, size_t n, bool early);
/* Commits the state, and lets go of what is not reached any more. On failure nothing but the
 * transaction of the state is undone. */
int members_commit(struct core *c, struct members_change *changes, size_t n,
		   struct sb_error *error);
void members_unstage(struct core *c, struct members_change *changes, size_t n);

/* Writes the lists and words of all labels into maps that are new (dataplane_info::renewed). The
 * saved state stays as it is. */
int members_write_all(struct core *c, struct sb_error *error);

/* -- rules.c: changing rules --------------------------------------------------------------------
 */

/* One step of a change under one prefix. */
struct rule_edit {
	enum { RULE_ADD, RULE_REMOVE, RULE_MOVE } kind;
	struct rule rule;   /* after RULE_MOVE: the new label */
	uint32_t old_label; /* RULE_MOVE and RULE_REMOVE */
};

/* Makes all N edits, all of them under PREFIX, in model, state and kernel, or none. CREATED: a
 * label that was made for them, or NULL. */
int rules_edit(struct core *c, const struct sb_prefix *prefix, struct rule_edit *edits, size_t n,
	       struct label *created, struct sb_error *error);

/* Adds (or, SIGN -1, subtracts) R in the counts of its label. */
void rules_count(struct core *c, const struct rule *r, int sign);
/* Counts everything anew after C->rules was replaced. */
void rules_recount(struct core *c);

/* "rule tcp 192.0.2.0/24 80 of label web" */
#define RULE_NAME_MAX (RULE_TEXT_MAX + SB_LABEL_MAX + 32)
const char *rule_name(const struct core *c, const struct rule *r, char buf[static RULE_NAME_MAX]);

/* -- parse.c: rule text of any length -----------------------------------------------------------
 */

struct bad_line {
	size_t line;
	char reason[SB_ERROR_MESSAGE_MAX];
};

#define BAD_LINES_MAX 20

/* Rules parsed from text; label ids may belong to labels made on the way (new_labels). */
struct parsed_rules {
	struct rule *rules; /* owned; number is the line */
	size_t n, capacity;
	struct label **new_labels; /* owned array, borrows the labels */
	size_t n_new_labels, new_labels_capacity;
	struct bad_line *bad; /* owned, by line, at most BAD_LINES_MAX */
	size_t n_bad;
	size_t skipped; /* equal to a rule of a label file or of an earlier line */
};

/* Parses TEXT. 0 also when lines were bad: look at n_bad. -ENOMEM, -E2BIG, -ENOSPC otherwise. */
int rules_parse(struct core *c, const char *text, size_t length, struct parsed_rules *ret,
		struct sb_error *error);
/* Whether LINE is among the first BAD_LINES_MAX bad ones, and not one of them yet. */
bool parsed_rules_room_for_bad(const struct parsed_rules *p, size_t line);
/* Adds a bad line in its place, if there is room for it. -ENOMEM. */
int parsed_rules_add_bad(struct parsed_rules *p, size_t line, const char *reason);
/* Frees everything; with UNDO also the labels that were made on the way. */
void parsed_rules_clear(struct core *c, struct parsed_rules *p, bool undo);
