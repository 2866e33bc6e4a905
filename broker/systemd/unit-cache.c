/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/systemd/unit-cache.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "broker/systemd/unit.h"

/* The services that register again and again, as at a deployment. */
#define ENTRIES 16
/* A cgroup v1 host has a line for each of a dozen hierarchies. A text that does not fit is not
 * remembered. */
#define TEXT_SIZE 4096
#define UNIT_SIZE 256

struct text {
	char data[TEXT_SIZE];
	size_t length;
};

struct entry {
	char *text; /* the cgroup of a process; NULL: no entry */
	size_t length;
	char unit[UNIT_SIZE];
};

struct unit_cache {
	int proc;
	int init_fd;      /* the cgroup of process 1, which does not end before this one */
	struct text init; /* what it was for all entries */
	size_t next;      /* the oldest entry */
	struct entry entries[ENTRIES];
};

struct unit_cache *unit_cache_new(const char *proc)
{
	struct unit_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->proc = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	c->init_fd = c->proc < 0 ? -1 : openat(c->proc, "1/cgroup", O_RDONLY | O_CLOEXEC);
	return c;
}

static void forget_all(struct unit_cache *c)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		free(c->entries[i].text);
		c->entries[i].text = NULL;
	}
}

void unit_cache_free(struct unit_cache *c)
{
	if (!c)
		return;
	forget_all(c);
	sb_close(c->init_fd);
	sb_close(c->proc);
	free(c);
}

/* The kernel writes all of such a file for the first read, at one instant. */
static int read_text(int fd, struct text *ret)
{
	ssize_t n = pread(fd, ret->data, sizeof(ret->data), 0);

	if (n < 0)
		return -errno;
	if (n == sizeof(ret->data))
		return -EFBIG;
	ret->length = (size_t)n;
	return 0;
}

static int read_cgroup(const struct unit_cache *c, pid_t pid, struct text *ret)
{
	_cleanup_close_ int fd = -1;
	char name[32];

	snprintf(name, sizeof(name), "%d/cgroup", (int)pid);
	fd = openat(c->proc, name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : read_text(fd, ret);
}

static bool same(const struct text *t, const char *data, size_t length)
{
	return t->length == length && memcmp(t->data, data, length) == 0;
}

static const struct entry *find(const struct unit_cache *c, const struct text *t)
{
	for (size_t i = 0; i < ENTRIES; i++)
		if (c->entries[i].text && same(t, c->entries[i].text, c->entries[i].length))
			return &c->entries[i];
	return NULL;
}

/* If it cannot, libsystemd is asked again. */
static void remember(struct unit_cache *c, const struct text *t, const char *unit)
{
	struct entry *e = &c->entries[c->next];
	char *data;

	if (strlen(unit) >= sizeof(e->unit))
		return;
	data = malloc(t->length + 1);
	if (!data)
		return;
	free(e->text);
	e->text = memcpy(data, t->data, t->length);
	e->length = t->length;
	strcpy(e->unit, unit);
	c->next = (c->next + 1) % ENTRIES;
}

/* Whether process 1 is where it was for all entries. If not there are none. */
static bool init_stayed(struct unit_cache *c)
{
	struct text now;

	if (read_text(c->init_fd, &now) < 0)
		now.length = 0; /* which no cgroup has */
	if (now.length > 0 && same(&now, c->init.data, c->init.length))
		return true;
	forget_all(c);
	c->init = now;
	return false;
}

static int ask(struct unit_cache *c, const struct text *before, pid_t pid, int pidfd, char *buf,
	       size_t size)
{
	struct text after;
	int r;

	init_stayed(c);
	r = unit_of_process(pid, pidfd, buf, size);
	if (r == 0 && read_cgroup(c, pid, &after) == 0 && unit_check_process(pidfd) == 0 &&
	    same(before, after.data, after.length) && init_stayed(c))
		remember(c, before, buf);
	return r;
}

int unit_cache_get(void *self, pid_t pid, int pidfd, char *buf, size_t size)
{
	struct unit_cache *c = self;
	const struct entry *e;
	struct text text;
	int r;

	if (pidfd < 0 || read_cgroup(c, pid, &text) < 0)
		return unit_of_process(pid, pidfd, buf, size);
	e = find(c, &text);
	if (!e || strlen(e->unit) >= size)
		return ask(c, &text, pid, pidfd, buf, size);
	/* What was read under its number was the process's own if it has the number still. */
	r = unit_check_process(pidfd);
	strcpy(buf, r < 0 ? "" : e->unit);
	return r;
}
