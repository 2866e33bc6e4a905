/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* apply: the runtime rules become exactly those of a text, in one atomic step. */
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>

#include "broker/base/log.h"
#include "broker/core/guard.h"
#include "broker/core/hold.h"
#include "broker/core/replace.h"
#include "broker/core/shares.h"
#include "protocol/wire-io.h"

#define APPLY_TEXT_MAX ((size_t)1 << 30)

/* The text of an apply request: a private copy of the mapping, read-only in fact. */
struct mapping {
	void *data;
	size_t length;
};

static void mapping_clear(struct mapping *m)
{
	if (m->data)
		munmap(m->data, m->length);
	m->data = NULL;
}

static int refuse_bad_lines(const struct parsed_rules *p, struct reply *reply,
			    struct sb_error *error)
{
	for (size_t i = 0; i < p->n_bad; i++) {
		sb_record_begin(&reply->table, "bad");
		sb_record_add(&reply->table, "line", "%zu", p->bad[i].line);
		sb_record_add(&reply->table, "reason", "%s", p->bad[i].reason);
		sb_record_end(&reply->table);
	}
	reply->has_table = reply->table.error == 0;
	reply->table_optional = true;
	return sb_fail(error, EINVAL, "line %zu: %s", p->bad[0].line, p->bad[0].reason);
}

static int apply_text(struct core *c, struct mapping *text, struct parsed_rules *parsed,
		      bool dry_run, uid_t uid, struct reply *reply, struct sb_error *error)
{
	_cleanup_(ruleset_freep) struct ruleset *next = NULL;
	_cleanup_(guard_freep) struct guard *guard = guard_new(c);
	struct difference diff = { .text = &reply->table, .guard = guard };
	uint8_t owner = shares_owner(c, uid);
	int r;

	r = rules_parse(c, text->data, text->length, parsed, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < parsed->n && owner; i++)
		parsed->rules[i].owner = owner & RULE_OWNERS_MAX;
	r = replace_runtime_build(c, parsed, &next, error);
	if (r < 0 && parsed->n_bad > 0)
		return refuse_bad_lines(parsed, reply, error);
	if (r == 0)
		r = shares_check_rules(c, owner,
				       ruleset_count(next) - ruleset_count(c->config_rules), true,
				       error);
	if (r < 0)
		return r;
	difference_compute(c, c->rules, next, &diff);
	if (!dry_run && diff.added + diff.removed + diff.moved > 0) {
		/* A line that a label file has too is the file's: it must not come back from the
		 * state when the file drops it. A line that repeats another is not saved either. */
		const char *saved = parsed->skipped ? NULL : text->data ? text->data : "";

		r = hold_refresh_all(c, next, error);
		if (r < 0)
			return r;
		r = replace_stage(c, next, saved, text->length, parsed, error);
		/* Publishing is when memory is at its peak: the text need not be there then. */
		mapping_clear(text);
		if (r == 0)
			r = replace_rules(c, &next, error);
		hold_refresh_all(c, NULL, &(struct sb_error){ 0 }); /* else the next sweep does */
		if (r < 0)
			return r;
	}
	reply->has_table = true;
	reply->table_optional = !dry_run;
	sb_writer_add(&reply->writer, "ADDED", "%zu", diff.added);
	sb_writer_add(&reply->writer, "REMOVED", "%zu", diff.removed);
	sb_writer_add(&reply->writer, "MOVED", "%zu", diff.moved);
	sb_writer_add(&reply->writer, "UNCHANGED", "%zu", diff.unchanged);
	if (guard)
		guard_report(guard, reply);
	if (!dry_run)
		log_info("rules replaced: %zu added, %zu removed, %zu moved, %zu unchanged",
			 diff.added, diff.removed, diff.moved, diff.unchanged);
	return 0;
}

int op_apply(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	_cleanup_(mapping_clear) struct mapping text = { 0 };
	struct parsed_rules parsed = { 0 };
	bool dry_run;
	int r;

	r = request_flag(rq, "DRY_RUN", &dry_run, error);
	if (r == 0)
		r = rq->fds ? 0 : request_refuse_files(error);
	if (r == 0)
		r = sb_memfd_map(rq->fds[0], APPLY_TEXT_MAX, false, &text.data, &text.length,
				 error);
	if (r < 0)
		return r;
	r = apply_text(c, &text, &parsed, dry_run, rq->actor->uid, reply, error);
	if (r < 0 && !reply->has_table)
		sb_text_free(&reply->table);
	parsed_rules_clear(c, &parsed, r < 0 || dry_run);
	malloc_trim(0); /* a whole rule set is free now, among others that are not */
	if (r < 0 || dry_run)
		return r;
	core_labels_collect(c);
	return 0;
}
