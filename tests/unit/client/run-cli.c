/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/client/check.h"

#include <stdlib.h>

#include "client/cli/commands.h"
#include "tests/unit/client/run-cli.h"

void run_free(struct run *r)
{
	free(r->out);
	free(r->err);
	*r = (struct run){ 0 };
}

void run_cli(struct run *r, const char *path, int input, const char *const *words)
{
	const char *argv[RUN_WORDS_MAX] = { "sockbroker" };
	size_t n_out, n_err;
	struct cli cli = { .input = input, .timeout = 5000 };
	int argc = 1;

	run_free(r);
	if (path) {
		argv[argc++] = "--socket";
		argv[argc++] = path;
	}
	for (; *words; words++) {
		assert_true(argc < RUN_WORDS_MAX);
		argv[argc++] = *words;
	}
	cli.out = open_memstream(&r->out, &n_out);
	cli.err = open_memstream(&r->err, &n_err);
	r->status = cli_main(&cli, argc, (char **)argv);
	assert_null(cli.broker);
	fclose(cli.out);
	fclose(cli.err);
}

void run_cli_once(struct run *r, struct fake_broker *f, struct fake_step step,
		  const char *const *words)
{
	fake_broker_start(f, &step, 1);
	run_cli(r, f->path, -1, words);
	fake_broker_stop(f);
}
