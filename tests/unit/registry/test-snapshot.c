/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Labels and sockets as bytes, there and back; and what strangers may have made of the bytes. */
#include "tests/unit/registry/check.h"

#include <arpa/inet.h>

#include "broker/model/snapshot.h"

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

/* The first record may be named otherwise: take it from the encoder. */
static const char *head(void)
{
	static char line[64];
	struct registry *r = registry_new();
	size_t length;
	_cleanup_free_ char *data = encode(r, &length);

	registry_free(r);
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(data, "\n") + 1, data);
	return line;
}

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
		{ "socket\tlabel=a\t" SOCKET "\tslot=1\nend\n", EPROTO, "lacks its label" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\t" SOCKET "\tslot=65536\nend\n", EPROTO,
		  "slot=65536" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\t" SOCKET
		  "\tslot=1\nsocket\tlabel=a\t" SOCKET "\tslot=1\nend\n",
		  EPROTO, "slot 1 holds two sockets" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\tslot=1\nend\n", EPROTO, "protocol" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\tprotocol=tcp\tfamily=ipv4\t"
		  "address=::1\tslot=1\nend\n",
		  EPROTO, "address=::1" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\tprotocol=sctp\tfamily=ipv4\t"
		  "address=192.0.2.1\tslot=1\nend\n",
		  EPROTO, "protocol=sctp" },
		{ "label\tname=a\tid=0\nsocket\tlabel=a\tprotocol=tcp\tfamily=ipv5\t"
		  "address=192.0.2.1\tslot=1\nend\n",
		  EPROTO, "family=ipv5" },
		{ "what\nend\n", EPROTO, "unknown record what" },
		{ "end\nend\n", EPROTO, "goes on behind its end" },
		{ "end\n\n", EPROTO, "goes on behind its end" },
		{ "label\tname=a\tid=0\n", EPROTO, "cut short" },
	};
	char text[1024];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct registry *r;
		struct sb_error error;
		int n = snprintf(text, sizeof(text), "%s%s", head(), cases[i].body);

		check_refused(decode(text, (size_t)n, &r, &error), &error, cases[i].code,
			      cases[i].part);
		registry_free(r);
	}
}

static void test_versions(void **state)
{
	struct registry *r;
	struct sb_error error;
	char text[128];
	char *version;

	snprintf(text, sizeof(text), "%send\n", head());
	assert_int_equal(decode(text, strlen(text), &r, &error), 0);
	registry_free(r);
	version = strstr(text, "version=1");
	assert_non_null(version);
	version[8] = '2';
	check_refused(decode(text, strlen(text), &r, &error), &error, EOPNOTSUPP,
		      "version 2, this broker knows 1");
	registry_free(r);
	check_refused(decode("", 0, &r, &error), &error, EPROTO, "empty");
	registry_free(r);
	check_refused(decode("end\n", 4, &r, &error), &error, EPROTO, "not a state file");
	registry_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_damaged),        cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
