/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all requests have in common: names, permissions, fds, fields, the two forms of replies. */
#include "tests/unit/core/world.h"

#include <stdio.h>

#define READERS 50
#define ADMINS 60

/* Complete requests with as many fds as they need, by who may ask. */
static const struct row {
	const char *packet;
	bool read, needs_fd;
} rows[] = {
	{ "REQUEST=version\n", true, false },
	{ "REQUEST=status\n", true, false },
	{ "REQUEST=rules\n", true, false },
	{ "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\nPORT=80\n", true, false },
	{ "REQUEST=bind\nLABEL=a\nPROTOCOL=tcp\nPREFIX=192.0.2.1\nPORTS=80\n", false, false },
	{ "REQUEST=unbind\nLABEL=a\nPROTOCOL=tcp\nPREFIX=192.0.2.1\nPORTS=80\n", false, false },
	{ "REQUEST=apply\n", false, true },
	{ "REQUEST=reload\n", false, false },
	{ "REQUEST=unload\n", false, false },
};

static int ask_row(struct world *w, const struct row *row)
{
	return row->needs_fd ? ask_apply(w, "", false) : ask(w, "%s", row->packet);
}

static void test_admins_may_all(void **state)
{
	struct world *w = *state;

	w->config.settings.groups.admin = ADMINS;
	assert_int_equal(world_reload(w), 0);
	w->actor = (struct actor){ .uid = 1000, .gid = 1000, .n_groups = 1, .groups = { ADMINS } };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(ask_row(w, &rows[i]), 0);
	assert_true(core_unloaded(w->core));
}

static void test_others_may_read(void **state)
{
	struct world *w = *state;

	w->actor = (struct actor){ .uid = 1000, .gid = 1000 };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = ask_row(w, &rows[i]);

		if (rows[i].read)
			assert_int_equal(r, 0);
		else
			check_refusal(w, r, EPERM, "uid 1000 may not ");
	}
	assert_string_equal(w->error.message, "uid 1000 may not unload: only root may");
	assert_false(core_unloaded(w->core));
}

static void test_admin_group_is_named(void **state)
{
	struct world *w = *state;

	w->config.settings.groups.admin = ADMINS;
	strcpy(w->config.settings.admin_group, "wheel");
	assert_int_equal(world_reload(w), 0);
	w->actor = (struct actor){ .uid = 1000, .gid = 1000 };
	ask_row(w, &rows[4]);
	assert_string_equal(w->error.message,
			    "uid 1000 may not bind: only root and members of group wheel may");
}

static void test_read_group(void **state)
{
	struct world *w = *state;

	w->config.settings.groups.read = READERS;
	assert_int_equal(world_reload(w), 0);
	w->actor = (struct actor){ .uid = 1000, .gid = 1000 };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_refusal(w, ask_row(w, &rows[i]), EPERM, "may not");
	w->actor = (struct actor){ .uid = 1000, .gid = READERS };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(ask_row(w, &rows[i]), rows[i].read ? 0 : -EPERM);
	w->actor = (struct actor){ .uid = 1000, .n_groups = 2, .groups = { 1, READERS } };
	assert_int_equal(ask(w, "REQUEST=version\n"), 0);
}

static void test_unknown_request(void **state)
{
	struct world *w = *state;

	check_refusal(w, ask(w, "REQUEST=fly\n"), EPROTO, "no request \"fly\"");
	check_refusal(w, ask(w, "REQUEST=\n"), EPROTO, "no request \"\"");
	check_refusal(w, ask(w, "LABEL=a\n"), EPROTO, "starts with REQUEST=");
	check_refusal(w, ask(w, "LABEL=a\nREQUEST=status\n"), EPROTO, "starts with REQUEST=");
	check_refusal(w, ask(w, "REQUEST=version\nREQUEST=status\n"), EINVAL,
		      "REQUEST= comes twice");
	check_refusal(w, ask(w, "REQUEST=version\nPORT=1\n"), EINVAL, "version has no field PORT=");
	check_refusal(w, ask(w, "REQUEST=bind\nLABEL=a\nPORT=1\n"), EINVAL, "no field PORT=");
	check_refusal(w, ask(w, "REQUEST=apply\nDRYRUN=yes\n"), EINVAL, "no field DRYRUN=");
}

static void test_fd_counts(void **state)
{
	struct world *w = *state;
	int many[SB_WIRE_FDS_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!rows[i].needs_fd)
			check_refusal(w, ask_fds(w, FDS(FAKE_FD_FIRST), "%s", rows[i].packet),
				      EBADF, "takes no file descriptors, but 1 came with it");
	check_refusal(w, ask(w, "REQUEST=register\nLABEL=a\n"), EBADF, "needs sockets");
	check_refusal(w, ask(w, "REQUEST=apply\n"), EBADF, "needs a sealed memfd");
	check_refusal(w, ask_fds(w, FDS(3, 4), "REQUEST=apply\n"), EBADF, "but 2 came");
	check_refusal(w, ask_fds(w, FDS(3), "REQUEST=unregister\nLABEL=a\n"), EBADF, "no file");
	w->config.settings.max_sockets = SB_WIRE_FDS_MAX;
	assert_int_equal(world_reload(w), 0);
	for (int i = 0; i < SB_WIRE_FDS_MAX; i++)
		many[i] = fake_tcp(w->host, "127.0.0.1", (uint16_t)(1000 + i));
	many[SB_WIRE_FDS_MAX] = -1;
	assert_int_equal(ask_fds(w, many, "REQUEST=register\nLABEL=a\n"), 0);
}

/* Each field that a request needs, missing and twice. */
static void test_fields(void **state)
{
	static const struct {
		const char *request;
		const char *fields[6];
	} requests[] = {
		{ "bind", { "LABEL=a", "PROTOCOL=tcp", "PREFIX=192.0.2.1", "PORTS=80" } },
		{ "unbind", { "PROTOCOL=tcp", "PREFIX=192.0.2.1", "PORTS=80" } },
		{ "unregister", { "LABEL=a" } },
		{ "explain", { "PROTOCOL=tcp", "ADDRESS=192.0.2.1", "PORT=80" } },
	};
	struct world *w = *state;
	char packet[512], key[32];

	assert_int_equal(ask_bind(w, "a tcp 192.0.2.1 80"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		for (size_t k = 0; requests[i].fields[k]; k++)
			for (int twice = 0; twice < 2; twice++) {
				int n = snprintf(packet, sizeof(packet), "REQUEST=%s\n",
						 requests[i].request);

				sscanf(requests[i].fields[k], "%31[^=]", key);
				for (size_t f = 0; requests[i].fields[f]; f++)
					for (int t = f == k ? 0 : 1; t < (f == k ? twice * 2 : 2);
					     t++)
						n += sprintf(packet + n, "%s\n",
							     requests[i].fields[f]);
				check_refusal(w, ask(w, "%s", packet), EINVAL,
					      twice ? "comes twice" : "lacks");
				assert_non_null(strstr(w->error.message, key));
			}
}

static void test_optional_fields_come_once(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "a tcp 192.0.2.1 80"), 0);
	check_refusal(w, ask(w, "REQUEST=rules\nLABEL=a\nLABEL=a\n"), EINVAL, "LABEL= comes twice");
	check_refusal(w, ask(w, "REQUEST=rules\nFORMAT=text\nFORMAT=text\n"), EINVAL, "FORMAT=");
	check_refusal(w, ask(w, "REQUEST=rules\nFORMAT=xml\n"), EINVAL, "not \"xml\"");
	check_refusal(w, ask(w, "REQUEST=status\nLABEL=b\n"), ENOENT, "no label b");
	check_refusal(w, ask(w, "REQUEST=status\nLABEL=-b\n"), EINVAL, "-b");
	check_refusal(w, ask(w, "REQUEST=unregister\nLABEL=a\nPROTOCOL=tcp\nPROTOCOL=udp\n"),
		      EINVAL, "PROTOCOL= comes twice");
	check_refusal(w,
		      ask(w, "REQUEST=bind\nLABEL=a\nPROTOCOL=tcp\nPREFIX=192.0.2.2\nPORTS=80\n"
			     "MOVE=maybe\n"),
		      EINVAL, "MOVE= is yes or no, not \"maybe\"");
}

static void check_short(struct world *w, const char *reply)
{
	assert_int_equal(w->reply.writer.length, strlen(reply));
	assert_memory_equal(w->reply.writer.buffer, reply, strlen(reply));
}

static void test_short_form(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_fds(w, FDS(fd), "web#"), 0);
	check_short(w, "OK");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), fd);
	assert_int_equal(ask_fds(w, FDS(fake_dup(w->host, fd), fd), "web#"), -EINVAL);
	check_short(w, "ERR EINVAL sockets 0 and 1 of the request are the same socket");
	assert_int_equal(ask(w, "web#"), -EBADF);
	check_short(w, "ERR EBADF register needs sockets, but no file descriptor came with it");
	w->actor.uid = 5;
	assert_int_equal(ask_fds(w, FDS(fd), "web#"), -EPERM);
}

/* A warning may be had with the long form; the short one promises exactly OK. */
static void test_short_form_has_no_warnings(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "::1", 8080);

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(warnings(w, "IPv6-only"), 1);
	assert_int_equal(ask_fds(w, FDS(fd), "web#"), 0);
	check_short(w, "OK");
}

static void test_version(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, "REQUEST=version\n"), 0);
	check_field(w, "VERSION", "1.2.3");
	check_field(w, "PROTOCOL", "1");
	check_field(w, "ABI", "2");
	check_field(w, "NETNS", "own");
	assert_non_null(sb_message_get(&w->answer, "KERNEL"));
}

static void test_reload(void **state)
{
	struct world *w = *state;

	w->config.settings.groups.admin = ADMINS;
	fake_calls_begin(&w->calls, 1, EIO);
	check_refusal(w, ask(w, "REQUEST=reload\n"), EIO, "fake");
	fake_calls_begin(&w->calls, 0, 0);
	assert_int_equal(ask(w, "REQUEST=reload\n"), 0);
	w->actor = (struct actor){ .uid = 1000, .gid = ADMINS };
	assert_int_equal(ask(w, "REQUEST=reload\n"), 0);
}

static void test_unload(void **state)
{
	struct world *w = *state;

	fake_calls_begin(&w->calls, 1, EIO);
	check_refusal(w, ask(w, "REQUEST=unload\n"), EIO, "fake");
	assert_false(core_unloaded(w->core));
	fake_calls_begin(&w->calls, 0, 0);
	assert_int_equal(ask(w, "REQUEST=unload\n"), 0);
	check_field(w, "DETACHED", "yes");
	assert_true(core_unloaded(w->core));
	check_refusal(w, ask(w, "REQUEST=version\n"), ESHUTDOWN, "ending");
	check_refusal(w, world_reload(w), ESHUTDOWN, "unloaded");
	core_sweep(w->core);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_admins_may_all),
		TEST(test_others_may_read),
		TEST(test_admin_group_is_named),
		TEST(test_read_group),
		TEST(test_unknown_request),
		TEST(test_fd_counts),
		TEST(test_fields),
		TEST(test_optional_fields_come_once),
		TEST(test_short_form),
		TEST(test_short_form_has_no_warnings),
		TEST(test_version),
		TEST(test_reload),
		TEST(test_unload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
