/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is attached to the namespace, and how one generation follows another.
 *
 * A switch has these steps, and may stop between any two of them:
 *     1. pin the new generation as rules.new and prog.new
 *     2. update the link: from here on packets meet the new generation
 *     3. rename rules.new to rules, then prog.new to prog
 * The link knows the id of the program that it runs, so the next start can tell where it stopped:
 * the link runs prog.new: finish step 3, otherwise remove the *.new. Whatever it finds, the link
 * runs one whole generation, which needs no pins to go on, for link, program and maps hold each
 * other.
 */
#include <bpf/bpf.h>
#include <string.h>
#include <sys/file.h>

#include "broker/base/log.h"
#include "broker/dataplane/internal.h"

#define PROGRAM_MAPS_MAX 16

/* The fd of the pinned program or map; -ENOENT also for a thing of another kind, which goes: what
 * belongs to one generation can be made again. */
static int pin_get_or_clear(const struct dataplane *d, const char *name, enum object_kind kind,
			    struct sb_error *error)
{
	int fd = pin_get(d, name, kind, error), r;

	if (fd != -EEXIST)
		return fd;
	r = pin_remove(d, name, error);
	return r < 0 ? r : -ENOENT;
}

static int clear_generation(const struct dataplane *d, struct sb_error *error)
{
	const char *const names[] = { PIN_RULES_NEW, PIN_PROGRAM_NEW, PIN_RULES, PIN_PROGRAM };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++)
		r = pin_remove(d, names[i], error);
	return r;
}

static int clear_new(const struct dataplane *d, struct sb_error *error)
{
	int r = pin_remove(d, PIN_RULES_NEW, error);

	return r < 0 ? r : pin_remove(d, PIN_PROGRAM_NEW, error);
}

/* Step 3. The rules first, so that prog.new is there as long as there is something to finish. */
static int finish_switch(const struct dataplane *d, struct sb_error *error)
{
	int r = pin_rename(d, PIN_RULES_NEW, PIN_RULES, error);

	if (r < 0 && r != -ENOENT)
		return r;
	return pin_rename(d, PIN_PROGRAM_NEW, PIN_PROGRAM, error);
}

static uint32_t program_id(int fd)
{
	struct bpf_prog_info info = {};

	return object_info(fd, &info, sizeof(info)) < 0 ? 0 : info.id;
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {};

	return object_info(fd, &info, sizeof(info)) < 0 ? 0 : info.id;
}

static bool program_uses(int program, int map)
{
	uint32_t ids[PROGRAM_MAPS_MAX] = {}, wanted = map_id(map);
	struct bpf_prog_info info = {
		.nr_map_ids = PROGRAM_MAPS_MAX,
		.map_ids = (uint64_t)(uintptr_t)ids,
	};

	if (wanted == 0 || object_info(program, &info, sizeof(info)) < 0)
		return false;
	for (uint32_t i = 0; i < info.nr_map_ids && i < PROGRAM_MAPS_MAX; i++) {
		if (ids[i] == wanted)
			return true;
	}
	return false;
}

static bool uses_lasting_maps(const struct dataplane *d, int program)
{
	for (enum map_id id = 0; id < MAP_COUNT; id++) {
		if (!program_uses(program, d->maps[id]))
			return false;
	}
	return true;
}

/* The program with the id that the link runs: pinned, or still pinned as new. */
static int adopt_program(struct dataplane *d, uint32_t id, struct sb_error *error)
{
	int fd = pin_get_or_clear(d, PIN_PROGRAM_NEW, OBJECT_PROGRAM, error), r;

	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0 && program_id(fd) == id) {
		r = finish_switch(d, error);
	} else {
		fd = sb_close(fd);
		r = clear_new(d, error);
	}
	if (r < 0) {
		sb_close(fd);
		return r;
	}
	if (fd < 0)
		fd = pin_get_or_clear(d, PIN_PROGRAM, OBJECT_PROGRAM, error);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0 && program_id(fd) != id)
		fd = sb_close(fd);
	/* Somebody put another program into our link. It is known by its id at best. */
	d->live.program = fd >= 0 ? fd : bpf_prog_get_fd_by_id(id);
	if (d->live.program < 0)
		d->live.program = -1;
	d->live.program_id = id;
	return 0;
}

static int adopt_rules(struct dataplane *d, struct sb_error *error)
{
	int fd = pin_get_or_clear(d, PIN_RULES, OBJECT_MAP, error);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	d->live.number = generation_number(fd);
	if (d->live.program < 0 || !program_uses(d->live.program, fd)) {
		sb_close(fd);
		return 0;
	}
	d->live.map = fd;
	d->live.map_id = map_id(fd);
	return 0;
}

/* 0: ours. -ENOENT: it hangs in the air, its namespace is gone. */
static int check_link(struct dataplane *d, int fd, uint32_t *program, struct sb_error *error)
{
	struct bpf_link_info info = {};
	char path[PATH_MAX];
	int r = object_info(fd, &info, sizeof(info));

	if (r < 0)
		return sb_fail(error, -r, "%s: %s", pin_path(d, PIN_LINK, path), strerror(-r));
	if (info.type != BPF_LINK_TYPE_NETNS || info.netns.attach_type != BPF_SK_LOOKUP)
		return sb_fail(
			error, EEXIST,
			"%s is no sk_lookup link, so sockbroker has not made it: remove it or "
			"name another directory with --bpffs",
			pin_path(d, PIN_LINK, path));
	if (info.netns.netns_ino == 0)
		return -ENOENT;
	if (info.netns.netns_ino != d->netns_inode)
		return sb_fail(
			error, EXDEV,
			"%s steers another network namespace (inode %u) than the one asked for "
			"(inode %llu): name another directory with --bpffs, or unload that one "
			"first",
			pin_path(d, PIN_LINK, path), info.netns.netns_ino,
			(unsigned long long)d->netns_inode);
	d->link_id = info.id;
	*program = info.prog_id;
	return 0;
}

int link_open(struct dataplane *d, struct sb_error *error)
{
	_cleanup_close_ int fd = pin_get(d, PIN_LINK, OBJECT_LINK, error);
	uint32_t program = 0;
	int r;

	if (fd < 0 && fd != -ENOENT)
		return fd;
	r = fd < 0 ? -ENOENT : check_link(d, fd, &program, error);
	if (r == -ENOENT) {
		r = pin_remove(d, PIN_LINK, error);
		return r < 0 ? r : clear_generation(d, error);
	}
	if (r < 0)
		return r;
	r = adopt_program(d, program, error);
	if (r == 0)
		r = adopt_rules(d, error);
	if (r < 0)
		return r;
	d->link = TAKE_FD(fd);
	d->took_over = d->live.program >= 0 && uses_lasting_maps(d, d->live.program);
	return 0;
}

static int create_link(struct dataplane *d, int program, struct sb_error *error)
{
	_cleanup_close_ int fd = bpf_link_create(program, d->netns, BPF_SK_LOOKUP, NULL);
	struct bpf_link_info info = {};
	int r;

	if (fd == -E2BIG)
		return sb_fail(
			error, E2BIG,
			"64 sk_lookup programs are attached to this network namespace already, "
			"the kernel takes no more");
	if (fd < 0)
		return explain_refusal(error, -fd, "attaching to the network namespace");
	r = object_info(fd, &info, sizeof(info));
	if (r < 0)
		return sb_fail(error, -r, "asking for the link's id: %s", strerror(-r));
	/* If this fails the link goes with its fd, and nothing was attached but for a moment. */
	r = pin_set(d, PIN_LINK, fd, error);
	if (r < 0)
		return r;
	d->link_id = info.id;
	d->link = TAKE_FD(fd);
	return 0;
}

static int update_link(struct dataplane *d, int program, struct sb_error *error)
{
	LIBBPF_OPTS(bpf_link_update_opts, options);
	int r;

	/* Only in place of what we know to be there. */
	if (d->live.program >= 0) {
		options.flags = BPF_F_REPLACE;
		options.old_prog_fd = (uint32_t)d->live.program;
	}
	r = bpf_link_update(d->link, program, &options);
	if (r == -EPERM && d->live.program >= 0)
		return sb_fail(error, EBUSY,
			       "somebody else has put another program into the link pinned in %s; "
			       "restart sockbrokerd to take it over",
			       d->directory);
	if (r == -ENOLINK)
		return sb_fail(error, ENODEV, "the network namespace is gone");
	return r < 0 ? explain_refusal(error, -r, "switching to the new rules") : 0;
}

static int switch_to(struct dataplane *d, const struct generation *g, struct sb_error *error)
{
	int r = clear_new(d, error);

	if (r == 0)
		r = pin_set(d, PIN_RULES_NEW, g->map, error);
	if (r == 0)
		r = pin_set(d, PIN_PROGRAM_NEW, g->program, error);
	if (r == 0)
		r = d->link < 0 ? create_link(d, g->program, error)
				: update_link(d, g->program, error);
	if (r < 0)
		clear_new(d, NULL);
	return r;
}

int publish(void *self, const struct ruleset *rules, struct sb_error *error)
{
	struct dataplane *d = self;
	struct generation g = GENERATION_NONE;
	struct sb_error trouble = {};
	int r;

	if (d->unloaded)
		return sb_fail(error, ESHUTDOWN, "the dataplane is unloaded");
	r = generation_build(d, rules, d->live.number + 1, &g, error);
	if (r == 0)
		r = switch_to(d, &g, error);
	if (r < 0) {
		generation_close(&g);
		return r;
	}
	generation_close(&d->live);
	d->live = g;
	/* Packets meet the new rules already, and the next start finishes the names. */
	if (finish_switch(d, &trouble) < 0)
		log_warning("pins of the new rules: %s", trouble.message);
	return 0;
}

/* The pins go first: as long as one of them cannot be removed nothing has happened to packets, and
 * a second try goes on from there. Our fds keep link, program and maps alive meanwhile. */
int unload(void *self, struct sb_error *error)
{
	struct dataplane *d = self;
	int r;

	if (d->unloaded)
		return sb_fail(error, ESHUTDOWN, "the dataplane is unloaded");
	r = pin_remove(d, PIN_LINK, error);
	if (r == 0)
		r = clear_generation(d, error);
	for (enum map_id id = 0; id < MAP_COUNT && r == 0; id++)
		r = pin_remove(d, map_name(id), error);
	if (r < 0)
		return r;
	r = d->link < 0 ? 0 : bpf_link_detach(d->link);
	/* Without its pin the link goes with its last fd all the same. */
	if (r < 0 && r != -ENOLINK)
		log_warning("detaching from the network namespace: %s", strerror(-r));
	d->unloaded = true;
	d->link = sb_close(d->link);
	generation_close(&d->live);
	maps_close(d);
	/* The directory stays when others keep things in it. */
	rmdir(d->directory);
	return 0;
}
