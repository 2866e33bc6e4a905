/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/scenarios.h"

#include "broker/model/snapshot.h"

#include <stdio.h>

/* Sockets of the broker's own differ from run to run in nothing but their cookies. */
static const char *meets(struct world *w, const char *protocol, const char *address, uint16_t port,
			 uint16_t from, char *buf, size_t size)
{
	int cookie = hit_from(w, protocol, address, port, from);

	if (cookie > KEEP_UDP)
		return "own";
	snprintf(buf, size, "%d", cookie);
	return buf;
}

char *verdicts_text(struct world *w)
{
	static const char *const addresses[] = {
		"192.0.2.1",   "192.0.2.200",   "198.51.100.1", "203.0.113.1",
		"10.0.0.1",    "10.1.0.1",      "10.1.2.3",     "172.16.0.1",
		"2001:db8::1", "2001:db8:1::1", "2001:db9::1",  "10.2.0.1",
	};
	static const uint16_t ports[] = { 53, 80, 81, 443, 8080, 50000 };
	struct sb_text text = { 0 };
	char number[16];

	for (size_t a = 0; a < ARRAY_SIZE(addresses); a++)
		for (size_t p = 0; p < ARRAY_SIZE(ports); p++)
			for (unsigned udp = 0; udp < 2; udp++) {
				const char *protocol = udp ? "udp" : "tcp";

				sb_text_printf(&text, "%s %s %u", protocol, addresses[a], ports[p]);
				for (uint16_t from = 0; from < 4; from++)
					sb_text_printf(&text, " %s",
						       meets(w, protocol, addresses[a], ports[p],
							     from, number, sizeof(number)));
				sb_text_printf(&text, "\n");
			}
	assert_int_equal(text.error, 0);
	return text.data;
}

static void copy_blob(struct fake_blob *to, const struct fake_blob *from)
{
	if (from->data)
		fake_blob_set(to, from->data, from->length);
}

/* The saved labels that have sockets, whether in the whole or in a change: one that was made for a
 * request that was refused may be there without. NULL: nothing is saved. */
static char *saved_sockets(const struct fake_state *s)
{
	_cleanup_(registry_freep) struct registry *r = registry_new();
	struct fake_blob whole = { 0 }, changes = { 0 };
	struct sb_text text = { 0 };
	struct label *next;

	if (!s->labels.data)
		return NULL;
	copy_blob(&whole, &s->labels);
	copy_blob(&changes, &s->labels_journal);
	assert_int_equal(snapshot_decode(r, whole.data, whole.length, NULL), 0);
	if (changes.data)
		assert_int_equal(snapshot_replay(r, changes.data, changes.length, NULL), 0);
	for (struct label *l = registry_next(r, NULL); l; l = next) {
		next = registry_next(r, l);
		if (l->n_members == 0)
			registry_remove(r, l);
	}
	snapshot_encode(r, &text);
	fake_blob_clear(&whole);
	fake_blob_clear(&changes);
	return text.data;
}

struct picture picture_take(struct world *w)
{
	struct picture p = {
		.verdicts = verdicts_text(w),
		.kernel = fake_kernel_copy(w->kernel),
	};

	if (w->core && !core_unloaded(w->core)) {
		const struct registry *r = w->core->registry;

		p.model = model_text(w);
		p.rules = rules_text(w);
		p.used[0] = r->ids.used;
		p.used[1] = r->slots.used;
		p.used[2] = r->lists.used;
		p.used[3] = w->core->numbers.used;
		p.used[4] = fake_core_fds(w->host);
		p.used[5] = w->watch->n;
	}
	p.saved_sockets = saved_sockets(w->state);
	copy_blob(&p.saved_rules, &w->state->rules);
	copy_blob(&p.journal, &w->state->journal);
	return p;
}

void picture_clear(struct picture *p)
{
	free(p->rules);
	free(p->verdicts);
	free(p->model);
	fake_kernel_free(p->kernel);
	free(p->saved_sockets);
	fake_blob_clear(&p->saved_rules);
	fake_blob_clear(&p->journal);
	*p = (struct picture){ 0 };
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

const char *picture_compare_outcome(const struct picture *a, const struct picture *b)
{
	if (!same_text(a->verdicts, b->verdicts))
		return "verdicts";
	return same_text(a->rules, b->rules) ? NULL : "rules";
}

const char *picture_compare(const struct picture *a, const struct picture *b)
{
	const char *differs = picture_compare_outcome(a, b);
	static const char *const ranges[] = { "label ids",      "slots",    "places in lists",
					      "rules' numbers", "open fds", "watches" };

	if (!differs && !same_text(a->model, b->model))
		differs = "the model";
	if (!differs)
		differs = fake_kernel_compare(a->kernel, b->kernel);
	if (!differs && !same_text(a->saved_sockets, b->saved_sockets))
		differs = "the saved sockets";
	if (!differs && !fake_blob_same(&a->saved_rules, &b->saved_rules))
		differs = "the saved rules";
	if (!differs && !fake_blob_same(&a->journal, &b->journal))
		differs = "the saved changes";
	for (size_t i = 0; i < ARRAY_SIZE(ranges) && !differs; i++)
		if (a->used[i] != b->used[i])
			differs = ranges[i];
	return differs;
}
