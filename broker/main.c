/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "broker/base/log.h"
#include "broker/broker.h"
#include "broker/dataplane/dataplane.h"
#include "broker/io/keepers.h"
#include "broker/io/porter.h"
#include "broker/read-config.h"

/* Exit codes, as in sockbrokerd(8). */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/* A request may carry 253 fds, and a thousand clients may be connected. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int run(const struct options *options)
{
	static const zygote_child children[PROCESS_KINDS] = {
		[PROCESS_PORTER] = porter_main,
		[PROCESS_KEEPER] = keeper_main,
	};
	struct porter_calls porter = {
		.store = dataplane_store_socket,
		.drop_privilege = dataplane_drop_privilege,
	};
	_cleanup_(zygote_freep) struct zygote *zygote = NULL;
	_cleanup_(broker_freep) struct broker *b = NULL;
	struct config *config = NULL;
	struct sb_error error = { 0 };

	/* Before anything is open, and while there is little memory. */
	if (!options->check_config)
		zygote = zygote_new(children, &porter);
	if (broker_read_config(options, &config, &error) < 0)
		return EXIT_FAILED;
	if (options->check_config) {
		printf("%s: %zu label files, %zu rules, no error\n", options->config,
		       config->n_labels, config->n_rules);
		config_free(config);
		return EXIT_DONE;
	}
	if (broker_new(&b, options, config, zygote, &error) < 0) {
		log_error("%s", error.message);
		return EXIT_FAILED;
	}
	return broker_run(b) < 0 ? EXIT_FAILED : EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct options options;
	struct sb_error error = { 0 };

	if (options_parse(argc, argv, &options, &error) < 0) {
		fprintf(stderr, "sockbrokerd: %s\nTry sockbrokerd --help.\n", error.message);
		return EXIT_USAGE;
	}
	if (options.help) {
		fputs(options_help, stdout);
		return EXIT_DONE;
	}
	if (options.version) {
		printf("sockbrokerd %s\n", SOCKBROKER_VERSION);
		return EXIT_DONE;
	}
	log_setup(options.log_level);
	signal(SIGPIPE, SIG_IGN);
	/* Until the loop takes it over: what is being read is as new as a reload would be. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* nobody waits for children */
	umask(0077);
	raise_fd_limit();
	return run(&options);
}
