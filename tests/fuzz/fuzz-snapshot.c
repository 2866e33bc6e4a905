/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of the state directory that anyone could have written: what is decoded is consistent, and
 * saving it again says the same. The input is a file of labels; what comes behind its end are the
 * changes made since. */
#include "broker/model/snapshot.h"
#include "tests/fuzz/fuzz.h"

#define HEAD SNAPSHOT_HEAD "\n"

/* Also after a refusal, half way through. */
static void check_registry(const struct registry *r)
{
	size_t n_labels = 0, n_sockets = 0;

	for (struct label *l = registry_next(r, NULL); l; l = registry_next(r, l), n_labels++) {
		require(l->id < SB_LABELS_MAX && registry_get(r, l->id) == l);
		require(registry_find(r, l->name) == l);
		require(sb_label_valid(l->name, strlen(l->name)));
		for (size_t i = 0; i < l->n_members; i++, n_sockets++) {
			const struct member *m = &l->members[i];

			require(m->slot < SB_SLOTS_MAX);
			require(m->protocol == IPPROTO_TCP || m->protocol == IPPROTO_UDP);
			require(m->address.family == AF_INET || m->address.family == AF_INET6);
			require(!m->unit || strlen(m->unit) < POLICY_UNIT_MAX);
		}
	}
	require(n_labels == r->n_labels && n_labels == r->ids.used);
	require(n_sockets == r->slots.used);
}

static void check_again(const struct registry *r)
{
	struct registry *again = registry_new();
	struct sb_text first = { 0 }, second = { 0 };
	char *copy;

	require(again);
	sb_text_append(&first, HEAD, strlen(HEAD));
	sb_text_append(&second, HEAD, strlen(HEAD));
	snapshot_encode(r, &first);
	require(first.error == 0);
	copy = exact_copy(first.data, first.length);
	require(snapshot_decode(again, copy, first.length, NULL) == 0);
	snapshot_encode(again, &second);
	require(first.length == second.length);
	require(memcmp(first.data, second.data, first.length) == 0);
	free(copy);
	sb_text_free(&first);
	sb_text_free(&second);
	registry_free(again);
}

/* The same as changes of an empty registry, each label in one of its own. */
static void check_changes(const struct registry *r)
{
	struct registry *again = registry_new();
	struct sb_text text = { 0 }, first = { 0 }, second = { 0 };

	require(again);
	for (struct label *l = registry_next(r, NULL); l; l = registry_next(r, l))
		snapshot_encode_change(&l, 1, &text);
	sb_text_append(&text, ".\n", 2); /* one of nothing */
	require(text.error == 0);
	require(snapshot_replay(again, text.data, text.length, NULL) == 0);
	snapshot_encode(r, &first);
	snapshot_encode(again, &second);
	require(first.length == second.length);
	require(memcmp(first.data, second.data, first.length) == 0);
	sb_text_free(&text);
	sb_text_free(&first);
	sb_text_free(&second);
	registry_free(again);
}

static size_t file_length(const uint8_t *data, size_t size)
{
	static const char end[] = "\nend\n";
	const uint8_t *found = memmem(data, size, end, strlen(end));

	return found ? (size_t)(found - data) + strlen(end) : size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = file_length(data, size);
	struct registry *r = registry_new();
	char *file = exact_copy(data, n), *changes = exact_copy(data + n, size - n);
	struct sb_error error = { 0 };
	int k;

	require(r);
	k = snapshot_decode(r, file, n, &error);
	if (k == 0)
		k = snapshot_replay(r, changes, size - n, &error);
	require(k == 0 || (k == -error.code && error.message[0]));
	check_registry(r);
	if (k == 0) {
		check_again(r);
		check_changes(r);
	}
	free(file);
	free(changes);
	registry_free(r);
	return 0;
}
