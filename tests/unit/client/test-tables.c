/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a reply carries as a file: tables of records, and rule text both ways. */
#include "tests/unit/client/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "client/sockbroker.h"
#include "protocol/wire-io.h"
#include "tests/unit/client/fake-broker.h"

static void test_rules(void **state)
{
	struct sockbroker_table *t = NULL;
	const char *label, *key, *value;

	START({ .reply = "OK=1\nCOUNT=2\n",
		.file = "rule\tprotocol=tcp\tlabel=a\\tb\nrule\tprotocol=udp\tlabel=c\n" });
	assert_int_equal(sockbroker_rules(sb, "web", &t), 0);
	assert_string_equal(f.requests[0].text, "REQUEST=rules\nLABEL=web\nFORMAT=records\n");
	STOP(); /* a table outlives its handle */

	assert_null(sockbroker_table_type(t));
	assert_null(sockbroker_table_get(t, "label"));
	assert_int_equal(sockbroker_table_next(t), 1);
	assert_string_equal(sockbroker_table_type(t), "rule");
	label = sockbroker_table_get(t, "label");
	assert_string_equal(label, "a\tb");
	assert_null(sockbroker_table_get(t, "pid"));
	assert_int_equal(sockbroker_table_field(t, 1, &key, &value), 1);
	assert_string_equal(key, "label");
	assert_string_equal(value, "a\tb");
	assert_int_equal(sockbroker_table_field(t, 2, &key, &value), 0);
	assert_int_equal(sockbroker_table_next(t), 1);
	assert_string_equal(sockbroker_table_get(t, "label"), "c");
	assert_string_equal(label, "a\tb"); /* still */
	assert_int_equal(sockbroker_table_next(t), 0);
	assert_null(sockbroker_table_type(t));
	assert_int_equal(sockbroker_table_next(t), 0);
	sockbroker_table_free(t);
}

static void test_queries(void **state)
{
	struct sockbroker_table *t = NULL;

	START({ .reply = "OK=1\n", .file = "" }, { .reply = "OK=1\n", .file = "packet\tport=80\n" },
	      { .reply = "OK=1\n", .file = "verdict\tverdict=pass\n" });
	assert_int_equal(sockbroker_status(sb, NULL, &t), 0);
	assert_string_equal(f.requests[0].text, "REQUEST=status\n");
	assert_int_equal(sockbroker_table_next(t), 0);
	sockbroker_table_free(t);
	assert_int_equal(sockbroker_explain(sb, "tcp", "192.0.2.7", 80, NULL, 0, &t), 0);
	assert_string_equal(f.requests[1].text,
			    "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.7\nPORT=80\n");
	sockbroker_table_free(t);
	assert_int_equal(sockbroker_explain(sb, "udp", "::1", 53, "::2", 999, &t), 0);
	assert_string_equal(f.requests[2].text,
			    "REQUEST=explain\nPROTOCOL=udp\nADDRESS=::1\nPORT=53\n"
			    "FROM_ADDRESS=::2\nFROM_PORT=999\n");
	sockbroker_table_free(t);
	STOP();
}

static void test_version(void **state)
{
	struct sockbroker_table *t = NULL;

	START({ .reply = "OK=1\nVERSION=1.2\nABI=3\nKERNEL=6.1\nPROTOCOL=1\nNETNS=own\n" });
	assert_int_equal(sockbroker_version(sb, &t), 0);
	assert_int_equal(sockbroker_table_next(t), 1);
	assert_string_equal(sockbroker_table_type(t), "version");
	assert_string_equal(sockbroker_table_get(t, "version"), "1.2");
	assert_string_equal(sockbroker_table_get(t, "netns"), "own");
	assert_null(sockbroker_table_get(t, "ok"));
	assert_int_equal(sockbroker_table_next(t), 0);
	sockbroker_table_free(t);
	STOP();
}

/* A reply without its file, with one that may still change, and a table that is none. */
static void test_bad_tables(void **state)
{
	struct sockbroker_table *t = NULL;

	START({ .reply = "OK=1\n" },
	      { .action = FAKE_OPEN_FILE, .reply = "OK=1\n", .file = "rule\n" },
	      { .reply = "OK=1\n", .file = "rule\ta=b\nno record\n" });
	assert_int_equal(sockbroker_rules(sb, NULL, &t), -EPROTO);
	assert_int_equal(sockbroker_failure(sb), SOCKBROKER_UNREACHABLE);
	assert_int_equal(sockbroker_connect(sb, f.path), 0);
	assert_int_equal(sockbroker_rules(sb, NULL, &t), -EPROTO);
	assert_null(t);
	assert_int_equal(sockbroker_connect(sb, f.path), 0);
	assert_int_equal(sockbroker_rules(sb, NULL, &t), 0);
	assert_int_equal(sockbroker_table_next(t), 1);
	assert_int_equal(sockbroker_table_next(t), -EPROTO);
	assert_int_equal(sockbroker_table_next(t), -EPROTO);
	assert_null(sockbroker_table_type(t));
	sockbroker_table_free(t);
	STOP();
}

static void test_apply(void **state)
{
	struct sockbroker_changes c;
	struct sockbroker_table *t = NULL;

	START({ .reply = "OK=1\nADDED=1\nREMOVED=2\nMOVED=3\nUNCHANGED=4\n",
		.file = "added\tlabel=web\n" },
	      { .reply = "OK=1\nADDED=0\n" });
	assert_int_equal(sockbroker_apply(sb, "tcp ::/0 80 web\n", 16, 0, &c, &t), 0);
	assert_string_equal(f.requests[0].text, "REQUEST=apply\n");
	assert_string_equal(f.requests[0].file, "tcp ::/0 80 web\n");
	assert_int_equal(c.added, 1);
	assert_int_equal(c.removed, 2);
	assert_int_equal(c.moved, 3);
	assert_int_equal(c.unchanged, 4);
	assert_int_equal(sockbroker_table_next(t), 1);
	assert_string_equal(sockbroker_table_type(t), "added");
	sockbroker_table_free(t);
	assert_int_equal(sockbroker_apply(sb, "", 0, SOCKBROKER_DRY_RUN, NULL, NULL), 0);
	assert_string_equal(f.requests[1].text, "REQUEST=apply\nDRY_RUN=yes\n");
	assert_int_equal(f.requests[1].n_fds, 1);
	STOP();
}

static void test_apply_bad_lines(void **state)
{
	struct sockbroker_table *t = NULL;

	START({ .reply = "ERROR=EINVAL\nMESSAGE=line 2: no\n", .file = "bad\tline=2\treason=no\n" },
	      { .reply = "ERROR=EPERM\nMESSAGE=not you\n" });
	assert_int_equal(sockbroker_apply(sb, "\nx\n", 3, 0, NULL, &t), -EINVAL);
	assert_string_equal(sockbroker_error(sb), "line 2: no");
	assert_int_equal(sockbroker_table_next(t), 1);
	assert_string_equal(sockbroker_table_get(t, "line"), "2");
	sockbroker_table_free(t);
	assert_int_equal(sockbroker_apply(sb, "\nx\n", 3, 0, NULL, &t), -EPERM);
	assert_null(t);
	STOP();
}

/* A file is copied from where it stands; a sealed memfd goes as it is. */
static void test_apply_fd(void **state)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	int sealed = sb_memfd_new_sealed("sealed", "tcp ::/0 81 b\n", 14);

	assert_int_equal(write(file, "#comment\ntcp ::/0 80 a\n", 23), 23);
	assert_int_equal(lseek(file, 9, SEEK_SET), 9);
	assert_int_equal(lseek(sealed, 4, SEEK_SET), 4);
	START({ .reply = "OK=1\n" }, { .reply = "OK=1\n" });
	assert_int_equal(sockbroker_apply_fd(sb, file, 0, NULL, NULL), 0);
	assert_string_equal(f.requests[0].file, "tcp ::/0 80 a\n");
	assert_int_equal(sockbroker_apply_fd(sb, sealed, 0, NULL, NULL), 0);
	assert_string_equal(f.requests[1].file, "tcp ::/0 81 b\n");
	assert_int_equal(sockbroker_apply_fd(sb, -1, 0, NULL, NULL), -EBADF);
	assert_int_equal(sockbroker_failure(sb), SOCKBROKER_LOCAL);
	STOP();
	close(file);
	close(sealed);
}

static void test_apply_too_long(void **state)
{
	struct sockbroker *sb = sockbroker_new();
	int file = memfd_create("file", MFD_CLOEXEC);

	assert_int_equal(ftruncate(file, (off_t)SOCKBROKER_TEXT_MAX + 1), 0);
	assert_int_equal(sockbroker_apply_fd(sb, file, 0, NULL, NULL), -EFBIG);
	assert_string_equal(sockbroker_error(sb), "more than 64 MiB are not accepted");
	assert_int_equal(ftruncate(file, SOCKBROKER_TEXT_MAX), 0);
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	assert_int_equal(sockbroker_apply_fd(sb, file, 0, NULL, NULL), -ENOTCONN);
	sockbroker_free(sb);
	close(file);
}

static void test_rules_text(void **state)
{
	char buf[64] = "";
	int fd = -1;

	START({ .reply = "OK=1\n", .file = "tcp 192.0.2.0/24 80 web\n" });
	assert_int_equal(sockbroker_rules_text(sb, NULL, &fd), 0);
	assert_string_equal(f.requests[0].text, "REQUEST=rules\nFORMAT=text\n");
	STOP();
	assert_int_equal(read(fd, buf, sizeof(buf) - 1), 24);
	assert_string_equal(buf, "tcp 192.0.2.0/24 80 web\n");
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),      cmocka_unit_test(test_queries),
		cmocka_unit_test(test_version),    cmocka_unit_test(test_bad_tables),
		cmocka_unit_test(test_apply),      cmocka_unit_test(test_apply_bad_lines),
		cmocka_unit_test(test_apply_fd),   cmocka_unit_test(test_apply_too_long),
		cmocka_unit_test(test_rules_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
