/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of sockbrokerd. */
#pragma once

#include <stdbool.h>

#include "protocol/errors.h"

struct options {
	const char *socket, *config, *state, *bpffs;
	const char *activator; /* NULL: the default, if this machine is run by systemd */
	const char *netns;     /* NULL: the process's own */
	int log_level;         /* LOG_* */
	bool check_config, version, help;
};

/* Fills *RET with the defaults and ARGV. -EINVAL with a sentence. */
int options_parse(int argc, char **argv, struct options *ret, struct sb_error *error);

/* The text of --help. */
extern const char options_help[];
