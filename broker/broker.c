/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/broker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/core.h"
#include "broker/core-config.h"
#include "broker/read-config.h"
#include "broker/dataplane/dataplane.h"
#include "broker/host/host.h"
#include "broker/io/keepers.h"
#include "broker/io/loop.h"
#include "broker/io/server.h"
#include "broker/io/watch.h"
#include "broker/state/state.h"
#include "broker/systemd/activator.h"
#include "broker/systemd/fdstore.h"
#include "broker/systemd/listen.h"
#include "broker/systemd/notify.h"
#include "broker/systemd/unit-cache.h"

/* How often sockets that everybody closed are looked for. Packets do not wait for it. */
#define SWEEP_INTERVAL_US 2000000

struct broker {
	struct options options;
	struct unit_cache *unit_cache;
	struct host *host;
	struct state *state;
	struct dataplane *dataplane;
	struct core *core;
	struct loop *loop;
	struct watch *watch;
	struct activator *activator;
	struct zygote *zygote; /* borrowed */
	struct keepers *keepers;
	struct quota *quota;
	struct server *server;
	struct listen_fds passed;
	int listener; /* until the server has it */
};

/* -- configuration ---------------------------------------------------------------------------- */

static struct server_options server_options(const struct config *config)
{
	return (struct server_options){
		.max_connections = config->broker.max_connections,
		.max_connections_per_user = config->broker.max_connections_per_user,
		.max_reply_bytes = config->broker.max_reply_memory,
		.reply_bytes_per_minute = config->broker.max_reply_rate,
		.timeout_us = config->broker.request_timeout_us,
	};
}

static void tell_ready(struct broker *b)
{
	char summary[128];

	core_summary(b->core, summary, sizeof(summary));
	notify_ready(summary);
}

static int take_config(struct broker *b, struct sb_error *error)
{
	_cleanup_(config_freep) struct config *config = NULL;
	_cleanup_(core_config_clear) struct core_config_storage storage = { 0 };
	struct server_options limits;
	int r = broker_read_config(&b->options, &config, error);

	if (r == 0)
		r = core_config_from(&storage, config, error);
	if (r == 0)
		r = core_configure(b->core, &storage.config, error);
	if (r < 0)
		return r;
	limits = server_options(config);
	server_configure(b->server, &limits);
	log_notice("configuration reloaded: %zu label files", config->n_labels);
	return 0;
}

static int reload(void *data, struct sb_error *error)
{
	struct broker *b = data;
	int r;

	notify_reloading();
	r = take_config(b, error);
	if (r < 0)
		log_error("reload refused, everything stays as it was: %s", error->message);
	tell_ready(b);
	return r;
}

static void hang_up(void *data)
{
	struct sb_error error = { 0 };

	reload(data, &error);
}

/* -- events ----------------------------------------------------------------------------------- */

static void handle(void *data, struct request *request, struct reply *reply)
{
	struct broker *b = data;

	core_request(b->core, request, reply);
	if (core_unloaded(b->core)) {
		state_erase(b->state);
		loop_stop(b->loop);
	}
}

static bool is_admin(void *data, const struct actor *actor)
{
	struct broker *b = data;

	return core_is_admin(b->core, actor);
}

static enum files_wanted wants_files(void *data, struct request *request)
{
	struct broker *b = data;

	return core_wants_files(b->core, request);
}

static int reserve(void *data, uid_t uid, uint32_t *slots, size_t n, struct quota_charge *charge,
		   struct sb_error *error)
{
	struct broker *b = data;

	return core_slots_reserve(b->core, uid, slots, n, charge, error);
}

static void release(void *data, const struct request_socket *sockets, size_t n)
{
	struct broker *b = data;

	core_slots_release(b->core, sockets, n);
}

static bool takes_long(void *data, const struct request *request)
{
	struct broker *b = data;

	return core_takes_long(b->core, request);
}

static void forked(void *data)
{
	struct broker *b = data;

	server_forked(b->server);
	keepers_forked(b->keepers);
	state_forked(b->state);
	dataplane_forked(b->dataplane);
}

static void stop(void *data)
{
	struct broker *b = data;

	if (dataplane_look(b->dataplane))
		log_notice("stopping");
	else
		log_notice("stopping; what is pinned in %s keeps steering", b->options.bpffs);
	loop_stop(b->loop);
}

static int start_unit(void *self, const char *unit, uint32_t label, struct sb_error *error)
{
	struct broker *b = self;
	struct watch_port port = watch_port(b->watch);
	int fd = activator_start(b->activator, unit, label, error), r;

	if (fd < 0)
		return fd;
	r = port.watch(port.self, fd);
	if (r == 0)
		return 0;
	activator_forget(b->activator, fd);
	return sb_fail(error, -r, "the answer of sockbroker-activate cannot be waited for: %s",
		       strerror(-r));
}

static void unit_answered(struct broker *b, int fd)
{
	struct sb_error error = { 0 };
	uint32_t label;
	struct unit_start start = activator_read(b->activator, fd, &label, &error);

	core_unit_started(b->core, label, &start);
}

static void ready(void *data, int fd)
{
	struct broker *b = data;

	if (activator_owns(b->activator, fd))
		unit_answered(b, fd);
	else
		core_ready(b->core, fd);
}

static void alarm_came(void *data)
{
	struct broker *b = data;

	core_alarm(b->core);
}

static void sweep(void *data)
{
	struct broker *b = data;

	dataplane_look(b->dataplane);
	core_sweep(b->core);
}

static void pat_watchdog(void *data)
{
	notify_watchdog();
}

static int add_events(struct broker *b, struct sb_error *error)
{
	uint64_t watchdog_us = notify_watchdog_interval_us();
	int r = loop_on_signal(b->loop, SIGHUP, hang_up, b);

	if (r == 0)
		r = loop_on_signal(b->loop, SIGTERM, stop, b);
	if (r == 0)
		r = loop_on_signal(b->loop, SIGINT, stop, b);
	if (r == 0)
		r = loop_every(b->loop, SWEEP_INTERVAL_US, sweep, b);
	if (r == 0 && watchdog_us > 0)
		r = loop_every(b->loop, watchdog_us / 2, pat_watchdog, NULL);
	return r < 0 ? sb_fail(error, -r, "the event loop: %s", strerror(-r)) : 0;
}

/* -- start and stop ------------------------------------------------------------------------------
 */

/* What the service manager passed beside our own socket. *RET borrows fds and names. */
static int passed_fds(struct broker *b, struct core_passed_fd **ret, size_t *ret_n)
{
	struct core_passed_fd *fds = calloc(b->passed.n_others + 1, sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	for (size_t i = 0; i < b->passed.n_others; i++)
		fds[i] =
			(struct core_passed_fd){ b->passed.others[i].fd, b->passed.others[i].name };
	*ret = fds;
	*ret_n = b->passed.n_others;
	return 0;
}

/* What the core has not taken over is closed. */
static void take_back(struct broker *b, struct core_saved *what)
{
	for (size_t i = 0; i < what->n_fds; i++)
		b->passed.others[i].fd = what->fds[i].fd;
	free(what->fds);
	listen_fds_clear(&b->passed);
}

static int start_core(struct broker *b, const struct config *config, struct state_saved *saved,
		      struct sb_error *error)
{
	_cleanup_(core_config_clear) struct core_config_storage storage = { 0 };
	struct dataplane_port dataplane = dataplane_port(b->dataplane);
	struct state_port state = state_port(b->state);
	struct host_port host = host_port(b->host);
	struct watch_port watch = watch_port(b->watch);
	struct units_port units = { .self = b, .start = start_unit };
	struct fdstore_port fdstore = fdstore_port();
	struct core_saved what = {
		.labels = saved->labels.file,
		.labels_length = saved->labels.length,
		.labels_journal = saved->labels.journal,
		.labels_journal_length = saved->labels.journal_length,
		.labels_damage = saved->labels_damage.code ? saved->labels_damage.message : NULL,
		.rules = saved->rules.file,
		.rules_length = saved->rules.length,
		.journal = saved->rules.journal,
		.journal_length = saved->rules.journal_length,
		.alone = state_alone(b->state),
	};
	int r = core_config_from(&storage, config, error);

	if (r < 0)
		return r;
	b->quota = quota_new();
	if (b->quota)
		b->core = core_new(&dataplane, &state, &host, &watch, &units, &fdstore, b->quota,
				   SOCKBROKER_VERSION, b->options.netns);
	if (!b->core)
		return sb_fail(error, ENOMEM, "out of memory");
	core_on_reload(b->core, reload, b);
	r = passed_fds(b, &what.fds, &what.n_fds);
	if (r == 0)
		r = core_start(b->core, &storage.config, &what, error);
	else
		sb_fail(error, -r, "out of memory");
	take_back(b, &what);
	return r;
}

/* Before anything of the kernel is touched: this is where a second broker on the same socket, or a
 * missing directory, is noticed. Clients wait in the backlog until the loop runs. */
static int take_listener(struct broker *b, struct sb_error *error)
{
	b->listener = TAKE_FD(b->passed.control);
	if (b->listener < 0)
		b->listener = server_listen(b->options.socket, error);
	return b->listener < 0 ? b->listener : 0;
}

static void discard(void *data, uid_t uid, int fd)
{
	struct broker *b = data;

	keepers_take(b->keepers, uid, fd);
}

static int make_loop(struct broker *b, struct sb_error *error)
{
	b->loop = loop_new();
	if (!b->loop)
		return sb_fail(error, ENOMEM, "the event loop cannot be made");
	b->watch = watch_new(b->loop, ready, alarm_came, b);
	b->activator = activator_new(b->options.activator ? b->options.activator : ACTIVATOR_PATH);
	b->keepers = keepers_new(loop_base(b->loop), b->zygote);
	if (!b->watch || !b->activator || !b->keepers)
		return sb_fail(error, ENOMEM, "out of memory");
	host_set_discard(b->host, discard, b);
	return 0;
}

static int start_server(struct broker *b, const struct config *config, struct sb_error *error)
{
	struct server_options limits = server_options(config);
	const struct server_calls calls = {
		.data = b,
		.handle = handle,
		.is_admin = is_admin,
		.wants_files = wants_files,
		.reserve = reserve,
		.release = release,
		.takes_long = takes_long,
		.forked = forked,
	};
	const struct porter_files files = {
		.sockmap = dataplane_sockmap(b->dataplane),
		.lock = state_presence(b->state),
	};

	b->server = server_new(b->loop, TAKE_FD(b->listener), &limits, &calls, b->quota, b->zygote,
			       b->keepers, &files);
	if (!b->server)
		return sb_fail(error, ENOMEM, "out of memory");
	return add_events(b, error);
}

static int open_host(struct broker *b, struct sb_error *error)
{
	b->unit_cache = unit_cache_new("/proc");
	if (!b->unit_cache)
		return sb_fail(error, ENOMEM, "out of memory");
	return host_open(&b->host, b->options.netns, unit_cache_get, b->unit_cache, error);
}

static void drop_privilege(void)
{
	int r = dataplane_drop_privilege();

	if (r < 0)
		log_warning("capabilities that are no longer needed cannot be given up: %s",
			    strerror(-r));
}

int broker_new(struct broker **ret, const struct options *options, struct config *config,
	       struct zygote *zygote, struct sb_error *error)
{
	_cleanup_(config_freep) struct config *owned = config;
	_cleanup_(broker_freep) struct broker *b = calloc(1, sizeof(*b));
	_cleanup_(state_saved_clear) struct state_saved saved = { 0 };
	struct dataplane_options dataplane = { .bpffs = options->bpffs, .netns = options->netns };
	int r;

	if (!b || !zygote)
		return sb_fail(error, ENOMEM, "out of memory");
	b->options = *options;
	b->zygote = zygote;
	b->passed = LISTEN_FDS_NULL;
	b->listener = -1;
	/* Twice: while one rule set replaces another, both have their numbers. */
	dataplane.rule_numbers = config->broker.rule_counters ? 2 * config->broker.max_rules : 0;
	r = listen_fds_take(&b->passed, error);
	if (r == 0)
		r = open_host(b, error);
	if (r == 0)
		r = state_open(options->state, &b->state, &saved, error);
	if (r == 0)
		r = take_listener(b, error);
	if (r == 0)
		r = dataplane_open(&b->dataplane, &dataplane, error);
	if (r == 0)
		r = make_loop(b, error);
	if (r == 0)
		r = start_core(b, config, &saved, error);
	if (r == 0)
		r = start_server(b, config, error);
	if (r < 0)
		return r;
	drop_privilege();
	*ret = TAKE_PTR(b);
	return 0;
}

/* libevent gives the signals back when the loop goes; one that comes after that is no reason to die
 * of it while already ending. */
static void block_signals(void)
{
	sigset_t ending;

	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGHUP);
	sigprocmask(SIG_BLOCK, &ending, NULL);
}

int broker_run(struct broker *b)
{
	char summary[128];
	int r;

	core_summary(b->core, summary, sizeof(summary));
	log_notice("ready: %s", summary);
	tell_ready(b);
	r = loop_run(b->loop);
	block_signals();
	notify_stopping("traffic keeps flowing through what is pinned");
	return r;
}

void broker_free(struct broker *b)
{
	if (!b)
		return;
	server_free(b->server);
	core_free(b->core);
	keepers_free(b->keepers);
	quota_free(b->quota);
	watch_free(b->watch);
	activator_free(b->activator);
	loop_free(b->loop);
	dataplane_free(b->dataplane);
	state_free(b->state);
	host_free(b->host);
	unit_cache_free(b->unit_cache);
	sb_close(b->listener);
	listen_fds_clear(&b->passed);
	free(b);
}
