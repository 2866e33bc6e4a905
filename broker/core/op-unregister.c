/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unregister: a registrant takes out its own sockets, an admin any. */
#include <string.h>

#include "broker/base/log.h"
#include "broker/base/rate-limit.h"
#include "broker/core/core-internal.h"

struct wanted {
	unsigned protocols; /* set of SB_PROTOCOL_* */
	bool admin;
	uid_t uid;
};

static bool of_protocol(const struct member *m, const struct wanted *w)
{
	return w->protocols & (m->protocol == IPPROTO_UDP ? SB_PROTOCOL_UDP : SB_PROTOCOL_TCP);
}

static bool leaves(const struct member *m, const void *data)
{
	const struct wanted *w = data;

	return !m->own && of_protocol(m, w) && (w->admin || m->uid == w->uid);
}

/* CHANGE: the living sockets. */
static int refuse_empty(const struct members_change *change, const struct wanted *w,
			const char *protocol, struct sb_error *error)
{
	const struct label *l = change->label;

	for (size_t i = 0; i < change->n_members; i++)
		if (!change->members[i].own && of_protocol(&change->members[i], w))
			return sb_fail(error, EPERM,
				       "uid %u registered none of the sockets of label %s; their "
				       "registrants and admins may take them out",
				       (unsigned)w->uid, l->name);
	return sb_fail(error, ENOENT, "label %s has no %s%ssockets", l->name, protocol,
		       protocol[0] ? " " : "");
}

int op_unregister(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	struct wanted wanted = {
		.protocols = SB_PROTOCOL_ANY,
		.admin = policy_is_admin(rq->actor, &c->settings.groups),
		.uid = rq->actor->uid,
	};
	struct members_change change = { 0 };
	const char *protocol = "";
	struct label *l;
	size_t n = 0;
	int r;

	r = request_label(c, rq, false, &l, error);
	if (r < 0)
		return r;
	if (sb_message_count(rq->message, "PROTOCOL") > 0) {
		r = request_need(rq, "PROTOCOL", &protocol, error);
		if (r == 0)
			r = sb_protocol_parse(protocol, &wanted.protocols, error);
		if (r < 0)
			return r;
	}
	r = members_change_begin(c, &change, l);
	if (r < 0) {
		r = sb_fail(error, -r, "label %s: %s", l->name, strerror(-r));
	} else {
		n = members_change_drop(&change, leaves, &wanted);
		r = n == 0 ? refuse_empty(&change, &wanted, protocol, error)
			   : members_apply(c, &change, 1, error);
	}
	members_change_end(&change, 1);
	if (r < 0)
		return r;
	log_limited(&c->log, LOG_INFO, "label %s: %zu sockets taken out by uid %u; %zu left",
		    l->name, n, (unsigned)wanted.uid, label_sockets(l));
	sb_writer_add(&reply->writer, "SOCKETS", "%zu", n);
	core_label_collect(c, l);
	return 0;
}
