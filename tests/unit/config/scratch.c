/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/config/scratch.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int scratch_setup(void **state)
{
	struct scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	strcpy(s->dir, "/tmp/sockbroker-config.XXXXXX");
	*state = s;
	return mkdtemp(s->dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	return remove(path);
}

int scratch_teardown(void **state)
{
	struct scratch *s = *state;

	config_free(s->config);
	config_report_clear(&s->report);
	nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(s);
	return 0;
}

const char *scratch_path(struct scratch *s, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	return path;
}

void scratch_write_bytes(struct scratch *s, const char *name, const void *data, size_t n)
{
	const char *bytes = data;
	int fd;

	mkdir(scratch_path(s, "labels.d"), 0755);
	fd = open(scratch_path(s, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	while (n > 0) {
		ssize_t done = write(fd, bytes, n);

		assert_true(done > 0);
		bytes += done;
		n -= (size_t)done;
	}
	close(fd);
}

void scratch_write(struct scratch *s, const char *name, const char *text)
{
	scratch_write_bytes(s, name, text, strlen(text));
}

void scratch_remove(struct scratch *s, const char *name)
{
	assert_int_equal(remove(scratch_path(s, name)), 0);
}

void scratch_read(struct scratch *s)
{
	config_free(s->config);
	s->config = NULL;
	config_report_clear(&s->report);
	s->result = config_read(s->dir, &s->config, &s->report);
	assert_int_equal(s->config != NULL, s->result == 0);
}

/* Appends TEXT and a newline, with the directory's own name taken out or made DIR. */
static void append(struct scratch *s, char *to, size_t size, const char *text)
{
	size_t n = strlen(s->dir);
	char *end = to + strlen(to);
	char *last = to + size - 1;

	assert_memory_equal(text, s->dir, n);
	if (text[n] == '/')
		text += n + 1;
	while (*text && end < last - 4) {
		if (!strncmp(text, s->dir, n)) {
			end = stpcpy(end, "DIR");
			text += n;
		} else {
			*end++ = *text++;
		}
	}
	*end++ = '\n';
	*end = '\0';
}

static void compare(struct scratch *s, char **texts, size_t n, const char *expected)
{
	static char all[65536];

	all[0] = '\0';
	for (size_t i = 0; i < n; i++)
		append(s, all, sizeof(all), texts[i]);
	assert_string_equal(all, expected);
}

void scratch_expect(struct scratch *s, const char *errors)
{
	scratch_read(s);
	compare(s, s->report.errors, s->report.n_errors, errors);
	assert_false(s->report.out_of_memory);
	assert_int_equal(s->result, errors[0] ? -EINVAL : 0);
}

void scratch_expect_warnings(struct scratch *s, const char *warnings)
{
	compare(s, s->report.warnings, s->report.n_warnings, warnings);
}
