/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/registration.h"

#include <string.h>

static int parse_count(const char *value, size_t left, size_t *ret, struct sb_error *error)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || *end || value[0] < '0' || value[0] > '9' || n == 0)
		return sb_fail(error, EINVAL, "COUNT=%s is not a number of sockets", value);
	if (n > left)
		return sb_fail(error, EBADF, "COUNT=%lu, but only %zu sockets are left", n, left);
	*ret = n;
	return 0;
}

/* LABEL= with its COUNT=, repeated; a label without a count takes all that are left. */
static int parse_parts(const struct sb_message *m, struct registration *reg, struct sb_error *error)
{
	size_t used = 0;
	int r;

	for (size_t i = 0; i < m->n_fields; i++) {
		struct part *p = &reg->parts[reg->n_parts];

		if (!strcmp(m->fields[i].key, "COUNT") &&
		    (i == 0 || strcmp(m->fields[i - 1].key, "LABEL") != 0))
			return sb_fail(error, EINVAL,
				       "COUNT=%s does not follow a LABEL=", m->fields[i].value);
		if (strcmp(m->fields[i].key, "LABEL") != 0)
			continue;
		if (reg->n_parts == REGISTER_LABELS_MAX)
			return sb_fail(error, EMSGSIZE, "more than %d labels in one request",
				       REGISTER_LABELS_MAX);
		r = sb_label_check(m->fields[i].value, error);
		if (r < 0)
			return r;
		for (size_t k = 0; k < reg->n_parts; k++)
			if (!strcmp(reg->parts[k].name, m->fields[i].value))
				return sb_fail(error, EINVAL, "label %s comes twice",
					       m->fields[i].value);
		*p = (struct part){
			.name = m->fields[i].value,
			.first = used,
			.count = reg->n_sockets - used,
		};
		if (i + 1 < m->n_fields && !strcmp(m->fields[i + 1].key, "COUNT")) {
			r = parse_count(m->fields[i + 1].value, reg->n_sockets - used, &p->count,
					error);
			if (r < 0)
				return r;
		}
		if (p->count == 0)
			return sb_fail(error, EBADF, "no socket is left for label %s", p->name);
		used += p->count;
		reg->n_parts++;
	}
	if (reg->n_parts == 0)
		return sb_fail(error, EINVAL, "the request lacks LABEL=");
	if (used != reg->n_sockets)
		return sb_fail(error, EBADF, "%zu sockets came, but only %zu have a label",
			       reg->n_sockets, used);
	return 0;
}

static int parse_mode(const struct request *rq, bool *add, struct sb_error *error)
{
	const char *mode;
	int r;

	*add = false;
	if (sb_message_count(rq->message, "MODE") == 0)
		return 0;
	r = request_need(rq, "MODE", &mode, error);
	if (r < 0)
		return r;
	if (strcmp(mode, "add") != 0 && strcmp(mode, "replace") != 0)
		return sb_fail(error, EINVAL, "MODE= is add or replace, not \"%s\"", mode);
	*add = !strcmp(mode, "add");
	return 0;
}

/* PIDFD=yes: the last fd is a pidfd of the process that serves the sockets. Who hands them in may
 * be a helper that ends at once. */
static int parse_pidfd(const struct request *rq, struct registration *reg, struct sb_error *error)
{
	int r = request_flag(rq, "PIDFD", &reg->other, error);

	reg->n_sockets = rq->n_fds;
	reg->pidfd = -1;
	if (r < 0 || !reg->other)
		return r;
	reg->n_sockets--;
	if (rq->fds)
		reg->pidfd = rq->fds[reg->n_sockets];
	return 0;
}

int registration_parse(const struct request *rq, struct registration *reg, struct sb_error *error)
{
	int r;

	reg->n_parts = reg->n_stored = reg->n_copies = reg->n_changes = 0;
	reg->life = NULL;
	r = parse_mode(rq, &reg->add, error);
	if (r == 0)
		r = parse_pidfd(rq, reg, error);
	return r == 0 ? parse_parts(rq->message, reg, error) : r;
}
