/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handing sockets in and taking them out. */
#include <errno.h>
#include <string.h>

#include "client/handle.h"

static int copy_fds(struct sockbroker *sb, const struct sockbroker_sockets *set,
		    int fds[static SB_WIRE_FDS_MAX], size_t *n)
{
	if (set->n_fds == 0)
		return handle_fail_local(sb, EINVAL, "%s: no sockets to register", set->label);
	if (set->n_fds > SB_WIRE_FDS_MAX - *n)
		return handle_fail_local(sb, EMFILE, "one request carries at most %d sockets",
					 SB_WIRE_FDS_MAX);
	memcpy(fds + *n, set->fds, set->n_fds * sizeof(int));
	*n += set->n_fds;
	return 0;
}

/* PIDFD -1: none. */
static int register_many(struct sockbroker *sb, int pidfd, const struct sockbroker_sockets *sets,
			 size_t n_sets, unsigned int flags)
{
	struct sb_writer w = { 0 };
	int fds[SB_WIRE_FDS_MAX];
	size_t n_fds = 0;
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	if (flags & ~SOCKBROKER_ADD)
		return handle_fail_local(sb, EINVAL, "register has no such flag: 0x%x", flags);
	if (n_sets == 0)
		return handle_fail_local(sb, EINVAL, "no sockets to register");

	sb_writer_add(&w, "REQUEST", "register");
	sb_writer_add(&w, "MODE", "%s", flags & SOCKBROKER_ADD ? "add" : "replace");
	for (size_t i = 0; i < n_sets; i++) {
		r = copy_fds(sb, &sets[i], fds, &n_fds);
		if (r < 0)
			return r;
		sb_writer_add(&w, "LABEL", "%s", sets[i].label);
		sb_writer_add(&w, "COUNT", "%zu", sets[i].n_fds);
	}
	if (pidfd >= 0) {
		if (n_fds == SB_WIRE_FDS_MAX)
			return handle_fail_local(sb, EMFILE,
						 "one request carries at most %d sockets and a "
						 "pidfd",
						 SB_WIRE_FDS_MAX - 1);
		sb_writer_add(&w, "PIDFD", "yes");
		fds[n_fds++] = pidfd;
	}
	return handle_call(sb, &w, fds, n_fds);
}

int sockbroker_register_many(struct sockbroker *sb, const struct sockbroker_sockets *sets,
			     size_t n_sets, unsigned int flags)
{
	return register_many(sb, -1, sets, n_sets, flags);
}

int sockbroker_register_for(struct sockbroker *sb, int pidfd, const struct sockbroker_sockets *sets,
			    size_t n_sets, unsigned int flags)
{
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	if (pidfd < 0)
		return handle_fail_local(sb, EBADF, "%d is no pidfd", pidfd);
	return register_many(sb, pidfd, sets, n_sets, flags);
}

int sockbroker_register(struct sockbroker *sb, const char *label, const int *fds, size_t n_fds,
			unsigned int flags)
{
	struct sockbroker_sockets set = { label, fds, n_fds };

	return sockbroker_register_many(sb, &set, 1, flags);
}

int sockbroker_unregister(struct sockbroker *sb, const char *label, const char *protocol,
			  uint64_t *ret_sockets)
{
	struct sb_writer w = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	sb_writer_add(&w, "REQUEST", "unregister");
	sb_writer_add(&w, "LABEL", "%s", label);
	if (protocol)
		sb_writer_add(&w, "PROTOCOL", "%s", protocol);
	r = handle_call(sb, &w, NULL, 0);
	if (r < 0)
		return r;
	if (ret_sockets)
		*ret_sockets = handle_reply_number(sb, "SOCKETS");
	return 0;
}
