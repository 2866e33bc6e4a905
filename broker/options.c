/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/options.h"

#include <getopt.h>

#include "broker/base/log.h"
#include "protocol/wire.h"

const char options_help[] =
	"Usage: sockbrokerd [OPTION...]\n"
	"The socket broker: steers packets to registered sockets by sk_lookup.\n"
	"\n"
	"  --socket PATH      listen for clients here (" SB_SOCKET_PATH ")\n"
	"  --config DIR       sockbroker.conf and labels.d/ (/etc/sockbroker)\n"
	"  --state DIR        what survives a restart (/run/sockbroker)\n"
	"  --bpffs DIR        pins of the dataplane (/sys/fs/bpf/sockbroker)\n"
	"  --activator PATH   has units started here (/run/sockbroker/activate.sock)\n"
	"  --netns PATH       steer this network namespace (the broker's own)\n"
	"  --log-level LEVEL  err, warning, notice, info or debug (info)\n"
	"  --check-config     read the configuration, report every error, and exit\n"
	"  --version          print the version and exit\n"
	"  --help             print this and exit\n"
	"\n"
	"See sockbrokerd(8).\n";

enum {
	OPT_SOCKET = 256,
	OPT_CONFIG,
	OPT_STATE,
	OPT_BPFFS,
	OPT_ACTIVATOR,
	OPT_NETNS,
	OPT_LOG_LEVEL,
	OPT_CHECK_CONFIG,
	OPT_VERSION,
	OPT_HELP,
};

static int take(struct options *o, int option, const char *value, const char *word,
		struct sb_error *error)
{
	switch (option) {
	case OPT_SOCKET:
		o->socket = value;
		return 0;
	case OPT_CONFIG:
		o->config = value;
		return 0;
	case OPT_STATE:
		o->state = value;
		return 0;
	case OPT_BPFFS:
		o->bpffs = value;
		return 0;
	case OPT_ACTIVATOR:
		o->activator = value;
		return 0;
	case OPT_NETNS:
		o->netns = value;
		return 0;
	case OPT_LOG_LEVEL:
		o->log_level = log_level_parse(value);
		if (o->log_level < 0)
			return sb_fail(error, EINVAL,
				       "--log-level is err, warning, notice, info or debug, not %s",
				       value);
		return 0;
	case OPT_CHECK_CONFIG:
		o->check_config = true;
		return 0;
	case OPT_VERSION:
		o->version = true;
		return 0;
	case OPT_HELP:
		o->help = true;
		return 0;
	case ':':
		return sb_fail(error, EINVAL, "%s needs a value", word);
	default:
		return sb_fail(error, EINVAL, "there is no option %s", word);
	}
}

int options_parse(int argc, char **argv, struct options *ret, struct sb_error *error)
{
	static const struct option table[] = {
		{ "socket", required_argument, NULL, OPT_SOCKET },
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "state", required_argument, NULL, OPT_STATE },
		{ "bpffs", required_argument, NULL, OPT_BPFFS },
		{ "activator", required_argument, NULL, OPT_ACTIVATOR },
		{ "netns", required_argument, NULL, OPT_NETNS },
		{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
		{ "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};
	int option;

	*ret = (struct options){
		.socket = SB_SOCKET_PATH,
		.config = "/etc/sockbroker",
		.state = "/run/sockbroker",
		.bpffs = "/sys/fs/bpf/sockbroker",
		.log_level = LOG_INFO,
	};
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", table, NULL)) >= 0) {
		int r = take(ret, option, optarg, argv[optind - 1], error);

		if (r < 0)
			return r;
	}
	if (optind < argc)
		return sb_fail(error, EINVAL, "%s: sockbrokerd takes options only", argv[optind]);
	return 0;
}
