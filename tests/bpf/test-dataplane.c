/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pins and generations. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/bpf/pinned.h"

static void test_first_publish(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(info_of(f).link_id, 0);
	assert_false(info_of(f).took_over);
	assert_int_equal(client_connect("tcp", STEERED, PORT), -ECONNREFUSED);
	assert_int_equal(verdict_of(&f->port, "tcp", STEERED, PORT, 1).kind, VERDICT_UNKNOWN);
	publish_it(f);
	assert_true(steers(f));
	assert_true(info_of(f).link_id != 0 && info_of(f).program_id != 0);
	assert_true(info_of(f).rules_bytes > SB_RULES_BYTES(SB_RULES_FIRST_BLOCK));
	assert_int_equal(stat(f->scratch.pins, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	for (const char *const *name =
		     (const char *const[]){ "link", "prog", "rules", "sockmap", "groups",
					    "slot_lists", "slot_owners", "counters", NULL };
	     *name; name++) {
		assert_int_equal(stat(pin(f, *name), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_false(pinned(f, "rules_new") || pinned(f, "prog_new"));
}

static void test_edit(void **state)
{
	struct fixture *f = *state;
	struct rule r = rule_from("tcp 127.3.0.0/16 80", LABEL), conflict;
	struct sb_prefix prefix = rule_prefix(&r);
	uint32_t program = info_of(f).program_id;

	assert_int_equal(client_connect("tcp", "127.3.0.1", 80), -ECONNREFUSED);
	assert_int_equal(ruleset_add(f->rules, &r, &conflict), 0);
	assert_int_equal(f->port.edit(f->port.self, f->rules, &prefix, NULL), 0);
	assert_true(reaches(f->listener, "127.3.0.1", 80));
	assert_int_equal(client_connect("tcp", "127.3.0.1", 81), -ECONNREFUSED);
	assert_int_equal(ruleset_remove(f->rules, &r, NULL), 0);
	assert_int_equal(f->port.edit(f->port.self, f->rules, &prefix, NULL), 0);
	assert_int_equal(client_connect("tcp", "127.3.0.1", 80), -ECONNREFUSED);
	assert_true(steers(f));
	/* All that in the tables of one program. */
	assert_int_equal(info_of(f).program_id, program);
}

/* When the tables are full, an edit becomes a generation. */
static void test_edit_without_room(void **state)
{
	struct fixture *f = *state;
	uint64_t generation = info_of(f).generation;
	struct rule r = rule_from("udp 10.0.0.0/24 1", LABEL), conflict;
	struct sb_prefix prefix = rule_prefix(&r);
	unsigned edits = 0;

	/* Each adds an interval to one entry, which is written anew. */
	while (info_of(f).generation == generation && edits++ < 2000) {
		r.port_first = r.port_last = (uint16_t)(edits * 2);
		assert_int_equal(ruleset_add(f->rules, &r, &conflict), 0);
		assert_int_equal(f->port.edit(f->port.self, f->rules, &prefix, NULL), 0);
	}
	assert_true(edits > 100 && edits < 2000);
	assert_true(steers(f));
	assert_int_equal(verdict_of(&f->port, "udp", "10.0.0.9", edits * 2, 1).kind, VERDICT_DROP);
	assert_int_equal(verdict_of(&f->port, "udp", "10.0.0.9", 2, 1).kind, VERDICT_DROP);
	assert_int_equal(verdict_of(&f->port, "udp", "10.0.0.9", 3, 1).kind, VERDICT_PASS);
}

static void test_takes_over(void **state)
{
	struct fixture *f = *state;
	struct dataplane_info before = info_of(f), after;
	struct sb_group_counters c;
	uint32_t owner, count;
	uint64_t cookie;

	close_it(f);
	assert_true(steers(f)); /* with nobody there */
	open_it(f);
	after = info_of(f);
	assert_true(after.took_over);
	assert_int_equal(after.link_id, before.link_id);
	assert_int_equal(after.program_id, before.program_id);
	assert_int_equal(after.generation, before.generation);
	assert_true(steers(f));
	assert_int_equal(f->port.slot_cookie(f->port.self, 0, &cookie), 0);
	assert_int_equal(cookie, socket_cookie(f->listener));
	assert_int_equal(f->port.slot_owner(f->port.self, 0, &owner), 0);
	assert_int_equal(owner, SB_SLOT_OWNER(LABEL, false));
	assert_int_equal(f->port.group_load(f->port.self, group_of(LABEL, "tcp", SB_GROUP_V4), NULL,
					    &count, NULL),
			 0);
	assert_int_equal(count, 1);
	assert_int_equal(f->port.counters(f->port.self, group_of(LABEL, "tcp", SB_GROUP_V4), &c),
			 0);
	assert_int_equal(c.lookups, 2);

	publish_it(f);
	assert_true(steers(f));
	assert_int_equal(info_of(f).link_id, before.link_id);
	assert_int_equal(info_of(f).generation, before.generation + 1);
	assert_true(info_of(f).program_id != before.program_id);
}

static void test_unload(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	struct verdict v;
	struct sb_error error = {};

	assert_int_equal(f->port.unload(f->port.self, NULL), 0);
	assert_int_equal(lstat(f->scratch.pins, &st), -1);
	assert_int_equal(client_connect("tcp", STEERED, PORT), -ECONNREFUSED);
	assert_int_equal(f->port.publish(f->port.self, f->rules, &error), -ESHUTDOWN);
	assert_int_equal(f->port.slot_clear(f->port.self, 0), -ESHUTDOWN);
	assert_int_equal(f->port.run(f->port.self, &(struct packet){}, NULL, 1, &v), -ESHUTDOWN);
	close_it(f);
	/* And again from nothing. */
	open_it(f);
	assert_false(info_of(f).took_over);
	publish_it(f);
	assert_int_equal(client_connect("tcp", STEERED, PORT), -ECONNREFUSED);
}

static void test_slots(void **state)
{
	struct fixture *f = *state;
	const struct dataplane_port *p = &f->port;
	int other = socket_open("tcp", "127.0.0.1", 0), pipes[2];
	uint64_t cookie;
	uint32_t owner;

	/* A slot in use keeps its socket and its owner. */
	assert_int_equal(p->slot_store(p->self, 0, 99, other), -EEXIST);
	assert_int_equal(p->slot_owner(p->self, 0, &owner), 0);
	assert_int_equal(owner, SB_SLOT_OWNER(LABEL, false));
	assert_true(steers(f));
	assert_int_equal(pipe(pipes), 0);
	assert_true(p->slot_store(p->self, 1, 99, pipes[0]) < 0);
	assert_int_equal(p->slot_owner(p->self, 1, &owner), 0);
	assert_int_equal(owner, 0);
	assert_int_equal(p->slot_cookie(p->self, 1, &cookie), -ENOENT);
	assert_int_equal(p->slot_clear(p->self, 1), 0);
	assert_int_equal(p->slot_store(p->self, SB_SLOTS_MAX, 1, other), -EINVAL);
	assert_int_equal(p->list_store(p->self, SB_SLOT_LIST_MAX, &owner, 1), -EINVAL);
	assert_int_equal(p->group_store(p->self, SB_GROUPS_MAX, 0, 0, 0), -EINVAL);
	assert_int_equal(p->group_store(p->self, 0, 0, SB_GROUP_SLOTS_MAX + 1, 0), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	close(other);
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Every step that wants an fd fails once: the rules in force stay those, and nothing is left over.
 */
static void test_failing_publish(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;
	struct ruleset *next = rules_from("tcp 127.9.0.0/16 any", LABEL);
	struct dataplane_info before = info_of(f);
	unsigned fds = open_fds(), failures = 0;
	int r = -1;

	getrlimit(RLIMIT_NOFILE, &old);
	for (rlim_t more = 0; r < 0 && more < 30; more++) {
		struct sb_error error = {};

		limit = (struct rlimit){ .rlim_cur = (rlim_t)f->listener + more, old.rlim_max };
		setrlimit(RLIMIT_NOFILE, &limit);
		r = f->port.publish(f->port.self, next, &error);
		setrlimit(RLIMIT_NOFILE, &old);
		if (r == 0)
			break;
		failures++;
		assert_true(error.code > 0 && error.message[0] != '\0');
		assert_int_equal(open_fds(), fds);
		assert_true(steers(f));
		assert_int_equal(client_connect("tcp", "127.9.0.1", PORT), -ECONNREFUSED);
		assert_int_equal(info_of(f).program_id, before.program_id);
		assert_false(pinned(f, "rules_new") || pinned(f, "prog_new"));
	}
	assert_int_equal(r, 0);
	assert_true(failures >= 5);
	assert_int_equal(open_fds(), fds);
	assert_true(reaches(f->listener, "127.9.0.1", PORT));
	assert_int_equal(client_connect("tcp", STEERED, PORT), -ECONNREFUSED);
	ruleset_free(next);
}

/* Pinning fails, at first and later. */
static void test_failing_pin(void **state)
{
	struct fixture *f = *state;
	struct dataplane_info before = info_of(f);

	assert_int_equal(mkdir(pin(f, "prog_new"), 0700), 0);
	assert_true(f->port.publish(f->port.self, f->rules, NULL) < 0);
	assert_int_equal(info_of(f).program_id, before.program_id);
	assert_false(pinned(f, "rules_new"));
	assert_int_equal(rmdir(pin(f, "prog_new")), 0);
	publish_it(f);
	assert_true(steers(f));
}

static void test_netns_by_path(void **state)
{
	struct fixture *f = *state;
	struct dataplane_options options = { .bpffs = f->scratch.pins, .netns = "/etc/passwd" };
	struct sb_error error = {};
	struct dataplane *d;

	close_it(f);
	assert_int_equal(dataplane_open(&d, &options, &error), -EINVAL);
	assert_non_null(strstr(error.message, "/etc/passwd is not a network namespace"));
	options.netns = "/nowhere";
	assert_int_equal(dataplane_open(&d, &options, &error), -ENOENT);
	options.netns = "/proc/self/ns/net";
	assert_int_equal(dataplane_open(&d, &options, &error), 0);
	f->dataplane = d;
	f->port = dataplane_port(d);
	assert_true(steers(f));
}

static void test_directory(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, NULL, EBUSY, "another sockbrokerd");
	close_it(f);
	chmod(f->scratch.pins, 0770);
	assert_refused(f, NULL, EPERM, "others may write");
	chmod(f->scratch.pins, 0700);
	assert_int_equal(chown(f->scratch.pins, 65534, 0), 0);
	assert_refused(f, NULL, EPERM, "belongs to uid 65534");
	assert_int_equal(chown(f->scratch.pins, 0, 0), 0);
	assert_refused(f, "/tmp", ENODEV, "mount -t bpf bpf /tmp");
	assert_refused(f, "/tmp/sockbroker-none", ENODEV, "mount -t bpf bpf /tmp");
	assert_refused(f, "/nowhere/at/all", ENOENT, "/nowhere/at");
	open_it(f);
}

static void test_link_limit(void **state)
{
	struct fixture *f = *state;
	int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "other", 4, 8, 1, NULL);
	int program = fixed_program(map), ns = open("/proc/self/ns/net", O_RDONLY), links[64];
	struct sb_error error = {};

	for (int i = 0; i < 64; i++) {
		links[i] = bpf_link_create(program, ns, BPF_SK_LOOKUP, NULL);
		assert_true(links[i] >= 0);
	}
	assert_int_equal(f->port.publish(f->port.self, f->rules, &error), -E2BIG);
	assert_non_null(strstr(error.message, "64"));
	assert_false(pinned(f, "link") || pinned(f, "rules_new") || pinned(f, "prog_new"));
	for (int i = 0; i < 64; i++)
		close(links[i]);
	publish_it(f);
	assert_true(steers(f));
	close(program);
	close(map);
	close(ns);
}

#define FRESH(name) cmocka_unit_test_setup_teardown(test_##name, pinned_start, pinned_stop)
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, pinned_start_published, pinned_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(first_publish),
		TEST(edit),
		TEST(edit_without_room),
		TEST(takes_over),
		TEST(unload),
		TEST(slots),
		TEST(failing_publish),
		TEST(failing_pin),
		TEST(netns_by_path),
		TEST(directory),
		FRESH(link_limit),
	};

	scratch_needs_root();
	return cmocka_run_group_tests(tests, scratch_start, scratch_stop);
}
