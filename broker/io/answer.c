/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/answer.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/base/clock.h"
#include "broker/io/scribe.h"
#include "protocol/wire-io.h"

void client_clear(struct client *c)
{
	scribe_forget(c->scribe);
	c->scribe = NULL;
	quota_charge_clear(&c->table);
	quota_charge_clear(&c->connection);
	quota_user_put(c->user);
	c->user = NULL;
	c->pidfd = sb_close(c->pidfd);
}

void answer_clear(struct answer *a)
{
	while (a->n_fds > 0)
		sb_close(a->fds[--a->n_fds]);
	a->table = false;
}

void answer_refuse(const struct answerer *a, const struct sb_error *error, struct answer *ret)
{
	sb_writer_refuse(&ret->writer, a->message.short_form, error);
}

int answer_begin(struct answerer *a, const char *packet, size_t length, struct request *request,
		 struct answer *ret)
{
	struct sb_error error = { 0 };
	int r;

	ret->n_fds = 0;
	ret->table = false;
	ret->writer.error = 0;
	ret->writer.length = 0;
	request->message = &a->message;
	r = sb_message_decode(&a->message, packet, length, &error);
	if (r < 0)
		answer_refuse(a, &error, ret);
	return r;
}

static int refuse_wait(int r, uint64_t wait_s, struct sb_error *error)
{
	if (r == -ENOMEM)
		return sb_fail(error, ENOMEM, "the reply's table cannot be counted: out of memory");
	return sb_fail(error, -r,
		       "your user has had all that it may of tables for now "
		       "(MaxReplyRate= in sockbroker.conf); ask again in %" PRIu64 " s",
		       wait_s);
}

/* Whether a table can be had whose length is not known yet: to find that out costs a process, and
 * the time of writing all of it. */
static int ask_for_table(const struct answerer *a, struct client *c, struct sb_error *error)
{
	uint64_t wait_s = 0, held, share;
	int r;

	if (!c->user)
		return 0;
	quota_charge_clear(&c->table); /* as there: that of its last request, which it has */
	held = quota_held(c->user, QUOTA_BYTES);
	share = quota_share(c->user, QUOTA_BYTES);
	if (held >= share)
		return sb_fail(error, EDQUOT,
			       "replies to your user that were not read yet have %" PRIu64
			       " bytes, and may have %" PRIu64
			       " (MaxReplyMemory= in sockbroker.conf)",
			       held, share);
	r = meter_ask(a->meter, c->actor.uid, clock_monotonic_us(), &wait_s);
	return r < 0 ? refuse_wait(r, wait_s, error) : 0;
}

/* What the user may have of tables: so much unread at a time, and so much a minute. */
static int charge_table(struct answerer *a, struct client *c, uint64_t length,
			struct sb_error *error)
{
	uint64_t wait_s = 0;
	int r;

	quota_charge_clear(&c->table);
	if (quota_charge(&c->table, c->user, QUOTA_BYTES, length) < 0)
		return sb_fail(error, EDQUOT,
			       "the reply's table has %" PRIu64 " bytes; replies to your user that "
			       "were not read yet have %" PRIu64 ", and may have %" PRIu64
			       " (MaxReplyMemory= in sockbroker.conf)",
			       length, quota_held(c->user, QUOTA_BYTES),
			       quota_share(c->user, QUOTA_BYTES));
	r = meter_take(a->meter, c->actor.uid, length, clock_monotonic_us(), &wait_s);
	if (r == 0)
		return 0;
	quota_charge_clear(&c->table);
	return refuse_wait(r, wait_s, error);
}

void answer_charge(struct answerer *a, struct client *c, bool short_form, struct answer *ret)
{
	struct sb_error error = { 0 };
	struct stat st;

	if (!c->user || !ret->table)
		return;
	if (fstat(ret->fds[0], &st) == 0 && charge_table(a, c, (uint64_t)st.st_size, &error) == 0)
		return;
	answer_clear(ret);
	sb_writer_refuse(&ret->writer, short_form, &error);
}

/* The table of REPLY cannot be made. What was carried out must not look refused for that, and a
 * refusal keeps its reason. */
static void do_without_table(const struct answerer *a, const struct reply *reply, int reason,
			     struct answer *ret)
{
	struct sb_writer *w = &ret->writer;
	size_t before = w->length;
	struct sb_error error = { 0 };

	sb_fail(&error, reason, "the reply's table cannot be made: %s", strerror(reason));
	if (!reply->table_optional) {
		answer_refuse(a, &error, ret);
		return;
	}
	if (a->message.short_form || strncmp(w->buffer, "OK=1\n", 5) != 0)
		return;
	sb_writer_add(w, "WARNING", "done, but %s", error.message);
	if (sb_writer_finish(w) < 0) { /* no room */
		w->error = 0;
		w->length = before;
	}
}

void answer_write(struct answerer *a, struct client *c, struct request *request, struct answer *ret)
{
	struct reply reply = { 0 };

	request->actor = &c->actor;
	request->pidfd = c->pidfd;
	a->calls.handle(a->calls.data, request, &reply);
	ret->writer = reply.writer;
	memcpy(ret->fds, reply.fds, reply.n_fds * sizeof(reply.fds[0]));
	ret->n_fds = reply.n_fds;
	if (reply.has_table) {
		int r = sb_memfd_new_sealed("sockbroker-reply",
					    reply.table.data ? reply.table.data : "",
					    reply.table.length);

		ret->table = r >= 0;
		if (ret->table)
			ret->fds[ret->n_fds++] = r;
		else
			do_without_table(a, &reply, -r, ret);
	}
	sb_text_free(&reply.table);
}

bool answer_end(struct answerer *a, struct client *c, const char *packet, size_t length,
		struct request *request, struct answer *ret)
{
	struct sb_error error = { 0 };
	int r;

	request->actor = &c->actor;
	request->pidfd = c->pidfd;
	if (!a->calls.takes_long(a->calls.data, request)) {
		answer_write(a, c, request, ret);
		answer_charge(a, c, a->message.short_form, ret);
		return true;
	}
	r = ask_for_table(a, c, &error);
	if (r == 0) {
		r = scribes_add(a->scribes, c, packet, length);
		if (r == 0)
			return false;
		sb_fail(&error, -r,
			r == -EAGAIN ? "your user has one long answer being written already"
				     : "the answer cannot be written: out of memory");
	}
	answer_refuse(a, &error, ret);
	return true;
}
