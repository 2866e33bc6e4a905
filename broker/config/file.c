/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/config/grow.h"
#include "broker/config/report.h"

static int fail_errno(struct config_report *report, const char *path, int error)
{
	report_error(report, path, 0, "cannot be read: %s", strerror(error));
	return -error;
}

/* A link that leads nowhere is not a missing file: whoever made it meant something to be read. */
static bool is_missing(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 && errno == ENOENT;
}

static int check_kind(int fd, const char *path, struct config_report *report)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_errno(report, path, errno);
	if (!S_ISREG(st.st_mode)) {
		report_error(report, path, 0, "is not a regular file");
		return -EINVAL;
	}
	return 0;
}

/* What the file says of its size is not believed: it may grow, and in /proc it is 0. */
static int read_all(int fd, const char *path, char **ret, size_t *ret_length,
		    struct config_report *report)
{
	_cleanup_free_ char *text = malloc(CONFIG_FILE_MAX + 2);
	size_t length = 0;
	char *shrunk;

	if (!text) {
		report_out_of_memory(report);
		return -ENOMEM;
	}
	while (length <= CONFIG_FILE_MAX) {
		ssize_t n = read(fd, text + length, CONFIG_FILE_MAX + 1 - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(report, path, errno);
		if (n == 0)
			break;
		length += (size_t)n;
	}
	if (length > CONFIG_FILE_MAX) {
		report_error(report, path, 0, "is larger than %d bytes", CONFIG_FILE_MAX);
		return -EFBIG;
	}
	text[length] = '\0';
	shrunk = realloc(text, length + 1);
	if (shrunk)
		text = shrunk;
	*ret = TAKE_PTR(text);
	*ret_length = length;
	return 1;
}

int file_read(const char *path, bool may_be_missing, char **ret, size_t *ret_length,
	      struct config_report *report)
{
	/* O_NONBLOCK: opening a FIFO must not wait for its other end. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0) {
		r = errno;
		if (r == ENOENT && may_be_missing && is_missing(path))
			return 0;
		if (r == ENXIO) { /* a socket, or a device without a driver */
			report_error(report, path, 0, "is not a regular file");
			return -EINVAL;
		}
		return fail_errno(report, path, r);
	}
	r = check_kind(fd, path, report);
	if (r < 0)
		return r;
	return read_all(fd, path, ret, ret_length, report);
}

static bool is_ignored(const char *name)
{
	size_t n = strlen(name);

	return name[0] == '.' || name[n - 1] == '~' || strstr(name, ".dpkg-");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void file_names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static int add_name(char ***names, size_t *n, const char *name)
{
	char *copy;
	int r;

	r = grow((void **)names, *n, sizeof(char *));
	if (r < 0)
		return r;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	(*names)[(*n)++] = copy;
	return 0;
}

static int list(DIR *dir, char ***names, size_t *n)
{
	for (;;) {
		struct dirent *entry;
		int r;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
		if (is_ignored(entry->d_name))
			continue;
		r = add_name(names, n, entry->d_name);
		if (r < 0)
			return r;
	}
}

int file_names(const char *path, char ***ret, size_t *ret_n, struct config_report *report)
{
	char **names = NULL;
	size_t n = 0;
	DIR *dir;
	int r;

	*ret = NULL;
	*ret_n = 0;
	dir = opendir(path);
	if (!dir) {
		r = errno;
		if (r == ENOENT && is_missing(path))
			return 0;
		return fail_errno(report, path, r);
	}
	r = list(dir, &names, &n);
	closedir(dir);
	if (r < 0) {
		file_names_free(names, n);
		if (r == -ENOMEM)
			report_out_of_memory(report);
		else
			fail_errno(report, path, -r);
		return r;
	}
	if (n > 1)
		qsort(names, n, sizeof(char *), by_name);
	*ret = names;
	*ret_n = n;
	return 0;
}
