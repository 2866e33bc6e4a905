/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/systemd/listen.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

void listen_fds_clear(struct listen_fds *l)
{
	sb_close(l->control);
	for (size_t i = 0; i < l->n_others; i++) {
		sb_close(l->others[i].fd);
		free(l->others[i].name);
	}
	free(l->others);
	*l = LISTEN_FDS_NULL;
}

/* All passed fds with their names into RET's others. */
static int take_all(struct listen_fds *ret)
{
	char **names = NULL;
	int n, r;

	/* Counting comes first: when the names are refused the fds must be closed all the same. */
	n = sd_listen_fds(0);
	r = sd_listen_fds_with_names(1, &names);
	if (n <= 0)
		return n;
	if (r == n) {
		ret->others = calloc((size_t)n, sizeof(*ret->others));
		if (!ret->others)
			r = -ENOMEM;
	}
	for (int i = 0; i < n; i++) {
		if (r == n) {
			ret->others[i] = (struct listen_fd){ SD_LISTEN_FDS_START + i, names[i] };
		} else {
			sb_close(SD_LISTEN_FDS_START + i);
			if (r > 0)
				free(names[i]);
		}
	}
	free(names);
	if (r < 0)
		return r;
	ret->n_others = (size_t)n;
	return 0;
}

static bool is_control_socket(int fd)
{
	return sd_is_socket(fd, AF_UNIX, SOCK_SEQPACKET, 1) > 0;
}

/* 1 with the index of the control socket, 0: there is none, or -EINVAL. */
static int find_control(const struct listen_fds *l, size_t *ret, struct sb_error *error)
{
	bool found = false;

	for (size_t i = 0; i < l->n_others; i++) {
		if (strcmp(l->others[i].name, LISTEN_CONTROL_NAME))
			continue;
		if (!is_control_socket(l->others[i].fd))
			return sb_fail(error, EINVAL,
				       "what " LISTEN_CONTROL_NAME
				       " passed is not a listening Unix "
				       "socket of type SEQPACKET: write ListenSequentialPacket= "
				       "in that unit");
		if (found)
			return sb_fail(error, EINVAL,
				       LISTEN_CONTROL_NAME " passed two sockets: leave one "
							   "ListenSequentialPacket= in that unit");
		*ret = i;
		found = true;
	}
	for (size_t i = 0; !found && i < l->n_others; i++)
		if (is_control_socket(l->others[i].fd)) {
			*ret = i;
			found = true;
		}
	return found;
}

static int take_control(struct listen_fds *l, size_t i)
{
	int flags = fcntl(l->others[i].fd, F_GETFL);

	if (flags < 0 || fcntl(l->others[i].fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	l->control = TAKE_FD(l->others[i].fd);
	free(l->others[i].name);
	l->n_others--;
	memmove(&l->others[i], &l->others[i + 1], (l->n_others - i) * sizeof(*l->others));
	return 0;
}

int listen_fds_take(struct listen_fds *ret, struct sb_error *error)
{
	size_t control = 0;
	int r;

	*ret = LISTEN_FDS_NULL;
	r = take_all(ret);
	if (r < 0)
		return sb_fail(error, -r,
			       "the file descriptors that the service manager passed cannot be "
			       "taken over (LISTEN_FDS, LISTEN_FDNAMES): %s",
			       strerror(-r));
	r = find_control(ret, &control, error);
	if (r > 0) {
		r = take_control(ret, control);
		if (r < 0)
			sb_fail(error, -r, "the passed listening socket cannot be used: %s",
				strerror(-r));
	}
	if (r < 0)
		listen_fds_clear(ret);
	return r;
}
