/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/wire.h"

/* Decodes a copy that ends where the packet ends, so that a sanitizer sees a read beyond. */
static int decode(struct sb_message *m, const char *packet, size_t n, struct sb_error *e)
{
	char *copy = malloc(n + !n);
	int r;

	assert_non_null(copy);
	memcpy(copy, packet, n);
	memset(m, 0xa5, sizeof(*m));
	r = sb_message_decode(m, copy, n, e);
	free(copy);
	return r;
}

static int decode_text(struct sb_message *m, const char *packet, struct sb_error *e)
{
	return decode(m, packet, strlen(packet), e);
}

static void test_long_form(void **state)
{
	struct sb_message m;

	assert_int_equal(decode_text(&m, "REQUEST=bind\nLABEL=web\nA_1=x=y#\nEMPTY=\n", NULL), 0);
	assert_false(m.short_form);
	assert_int_equal(m.n_fields, 4);
	assert_string_equal(m.fields[0].key, "REQUEST");
	assert_string_equal(m.fields[0].value, "bind");
	assert_string_equal(sb_message_get(&m, "A_1"), "x=y#");
	assert_string_equal(sb_message_get(&m, "EMPTY"), "");
	assert_null(sb_message_get(&m, "LABE"));
	assert_null(sb_message_get(&m, "LABELS"));
}

static void test_last_newline_may_be_missing(void **state)
{
	struct sb_message m;

	assert_int_equal(decode_text(&m, "REQUEST=bind\nLABEL=caf\xc3\xa9", NULL), 0);
	assert_int_equal(m.n_fields, 2);
	assert_string_equal(sb_message_get(&m, "LABEL"), "caf\xc3\xa9");
}

static void test_repeated_keys(void **state)
{
	struct sb_message m;

	assert_int_equal(decode_text(&m, "REQUEST=register\nLABEL=a\nCOUNT=1\nLABEL=b\n", NULL), 0);
	assert_int_equal(sb_message_count(&m, "LABEL"), 2);
	assert_null(sb_message_get(&m, "LABEL"));
	assert_int_equal(sb_message_count(&m, "COUNT"), 1);
	assert_string_equal(sb_message_get(&m, "COUNT"), "1");
	assert_int_equal(sb_message_count(&m, "MODE"), 0);
}

static void test_short_form(void **state)
{
	struct sb_message m;

	assert_int_equal(decode_text(&m, "web#", NULL), 0);
	assert_true(m.short_form);
	assert_int_equal(m.n_fields, 1);
	assert_string_equal(sb_message_get(&m, "LABEL"), "web");

	/* a wrong label is for who registers it to refuse, in the short form */
	assert_int_equal(decode_text(&m, "#", NULL), 0);
	assert_true(m.short_form);
	assert_string_equal(sb_message_get(&m, "LABEL"), "");

	/* these are not the short form */
	assert_int_equal(decode_text(&m, "LABEL=web#", NULL), 0);
	assert_false(m.short_form);
	assert_string_equal(sb_message_get(&m, "LABEL"), "web#");
	assert_int_equal(decode_text(&m, "web#\n", NULL), -EPROTO);
	assert_int_equal(decode_text(&m, "web", NULL), -EPROTO);
}

/* Whoever refuses has to know in which form to answer. */
static void test_short_form_is_known_even_when_wrong(void **state)
{
	struct sb_message m;
	struct sb_error e;

	check_refused(decode(&m, "a\0b#", 4, &e), &e, EPROTO,
		      "the value of LABEL has a control character in it");
	assert_true(m.short_form);
	check_refused(decode(&m, "a\xff#", 3, &e), &e, EPROTO, "the value of LABEL is not UTF-8");
	assert_true(m.short_form);
	check_refused(decode_text(&m, "", &e), &e, EPROTO, "the packet is empty");
	assert_false(m.short_form);
}

static void test_bad_packets(void **state)
{
	static const struct {
		const char *packet;
		size_t n;
		const char *message;
	} bad[] = {
		{ "\n", 1, "line 1 of the packet, '', is not KEY=VALUE" },
		{ "REQUEST=x\n\n", 11, "line 2 of the packet, '', is not KEY=VALUE" },
		{ "REQUEST=x\nLABEL\n", 16, "line 2 of the packet, 'LABEL', is not KEY=VALUE" },
		{ "=x\n", 3,
		  "'' in line 1 of the packet is not a key: at most 32 of A-Z, 0-9 and _, the "
		  "first of them a letter" },
		{ "request=x", 9, NULL },
		{ "REQUEST =x", 10, NULL },
		{ " REQUEST=x", 10, NULL },
		{ "1A=x", 4, NULL },
		{ "_A=x", 4, NULL },
		{ "A-B=x", 5, NULL },
		{ "A\0B=x", 5, NULL },
		{ "A=x\0", 4, "the value of A has a control character in it" },
		{ "A=x\r\n", 5, "the value of A has a control character in it" },
		{ "A=\x1b[2J", 6, "the value of A has a control character in it" },
		{ "A=\x7f", 3, "the value of A has a control character in it" },
		{ "A=\xc2\x85", 4, "the value of A has a control character in it" },
		{ "A=\xff", 3, "the value of A is not UTF-8" },
		{ "A=\xc3\nB=\xa9\n", 8, "the value of A is not UTF-8" },
		{ "A=\xc0\xaf", 4, "the value of A is not UTF-8" },
	};
	struct sb_message m;
	struct sb_error e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_refused(decode(&m, bad[i].packet, bad[i].n, &e), &e, EPROTO, bad[i].message);
}

static void test_packet_limit(void **state)
{
	char packet[SB_WIRE_PACKET_MAX + 1] = "A=";
	struct sb_message m;
	struct sb_error e;

	memset(packet + 2, 'x', sizeof(packet) - 2);
	assert_int_equal(decode(&m, packet, SB_WIRE_PACKET_MAX, NULL), 0);
	assert_int_equal(strlen(sb_message_get(&m, "A")), SB_WIRE_PACKET_MAX - 2);
	check_refused(decode(&m, packet, SB_WIRE_PACKET_MAX + 1, &e), &e, EMSGSIZE,
		      "the packet is 4097 bytes long, 4096 is the most");
}

static void test_key_limit(void **state)
{
	char packet[SB_WIRE_KEY_MAX + 3];
	struct sb_message m;

	memset(packet, 'K', sizeof(packet));
	packet[SB_WIRE_KEY_MAX] = '=';
	assert_int_equal(decode(&m, packet, SB_WIRE_KEY_MAX + 1, NULL), 0);
	packet[SB_WIRE_KEY_MAX] = 'K';
	packet[SB_WIRE_KEY_MAX + 1] = '=';
	assert_int_equal(decode(&m, packet, SB_WIRE_KEY_MAX + 2, NULL), -EPROTO);
}

static void test_field_limit(void **state)
{
	char packet[SB_WIRE_PACKET_MAX] = "";
	struct sb_message m;
	struct sb_error e;

	for (size_t i = 0; i < SB_WIRE_FIELDS_MAX; i++)
		memcpy(packet + 3 * i, "A=\n", 3);
	assert_int_equal(decode(&m, packet, 3 * SB_WIRE_FIELDS_MAX, NULL), 0);
	assert_int_equal(sb_message_count(&m, "A"), SB_WIRE_FIELDS_MAX);
	memcpy(packet + 3 * SB_WIRE_FIELDS_MAX, "B=", 2);
	check_refused(decode(&m, packet, 3 * SB_WIRE_FIELDS_MAX + 2, &e), &e, EMSGSIZE,
		      "the packet has more than 512 fields");
}

static void test_writer_round_trip(void **state)
{
	struct sb_writer w = { 0 };
	struct sb_message m;

	sb_writer_accept(&w, false);
	sb_writer_add(&w, "ADDED", "%d", 3);
	sb_writer_add(&w, "TEXT", "%s", "caf\xc3\xa9 = #");
	sb_writer_add(&w, "EMPTY", "%s", "");
	assert_int_equal(sb_writer_finish(&w), 0);
	assert_string_equal(w.buffer, "OK=1\nADDED=3\nTEXT=caf\xc3\xa9 = #\nEMPTY=\n");
	assert_int_equal(w.length, strlen(w.buffer));
	assert_int_equal(decode(&m, w.buffer, w.length, NULL), 0);
	assert_int_equal(sb_message_verdict(&m, NULL), 0);
	assert_string_equal(sb_message_get(&m, "TEXT"), "caf\xc3\xa9 = #");
}

/* No value can forge a field. */
static void test_writer_defuses_values(void **state)
{
	struct sb_writer w = { 0 };

	sb_writer_add(&w, "A", "%s", "x\nOK=1\r\n\tB=\x1b[0m\x7f");
	sb_writer_add(&w, "B", "%s", "\xff\xc3\xc2\x85z");
	assert_string_equal(w.buffer, "A=x OK=1   B= [0m \nB=?? z\n");
	assert_int_equal(w.length, strlen(w.buffer));
}

static void test_writer_limit(void **state)
{
	char value[SB_WIRE_PACKET_MAX + 1];
	struct sb_writer w = { 0 };

	memset(value, 'x', sizeof(value));
	value[SB_WIRE_PACKET_MAX - 3] = '\0'; /* "A=", the value, a newline: just fits */
	sb_writer_add(&w, "A", "%s", value);
	assert_int_equal(sb_writer_finish(&w), 0);
	assert_int_equal(w.length, SB_WIRE_PACKET_MAX);

	sb_writer_add(&w, "B", "%s", "");
	assert_int_equal(sb_writer_finish(&w), -EMSGSIZE);
	assert_int_equal(w.length, SB_WIRE_PACKET_MAX);

	for (size_t more = 0; more < 3; more++) {
		struct sb_writer one = { 0 };

		memset(value, 'x', sizeof(value));
		value[SB_WIRE_PACKET_MAX - 2 + more] = '\0';
		sb_writer_add(&one, "B", "%s", "b");
		sb_writer_add(&one, "A", "%s", value);
		sb_writer_add(&one, "C", "%s", "c"); /* would fit, but the failure sticks */
		assert_int_equal(sb_writer_finish(&one), -EMSGSIZE);
		assert_string_equal(one.buffer, "B=b\n");
	}
}

static void test_writer_field_limit(void **state)
{
	struct sb_writer w = { 0 };

	for (size_t i = 0; i < SB_WIRE_FIELDS_MAX; i++)
		sb_writer_add(&w, "A", "%s", "");
	assert_int_equal(sb_writer_finish(&w), 0);
	sb_writer_add(&w, "A", "%s", "");
	assert_int_equal(sb_writer_finish(&w), -EMSGSIZE);
}

static void test_writer_refuses_wrong_keys(void **state)
{
	static const char *const keys[] = { "", "a", "A=B", "A\nB", "1" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct sb_writer w = { 0 };

		sb_writer_add(&w, keys[i], "%s", "x");
		assert_int_equal(sb_writer_finish(&w), -EINVAL);
		assert_int_equal(w.length, 0);
	}
}

static void test_refuse_starts_anew(void **state)
{
	struct sb_writer w = { 0 };
	struct sb_message m;
	struct sb_error in, out;

	sb_fail(&in, EEXIST, "the rule belongs to web\nOK=1");
	sb_writer_accept(&w, false);
	sb_writer_add(&w, "bad key", "%s", "x");
	sb_writer_refuse(&w, false, &in);
	assert_int_equal(sb_writer_finish(&w), 0);
	assert_string_equal(w.buffer, "ERROR=EEXIST\nMESSAGE=the rule belongs to web OK=1\n");

	assert_int_equal(decode(&m, w.buffer, w.length, NULL), 0);
	check_refused(sb_message_verdict(&m, &out), &out, EEXIST, "the rule belongs to web OK=1");
}

static void test_short_replies(void **state)
{
	struct sb_writer w = { 0 };
	struct sb_error in, out;

	sb_writer_accept(&w, true);
	assert_string_equal(w.buffer, "OK");
	assert_int_equal(w.length, 2);
	assert_int_equal(sb_short_reply_verdict(w.buffer, w.length, &out), 0);

	sb_fail(&in, EPERM, "only www-data may register web");
	sb_writer_refuse(&w, true, &in);
	assert_string_equal(w.buffer, "ERR EPERM only www-data may register web");
	check_refused(sb_short_reply_verdict(w.buffer, w.length, &out), &out, EPERM,
		      "only www-data may register web");
}

/* A code that has no wire name travels as EIO, an empty sentence as the table's. */
static void test_refuse_fills_in(void **state)
{
	struct sb_error e = { .code = ENOTTY };
	struct sb_writer w = { 0 };

	sb_writer_refuse(&w, true, &e);
	assert_memory_equal(w.buffer, "ERR EIO ", 8);
	assert_string_equal(w.buffer + 8, sb_error_meaning(EIO));
	sb_writer_refuse(&w, false, &e);
	assert_memory_equal(w.buffer, "ERROR=EIO\n", 10);
}

static void test_verdicts(void **state)
{
	static const struct {
		const char *reply;
		int code;
		const char *message;
	} cases[] = {
		{ "ERROR=EPERM\nMESSAGE=no\n", EPERM, "no" },
		{ "ERROR=EFUTURE\nMESSAGE=new in 2.0\n", EIO, "new in 2.0" },
		{ "ERROR=ENOENT\n", ENOENT, NULL },
		{ "ERROR=ENOENT\nMESSAGE=\n", ENOENT, NULL },
		{ "OK=2\n", EPROTO, "the reply starts with neither OK=1 nor ERROR=" },
		{ "ADDED=1\nOK=1\n", EPROTO, NULL },
		{ "web#", EPROTO, NULL },
	};
	struct sb_message m;
	struct sb_error e;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(decode_text(&m, cases[i].reply, NULL), 0);
		check_refused(sb_message_verdict(&m, &e), &e, cases[i].code, cases[i].message);
	}
	m.n_fields = 0;
	check_refused(sb_message_verdict(&m, &e), &e, EPROTO, NULL);
}

static void test_short_verdicts(void **state)
{
	static const struct {
		const char *reply;
		size_t n;
		int code;
		const char *message;
	} cases[] = {
		{ "ERR EPERM no", 12, EPERM, "no" },
		{ "ERR EPERM no way\n", 17, EPERM, "no way " },
		{ "ERR EFUTURE new", 15, EIO, "new" },
		{ "ERR ENOENT", 10, ENOENT, NULL },
		{ "ERR ", 4, EIO, NULL },
		{ "ERR EPERM a\0b", 13, EPERM, "a b" },
		{ "OK\n", 3, EPROTO, "the reply is neither OK nor ERR with a reason" },
		{ "OKAY", 4, EPROTO, NULL },
		{ "ERROR=EPERM", 11, EPROTO, NULL },
		{ "O", 1, EPROTO, NULL },
		{ "", 0, EPROTO, NULL },
	};
	char big[SB_WIRE_PACKET_MAX + 1];
	struct sb_error e;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_refused(sb_short_reply_verdict(cases[i].reply, cases[i].n, &e), &e,
			      cases[i].code, cases[i].message);

	memset(big, 'x', sizeof(big));
	memcpy(big, "ERR EPERM ", 10);
	check_refused(sb_short_reply_verdict(big, SB_WIRE_PACKET_MAX, &e), &e, EPERM, NULL);
	check_refused(sb_short_reply_verdict(big, sizeof(big), &e), &e, EPROTO, NULL);
}

/* Whatever the bytes, decoding answers; what it accepts obeys the format. */
static void test_random_bytes(void **state)
{
	static const char alphabet[] = "AB=\n#x\0\xc3\xa9";
	struct sb_message m;
	struct sb_error e;

	srand(1);
	for (int round = 0; round < 20000; round++) {
		char packet[24];
		size_t n = (size_t)rand() % sizeof(packet), total = 0;

		for (size_t i = 0; i < n; i++)
			packet[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		if (decode(&m, packet, n, &e) < 0) {
			assert_true(e.code == EPROTO || e.code == EMSGSIZE);
			continue;
		}
		for (size_t i = 0; i < m.n_fields; i++) {
			assert_null(strchr(m.fields[i].value, '\n'));
			total += strlen(m.fields[i].value) + 1;
			total += m.short_form ? 0 : strlen(m.fields[i].key) + 1;
		}
		assert_true(total == n || total == n + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_form),
		cmocka_unit_test(test_last_newline_may_be_missing),
		cmocka_unit_test(test_repeated_keys),
		cmocka_unit_test(test_short_form),
		cmocka_unit_test(test_short_form_is_known_even_when_wrong),
		cmocka_unit_test(test_bad_packets),
		cmocka_unit_test(test_packet_limit),
		cmocka_unit_test(test_key_limit),
		cmocka_unit_test(test_field_limit),
		cmocka_unit_test(test_writer_round_trip),
		cmocka_unit_test(test_writer_defuses_values),
		cmocka_unit_test(test_writer_limit),
		cmocka_unit_test(test_writer_field_limit),
		cmocka_unit_test(test_writer_refuses_wrong_keys),
		cmocka_unit_test(test_refuse_starts_anew),
		cmocka_unit_test(test_short_replies),
		cmocka_unit_test(test_refuse_fills_in),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_short_verdicts),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
