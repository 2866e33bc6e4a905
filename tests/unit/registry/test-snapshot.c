/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Labels and sockets as bytes, there and back; and what strangers may have made of the bytes. */
#include "tests/unit/registry/check.h"

#include <arpa/inet.h>

#include "broker/model/snapshot.h"

#define HEAD SNAPSHOT_HEAD "\tepoch=7\tbytes=1\n"

/* One label with three sockets, one without. */
static struct registry *example(void)
{
	static const struct {
		const char *address;
		struct member member;
	} sockets[] = {
		{ "192.0.2.1",
		  { .cookie = UINT64_MAX,
		    .slot = 5,
		    .port = 80,
		    .protocol = IPPROTO_TCP,
		    .reuseport = true,
		    .pid = 4194304,
		    .uid = 4294967294,
		    .gid = 7,
		    .unit = "web@1.service",
		    .since = 1700000000 } },
		{ "::",
		  { .cookie = 1,
		    .slot = 65535,
		    .port = 65535,
		    .protocol = IPPROTO_UDP,
		    .dual = true,
		    .pid = 1 } },
		{ "::ffff:192.0.2.1", { .cookie = 2, .slot = 0, .protocol = IPPROTO_UDP } },
	};
	struct registry *r = registry_new();
	struct label *l;

	assert_int_equal(registry_add(r, "web:http", 4095, &l), 0);
	l->members = calloc(ARRAY_SIZE(sockets), sizeof(*l->members));
	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		struct member *m = &l->members[l->n_members++];

		*m = sockets[i].member;
		m->unit = m->unit ? strdup(m->unit) : NULL;
		m->address.family = strchr(sockets[i].address, ':') ? AF_INET6 : AF_INET;
		assert_int_equal(inet_pton(m->address.family, sockets[i].address, m->address.bytes),
				 1);
		assert_int_equal(range_take_at(&r->slots, m->slot, 1), 0);
	}
	assert_int_equal(registry_add(r, "mail", 0, &l), 0);
	return r;
}

static char *encode(const struct registry *r, size_t *length)
{
	struct sb_text text = { 0 };

	sb_text_append(&text, HEAD, strlen(HEAD));
	snapshot_encode(r, &text);
	assert_int_equal(text.error, 0);
	*length = text.length;
	return text.data;
}

/* Decodes a copy, so that the bytes stay as they are, of exactly that length. */
static int decode(const char *data, size_t length, struct registry **ret, struct sb_error *error)
{
	char *copy = malloc(length ? length : 1);
	int r;

	memcpy(copy, data, length);
	*ret = registry_new();
	*error = (struct sb_error){ 0 };
	r = snapshot_decode(*ret, copy, length, error);
	free(copy);
	return r;
}

static void test_there_and_back(void **state)
{
	struct registry *before = example(), *after;
	const struct label *a, *b;
	struct sb_error error;
	_cleanup_free_ char *data = NULL, *again = NULL;
	size_t length, n;

	data = encode(before, &length);
	assert_int_equal(decode(data, length, &after, &error), 0);
	a = registry_find(before, "web:http");
	b = registry_find(after, "web:http");
	assert_int_equal(b->id, 4095);
	assert_int_equal(b->n_members, 3);
	for (size_t i = 0; i < 3; i++) {
		struct member x = a->members[i], y = b->members[i];

		assert_int_equal(!x.unit, !y.unit);
		assert_true(!x.unit || !strcmp(x.unit, y.unit));
		assert_true(x.cookie == y.cookie && x.slot == y.slot && x.port == y.port &&
			    x.protocol == y.protocol && x.dual == y.dual &&
			    x.reuseport == y.reuseport && x.pid == y.pid && x.uid == y.uid &&
			    x.gid == y.gid && x.since == y.since);
		assert_memory_equal(&x.address, &y.address, sizeof(x.address));
	}
	assert_int_equal(registry_find(after, "mail")->id, 0);
	assert_int_equal(after->slots.used, 3);
	again = encode(after, &n);
	assert_int_equal(n, length);
	assert_memory_equal(data, again, n);
	registry_free(before);
	registry_free(after);
}

/* Every file that was cut is refused; whatever was read of it can be freed. */
static void test_cut(void **state)
{
	struct registry *before = example(), *after;
	struct sb_error error;
	_cleanup_free_ char *data = NULL;
	size_t length;

	data = encode(before, &length);
	for (size_t n = 0; n < length - 1; n++) {
		check_refused(decode(data, n, &after, &error), &error, EPROTO, "");
		registry_free(after);
	}
	registry_free(before);
}

/* No byte that is changed, removed or doubled may crash; what is accepted is consistent. */
static void test_damaged(void **state)
{
	struct registry *before = example(), *after;
	struct sb_error error;
	_cleanup_free_ char *data = NULL, *other = NULL;
	size_t length;

	data = encode(before, &length);
	other = malloc(length + 1);
	for (size_t n = 0; n < length; n++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			size_t members = 0;

			memcpy(other, data, length);
			other[n] = (char)(other[n] ^ (1 << bit));
			if (decode(other, length, &after, &error) == 0) {
				for (struct label *l = registry_next(after, NULL); l;
				     l = registry_next(after, l))
					members += l->n_members;
				assert_int_equal(members, after->slots.used);
				assert_int_equal(after->n_labels, after->ids.used);
			}
			registry_free(after);
		}
		memcpy(other, data, n);
		memcpy(other + n, data + n + 1, length - n - 1);
		decode(other, length - 1, &after, &error);
		registry_free(after);
		memcpy(other, data, n + 1);
		memcpy(other + n + 1, data + n, length - n);
		decode(other, length + 1, &after, &error);
		registry_free(after);
	}
	registry_free(before);
}

#define SOCKET                                                                                     \
	"protocol=tcp\tfamily=ipv4\taddress=192.0.2.1\tport=80\tcookie=1\tdual=0\treuseport=0\t"   \
	"pid=1\tuid=1\tgid=1\tsince=1"

static void test_hostile(void **state)
{
	static const struct {
		const char *body;
		int code;
		const char *part;
	} cases[] = {
		{ "label\tname=a\tid=0\nlabel\tname=a\tid=1\nend\n", EPROTO, "name" },
		{ "label\tname=a\tid=0\nlabel\tname=b\tid=0\nend\n", EPROTO,
		  "label b has the id of another" },
		{ "label\tname=.a\tid=0\nend\n", EPROTO, "name" },
		{ "label\tid=0\nend\n", EPROTO, "name" },
		{ "label\tname=a\nend\n", EPROTO, "id" },
		{ "label\tname=a\tid=4096\nend\n", EPROTO, "id=4096" },
		{ "label\tname=a\tid=-1\nend\n", EPROTO, "id" },
		{ "label\tname=a\tid=1x\nend\n", EPROTO, "id=1x" },
		{ "label\tname=a\tid=99999999999999999999999\nend\n", EPROTO, "id" },
		{ "socket\tlabel=a\t" SOCKET "\tslot=1\nend\n", EPROTO,
		  "does not follow its label" },
		{ "label\tname=a\tid=0\nlabel\tname=b\tid=1\nsocket\tlabel=a\t" SOCKET
		  "\tslot=1\nend\n",
		  EPROTO, "does not follow its label" },
		{ "label\tname=a\tid=0\nsocket\t" SOCKET "\tslot=1\nend\n", EPROTO,
		  "does not follow its label" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\tprotocol=sctp\tfamily=ipv4\t"
		  "address=192.0.2.1\tslot=1\nend\n",
		  EPROTO, "protocol=sctp" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\tprotocol=tcp\tfamily=ipv5\t"
		  "address=192.0.2.1\tslot=1\nend\n",
		  EPROTO, "family=ipv5" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\t" SOCKET "\tslot=65536\nend\n", EPROTO,
		  "slot=65536" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\t" SOCKET
		  "\tslot=1\nsocket\tlabel=a\t" SOCKET "\tslot=1\nend\n",
		  EPROTO, "slot 1 holds two sockets" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\tslot=1\nend\n", EPROTO, "protocol" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\tprotocol=tcp\tfamily=ipv4\t"
		  "address=::1\tslot=1\nend\n",
		  EPROTO, "address=::1" },
		{ "what\nend\n", EPROTO, "unknown record what" },
		{ "label\tname=a\tid=0\n", EPROTO, "cut short" },
		{ "label\tname=a\tid=0\n.\nend\n", EPROTO, "'.' is not the type" },
		{ "end\nend\n", EPROTO, "goes on behind its end" },
		{ "end\n\n", EPROTO, "goes on behind its end" },
	};
	char text[1024];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct registry *r;
		struct sb_error error;
		int n = snprintf(text, sizeof(text), "%s%s", HEAD, cases[i].body);

		check_refused(decode(text, (size_t)n, &r, &error), &error, cases[i].code,
			      cases[i].part);
		registry_free(r);
	}
}

/* What a later broker may add to a record does not keep this one from reading it. */
static void test_unknown_keys(void **state)
{
	static const char text[] =
		HEAD "label\tname=a\tid=3\tcolour=red\n"
		     "socket\tcolour=red\tlabel=a\t" SOCKET "\tslot=9\theld=\\t\nend\tsum=1\n";
	struct registry *r;
	struct sb_error error;

	assert_int_equal(decode(text, strlen(text), &r, &error), 0);
	assert_int_equal(registry_find(r, "a")->n_members, 1);
	assert_int_equal(registry_find(r, "a")->members[0].slot, 9);
	registry_free(r);
}

static void test_versions(void **state)
{
	struct registry *r;
	struct sb_error error;
	char text[128];

	for (int version = 1; version <= SNAPSHOT_VERSION; version++) {
		snprintf(text, sizeof(text), "sockbroker_state\tversion=%d\nend\n", version);
		assert_int_equal(decode(text, strlen(text), &r, &error), 0);
		registry_free(r);
	}
	snprintf(text, sizeof(text), "%s\nend\n", SNAPSHOT_HEAD);
	assert_non_null(strstr(text, "version=2\n"));
	assert_int_equal(SNAPSHOT_VERSION, 2);
	*strstr(text, "2\n") = '3';
	check_refused(decode(text, strlen(text), &r, &error), &error, EOPNOTSUPP,
		      "version 3, this broker knows 2");
	registry_free(r);
	*strstr(text, "3\n") = '0';
	check_refused(decode(text, strlen(text), &r, &error), &error, EPROTO, "version 0");
	registry_free(r);
	check_refused(decode("", 0, &r, &error), &error, EPROTO, "empty");
	registry_free(r);
	check_refused(decode("end\n", 4, &r, &error), &error, EPROTO, "not a state file");
	registry_free(r);
}

/* -- changes ---------------------------------------------------------------------------------- */

static int replay(struct registry *r, const char *data, size_t length, struct sb_error *error)
{
	char *copy = malloc(length ? length : 1);
	int k;

	memcpy(copy, data, length);
	*error = (struct sb_error){ 0 };
	k = snapshot_replay(r, copy, length, error);
	free(copy);
	return k;
}

static char *encode_change(struct label *const *labels, size_t n)
{
	struct sb_text text = { 0 };

	snapshot_encode_change(labels, n, &text);
	assert_int_equal(text.error, 0);
	return text.data;
}

/* Whatever R says now, a change of all labels makes another registry say the same. */
static void test_change_there_and_back(void **state)
{
	struct registry *before = example(), *after = registry_new();
	struct label *labels[] = { registry_find(before, "mail"),
				   registry_find(before, "web:http") };
	_cleanup_free_ char *change = encode_change(labels, 2), *a = NULL, *b = NULL;
	struct sb_error error;
	size_t n, m;

	a = encode(before, &n);
	for (int again = 0; again < 3; again++) {
		assert_int_equal(replay(after, change, strlen(change), &error), 0);
		free(b);
		b = encode(after, &m);
		assert_int_equal(n, m);
		assert_memory_equal(a, b, n);
		assert_int_equal(after->slots.used, 3);
		assert_int_equal(after->ids.used, 2);
	}
	registry_free(before);
	registry_free(after);
}

#define AT(slot) SOCKET "\tslot=" #slot "\n"

/* Each label of a change is whole; others stay as they are. */
static void test_changes(void **state)
{
	static const char text[] =
		"label\tname=a\tid=0\nsocket\tlabel=a\t" AT(1) "socket\tlabel=a\t" AT(
			2) ".\n"
			   "label\tname=b\tid=1\n.\n"
			   ".\n"
			   /* a gives up slot 2, and b takes it. */
			   "label\tname=a\tid=0\nsocket\tlabel=a\t" AT(
				   1) ".\n"
				      "label\tname=b\tid=1\nsocket\tlabel=b\t" AT(
					      2) ".\n"
						 /* c comes to nothing, d takes its number, and c
						    comes again. */
						 "label\tname=c\tid=7\n.\n"
						 "label\tname=d\tid=7\nsocket\tlabel=d\t" AT(
							 3) ".\n"
							    "label\tname=c\tid=5\nsocket\tlabel="
							    "c\t" AT(4) ".\n"
									/* e had one number, and has
									   another now. */
									"label\tname=e\tid=8\n.\n"
									"label\tname=e\tid=9\n.\n";
	struct registry *r = registry_new();
	struct sb_error error;

	assert_int_equal(replay(r, text, strlen(text), &error), 0);
	assert_int_equal(r->n_labels, 5);
	assert_int_equal(registry_find(r, "a")->n_members, 1);
	assert_int_equal(registry_find(r, "a")->members[0].slot, 1);
	assert_int_equal(registry_find(r, "b")->members[0].slot, 2);
	assert_int_equal(registry_find(r, "d")->id, 7);
	assert_int_equal(registry_find(r, "c")->id, 5);
	assert_int_equal(registry_find(r, "e")->id, 9);
	assert_null(registry_get(r, 8));
	assert_int_equal(r->slots.used, 4);
	registry_free(r);
}

/* Cut anywhere, the closed changes are made, whole, and the others not. */
static void test_cut_changes(void **state)
{
	static const char text[] = "label\tname=a\tid=0\nsocket\tlabel=a\t" AT(
		1) ".\n"
		   "label\tname=a\tid=0\nlabel\tname=b\tid=1\nsocket\tlabel=b\t" AT(1) ".\n";
	size_t first = (size_t)(strstr(text, "\n.\n") + 3 - text);
	struct sb_error error;

	for (size_t n = 0; n <= strlen(text); n++) {
		struct registry *r = registry_new();
		struct label *a, *b;

		assert_int_equal(replay(r, text, n, &error), 0);
		a = registry_find(r, "a");
		b = registry_find(r, "b");
		assert_int_equal(!!a, n >= first);
		assert_int_equal(!!b, n == strlen(text));
		if (a)
			assert_int_equal(a->n_members, b ? 0 : 1);
		registry_free(r);
	}
}

static void test_hostile_changes(void **state)
{
	/* Label a has slot 1, b has none; their ids are 0 and 1. */
	static const char base[] =
		"label\tname=a\tid=0\nsocket\tlabel=a\t" AT(1) "label\tname=b\tid=1\n.\n";
	static const struct {
		const char *change;
		const char *part;
	} cases[] = {
		{ "label\tname=b\tid=1\nsocket\tlabel=b\t" AT(1), "slot 1 holds two sockets" },
		{ "label\tname=c\tid=2\nsocket\tlabel=c\t" AT(2) "socket\tlabel=c\t" AT(2),
		  "slot 2 holds two sockets" },
		{ "label\tname=b\tid=1\nsocket\tlabel=b\t" AT(65536), "slot=65536" },
		{ "label\tname=a\tid=1\n", "takes the name or id of label a" },
		{ "label\tname=b\tid=0\n", "takes the name or id of label a" },
		{ "label\tname=c\tid=0\n", "takes the name or id of label a" },
		{ "label\tname=c\tid=4096\n", "id=4096" },
		{ "label\tname=c\n", "id" },
		{ "label\tid=2\n", "no valid name" },
		{ "label\tname=-\tid=2\n", "no valid name" },
		{ "socket\tlabel=a\t" AT(2), "does not follow its label" },
		{ "socket\tlabel=z\t" AT(2), "does not follow its label" },
		{ "label\tname=c\tid=2\nsocket\tlabel=a\t" AT(2), "does not follow its label" },
		{ "end\n", "unknown record end" },
		{ "sockbroker_state\tversion=2\n", "unknown record sockbroker_state" },
		{ "+ tcp 10.0.0.0/8 1 a\n", "is not the type of a record" },
		{ "\n", "is not the type of a record" },
		{ "..\n", "is not the type of a record" },
		{ "label\tname\n", "is not key=value" },
		{ "label\tname=a\\x\tid=0\n", "wrong escape" },
	};
	char text[1024];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct registry *r = registry_new();
		struct sb_error error;
		int n = snprintf(text, sizeof(text), "%s%s.\n", base, cases[i].change);

		check_refused(replay(r, text, (size_t)n, &error), &error, EPROTO, cases[i].part);
		assert_int_equal(r->n_labels, r->ids.used);
		registry_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_change_there_and_back),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_cut_changes),
		cmocka_unit_test(test_hostile_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
