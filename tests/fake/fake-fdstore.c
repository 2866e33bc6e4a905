/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fake/fake-fdstore.h"

#include <stdio.h>
#include <string.h>

struct fake_fdstore *fake_fdstore_new(struct fake_host *host)
{
	struct fake_fdstore *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->host = host;
	return s;
}

void fake_fdstore_free(struct fake_fdstore *s)
{
	free(s);
}

static void push(void *self, int fd, const char *name)
{
	struct fake_fdstore *s = self;

	if (s->off)
		return;
	if (s->n == FAKE_STORE_MAX || strlen(name) > FDSTORE_NAME_MAX) {
		fprintf(stderr, "fake fdstore: full, or a long name: %s\n", name);
		abort();
	}
	s->fds[s->n].fd = fake_dup(s->host, fd);
	strcpy(s->fds[s->n++].name, name);
}

static void take_out(void *self, const char *name)
{
	struct fake_fdstore *s = self;
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (!strcmp(s->fds[i].name, name))
			fake_close_fd(s->host, s->fds[i].fd);
		else
			s->fds[kept++] = s->fds[i];
	}
	s->n = kept;
}

struct fdstore_port fake_fdstore_port(struct fake_fdstore *s)
{
	return (struct fdstore_port){ .self = s, .push = push, .remove = take_out };
}
