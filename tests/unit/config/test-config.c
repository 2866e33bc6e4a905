/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The directory as a whole: which files are read, and what they say of each other. */
#include "tests/unit/config/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define EMPTY "[Label]\n"

static void test_nothing_there(void **state)
{
	struct scratch *s = *state;

	scratch_expect(s, "");
	assert_int_equal(s->config->n_labels, 0);
	assert_null(config_find(s->config, "web"));
	rmdir(s->dir);
	scratch_expect(s, "");
	mkdir(s->dir, 0700);
}

static void test_sorted_and_found(void **state)
{
	static const char *const names[] = { "1st", "A", "a", "a-b", "a.b", "b", "x:y@z" };
	struct scratch *s = *state;
	char file[64];

	for (size_t i = ARRAY_SIZE(names); i-- > 0;) {
		snprintf(file, sizeof(file), "labels.d/%s.label", names[i]);
		scratch_write(s, file, EMPTY);
	}
	scratch_expect(s, "");
	assert_int_equal(s->config->n_labels, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(s->config->labels[i].name, names[i]);
		assert_ptr_equal(config_find(s->config, names[i]), &s->config->labels[i]);
	}
	assert_null(config_find(s->config, "c"));
}

static void test_names_of_files(void **state)
{
	struct scratch *s = *state;
	char longest[SB_LABEL_MAX + 32] = "labels.d/", *at = longest + strlen(longest);

	scratch_write(s, "labels.d/.hidden.label", "bad\n");
	scratch_write(s, "labels.d/web.label~", "bad\n");
	scratch_write(s, "labels.d/web.label.dpkg-old", "bad\n");
	scratch_write(s, "labels.d/web.label.dpkg-dist", "bad\n");
	scratch_write(s, "labels.d/README", "bad\n");
	scratch_write(s, "labels.d/web.labels", "bad\n");
	scratch_write(s, "labels.d/web.LABEL", "bad\n");
	mkdir(scratch_path(s, "labels.d/web.label.d"), 0755);
	memset(at, 'n', SB_LABEL_MAX);
	strcpy(at + SB_LABEL_MAX, ".label");
	scratch_write(s, longest, EMPTY);
	scratch_expect(s, "");
	assert_int_equal(s->config->n_labels, 1);
	scratch_expect_warnings(s,
				"labels.d/README: is not called NAME.label and is not read\n"
				"labels.d/web.LABEL: is not called NAME.label and is not read\n"
				"labels.d/web.label.d: is not called NAME.label and is not read\n"
				"labels.d/web.labels: is not called NAME.label and is not read\n");

	scratch_remove(s, longest);
	memset(at, 'n', SB_LABEL_MAX + 1);
	strcpy(at + SB_LABEL_MAX + 1, ".label");
	scratch_write(s, longest, EMPTY);
	scratch_read(s);
	assert_int_equal(s->result, -EINVAL);
	assert_non_null(strstr(s->report.errors[0], ".label: the file is called after no label: "));
	assert_non_null(strstr(s->report.errors[0], "101 bytes long, 100 is the most"));
}

static void test_names_that_are_no_labels(void **state)
{
	scratch_write(*state, "labels.d/two words.label", EMPTY);
	scratch_write(*state, "labels.d/-x.label", EMPTY);
	scratch_write(*state, "labels.d/a\nb.label", EMPTY);
	scratch_expect(*state,
		       "labels.d/-x.label: the file is called after no label: label '-x' does not "
		       "begin with a letter or a digit\n"
		       "labels.d/a b.label: the file is called after no label: label 'a\\x0ab' has "
		       "'\\x0a' in it, where only letters, digits and . _ @ : - may stand\n"
		       "labels.d/two words.label: the file is called after no label: label 'two "
		       "words' has ' ' in it, where only letters, digits and . _ @ : - may "
		       "stand\n");
}

static void make_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

/* None of these may block or be read. */
static void test_not_regular(void **state)
{
	struct scratch *s = *state;

	scratch_write(s, "labels.d/ok.label", EMPTY);
	assert_int_equal(mkfifo(scratch_path(s, "labels.d/fifo.label"), 0644), 0);
	assert_int_equal(mkdir(scratch_path(s, "labels.d/dir.label"), 0755), 0);
	assert_int_equal(symlink("/dev/null", scratch_path(s, "labels.d/null.label")), 0);
	assert_int_equal(symlink("nowhere", scratch_path(s, "labels.d/gone.label")), 0);
	assert_int_equal(symlink("ok.label", scratch_path(s, "labels.d/link.label")), 0);
	make_socket(scratch_path(s, "labels.d/sock.label"));
	assert_int_equal(mkfifo(scratch_path(s, "sockbroker.conf"), 0644), 0);
	scratch_expect(s, "sockbroker.conf: is not a regular file\n"
			  "labels.d/dir.label: is not a regular file\n"
			  "labels.d/fifo.label: is not a regular file\n"
			  "labels.d/gone.label: cannot be read: No such file or directory\n"
			  "labels.d/null.label: is not a regular file\n"
			  "labels.d/sock.label: is not a regular file\n");
}

/* A link that leads nowhere does not stand for the defaults. */
static void test_dangling(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(symlink("nowhere", scratch_path(s, "sockbroker.conf")), 0);
	assert_int_equal(symlink("nowhere", scratch_path(s, "labels.d")), 0);
	scratch_expect(s, "sockbroker.conf: cannot be read: No such file or directory\n"
			  "labels.d: cannot be read: No such file or directory\n");
}

static void test_not_directories(void **state)
{
	struct scratch *s = *state;

	scratch_write(s, "file", "");
	scratch_remove(s, "labels.d");
	assert_int_equal(symlink("file", scratch_path(s, "labels.d")), 0);
	scratch_expect(s, "labels.d: cannot be read: Not a directory\n");
}

static void test_unreadable(void **state)
{
	struct scratch *s = *state;

	if (geteuid() == 0 && seteuid(65534) < 0)
		skip();
	assert_int_equal(seteuid(getuid()), 0);
	scratch_write(s, "labels.d/a.label", EMPTY);
	scratch_write(s, "sockbroker.conf", "");
	chmod(scratch_path(s, "labels.d/a.label"), 0);
	chmod(scratch_path(s, "sockbroker.conf"), 0);
	chmod(s->dir, 0755);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	scratch_read(s);
	assert_int_equal(seteuid(getuid()), 0);
	assert_int_equal(s->report.n_errors, 2);
	assert_non_null(strstr(s->report.errors[0], "/sockbroker.conf: cannot be read: "
						    "Permission denied"));
	assert_non_null(strstr(s->report.errors[1], "/labels.d/a.label: cannot be read: "
						    "Permission denied"));
}

static void test_size(void **state)
{
	struct scratch *s = *state;
	_cleanup_free_ char *text = malloc(CONFIG_FILE_MAX + 1);

	memset(text, '\n', CONFIG_FILE_MAX + 1);
	scratch_write_bytes(s, "labels.d/a.label", text, CONFIG_FILE_MAX);
	scratch_expect(s, "");
	scratch_write_bytes(s, "labels.d/a.label", text, CONFIG_FILE_MAX + 1);
	scratch_write(s, "labels.d/b.label", "x\n");
	scratch_expect(s, "labels.d/a.label: is larger than 1048576 bytes\n"
			  "labels.d/b.label:1: this is not of the form Key=value, [Section] or # "
			  "comment\n");
}

static void test_conflicts(void **state)
{
	struct scratch *s = *state;

	scratch_write(s, "labels.d/a.label",
		      "[Label]\n"
		      "ListenStream=192.0.2.0/24:80\n"
		      "ListenStream=192.0.2.0/24:8000-8999\n"
		      "ListenStream=[2001:db8::/48]:443\n"
		      "ListenDatagram=198.51.100.0/24:53\n");
	scratch_write(s, "labels.d/b.label",
		      "[Label]\n"
		      "ListenStream=192.0.2.9/24:80,443\n"    /* equal, but for bits behind /24 */
		      "ListenStream=192.0.2.0/24:8500-9499\n" /* as wide, overlapping */
		      "ListenStream=[2001:db8::1/48]:443\n"
		      "ListenStream=192.0.2.0/25:80\n"        /* longer: fine */
		      "ListenStream=192.0.2.0/24:8500-8599\n" /* narrower: fine */
		      "ListenStream=192.0.2.0/24:9000-9999\n" /* overlaps its own neighbour */
		      "ListenDatagram=192.0.2.0/24:80\n"      /* other protocol: fine */
		      "ListenStream=198.51.100.0/24:53\n"
		      "ListenStream=192.0.2.0/24:*\n");
	scratch_expect(
		s,
		"labels.d/b.label:2: rule tcp 192.0.2.0/24 80 stands in DIR/labels.d/a.label:2 "
		"already\n"
		"labels.d/b.label:3: rule tcp 192.0.2.0/24 8500-9499 overlaps ports 8000-8999 of "
		"DIR/labels.d/a.label:3, a range of the same width\n"
		"labels.d/b.label:7: rule tcp 192.0.2.0/24 9000-9999 overlaps ports 8500-9499 of "
		"DIR/labels.d/b.label:3, a range of the same width\n"
		"labels.d/b.label:4: rule tcp 2001:db8::/48 443 stands in DIR/labels.d/a.label:4 "
		"already\n");
}

static void test_conflicts_within_a_file(void **state)
{
	scratch_write(*state, "labels.d/a.label",
		      "[Label]\n"
		      "ListenStream=192.0.2.0/24:90-99\n"
		      "ListenStream=192.0.2.0/24:85-94\n"
		      "ListenStream=192.0.2.1:80\n"
		      "ListenStream=192.0.2.1/32:80\n"
		      "ListenStream=192.0.2.1:80\n");
	scratch_expect(*state,
		       "labels.d/a.label:3: rule tcp 192.0.2.0/24 85-94 overlaps ports 90-99 of "
		       "DIR/labels.d/a.label:2, a range of the same width\n"
		       "labels.d/a.label:5: rule tcp 192.0.2.1/32 80 stands in "
		       "DIR/labels.d/a.label:4 already\n"
		       "labels.d/a.label:6: rule tcp 192.0.2.1/32 80 stands in "
		       "DIR/labels.d/a.label:5 already\n");
}

static void test_limits(void **state)
{
	struct scratch *s = *state;

	scratch_write(s, "labels.d/a.label", "[Label]\nListenStream=192.0.2.1:80,443\n");
	scratch_write(s, "labels.d/b.label", "[Label]\nListenStream=192.0.2.2:80\n");
	scratch_write(s, "sockbroker.conf", "[Broker]\nMaxLabels=2\nMaxRules=3\n");
	scratch_expect(s, "");
	assert_int_equal(s->config->n_rules, 3);
	scratch_write(s, "sockbroker.conf", "[Broker]\nMaxLabels=1\nMaxRules=2\n");
	scratch_expect(s, "labels.d: there are 2 labels, and MaxLabels= is 1\n"
			  "labels.d: there are 3 rules, and MaxRules= is 2\n");
}

/* All files' errors come in one report, and an error leaves *RET alone. */
static void test_collected(void **state)
{
	struct scratch *s = *state;
	struct config *before = config_new(), *c = before;

	scratch_write(s, "sockbroker.conf", "[Broker]\nFoo=1\n");
	scratch_write(s, "labels.d/b.label", "[Label]\nListenStream=192.0.2.1:80\nBar=1\n");
	scratch_write(s, "labels.d/a.label", "[Label]\nMaxSockets=0\nListenStream=192.0.2.1:80\n");
	scratch_write(s, "labels.d/notes", "");
	scratch_expect(s, "sockbroker.conf:2: Foo= is not known\n"
			  "labels.d/a.label:2: MaxSockets=: '0' is not a number from 1 to 1024\n"
			  "labels.d/b.label:3: Bar= is not known\n"
			  "labels.d/b.label:2: rule tcp 192.0.2.1/32 80 stands in "
			  "DIR/labels.d/a.label:3 already\n");
	scratch_expect_warnings(s, "labels.d/notes: is not called NAME.label and is not read\n");
	config_report_clear(&s->report);
	assert_int_equal(config_read(s->dir, &c, &s->report), -EINVAL);
	assert_ptr_equal(c, before);
	config_free(before);
}

static void test_hundred_errors(void **state)
{
	struct scratch *s = *state;
	char text[4096] = "[Label]\n", *at = text + strlen(text);

	for (int i = 0; i < 123; i++)
		at += sprintf(at, "Bad%d=1\n", i);
	scratch_write(s, "labels.d/a.label", text);
	scratch_read(s);
	assert_int_equal(s->result, -EINVAL);
	assert_int_equal(s->report.n_errors, 100);
	assert_int_equal(s->report.n_all_errors, 123);
	assert_non_null(strstr(s->report.errors[99], "a.label:101: Bad99= is not known"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_nothing_there),
		scratch_test(test_sorted_and_found),
		scratch_test(test_names_of_files),
		scratch_test(test_names_that_are_no_labels),
		scratch_test(test_not_regular),
		scratch_test(test_dangling),
		scratch_test(test_not_directories),
		scratch_test(test_unreadable),
		scratch_test(test_size),
		scratch_test(test_conflicts),
		scratch_test(test_conflicts_within_a_file),
		scratch_test(test_limits),
		scratch_test(test_collected),
		scratch_test(test_hundred_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
