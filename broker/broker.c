/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/broker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/core.h"
#include "broker/core-config.h"
#include "broker/dataplane/dataplane.h"
#include "broker/host/host.h"
#include "broker/io/loop.h"
#include "broker/io/server.h"
#include "broker/io/watch.h"
#include "broker/state/state.h"
#include "broker/systemd/listen.h"
#include "broker/systemd/notify.h"
#include "broker/systemd/unit.h"

/* How often sockets that everybody closed are looked for. Packets do not wait for it. */
#define SWEEP_INTERVAL_US 2000000

struct broker {
	struct options options;
	struct host *host;
	struct state *state;
	struct dataplane *dataplane;
	struct core *core;
	struct loop *loop;
	struct watch *watch;
	struct server *server;
	struct listen_fds passed;
	int listener; /* until the server has it */
};

/* -- configuration ---------------------------------------------------------------------------- */

int broker_read_config(const char *dir, struct config **ret, struct sb_error *error)
{
	_cleanup_(config_report_clear) struct config_report report = { 0 };
	int r = config_read(dir, ret, &report);

	for (size_t i = 0; i < report.n_warnings; i++)
		log_warning("%s", report.warnings[i]);
	for (size_t i = 0; i < report.n_errors; i++)
		log_error("%s", report.errors[i]);
	if (report.n_all_errors > report.n_errors)
		log_error("... and %zu more errors", report.n_all_errors - report.n_errors);
	if (r == -ENOMEM)
		log_error("out of memory while reading the configuration");
	if (r < 0 && report.n_errors == 0)
		return sb_fail(error, -r, "the configuration in %s cannot be read: %s", dir,
			       strerror(-r));
	if (r < 0 && report.n_all_errors > 1)
		return sb_fail(error, -r, "%s (and %zu more, in the log)", report.errors[0],
			       report.n_all_errors - 1);
	return r < 0 ? sb_fail(error, -r, "%s", report.errors[0]) : 0;
}

static struct server_options server_options(const struct config *config)
{
	return (struct server_options){
		.max_connections = config->broker.max_connections,
		.max_connections_per_user = config->broker.max_connections_per_user,
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
	int r = broker_read_config(b->options.config, &config, error);

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

static void stop(void *data)
{
	struct broker *b = data;

	log_notice("stopping; what is pinned in %s keeps steering", b->options.bpffs);
	loop_stop(b->loop);
}

static void ready(void *data, int fd)
{
	struct broker *b = data;

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

static int start_core(struct broker *b, const struct config *config, struct state_saved *saved,
		      struct sb_error *error)
{
	_cleanup_(core_config_clear) struct core_config_storage storage = { 0 };
	struct dataplane_port dataplane = dataplane_port(b->dataplane);
	struct state_port state = state_port(b->state);
	struct host_port host = host_port(b->host);
	struct watch_port watch = watch_port(b->watch);
	struct core_saved what = {
		.labels = saved->labels,
		.labels_length = saved->labels_length,
		.rules = saved->rules,
		.rules_length = saved->rules_length,
		.journal = saved->journal,
		.journal_length = saved->journal_length,
	};
	int r = core_config_from(&storage, config, error);

	if (r < 0)
		return r;
	b->core = core_new(&dataplane, &state, &host, &watch, SOCKBROKER_VERSION, b->options.netns);
	if (!b->core)
		return sb_fail(error, ENOMEM, "out of memory");
	core_on_reload(b->core, reload, b);
	return core_start(b->core, &storage.config, &what, error);
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

static int make_loop(struct broker *b, struct sb_error *error)
{
	b->loop = loop_new();
	if (!b->loop)
		return sb_fail(error, ENOMEM, "the event loop cannot be made");
	b->watch = watch_new(b->loop, ready, alarm_came, b);
	return b->watch ? 0 : sb_fail(error, ENOMEM, "out of memory");
}

static int start_server(struct broker *b, const struct config *config, struct sb_error *error)
{
	struct server_options limits = server_options(config);

	b->server = server_new(b->loop, TAKE_FD(b->listener), &limits, handle, b);
	if (!b->server)
		return sb_fail(error, ENOMEM, "out of memory");
	return add_events(b, error);
}

static void drop_privilege(void)
{
	int r = dataplane_drop_privilege();

	if (r < 0)
		log_warning("capabilities that are no longer needed cannot be given up: %s",
			    strerror(-r));
}

int broker_new(struct broker **ret, const struct options *options, struct config *config,
	       struct sb_error *error)
{
	_cleanup_(config_freep) struct config *owned = config;
	_cleanup_(broker_freep) struct broker *b = calloc(1, sizeof(*b));
	_cleanup_(state_saved_clear) struct state_saved saved = { 0 };
	struct dataplane_options dataplane = { .bpffs = options->bpffs, .netns = options->netns };
	int r;

	if (!b)
		return sb_fail(error, ENOMEM, "out of memory");
	b->options = *options;
	b->passed = LISTEN_FDS_NULL;
	b->listener = -1;
	/* Twice: while one rule set replaces another, both have their numbers. */
	dataplane.rule_numbers = config->broker.rule_counters ? 2 * config->broker.max_rules : 0;
	r = listen_fds_take(&b->passed, error);
	if (r == 0)
		r = host_open(&b->host, options->netns, unit_of_process, error);
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
	watch_free(b->watch);
	loop_free(b->loop);
	dataplane_free(b->dataplane);
	state_free(b->state);
	host_free(b->host);
	sb_close(b->listener);
	listen_fds_clear(&b->passed);
	free(b);
}
