/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking the sockets that the broker keeps. */
#include <errno.h>
#include <string.h>

#include "client/handle.h"
#include "client/number.h"

/* The COUNT= behind each LABEL= of the reply, in the order of the request; their sum must be the
 * number of fds that came. */
static int read_counts(struct sockbroker *sb, const char *const *labels, size_t n_labels,
		       size_t *counts)
{
	const struct sb_message *m = &sb->reply;
	size_t found = 0, sum = 0;

	for (size_t i = 0; i + 1 < m->n_fields; i++) {
		uint64_t n;

		if (strcmp(m->fields[i].key, "LABEL") != 0)
			continue;
		if (found == n_labels || strcmp(m->fields[i].value, labels[found]) != 0 ||
		    strcmp(m->fields[i + 1].key, "COUNT") != 0 ||
		    !number_parse(m->fields[i + 1].value, &n) || n > SOCKBROKER_FDS_MAX)
			return -EPROTO;
		if (counts)
			counts[found] = (size_t)n;
		found++;
		sum += n;
	}
	return found == n_labels && sum == sb->packet.n_fds ? 0 : -EPROTO;
}

int sockbroker_take_many(struct sockbroker *sb, const char *const *labels, size_t n_labels,
			 int *ret_fds, size_t *ret_counts)
{
	struct sb_writer w = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	if (n_labels == 0)
		return handle_fail_local(sb, EINVAL, "no label to take sockets of");
	sb_writer_add(&w, "REQUEST", "take");
	for (size_t i = 0; i < n_labels; i++)
		sb_writer_add(&w, "LABEL", "%s", labels[i]);
	r = handle_call(sb, &w, NULL, 0);
	if (r < 0)
		return r;
	if (read_counts(sb, labels, n_labels, ret_counts) < 0)
		return handle_fail_unreachable(sb, EPROTO,
					       "the broker's reply does not say which of its %zu "
					       "sockets belong to which label",
					       sb->packet.n_fds);
	memcpy(ret_fds, sb->packet.fds, sb->packet.n_fds * sizeof(int));
	r = (int)sb->packet.n_fds;
	sb->packet.n_fds = 0;
	return r;
}

int sockbroker_take(struct sockbroker *sb, const char *label, int *ret_fds)
{
	return sockbroker_take_many(sb, &label, 1, ret_fds, NULL);
}
