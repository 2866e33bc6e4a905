/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/core/core-internal.h"
#include "broker/core/saved.h"

/* Records that are written while everybody waits: some milliseconds' worth. */
#define LENGTH_MAX 4000

enum permission {
	MAY_READ,     /* ReadGroup=, or everybody */
	MAY_REGISTER, /* decided by the handler, for each label of the request */
	MAY_ADMIN,    /* root, AdminGroup= */
};

static const struct request_row {
	const char *name;
	size_t fds_min, fds_max;
	enum permission permission;
	request_handler handler;
	const char *keys; /* its fields beside REQUEST=; every other one is refused */
	/* How much there is to tell, NULL: little. Those that have it change nothing. */
	size_t (*length)(const struct core *c, const struct label *l);
} request_rows[] = {
	{ "version", 0, 0, MAY_READ, op_version, "" },
	{ "status", 0, 0, MAY_READ, op_status, "LABEL", op_status_length },
	{ "rules", 0, 0, MAY_READ, op_rules, "LABEL FORMAT", op_rules_length },
	{ "explain", 0, 0, MAY_READ, op_explain, "PROTOCOL ADDRESS PORT FROM_ADDRESS FROM_PORT" },
	{ "register", 1, SB_WIRE_FDS_MAX, MAY_REGISTER, op_register, "LABEL COUNT MODE PIDFD" },
	{ "take", 0, 0, MAY_REGISTER, op_take, "LABEL" },
	{ "unregister", 0, 0, MAY_REGISTER, op_unregister, "LABEL PROTOCOL" },
	{ "bind", 0, 0, MAY_ADMIN, op_bind, "LABEL PROTOCOL PREFIX PORTS MOVE" },
	{ "unbind", 0, 0, MAY_ADMIN, op_unbind, "LABEL PROTOCOL PREFIX PORTS" },
	{ "apply", 1, 1, MAY_ADMIN, op_apply, "DRY_RUN" },
	{ "reload", 0, 0, MAY_ADMIN, op_reload, "" },
	{ "unload", 0, 0, MAY_ADMIN, op_unload, "" },
};

static const struct request_row *find_row(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(request_rows); i++)
		if (!strcmp(request_rows[i].name, name))
			return &request_rows[i];
	return NULL;
}

/* Of one in the long form; it may be no request at all. */
static const struct request_row *message_row(const struct sb_message *m)
{
	return m->short_form || m->n_fields == 0 ? NULL : find_row(m->fields[0].value);
}

static bool in_list(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
			return true;
	return false;
}

/* A field that is not understood may be what makes the request harmless (DRY_RUN= with a typing
 * error), so none is passed over. */
static int check_keys(const struct request_row *row, const struct request *rq,
		      struct sb_error *error)
{
	for (size_t i = 1; i < rq->message->n_fields; i++)
		if (!in_list(row->keys, rq->message->fields[i].key))
			return sb_fail(error, EINVAL, "%s has no field %s=", row->name,
				       rq->message->fields[i].key);
	return 0;
}

static int check_permission(const struct core *c, const struct request_row *row,
			    const struct request *rq, struct sb_error *error)
{
	const struct policy_groups *groups = &c->settings.groups;
	bool group = c->settings.admin_group[0] != '\0';

	switch (row->permission) {
	case MAY_READ:
		if (policy_may_read(rq->actor, groups))
			return 0;
		return sb_fail(error, EPERM,
			       "uid %u may not read from this broker: sockbroker.conf has a "
			       "ReadGroup=, and you are not in it",
			       (unsigned)rq->actor->uid);
	case MAY_REGISTER:
		return 0;
	case MAY_ADMIN:
		if (policy_is_admin(rq->actor, groups))
			return 0;
		return sb_fail(error, EPERM, "uid %u may not %s: only root%s%s may",
			       (unsigned)rq->actor->uid, row->name,
			       group ? " and members of group " : "",
			       group ? c->settings.admin_group : "");
	}
	return sb_fail(error, EPERM, "not allowed");
}

static int check_fds(const struct request_row *row, const struct request *rq,
		     struct sb_error *error)
{
	if (rq->n_fds >= row->fds_min && rq->n_fds <= row->fds_max)
		return 0;
	if (row->fds_max == 0)
		return sb_fail(error, EBADF, "%s takes no file descriptors, but %zu came with it",
			       row->name, rq->n_fds);
	if (rq->n_fds == 0)
		return sb_fail(error, EBADF, "%s needs %s, but no file descriptor came with it",
			       row->name,
			       row->handler == op_register ? "sockets" : "a sealed memfd");
	return sb_fail(error, EBADF, "%s takes %zu to %zu file descriptors, but %zu came with it",
		       row->name, row->fds_min, row->fds_max, rq->n_fds);
}

static int dispatch(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	const struct request_row *row;
	const char *name = "register";
	int r;

	if (c->unloaded)
		return sb_fail(error, ESHUTDOWN,
			       "the dataplane was unloaded, the broker is ending");
	if (!rq->message->short_form) {
		if (rq->message->n_fields == 0 ||
		    strcmp(rq->message->fields[0].key, "REQUEST") != 0)
			return sb_fail(error, EPROTO, "a request starts with REQUEST=");
		r = request_need(rq, "REQUEST", &name, error);
		if (r < 0)
			return r;
	}
	row = find_row(name);
	if (!row)
		return sb_fail(error, EPROTO, "this broker has no request \"%s\"", name);
	r = check_permission(c, row, rq, error);
	if (r < 0)
		return r;
	r = check_keys(row, rq, error);
	if (r < 0)
		return r;
	r = check_fds(row, rq, error);
	if (r < 0)
		return r;
	return row->handler(c, rq, reply, error);
}

bool core_takes_long(const struct core *c, const struct request *rq)
{
	const struct sb_message *m = rq->message;
	const struct request_row *row = message_row(m);
	const char *name = sb_message_get(m, "LABEL");

	return row && row->length &&
	       row->length(c, name ? registry_find(c->registry, name) : NULL) > LENGTH_MAX;
}

/* What a scribe may answer, which is another process, and must leave the saved state alone. */
static bool only_tells(const struct request *rq)
{
	const struct request_row *row = message_row(rq->message);

	return row && row->length;
}

void core_request(struct core *c, struct request *rq, struct reply *reply)
{
	struct sb_error error = { 0 };
	bool short_form = rq->message->short_form;
	int r;

	sb_writer_accept(&reply->writer, short_form);
	r = dispatch(c, rq, reply, &error);
	if (!c->unloaded && !only_tells(rq))
		saved_bound(c);
	if (r < 0) {
		/* A handler may have left a table that goes with its refusal. */
		sb_writer_refuse(&reply->writer, short_form, &error);
		return;
	}
	/* The short form promises exactly "OK". */
	if (short_form) {
		reply->writer = (struct sb_writer){ 0 };
		sb_writer_accept(&reply->writer, true);
	} else if (sb_writer_finish(&reply->writer) < 0) {
		sb_fail(&error, EMSGSIZE, "the reply does not fit one packet");
		sb_writer_refuse(&reply->writer, false, &error);
	}
}

int request_need(const struct request *rq, const char *key, const char **ret,
		 struct sb_error *error)
{
	size_t n = sb_message_count(rq->message, key);

	*ret = NULL;
	if (n != 1)
		return sb_fail(error, EINVAL, n == 0 ? "the request lacks %s=" : "%s= comes twice",
			       key);
	*ret = sb_message_get(rq->message, key);
	return 0;
}

int request_refuse_files(struct sb_error *error)
{
	return sb_fail(error, EAGAIN,
		       "the configuration has changed since you connected: connect again");
}

int request_flag(const struct request *rq, const char *key, bool *ret, struct sb_error *error)
{
	const char *value;
	int r;

	*ret = false;
	if (sb_message_count(rq->message, key) == 0)
		return 0;
	r = request_need(rq, key, &value, error);
	if (r < 0)
		return r;
	if (!strcmp(value, "yes"))
		*ret = true;
	else if (strcmp(value, "no") != 0)
		return sb_fail(error, EINVAL, "%s= is yes or no, not \"%s\"", key, value);
	return 0;
}

void reply_warn(struct reply *reply, const char *format, ...)
{
	struct sb_writer *w = &reply->writer;
	size_t before = w->length;
	char text[SB_ERROR_MESSAGE_MAX * 2];
	va_list ap;

	if (w->error < 0)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	sb_writer_add(w, "WARNING", "%s", text);
	if (w->error == -EMSGSIZE) {
		w->error = 0;
		w->length = before;
	}
}

int request_label(const struct core *c, const struct request *rq, bool optional, struct label **ret,
		  struct sb_error *error)
{
	const char *name;
	int r;

	*ret = NULL;
	if (optional && sb_message_count(rq->message, "LABEL") == 0)
		return 0;
	r = request_need(rq, "LABEL", &name, error);
	if (r < 0)
		return r;
	r = sb_label_check(name, error);
	if (r < 0)
		return r;
	*ret = registry_find(c->registry, name);
	if (!*ret)
		return sb_fail(error, ENOENT, "there is no label %s", name);
	return 0;
}

/* A label without a file is known to nobody but admins, so the refusal for it is the same whether
 * it exists or not. */
int request_may_register(struct core *c, struct request *rq, const char *name,
			 struct sb_error *error)
{
	const struct label *l = registry_find(c->registry, name);
	const struct policy *policy = l && l->configured ? &l->policy : NULL;
	const struct policy_groups *groups = &c->settings.groups;
	bool group = c->settings.admin_group[0] != '\0';

	if (!rq->actor->unit_known) /* for the decision, and for status */
		c->host.unit(c->host.self, rq->actor->pid, rq->pidfd, rq->actor->unit,
			     sizeof(rq->actor->unit));
	rq->actor->unit_known = true;
	if (policy_may_register(rq->actor, groups, policy))
		return 0;
	return sb_fail(error, EPERM,
		       "uid %u may not register under label %s: only root%s%s%s%s may%s",
		       (unsigned)rq->actor->uid, name, group ? ", group " : "",
		       group ? c->settings.admin_group : "", policy && policy->summary ? ", " : "",
		       policy && policy->summary ? policy->summary : "",
		       policy ? "" : " (it has no label file with AllowUser= or the like)");
}

int request_rule(const struct request *rq, struct sb_rule_line *ret, struct sb_error *error)
{
	const char *protocol, *prefix, *ports;
	int r;

	r = request_need(rq, "PROTOCOL", &protocol, error);
	if (r < 0)
		return r;
	r = request_need(rq, "PREFIX", &prefix, error);
	if (r < 0)
		return r;
	r = request_need(rq, "PORTS", &ports, error);
	if (r < 0)
		return r;
	r = sb_protocol_parse(protocol, &ret->protocols, error);
	if (r < 0)
		return r;
	r = sb_prefix_parse(prefix, &ret->prefix, error);
	if (r < 0)
		return r;
	return sb_ports_parse(ports, ret->ports, SB_PORT_LIST_MAX, &ret->n_ports, error);
}
