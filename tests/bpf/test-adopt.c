/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a start finds of the run before: whole, interrupted, of another version, or hostile. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "broker/dataplane/internal.h"
#include "tests/bpf/pinned.h"

static const char *const renewable[] = { "groups", "slot_lists", "slot_owners", "counters" };

/* All names in the directory with what is behind them, to be compared. */
static char *look_around(const struct fixture *f)
{
	struct dirent **entries;
	int n = scandir(f->scratch.pins, &entries, NULL, alphasort);
	char *text = calloc(1, 4096);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		struct stat st;

		assert_int_equal(lstat(pin(f, entries[i]->d_name), &st), 0);
		snprintf(text + strlen(text), 4096 - strlen(text), "%s %ju\n", entries[i]->d_name,
			 (uintmax_t)st.st_ino);
		free(entries[i]);
	}
	free(entries);
	return text;
}

/* A start is refused, and has touched nothing. */
static void refused(const struct fixture *f, int code, const char *words)
{
	char *before = look_around(f), *after;

	assert_refused(f, NULL, code, words);
	after = look_around(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

/* Opens with maps made anew, while traffic goes on, and does what the core does with them. */
static void open_renewed(struct fixture *f)
{
	const uint32_t group = group_of(LABEL, "tcp", SB_GROUP_V4), slot = 0;
	const struct dataplane_port *p;
	uint32_t owner, count;

	open_it(f);
	p = &f->port;
	assert_true(info_of(f).renewed);
	assert_int_equal(p->slot_owner(p->self, slot, &owner), 0);
	assert_int_equal(owner, SB_SLOT_OWNER_UNKNOWN);
	assert_int_equal(p->slot_owner(p->self, slot + 1, &owner), 0);
	assert_int_equal(owner, 0);
	assert_int_equal(p->group_load(p->self, group, NULL, &count, NULL), 0);
	assert_int_equal(count, 0);
	assert_int_equal(p->slot_adopt(p->self, slot, SB_SLOT_OWNER(LABEL, false)), 0);
	assert_int_equal(p->list_store(p->self, 7, &slot, 1), 0);
	assert_int_equal(p->group_store(p->self, group, 7, 1, SB_EMPTY_DROP), 0);
}

static void check_pins(const struct fixture *f)
{
	char name[64];

	for (size_t i = 0; i < ARRAY_SIZE(renewable); i++) {
		snprintf(name, sizeof(name), "%s_new", renewable[i]);
		assert_true(pinned(f, renewable[i]) && !pinned(f, name));
	}
	assert_true(pinned(f, "sockmap") && pinned(f, "link"));
	assert_true(pinned(f, "rules") && !pinned(f, "rules_new"));
	assert_true(pinned(f, "prog") && !pinned(f, "prog_new"));
}

/* The new maps are published, pinned, and found by the next start as a matter of course. */
static void publish_renewed(struct fixture *f)
{
	uint32_t link = info_of(f).link_id;

	publish_it(f);
	assert_true(steers(f));
	assert_int_equal(info_of(f).link_id, link);
	assert_false(info_of(f).renewed);
	check_pins(f);
	close_it(f);
	assert_true(steers(f));
	open_it(f);
	assert_true(info_of(f).took_over && !info_of(f).renewed);
	assert_true(steers(f));
}

/* The number that the pinned rules say. */
static void set_abi(const struct fixture *f, const char *name, uint32_t abi)
{
	int fd = bpf_obj_get(pin(f, name));
	struct sb_rules_header *h =
		mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(h != MAP_FAILED);
	assert_true(h->abi > 0 && h->generation > 0);
	h->abi = abi;
	munmap(h, sizeof(*h));
	close(fd);
}

static uint64_t lookups(const struct fixture *f)
{
	struct sb_group_counters c;

	assert_int_equal(f->port.counters(f->port.self, group_of(LABEL, "tcp", SB_GROUP_V4), &c),
			 0);
	return c.lookups;
}

/* -- other versions -------------------------------------------------------------------------------
 */

static void test_older(void **state)
{
	struct fixture *f = *state;
	int gone = socket_open("tcp", "127.0.0.1", 0);
	uint32_t owner;

	for (unsigned i = 0; i < 3; i++)
		assert_true(steers(f));
	assert_int_equal(f->port.slot_store(f->port.self, 3, 99, gone), 0);
	close(gone);
	assert_int_equal(f->port.slot_adopt(f->port.self, 4, SB_SLOT_RESERVED), 0);
	close_it(f);
	set_abi(f, "rules", SB_ABI_VERSION - 1);
	open_renewed(f);
	assert_true(info_of(f).took_over);
	/* A process of the former broker may still put something there. */
	assert_int_equal(f->port.slot_owner(f->port.self, 4, &owner), 0);
	assert_int_equal(owner, SB_SLOT_RESERVED);
	/* The former program may still look there. */
	assert_int_equal(f->port.slot_owner(f->port.self, 3, &owner), 0);
	assert_int_equal(owner, SB_SLOT_OWNER_UNKNOWN);
	assert_int_equal(lookups(f), 0);
	assert_true(steers(f)); /* by the former program still */
	publish_renewed(f);
	assert_int_equal(lookups(f), 3 + 1 + 3);
	/* Once more: what was carried over is carried along. */
	close_it(f);
	set_abi(f, "rules", SB_ABI_VERSION - 1);
	open_renewed(f);
	publish_renewed(f);
	assert_int_equal(lookups(f), 7 + 3);
	assert_int_equal(f->port.counters_reset(f->port.self, group_of(LABEL, "tcp", 0)), 0);
	assert_int_equal(
		f->port.counters_reset(f->port.self, group_of(LABEL, "tcp", SB_COUNTERS_FORMER)),
		0);
	assert_int_equal(lookups(f), 0);
}

/* Counters of a label that is made before the switch begin at 0. */
static void test_older_and_a_new_label(void **state)
{
	struct fixture *f = *state;

	assert_true(steers(f));
	close_it(f);
	set_abi(f, "rules", SB_ABI_VERSION - 1);
	open_renewed(f);
	for (uint32_t kind = 0; kind < SB_GROUPS_PER_LABEL; kind++)
		assert_int_equal(
			f->port.counters_reset(f->port.self, LABEL * SB_GROUPS_PER_LABEL + kind),
			0);
	publish_it(f);
	assert_int_equal(lookups(f), 0);
	assert_true(steers(f));
	assert_int_equal(lookups(f), 1);
}

static int counters_of_shape(enum bpf_map_type type, uint32_t words, uint32_t rows)
{
	int fd = bpf_map_create(type, "counters", 4, words * 8, rows, NULL);

	assert_true(fd >= 0);
	return fd;
}

/* Rows that are no beginning of ours, and maps that are something else, are not read. */
static void test_counters_of_other_shapes(void **state)
{
	const uint32_t words = sizeof(struct sb_group_counters) / 8;
	int ours = counters_of_shape(BPF_MAP_TYPE_PERCPU_ARRAY, words, SB_GROUPS_MAX);
	int n_cpus = libbpf_num_possible_cpus();
	static const struct {
		enum bpf_map_type type;
		int more_words;
		uint32_t rows;
		int r;
	} shapes[] = {
		{ BPF_MAP_TYPE_PERCPU_ARRAY, 1, 8, -EPROTO },
		{ BPF_MAP_TYPE_ARRAY, 0, 8, -EPROTO },
		{ BPF_MAP_TYPE_PERCPU_HASH, 0, 8, -EPROTO },
		{ BPF_MAP_TYPE_PERCPU_ARRAY, 500, 8, -EPROTO },
		{ BPF_MAP_TYPE_PERCPU_ARRAY, -3, 8, 0 },
		{ BPF_MAP_TYPE_PERCPU_ARRAY, 0, 1, 0 },
		{ BPF_MAP_TYPE_PERCPU_ARRAY, 0, SB_GROUPS_MAX + 8, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		int other = counters_of_shape(
			shapes[i].type, words + (uint32_t)shapes[i].more_words, shapes[i].rows);

		assert_int_equal(counters_carry(other, ours, n_cpus), shapes[i].r);
		close(other);
	}
	close(ours);
}

/* A start that ends before it publishes leaves no trace. */
static void test_older_given_up(void **state)
{
	struct fixture *f = *state;
	char *before, *after;

	close_it(f);
	set_abi(f, "rules", SB_ABI_VERSION - 1);
	before = look_around(f);
	open_renewed(f);
	close_it(f);
	after = look_around(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	assert_true(steers(f));
	open_renewed(f);
	publish_renewed(f);
}

static void test_newer(void **state)
{
	struct fixture *f = *state;
	char words[128];

	snprintf(words, sizeof(words),
		 "made by a newer sockbroker (ABI %d, this one knows %d): nothing was touched and "
		 "traffic goes on; start the newer sockbrokerd",
		 SB_ABI_VERSION + 1, SB_ABI_VERSION);
	close_it(f);
	set_abi(f, "rules", SB_ABI_VERSION + 1);
	refused(f, EOPNOTSUPP, words);
	assert_true(steers(f));
	/* Wherever it stopped in its own switch. */
	assert_int_equal(rename(pin(f, "prog"), pin(f, "prog_new")), 0);
	refused(f, EOPNOTSUPP, words);
	assert_int_equal(rename(pin(f, "rules"), pin(f, "rules_new")), 0);
	refused(f, EOPNOTSUPP, words);
	assert_int_equal(rename(pin(f, "groups"), pin(f, "groups_new")), 0);
	refused(f, EOPNOTSUPP, words);
	assert_true(steers(f));
	set_abi(f, "rules_new", SB_ABI_VERSION);
	open_it(f);
	assert_true(info_of(f).took_over && !info_of(f).renewed);
	check_pins(f);
}

/* A newer one that never came into force is nobody's loss. */
static void test_newer_not_attached(void **state)
{
	struct fixture *f = *state;
	int copy, map;

	close_it(f);
	map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "other", 4, 8, 1, NULL);
	assert_int_equal(bpf_obj_pin(map, pin(f, "groups_new")), 0);
	copy = bpf_obj_get(pin(f, "rules"));
	assert_int_equal(bpf_obj_pin(copy, pin(f, "rules_new")), 0);
	close(copy);
	copy = fixed_program(map);
	assert_int_equal(bpf_obj_pin(copy, pin(f, "prog_new")), 0);
	close(copy);
	close(map);
	open_it(f);
	assert_true(info_of(f).took_over && !info_of(f).renewed);
	check_pins(f);
}

/* Neither newer nor older can be told of maps that have another shape. */
static void test_unknown_version(void **state)
{
	struct fixture *f = *state;

	close_it(f);
	set_abi(f, "rules", 0);
	/* Ours for all we know. */
	open_it(f);
	assert_true(info_of(f).took_over && !info_of(f).renewed);
	publish_it(f);
	assert_true(steers(f));
}

/* -- interrupted ----------------------------------------------------------------------------------
 */

/* A crash between the update of the link and the second, or the first, new name. */
static void test_interrupted_switch(void **state)
{
	struct fixture *f = *state;
	struct dataplane_info before = info_of(f);

	close_it(f);
	assert_int_equal(rename(pin(f, "prog"), pin(f, "prog_new")), 0);
	open_it(f);
	assert_true(info_of(f).took_over);
	assert_int_equal(info_of(f).program_id, before.program_id);
	assert_true(pinned(f, "prog") && !pinned(f, "prog_new"));

	close_it(f);
	assert_int_equal(rename(pin(f, "prog"), pin(f, "prog_new")), 0);
	assert_int_equal(rename(pin(f, "rules"), pin(f, "rules_new")), 0);
	open_it(f);
	assert_true(info_of(f).took_over);
	assert_int_equal(info_of(f).generation, before.generation);
	assert_true(pinned(f, "rules") && !pinned(f, "rules_new") && !pinned(f, "prog_new"));
	assert_true(steers(f));
}

/* ... and of the maps that were made anew: N of them have their names. The counters, the last, are
 * carried over before that. */
static void test_interrupted_renewal(void **state)
{
	struct fixture *f = *state;
	char name[64];

	for (size_t n = 0; n <= ARRAY_SIZE(renewable); n++) {
		uint64_t counted = lookups(f);
		int counters = bpf_obj_get(pin(f, "counters"));
		int program = bpf_obj_get(pin(f, "prog"));

		close_it(f);
		set_abi(f, "rules", SB_ABI_VERSION - 1);
		open_renewed(f);
		publish_it(f);
		close_it(f);
		/* The names go back; the counters of the new map to what they were before. */
		assert_int_equal(rename(pin(f, "rules"), pin(f, "rules_new")), 0);
		assert_int_equal(rename(pin(f, "prog"), pin(f, "prog_new")), 0);
		assert_int_equal(bpf_obj_pin(program, pin(f, "prog")), 0);
		for (size_t i = n; i < ARRAY_SIZE(renewable); i++) {
			snprintf(name, sizeof(name), "%s_new", renewable[i]);
			assert_int_equal(rename(pin(f, renewable[i]), pin(f, name)), 0);
		}
		if (n < ARRAY_SIZE(renewable))
			assert_int_equal(bpf_obj_pin(counters, pin(f, "counters")), 0);
		close(counters);
		close(program);
		assert_true(steers(f));
		open_it(f);
		assert_true(info_of(f).took_over && !info_of(f).renewed);
		assert_true(steers(f));
		check_pins(f);
		assert_int_equal(lookups(f), counted + 2);
	}
}

/* ... and before the update: the new generation never came into force. */
static void test_interrupted_before(void **state)
{
	struct fixture *f = *state;
	struct dataplane_info before = info_of(f);
	int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "other", 4, 8, 1, NULL);
	int program = fixed_program(map);

	close_it(f);
	assert_int_equal(bpf_obj_pin(map, pin(f, "rules_new")), 0);
	assert_int_equal(bpf_obj_pin(map, pin(f, "slot_lists_new")), 0);
	assert_int_equal(bpf_obj_pin(program, pin(f, "prog_new")), 0);
	open_it(f);
	assert_true(info_of(f).took_over);
	assert_int_equal(info_of(f).program_id, before.program_id);
	check_pins(f);
	assert_true(steers(f));
	close(program);
	close(map);
}

/* The switch is done, only the names could not be given: the next publish goes on with that. */
static void test_unfinished(void **state)
{
	struct fixture *f = *state;

	close_it(f);
	set_abi(f, "rules", SB_ABI_VERSION - 1);
	open_renewed(f);
	unlink(pin(f, "slot_owners"));
	assert_int_equal(mkdir(pin(f, "slot_owners"), 0700), 0);
	publish_it(f);
	assert_true(steers(f));
	assert_true(pinned(f, "slot_owners_new"));
	assert_true(f->port.publish(f->port.self, f->rules, NULL) < 0);
	assert_true(pinned(f, "slot_owners_new"));
	assert_int_equal(rmdir(pin(f, "slot_owners")), 0);
	publish_it(f);
	check_pins(f);
	publish_renewed(f);
}

/* -- hostile --------------------------------------------------------------------------------------
 */

/* Somebody else put his program into our link: he is not overwritten unawares. */
static void test_foreign_update(void **state)
{
	struct fixture *f = *state;
	int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "other", 4, 8, 1, NULL);
	int program = fixed_program(map), link = bpf_obj_get(pin(f, "link"));
	struct sb_error error = {};

	assert_true(map >= 0 && program >= 0 && link >= 0);
	assert_int_equal(bpf_link_update(link, program, NULL), 0);
	assert_int_equal(f->port.publish(f->port.self, f->rules, &error), -EBUSY);
	assert_non_null(strstr(error.message, "somebody else"));
	assert_false(steers(f));
	/* A start takes it over. */
	close_it(f);
	open_renewed(f);
	assert_false(info_of(f).took_over);
	publish_renewed(f);
	/* The same, and he pinned it in the place of ours: so it could be that the sockmap is not.
	 */
	close_it(f);
	assert_int_equal(bpf_link_update(link, program, NULL), 0);
	replace_pin(f, "prog", program);
	refused(f, EEXIST, "not the map that the attached program takes sockets from");
	close(link);
	close(map);
}

/* What stands under our names and is no map was not made by us. */
static void test_no_maps(void **state)
{
	struct fixture *f = *state;
	int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "other", 4, 8, 1, NULL);

	close_it(f);
	replace_pin(f, "groups", fixed_program(map));
	refused(f, EEXIST, "groups is not a BPF map");
	unlink(pin(f, "groups"));
	assert_int_equal(mkdir(pin(f, "groups"), 0700), 0);
	refused(f, EEXIST, "groups is not a BPF map");
	rmdir(pin(f, "groups"));
	assert_int_equal(symlink("/etc/passwd", pin(f, "groups")), 0);
	refused(f, EEXIST, "groups is not a BPF map");
	assert_true(steers(f));
	close(map);
}

/* Maps that the attached program does not use are not believed, whatever their shape. */
static void test_foreign_maps(void **state)
{
	LIBBPF_OPTS(bpf_map_create_opts, mappable, .map_flags = BPF_F_MMAPABLE);
	struct fixture *f = *state;

	for (unsigned i = 0; i < 6; i++) {
		close_it(f);
		switch (i) {
		case 0:
			replace_pin(f, "groups", array_of(SB_GROUPS_MAX, 0));
			break;
		case 1:
			replace_pin(f, "slot_lists",
				    bpf_map_create(BPF_MAP_TYPE_HASH, "hash", 4, 8, 1, NULL));
			break;
		case 2:
			unlink(pin(f, "slot_owners"));
			break;
		case 3:
			replace_pin(f, "counters",
				    bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "counters", 4,
						   sizeof(struct sb_group_counters), SB_GROUPS_MAX,
						   NULL));
			break;
		case 4:
			replace_pin(f, "groups",
				    bpf_map_create(BPF_MAP_TYPE_ARRAY, "groups", 4,
						   SB_GROUPS_MAX * 8, 1, &mappable));
			break;
		case 5:
			for (size_t k = 0; k < ARRAY_SIZE(renewable); k++)
				unlink(pin(f, renewable[k]));
			break;
		}
		open_renewed(f);
		assert_true(info_of(f).took_over);
		assert_true(steers(f));
		publish_renewed(f);
	}
	assert_true(lookups(f) > 0);
}

/* There is only one sockmap. */
static void test_hostile_sockmap(void **state)
{
	struct fixture *f = *state;
	int mine;

	close_it(f);
	mine = bpf_obj_get(pin(f, "sockmap"));
	replace_pin(f, "sockmap", array_of(SB_SLOTS_MAX, 0));
	refused(f, EEXIST, "not the map of sockets");
	replace_pin(f, "sockmap",
		    bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "sockmap", 4, 8, SB_SLOTS_MAX - 1, NULL));
	refused(f, EEXIST, "not the map of sockets");
	replace_pin(f, "sockmap",
		    bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "sockmap", 4, 4, SB_SLOTS_MAX, NULL));
	refused(f, EEXIST, "not the map of sockets");
	replace_pin(f, "sockmap",
		    bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "sockmap", 4, 8, SB_SLOTS_MAX, NULL));
	refused(f, EEXIST, "traffic goes on as it is; put it back");
	unlink(pin(f, "sockmap"));
	refused(f, ENOENT, "sockmap is missing");
	assert_true(steers(f));
	replace_pin(f, "sockmap", mine);
	open_it(f);
	assert_true(info_of(f).took_over && !info_of(f).renewed);
}

/* Words that make no sense, and a socket in a slot that nobody owns. */
static void test_hostile_words(void **state)
{
	static const uint64_t words[] = {
		SB_GROUP_WORD(0xffffff, 0xfff, 3, 0),
		SB_GROUP_WORD(0, SB_GROUP_SLOTS_MAX + 1, 1, 0),
		SB_GROUP_WORD(SB_SLOT_LIST_MAX, 1, 0, 0),
		SB_GROUP_WORD(SB_SLOT_LIST_MAX + 1, 0, 0, 0),
	};
	struct fixture *f = *state;
	const struct dataplane_port *p = &f->port;
	int fd = bpf_obj_get(pin(f, "groups")), map = bpf_obj_get(pin(f, "sockmap"));
	uint64_t *groups = mmap(NULL, SB_GROUPS_MAX * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t socket = (uint64_t)socket_open("tcp", "127.0.0.1", 0), cookie;
	uint32_t offset, count, empty, slot = 9;

	assert_true(groups != MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		groups[5] = words[i];
		assert_int_equal(p->group_load(p->self, 5, &offset, &count, &empty), 0);
		assert_true(offset == 0 && count == 0 && empty == 3);
		assert_true(steers(f));
	}
	assert_int_equal(bpf_map_update_elem(map, &slot, &socket, BPF_NOEXIST), 0);
	assert_int_equal(p->slot_store(p->self, slot, 99, f->listener), 0);
	assert_int_equal(p->slot_cookie(p->self, slot, &cookie), 0);
	assert_int_equal(cookie, socket_cookie(f->listener));
	munmap(groups, SB_GROUPS_MAX * 8);
	close((int)socket);
	close(fd);
	close(map);
}

/* What belongs to a generation is made again, whatever stands there. */
static void test_hostile_generation(void **state)
{
	struct fixture *f = *state;
	int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "other", 4, 8, 1, NULL);

	close_it(f);
	replace_pin(f, "rules", fixed_program(map));
	open_it(f);
	assert_false(info_of(f).renewed);
	publish_it(f);
	close_it(f);
	replace_pin(f, "rules", array_of(1, BPF_F_MMAPABLE));
	replace_pin(f, "prog", array_of(1, 0));
	open_it(f);
	assert_true(steers(f));
	publish_it(f);
	assert_true(steers(f));
	close_it(f);
	replace_pin(f, "prog", fixed_program(map));
	open_it(f);
	publish_it(f);
	assert_true(steers(f));
	close(map);
}

/* A link that is none, or attaches something else. */
static void test_hostile_link(void **state)
{
	struct fixture *f = *state;
	int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "other", 4, 8, 1, NULL);
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int program = bpf_prog_load(BPF_PROG_TYPE_FLOW_DISSECTOR, "other", "GPL", pass, 2, NULL);
	int ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	close_it(f);
	/* Our link goes with its pin, and traffic with it. */
	replace_pin(f, "link", fixed_program(map));
	refused(f, EEXIST, "link is not a BPF link");
	replace_pin(f, "link", bpf_link_create(program, ns, BPF_FLOW_DISSECTOR, NULL));
	refused(f, EEXIST, "link is no sk_lookup link");
	unlink(pin(f, "link"));
	open_renewed(f);
	assert_int_equal(info_of(f).link_id, 0);
	publish_it(f);
	assert_true(steers(f));
	close(ns);
	close(program);
	close(map);
}

static void test_owners_of_pins(void **state)
{
	static const char *const names[] = { "sockmap", "counters", "link", "prog", "rules" };
	struct fixture *f = *state;

	close_it(f);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(chown(pin(f, names[i]), 65534, 0), 0);
		refused(f, EPERM, "belongs to uid 65534, not to uid 0");
		assert_int_equal(chown(pin(f, names[i]), 0, 0), 0);
		assert_int_equal(chmod(pin(f, names[i]), 0644), 0);
		refused(f, EPERM, "others may open");
		assert_int_equal(chmod(pin(f, names[i]), 0600), 0);
	}
	assert_true(steers(f));
	open_it(f);
}

/* -- network namespaces ---------------------------------------------------------------------------
 */

static bool opens(const struct fixture *f)
{
	struct dataplane_options options = { .bpffs = f->scratch.pins };
	struct dataplane *d = NULL;
	int r = dataplane_open(&d, &options, NULL);

	dataplane_free(d);
	return r == 0;
}

static void test_other_netns(void **state)
{
	struct fixture *f = *state;
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), away;

	close_it(f);
	scratch_new_netns();
	assert_refused(f, NULL, EXDEV, "another network namespace");
	away = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	open_it(f);
	assert_true(info_of(f).took_over);
	assert_int_equal(f->port.unload(f->port.self, NULL), 0);
	close_it(f);

	/* A link whose namespace is gone steers nothing: it is made again. */
	assert_int_equal(setns(away, CLONE_NEWNET), 0);
	close(away);
	open_it(f);
	publish_it(f);
	close_it(f);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	/* Namespaces end in a worker of the kernel, when it gets to it. */
	for (unsigned i = 0; i < 500 && !opens(f); i++)
		usleep(10000);
	open_it(f);
	assert_int_equal(info_of(f).link_id, 0);
	fill_it(f);
	publish_it(f);
	assert_true(steers(f));
	close(home);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, pinned_start_published, pinned_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(older),
		TEST(older_and_a_new_label),
		cmocka_unit_test(test_counters_of_other_shapes),
		TEST(older_given_up),
		TEST(newer),
		TEST(newer_not_attached),
		TEST(unknown_version),
		TEST(interrupted_switch),
		TEST(interrupted_renewal),
		TEST(interrupted_before),
		TEST(unfinished),
		TEST(foreign_update),
		TEST(no_maps),
		TEST(foreign_maps),
		TEST(hostile_sockmap),
		TEST(hostile_words),
		TEST(hostile_generation),
		TEST(hostile_link),
		TEST(owners_of_pins),
		TEST(other_netns),
	};

	scratch_needs_root();
	return cmocka_run_group_tests(tests, scratch_start, scratch_stop);
}
