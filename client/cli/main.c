/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sockbroker command. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/commands.h"

static bool wants_color(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term &&
	       strcmp(term, "dumb") != 0;
}

int main(int argc, char **argv)
{
	struct cli cli = {
		.out = stdout,
		.err = stderr,
		.input = STDIN_FILENO,
		.color = wants_color(),
		.timeout = SOCKBROKER_TIMEOUT_DEFAULT,
	};

	return cli_main(&cli, argc, argv);
}
