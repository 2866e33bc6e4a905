/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run: from the sockets that the broker keeps to a service that is passed sockets. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/commands.h"
#include "protocol/cleanup.h"

#define START SOCKBROKER_LISTEN_FDS_START

SB_DEFINE_CLEANUP(char *, sockbroker_free_names)

/* The sockets of the service: first those that were passed to us, then those that were taken. */
struct passing {
	int n_inherited, n_taken;
	char **names; /* of the inherited ones, owned */
	int fds[SOCKBROKER_FDS_MAX];
	size_t counts[SOCKBROKER_FDS_MAX];
};

/* ':' separates names. */
static void add_name(char *names, const char *label)
{
	char *at = names + strlen(names);

	if (at > names)
		*at++ = ':';
	strcpy(at, label);
	for (; *at; at++)
		if (*at == ':')
			*at = '_';
}

static char *join_names(const struct passing *p, const char *const *labels, size_t n_labels)
{
	size_t size = 1;
	char *names;

	for (int i = 0; i < p->n_inherited; i++)
		size += strlen(p->names[i]) + 1;
	for (size_t i = 0; i < n_labels; i++)
		size += p->counts[i] * (strlen(labels[i]) + 1);
	names = calloc(1, size);
	if (!names)
		return NULL;
	for (int i = 0; i < p->n_inherited; i++)
		add_name(names, p->names[i]);
	for (size_t i = 0; i < n_labels; i++)
		for (size_t k = 0; k < p->counts[i]; k++)
			add_name(names, labels[i]);
	return names;
}

/* Moves the taken sockets out of the way of the numbers that they shall have. */
static int move_up(struct passing *p)
{
	for (int i = 0; i < p->n_taken; i++) {
		int fd = fcntl(p->fds[i], F_DUPFD_CLOEXEC, START + p->n_inherited + p->n_taken);

		if (fd < 0)
			return -errno;
		close(p->fds[i]);
		p->fds[i] = fd;
	}
	return 0;
}

/* Gives all sockets their numbers, without close-on-exec. Whatever had those numbers, our
 * connection to the broker among them, is closed by that. */
static int place(struct passing *p)
{
	int r = move_up(p);

	for (int i = 0; i < p->n_taken && r == 0; i++)
		if (dup2(p->fds[i], START + p->n_inherited + i) < 0)
			r = -errno;
	for (int i = 0; i < p->n_inherited && r == 0; i++)
		if (fcntl(START + i, F_SETFD, 0) < 0)
			r = -errno;
	return r;
}

static int set_environment(const struct passing *p, const char *names)
{
	char number[32];

	snprintf(number, sizeof(number), "%d", p->n_inherited + p->n_taken);
	if (setenv("LISTEN_FDS", number, 1) < 0)
		return -errno;
	snprintf(number, sizeof(number), "%d", (int)getpid());
	if (setenv("LISTEN_PID", number, 1) < 0 || setenv("LISTEN_FDNAMES", names, 1) < 0)
		return -errno;
	return 0;
}

/* COMMAND is ended by NULL: the words of the command line are. */
static int execute(struct cli *cli, struct passing *p, const char *const *labels, size_t n_labels,
		   char *const *command)
{
	_cleanup_free_ char *names = join_names(p, labels, n_labels);
	int r = names ? place(p) : -ENOMEM;

	if (r == 0)
		r = set_environment(p, names);
	if (r < 0)
		return cli_fail(cli, "the sockets cannot be passed to %s: %s", command[0],
				strerror(-r));
	fflush(cli->out);
	execvp(command[0], command);
	return cli_fail(cli, "%s: %s", command[0], strerror(errno));
}

int cmd_run(struct cli *cli, const struct arguments *a)
{
	_cleanup_(sockbroker_free_namesp) char **names = NULL;
	_cleanup_free_ char **command = NULL;
	size_t n_labels = a->n_before_dashes, n_words = a->n_args - n_labels;
	struct passing p = { 0 };
	int r;

	if (!a->dashes || n_words == 0)
		return cli_usage(cli, "say which COMMAND to run, behind --");
	if (n_labels == 0)
		return cli_usage(cli, "say which LABEL's sockets to take, in front of --");
	if (n_labels > SOCKBROKER_FDS_MAX)
		return cli_usage(cli, "%zu labels are too many", n_labels);
	r = sockbroker_listen_fds(0, &names);
	if (r < 0)
		return cli_fail(cli,
				"LISTEN_FDS, LISTEN_PID or LISTEN_FDNAMES is malformed, or its "
				"sockets are not open: %s",
				strerror(-r));
	p.n_inherited = r;
	p.names = names;
	command = calloc(n_words + 1, sizeof(*command));
	if (!command)
		return cli_fail(cli, "out of memory");
	memcpy(command, a->args + n_labels, n_words * sizeof(*command));
	r = cli_connect(cli);
	if (r != CLI_DONE)
		return r;
	r = sockbroker_take_many(cli->broker, a->args, n_labels, p.fds, p.counts);
	if (r < 0)
		return cli_request_failed(cli);
	p.n_taken = r;
	cli_print_warnings(cli);
	return execute(cli, &p, a->args, n_labels, command);
}
