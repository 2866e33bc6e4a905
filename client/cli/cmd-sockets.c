/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* register and unregister. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/process-sockets.h"
#include "client/number.h"
#include "protocol/cleanup.h"
#include "protocol/label.h"

SB_DEFINE_CLEANUP(char *, sockbroker_free_names)

static void cleanup_socket_list(struct socket_list *l)
{
	socket_list_close(l);
}

static int print_registered(struct cli *cli, const struct sockbroker_sockets *sets, size_t n)
{
	json_t *array = cli->json ? json_array() : NULL;
	char buf[64];

	for (size_t i = 0; i < n; i++) {
		if (cli->json)
			json_array_append_new(array,
					      json_pack("{s:s, s:I}", "label", sets[i].label,
							"sockets", (json_int_t)sets[i].n_fds));
		else
			fprintf(cli->out, "%s: %s registered\n", sets[i].label,
				format_count(sets[i].n_fds, "socket", buf));
	}
	return cli->json ? json_print(cli, json_pack("{s:o}", "labels", array)) : CLI_DONE;
}

/* The number of a process that OPTION has for its value. */
static int parse_pid(struct cli *cli, const char *name, const struct option_value *option,
		     pid_t *ret)
{
	uint64_t pid;

	if (option->n_values != 1 || !number_parse(option->values[0], &pid) || pid == 0 ||
	    pid > INT_MAX)
		return cli_usage(cli, "%s takes the number of one process, not '%s'", name,
				 option->values[option->n_values - 1]);
	*ret = (pid_t)pid;
	return CLI_DONE;
}

/* *RET: a pidfd of the process that --main-pid names, or -1. */
static int open_main_pid(struct cli *cli, const struct arguments *a, int *ret)
{
	const struct option_value *option = &a->options[REGISTER_MAIN_PID];
	pid_t pid = 0;
	int r;

	*ret = -1;
	if (!option->given)
		return CLI_DONE;
	r = parse_pid(cli, "--main-pid", option, &pid);
	if (r != CLI_DONE)
		return r;
	*ret = (int)syscall(SYS_pidfd_open, pid, 0);
	return *ret < 0 ? cli_fail(cli, "process %d: %s", (int)pid, strerror(errno)) : CLI_DONE;
}

/* PIDFD: of who serves them; -1: this process, or whom --main-pid names. */
static int register_sets(struct cli *cli, const struct arguments *a, int pidfd,
			 const struct sockbroker_sockets *sets, size_t n)
{
	unsigned int flags = a->options[REGISTER_ADD].given ? SOCKBROKER_ADD : 0;
	_cleanup_close_ int main_pidfd = -1;
	int r = open_main_pid(cli, a, &main_pidfd);

	if (r == CLI_DONE)
		r = cli_connect(cli);
	if (r != CLI_DONE)
		return r;
	if (pidfd < 0)
		pidfd = main_pidfd;
	r = pidfd < 0 ? sockbroker_register_many(cli->broker, sets, n, flags)
		      : sockbroker_register_for(cli->broker, pidfd, sets, n, flags);
	if (r < 0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	return print_registered(cli, sets, n);
}

/* ---- --listen-fds ---- */

/* The passed sockets sorted by their names: FDS gets the numbers, SETS one row a name. Both have
 * room for N. Returns the number of rows. */
static size_t group_by_name(char **names, size_t n, int *fds, struct sockbroker_sockets *sets)
{
	size_t n_sets = 0, used = 0;

	for (size_t i = 0; i < n; i++) {
		struct sockbroker_sockets *set = &sets[n_sets];
		bool seen = false;

		for (size_t k = 0; k < n_sets; k++)
			seen |= !strcmp(sets[k].label, names[i]);
		if (seen)
			continue;
		*set = (struct sockbroker_sockets){ names[i], fds + used, 0 };
		for (size_t k = i; k < n; k++)
			if (!strcmp(names[k], names[i]))
				fds[used + set->n_fds++] = SOCKBROKER_LISTEN_FDS_START + (int)k;
		used += set->n_fds;
		n_sets++;
	}
	return n_sets;
}

static int no_listen_fds(struct cli *cli, int r)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");

	if (r == -EBADF)
		return cli_fail(cli,
				"LISTEN_FDS says %s, but one of those file descriptors is not open",
				n);
	if (r < 0)
		return cli_fail(cli, "LISTEN_FDS, LISTEN_PID or LISTEN_FDNAMES is malformed: %s",
				strerror(-r));
	if (!n || !pid)
		return cli_fail(cli,
				"no sockets were passed: LISTEN_FDS and LISTEN_PID are not set");
	if (strcmp(n, "0") == 0)
		return cli_fail(cli, "no sockets were passed: LISTEN_FDS is 0");
	return cli_fail(
		cli,
		"the passed sockets are for process %s, and this is %d; is there a shell between?",
		pid, getpid());
}

static int register_listen_fds(struct cli *cli, const struct arguments *a)
{
	_cleanup_(sockbroker_free_namesp) char **names = NULL;
	_cleanup_free_ struct sockbroker_sockets *sets = NULL;
	_cleanup_free_ int *fds = NULL;
	struct sb_error error;
	size_t n_sets;
	int n = sockbroker_listen_fds(0, &names);

	if (n <= 0)
		return no_listen_fds(cli, n);
	if (a->n_args == 0 && !getenv("LISTEN_FDNAMES"))
		return cli_fail(cli, "LISTEN_FDNAMES is not set, so say under which LABEL");
	fds = calloc((size_t)n, sizeof(*fds));
	sets = calloc((size_t)n, sizeof(*sets));
	if (!fds || !sets)
		return cli_fail(cli, "out of memory");
	if (a->n_args > 0) {
		for (int i = 0; i < n; i++)
			fds[i] = SOCKBROKER_LISTEN_FDS_START + i;
		sets[0] = (struct sockbroker_sockets){ a->args[0], fds, (size_t)n };
		return register_sets(cli, a, -1, sets, 1);
	}
	n_sets = group_by_name(names, (size_t)n, fds, sets);
	for (size_t i = 0; i < n_sets; i++)
		if (sb_label_check(sets[i].label, &error) < 0)
			return cli_fail(cli, "LISTEN_FDNAMES: %s", error.message);
	return register_sets(cli, a, -1, sets, n_sets);
}

/* ---- --fd ---- */

static int register_fds(struct cli *cli, const struct arguments *a)
{
	const struct option_value *option = &a->options[REGISTER_FD];
	_cleanup_free_ int *fds = calloc(option->n_values, sizeof(*fds));
	struct sockbroker_sockets set = { a->args[0], fds, option->n_values };

	if (!fds)
		return cli_fail(cli, "out of memory");
	for (size_t i = 0; i < option->n_values; i++) {
		uint64_t n;

		if (!number_parse(option->values[i], &n) || n > INT_MAX)
			return cli_usage(cli, "--fd takes numbers of file descriptors, not '%s'",
					 option->values[i]);
		fds[i] = (int)n;
		if (fcntl(fds[i], F_GETFD) < 0)
			return cli_fail(cli, "fd %d is not open", fds[i]);
	}
	return register_sets(cli, a, -1, &set, 1);
}

/* ---- --pid ---- */

/* PROTO ADDR PORT; ADDR and PORT may be "*". */
static int parse_filter(struct cli *cli, const char *const *words, struct socket_filter *ret)
{
	struct sb_error error;

	if (sb_protocol_parse(words[0], &ret->protocols, &error) < 0)
		return cli_usage(cli, "%s", error.message);
	ret->has_address = strcmp(words[1], "*") != 0;
	if (ret->has_address && sb_address_parse(words[1], &ret->address, &error) < 0)
		return cli_usage(cli, "%s", error.message);
	if (strcmp(words[2], "*") != 0 && sb_port_parse(words[2], &ret->port, &error) < 0)
		return cli_usage(cli, "%s", error.message);
	return CLI_DONE;
}

static int register_pid(struct cli *cli, const struct arguments *a)
{
	const struct option_value *option = &a->options[REGISTER_PID];
	struct socket_filter filter = { .protocols = SB_PROTOCOL_ANY };
	_cleanup_(cleanup_socket_list) struct socket_list list = { 0 };
	struct sockbroker_sockets set = { .label = a->args[0] };
	struct sb_error error = { 0 };
	pid_t pid;

	if (parse_pid(cli, "--pid", option, &pid) != CLI_DONE)
		return CLI_USAGE;
	if (a->n_args == 4 && parse_filter(cli, a->args + 1, &filter) != CLI_DONE)
		return CLI_USAGE;
	if (process_sockets(pid, &filter, &list, &error) < 0 && a->n_args == 4)
		return cli_fail(cli, "%s: looking for %s %s %s: %s", set.label, a->args[1],
				a->args[2], a->args[3], error.message);
	if (list.n == 0)
		return cli_fail(cli, "%s: %s", set.label, error.message);
	set.fds = list.fds;
	set.n_fds = list.n;
	return register_sets(cli, a, list.pidfd, &set, 1);
}

/* Which of the sources is meant; one of REGISTER_* or -1. */
static int choose_source(struct cli *cli, const struct arguments *a)
{
	static const int sources[] = { REGISTER_LISTEN_FDS, REGISTER_FD, REGISTER_PID };
	int chosen = -1;

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		if (!a->options[sources[i]].given)
			continue;
		if (chosen >= 0) {
			cli_usage(cli, "--listen-fds, --fd and --pid exclude each other");
			return -1;
		}
		chosen = sources[i];
	}
	if (chosen < 0 && sockbroker_listen_fds(0, NULL) > 0)
		chosen = REGISTER_LISTEN_FDS;
	if (chosen < 0)
		cli_usage(cli, "no sockets were passed (LISTEN_FDS): say which with --fd or --pid");
	return chosen;
}

int cmd_register(struct cli *cli, const struct arguments *a)
{
	int source;

	if (a->options[REGISTER_ADD].given && a->options[REGISTER_REPLACE].given)
		return cli_usage(cli, "--replace and --add exclude each other");
	source = choose_source(cli, a);
	if (source < 0)
		return CLI_USAGE;
	if (source == REGISTER_PID && a->options[REGISTER_MAIN_PID].given)
		return cli_usage(cli, "--pid says already who serves the sockets");
	if (a->n_args == 0 && source != REGISTER_LISTEN_FDS)
		return cli_usage(cli, "say under which LABEL");
	if (a->n_args > 1 && !(source == REGISTER_PID && a->n_args == 4))
		return cli_usage(cli,
				 source == REGISTER_PID
					 ? "behind LABEL stand PROTO, ADDR and PORT, or nothing"
					 : "PROTO ADDR PORT goes with --pid only");
	switch (source) {
	case REGISTER_FD:
		return register_fds(cli, a);
	case REGISTER_PID:
		return register_pid(cli, a);
	default:
		return register_listen_fds(cli, a);
	}
}

int cmd_unregister(struct cli *cli, const struct arguments *a)
{
	uint64_t n;
	char buf[64];
	int r = cli_connect(cli);

	if (r != CLI_DONE)
		return r;
	if (sockbroker_unregister(cli->broker, a->args[0], a->n_args > 1 ? a->args[1] : NULL, &n) <
	    0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	if (cli->json) {
		json_t *doc =
			json_pack("{s:s, s:I}", "label", a->args[0], "sockets", (json_int_t)n);

		return json_print(cli, doc);
	}
	fprintf(cli->out, "%s: %s taken out\n", a->args[0], format_count(n, "socket", buf));
	return CLI_DONE;
}
