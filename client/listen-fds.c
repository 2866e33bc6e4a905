/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The receiving end of systemd's socket hand-off, without libsystemd. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "client/number.h"
#include "client/sockbroker.h"
#include "protocol/cleanup.h"

void sockbroker_free_names(char **names)
{
	for (char **p = names; p && *p; p++)
		free(*p);
	free(names);
}
SB_DEFINE_CLEANUP(char *, sockbroker_free_names)

static int environment_number(const char *key, uint64_t max, uint64_t *ret)
{
	const char *value = getenv(key);

	if (!value || !number_parse(value, ret) || *ret > max)
		return -EINVAL;
	return 0;
}

/* How many were passed to this process; 0 when none or when they are for another. */
static int count_fds(void)
{
	uint64_t pid, n;

	/* Both or nothing: without LISTEN_PID nobody says that they are ours. */
	if (!getenv("LISTEN_PID") || !getenv("LISTEN_FDS"))
		return 0;
	if (environment_number("LISTEN_PID", INT_MAX, &pid) < 0 || pid == 0)
		return -EINVAL;
	if (pid != (uint64_t)getpid())
		return 0;
	if (environment_number("LISTEN_FDS", INT_MAX - SOCKBROKER_LISTEN_FDS_START, &n) < 0)
		return -EINVAL;
	return (int)n;
}

static int set_cloexec(int n)
{
	for (int i = 0; i < n; i++) {
		int fd = SOCKBROKER_LISTEN_FDS_START + i;
		int flags = fcntl(fd, F_GETFD);

		if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}

/* Exactly N names, split at ':', or N times "unknown" when TEXT is NULL. */
static int split_names(const char *text, int n, char ***ret)
{
	_cleanup_(sockbroker_free_namesp) char **names = calloc((size_t)n + 1, sizeof(char *));

	if (!names)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		size_t length = text ? strcspn(text, ":") : 0;

		names[i] = text ? strndup(text, length) : strdup("unknown");
		if (!names[i])
			return -ENOMEM;
		if (!text)
			continue;
		if ((text[length] == ':') != (i + 1 < n))
			return -EINVAL;
		text += length + 1;
	}
	*ret = TAKE_PTR(names);
	return 0;
}

static int listen_fds(char ***ret_names)
{
	int n = count_fds();
	int r;

	if (n <= 0)
		return n;
	r = set_cloexec(n);
	if (r == 0 && ret_names)
		r = split_names(getenv("LISTEN_FDNAMES"), n, ret_names);
	return r < 0 ? r : n;
}

int sockbroker_listen_fds(unsigned int flags, char ***ret_names)
{
	int r;

	if (ret_names)
		*ret_names = NULL;
	if (flags & ~SOCKBROKER_UNSET_ENV)
		return -EINVAL;
	r = listen_fds(ret_names);
	if (flags & SOCKBROKER_UNSET_ENV) {
		unsetenv("LISTEN_FDS");
		unsetenv("LISTEN_PID");
		unsetenv("LISTEN_FDNAMES");
	}
	return r;
}
