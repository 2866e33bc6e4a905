/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A core among fakes, and the words to talk to it in tests. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/core-internal.h"
#include "tests/fake/fake-dataplane.h"
#include "tests/fake/fake-fdstore.h"
#include "tests/fake/fake-host.h"
#include "tests/fake/fake-state.h"
#include "tests/fake/fake-units.h"
#include "tests/fake/fake-watch.h"

struct world {
	struct fake_calls calls;
	struct fake_host *host;
	struct fake_dataplane *kernel;
	struct fake_state *state;
	struct fake_watch *watch;
	struct fake_units *units;
	struct fake_fdstore *fdstore;       /* off, unless a test turns it on */
	struct core_passed_fd units_fds[8]; /* of socket units, passed at each start */
	size_t n_units_fds;
	struct quota *quota;
	struct core *core;
	struct core_config config; /* of the last start or reload */
	const char *labels_damage; /* what the state directory says of the saved labels */
	bool in_core;              /* a call of the core is under way */

	struct actor actor; /* who asks; root to begin with */
	bool alone;         /* no process of an earlier run is there, at the next start */
	bool by_porter;     /* files are handed in by a porter, also root's */
	struct sb_message request;
	struct reply reply; /* of the last ask() */
	struct sb_message answer;
	struct sb_error error; /* its refusal; code 0: none */
	char *table;           /* its table, or "" */
};

/* cmocka setup and teardown. *STATE is a started world without labels. */
int world_setup(void **state);
int world_teardown(void **state);

struct world *world_new(void); /* not started */
void world_free(struct world *w);

/* A new core on what the fakes hold: 0 or the negative errno (sentence in w->error). */
int world_start(struct world *w);
/* The same on another state. */
int world_start_on(struct world *w, const struct state_port *state, const struct core_saved *saved);
/* The broker ends. */
void world_stop(struct world *w);
/* Reloads w->config. */
int world_reload(struct world *w);

/* Sends a request (its packet as a format) with FDS (ended by -1, NULL: none): 0 or the negative
 * errno of the reply, whose parts are then in W. */
int ask_fds(struct world *w, const int *fds, const char *format, ...) _printf_(3, 4);
#define FDS(...) ((const int[]){ __VA_ARGS__, -1 })
#define ask(w, ...) ask_fds(w, NULL, __VA_ARGS__)

/* apply with this text. */
int ask_apply(struct world *w, const char *text, bool dry_run);
/* bind LABEL PROTOCOL PREFIX PORTS, in one word list: "web tcp 192.0.2.0/24 80". */
int ask_bind(struct world *w, const char *rule);
int ask_unbind(struct world *w, const char *rule);
/* register FD under LABEL, with replace. */
int ask_register(struct world *w, const char *label, int fd);
int ask_add(struct world *w, const char *label, int fd);

/* The last reply was a refusal of that kind, with a sentence that holds PART. */
void check_refusal(const struct world *w, int r, int code, const char *part);
/* The last reply has KEY=VALUE once. */
void check_field(const struct world *w, const char *key, const char *value);
/* How many WARNING= it has; with PART: only those that hold it. */
size_t warnings(const struct world *w, const char *part);

/* The INDEX-th record TYPE of the last reply's table; its value of KEY, or NULL. In a buffer that
 * the next call overwrites. */
const char *table_get(const struct world *w, const char *type, size_t index, const char *key);
size_t table_count(const struct world *w, const char *type);

/* All rules as text, most specific first; owned by the caller. */
char *rules_text(struct world *w);
void check_rules(struct world *w, const char *text);
/* Rules and status without what changes from one look to the next; owned by the caller. */
char *model_text(struct world *w);

/* -- what happens meanwhile -----------------------------------------------------------------------
 */

/* Process PID ends; its sockets stay open wherever else they are. */
void process_ends(struct world *w, pid_t pid);
/* N more connections wait in the socket with that cookie, all fds of which share its queue. */
void connections_wait(struct world *w, uint64_t cookie, uint32_t n);
/* The unit that was asked for last has been started (ERROR 0), and is ACTIVE, or not. */
void unit_started(struct world *w, int error, bool active);
/* Time goes by; what the core asked to be called for is called. */
void time_passes(struct world *w, uint64_t us);

/* What a packet meets now: the cookie (which is the first fd) of a socket, or: */
#define PASS (-1)
#define DROP (-2)
int hit(struct world *w, const char *protocol, const char *address, uint16_t port);
int hit_from(struct world *w, const char *protocol, const char *address, uint16_t port,
	     uint16_t from_port);

/* -- configuration --------------------------------------------------------------------------- */

/* A label file with rules from text lines "tcp 192.0.2.0/24 80" (ended by NULL). The first of up to
 * CONFIG_LABELS_MAX; world_config_clear() forgets all. */
#define CONFIG_LABELS_MAX 80
struct core_label_config *config_label(struct world *w, const char *name, const char *const *rules);
#define RULES(...) ((const char *const[]){ __VA_ARGS__, NULL })
void config_clear(struct world *w);
void allow_user(struct core_label_config *l, uid_t uid);
void allow_group(struct core_label_config *l, gid_t gid);
void allow_unit(struct core_label_config *l, const char *unit);
