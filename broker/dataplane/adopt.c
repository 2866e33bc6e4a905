/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is attached when the broker starts: the link that an earlier run pinned, the program in it,
 * and what that program says of itself. All of it is hostile input. Nothing is changed before it is
 * known that this version may take over what runs.
 */
#include <bpf/bpf.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/dataplane/internal.h"

#define PROGRAM_MAPS_MAX 64

static uint32_t program_number(int fd)
{
	struct bpf_prog_info info = {};

	return object_info(fd, &info, sizeof(info)) < 0 ? 0 : info.id;
}

bool program_uses(int program, int map)
{
	uint32_t ids[PROGRAM_MAPS_MAX] = {}, wanted = map_number(map);
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
			"(inode %llu), and traffic there goes on: name another directory with "
			"--bpffs; or, if that one's name was deleted, end what still runs in it",
			pin_path(d, PIN_LINK, path), info.netns.netns_ino,
			(unsigned long long)d->netns_inode);
	d->link_id = info.id;
	*program = info.prog_id;
	return 0;
}

/* The fd of what is pinned as NAME; -ENOENT also when that is of another kind, and so not ours. */
static int look(const struct dataplane *d, const char *name, enum object_kind kind,
		struct sb_error *error)
{
	struct sb_error trouble = {};
	int fd = pin_get(d, name, kind, &trouble);

	if (fd == -EEXIST)
		return -ENOENT;
	if (fd < 0 && fd != -ENOENT && error)
		*error = trouble;
	return fd;
}

/* The program with the id that the link runs: still pinned as new (*UNFINISHED), or pinned, or, if
 * somebody put another one into our link, known by its id at best. */
static int find_program(struct dataplane *d, uint32_t id, bool *unfinished, struct sb_error *error)
{
	static const char *const names[] = { PIN_PROGRAM_NEW, PIN_PROGRAM };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_close_ int fd = look(d, names[i], OBJECT_PROGRAM, error);

		if (fd < 0 && fd != -ENOENT)
			return fd;
		if (fd < 0 || program_number(fd) != id)
			continue;
		*unfinished = i == 0;
		d->former_ours = true;
		d->live.program = TAKE_FD(fd);
		break;
	}
	if (!d->former_ours) {
		d->live.program = bpf_prog_get_fd_by_id(id);
		log_warning("the program in the link pinned in %s is not the one pinned beside it: "
			    "it is replaced",
			    d->directory);
	}
	if (d->live.program < 0)
		d->live.program = -1;
	d->live.program_id = id;
	return 0;
}

/* The ABI number of what is attached, from its rules: wherever a switch that was interrupted has
 * left their pin. Of a program that cannot be looked into, the higher number that is found. */
static int find_abi(struct dataplane *d, struct sb_error *error)
{
	static const char *const names[] = { PIN_RULES_NEW, PIN_RULES };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_close_ int fd = look(d, names[i], OBJECT_MAP, error);
		uint64_t number;
		uint32_t abi, n_rules;

		if (fd < 0 && fd != -ENOENT)
			return fd;
		if (fd < 0 || (d->live.program >= 0 && !program_uses(d->live.program, fd)) ||
		    generation_identify(fd, &abi, &number, &n_rules) < 0)
			continue;
		if (abi > d->former_abi)
			d->former_abi = abi;
		d->live.number = number;
		d->former_rules = n_rules;
	}
	return 0;
}

static int check_abi(const struct dataplane *d, struct sb_error *error)
{
	if (d->former_abi <= SB_ABI_VERSION)
		return 0;
	return sb_fail(
		error, EOPNOTSUPP,
		"what is pinned in %s was made by a newer sockbroker (ABI %u, this one knows "
		"%d): nothing was touched and traffic goes on; start the newer sockbrokerd "
		"again, or unload with it first",
		d->directory, d->former_abi, SB_ABI_VERSION);
}

static int adopt_rules(struct dataplane *d, struct sb_error *error)
{
	_cleanup_close_ int fd = pin_get_or_clear(d, PIN_RULES, OBJECT_MAP, error);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (d->live.program < 0 || !program_uses(d->live.program, fd))
		return 0;
	d->live.map_id = map_number(fd);
	d->live.map = TAKE_FD(fd);
	return 0;
}

static int adopt_link(struct dataplane *d, int link, uint32_t program, struct sb_error *error)
{
	bool unfinished = false;
	int r = find_program(d, program, &unfinished, error);

	if (r == 0)
		r = find_abi(d, error);
	if (r == 0)
		r = check_abi(d, error);
	if (r == 0)
		r = unfinished ? switch_finish(d, error) : switch_clear(d, error);
	if (r == 0)
		r = adopt_rules(d, error);
	if (r == 0)
		d->link = link;
	return r;
}

int adopt(struct dataplane *d, struct sb_error *error)
{
	_cleanup_close_ int fd = pin_get(d, PIN_LINK, OBJECT_LINK, error);
	uint32_t program = 0;
	int r;

	if (fd < 0 && fd != -ENOENT)
		return fd;
	r = fd < 0 ? -ENOENT : check_link(d, fd, &program, error);
	if (r == 0) {
		r = adopt_link(d, fd, program, error);
		if (r == 0)
			TAKE_FD(fd);
		return r;
	}
	if (r != -ENOENT)
		return r;
	if (fd >= 0)
		log_notice("the network namespace that was steered from %s is gone, starting "
			   "afresh in this one",
			   d->directory);
	r = pin_remove(d, PIN_LINK, error);
	if (r == 0)
		r = switch_clear(d, error);
	if (r == 0)
		r = pin_remove(d, PIN_RULES, error);
	return r < 0 ? r : pin_remove(d, PIN_PROGRAM, error);
}
