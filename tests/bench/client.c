/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the control benchmark that must not be slow themselves. Times are microseconds, one
 * a line; control.py makes sense of them.
 *
 *     rules SHAPE N FAMILY       N rules (FAMILY 4 or 6) as rule text, in random order
 *     bind SOCKET FILE           binds each line of a file of rules, over one connection
 *     unbind SOCKET FILE         and unbinds
 *     register SOCKET N LABEL    N clients, one after another: connect, register, OK, close
 *     explain SOCKET FILE        a packet for each line of a file of rules, over one connection
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "client/sockbroker.h"
#include "protocol/cleanup.h"
#include "tests/bench/sets.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void need(struct sockbroker *sb, int r)
{
	if (r < 0)
		errx(1, "%s", sockbroker_error(sb));
}

static struct sockbroker *connected(const char *path)
{
	struct sockbroker *sb = sockbroker_new();

	need(sb, sockbroker_connect(sb, path));
	return sb;
}

static void print_rule(const struct rule *r)
{
	char text[RULE_TEXT_MAX];

	printf("%s l%u\n", rule_format(r, text), r->label);
}

static int rules(char **arguments)
{
	const struct set_shape *shape = set_shape(arguments[0]);
	struct random r = { 1 }; /* the same rules each time */
	struct set set;

	if (!shape)
		errx(2, "no shape %s", arguments[0]);
	set = set_make(shape, &r, strtoul(arguments[1], NULL, 10),
		       strcmp(arguments[2], "6") == 0 ? AF_INET6 : AF_INET);
	for (size_t i = set.n; i > 0; i--) {
		size_t k = (size_t)((random_next(&r) >> 32) * i >> 32);
		struct rule last = set.rules[i - 1];

		print_rule(&set.rules[k]);
		set.rules[k] = last;
	}
	set_clear(&set);
	return 0;
}

typedef void act_t(struct sockbroker *sb, char *words[4]);

static void act_bind(struct sockbroker *sb, char *words[4])
{
	need(sb, sockbroker_bind(sb, words[3], words[0], words[1], words[2], 0, NULL));
}

static void act_unbind(struct sockbroker *sb, char *words[4])
{
	need(sb, sockbroker_unbind(sb, words[3], words[0], words[1], words[2], NULL));
}

static void act_explain(struct sockbroker *sb, char *words[4])
{
	uint16_t port = (uint16_t)strtoul(words[2], NULL, 10);
	struct sockbroker_table *t = NULL;

	words[1][strcspn(words[1], "/")] = '\0';
	need(sb, sockbroker_explain(sb, words[0], words[1], port ? port : 443, NULL, 0, &t));
	sockbroker_table_free(t);
}

/* Acts on each rule of a file and prints how long each took. */
static int each_rule(char **arguments, act_t *act)
{
	struct sockbroker *sb = connected(arguments[0]);
	FILE *f = fopen(arguments[1], "re");
	char line[256];

	if (!f)
		err(1, "%s", arguments[1]);
	while (fgets(line, sizeof(line), f)) {
		char *words[4], *save = NULL, *text = line;
		double start;

		for (unsigned i = 0; i < ARRAY_SIZE(words); i++, text = NULL) {
			words[i] = strtok_r(text, " \n", &save);
			if (!words[i])
				errx(1, "%s is not a file of rules", arguments[1]);
		}
		start = now();
		act(sb, words);
		printf("%.2f\n", now() - start);
	}
	fclose(f);
	sockbroker_free(sb);
	return 0;
}

static int listener(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 8) < 0)
		err(1, "listening");
	return fd;
}

/* Two sockets take turns, so that every registration changes something. */
static int registrations(char **arguments)
{
	const int fds[] = { listener(), listener() };
	unsigned long n = strtoul(arguments[1], NULL, 10);

	for (unsigned long i = 0; i < n; i++) {
		double start = now();
		struct sockbroker *sb = connected(arguments[0]);

		need(sb, sockbroker_register(sb, arguments[2], &fds[i % 2], 1, 0));
		sockbroker_free(sb);
		printf("%.2f\n", now() - start);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "rules") == 0)
		return rules(argv + 2);
	if (argc == 4 && strcmp(argv[1], "bind") == 0)
		return each_rule(argv + 2, act_bind);
	if (argc == 4 && strcmp(argv[1], "unbind") == 0)
		return each_rule(argv + 2, act_unbind);
	if (argc == 4 && strcmp(argv[1], "explain") == 0)
		return each_rule(argv + 2, act_explain);
	if (argc == 5 && strcmp(argv[1], "register") == 0)
		return registrations(argv + 2);
	errx(2, "usage: see the top of client.c");
}
