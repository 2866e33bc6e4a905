/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The directory of pins. Whoever may write it decides where packets go: it has to be ours alone. */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "broker/dataplane/internal.h"

#define USUAL_PLACE "/sys/fs/bpf"

/* In a service, what stands in the usual place may be a directory that shows of the BPF filesystem
 * only the pin directory (docs/SYSTEMD.md): then it is that which was missing. */
static int check_filesystem(const char *path, struct sb_error *error)
{
	const bool usual = strncmp(path, USUAL_PLACE, strlen(USUAL_PLACE)) == 0;
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return sb_fail(error, errno, "the BPF filesystem at %s: %s", path, strerror(errno));
	if ((uint32_t)fs.f_type == BPF_FS_MAGIC)
		return 0;
	if (usual && (uint32_t)fs.f_type != SYSFS_MAGIC)
		return sb_fail(error, ENODEV,
			       "%s is not on a BPF filesystem, and something else stands in its "
			       "place; if that is sockbroker.service's, the pin directory was "
			       "missing: make it with: systemd-tmpfiles --create sockbroker.conf",
			       path);
	return sb_fail(error, ENODEV,
		       "%s is not on a BPF filesystem; mount one with: mount -t bpf bpf %s", path,
		       usual ? USUAL_PLACE : path);
}

static int make_directory(const char *path, struct sb_error *error)
{
	char copy[PATH_MAX];
	int r;

	snprintf(copy, sizeof(copy), "%s", path);
	r = check_filesystem(dirname(copy), error);
	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return sb_fail(error, errno, "making the pin directory %s: %s", path,
			       strerror(errno));
	return 0;
}

static int check_directory(const char *path, int fd, struct sb_error *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return sb_fail(error, errno, "the pin directory %s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return sb_fail(error, EPERM,
			       "the pin directory %s belongs to uid %u, not to uid %u, which this "
			       "broker runs as: name another with --bpffs",
			       path, st.st_uid, geteuid());
	if (st.st_mode & 022)
		return sb_fail(
			error, EPERM,
			"others may write the pin directory %s and so steer traffic: look who "
			"did, then chmod 0700 it",
			path);
	return 0;
}

int pins_open(struct dataplane *d, const char *path, struct sb_error *error)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	/* Room for a name behind it. */
	if (snprintf(d->directory, sizeof(d->directory), "%s", path) > PATH_MAX - 32)
		return sb_fail(error, ENAMETOOLONG, "the pin directory's name is too long");
	if (lstat(path, &st) < 0 && errno == ENOENT) {
		r = make_directory(path, error);
		if (r < 0)
			return r;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return sb_fail(error, errno, "the pin directory %s: %s", path, strerror(errno));
	r = check_filesystem(path, error);
	if (r < 0)
		return r;
	r = check_directory(path, fd, error);
	if (r < 0)
		return r;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return sb_fail(error, EBUSY, "another sockbrokerd uses the pin directory %s", path);
	d->lock = TAKE_FD(fd);
	return 0;
}

const char *pin_path(const struct dataplane *d, const char *name, char buf[static PATH_MAX])
{
	int n = snprintf(buf, PATH_MAX, "%s/%s", d->directory, name);

	/* pins_open left the room */
	return n < PATH_MAX ? buf : "";
}

/* The kernel does not say what kind a BPF fd is, but its name does. A link's is "bpf_link" when it
 * was just made and "bpf-link" when it was opened from a pin (bpf_link_new_fd). */
static bool is_kind(int fd, enum object_kind kind)
{
	static const char *const names[] = {
		[OBJECT_MAP] = "anon_inode:bpf-map",
		[OBJECT_PROGRAM] = "anon_inode:bpf-prog",
		[OBJECT_LINK] = "anon_inode:bpf-link",
	};
	char path[64], target[64] = "", *underscore;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, target, sizeof(target) - 1) <= 0)
		return false;
	underscore = strstr(target, "bpf_");
	if (underscore)
		underscore[3] = '-';
	return strcmp(target, names[kind]) == 0;
}

/* Nobody else can come so far, but somebody may have been here before the directory was ours. */
static int check_owner(const char *path, const struct stat *st, struct sb_error *error)
{
	if (st->st_uid != geteuid())
		return sb_fail(
			error, EPERM,
			"%s belongs to uid %u, not to uid %u, which this broker runs as, and "
			"who has it can steer traffic: look who did that, then chown it",
			path, st->st_uid, geteuid());
	if (st->st_mode & 077)
		return sb_fail(error, EPERM,
			       "others may open %s and so steer traffic: look who did that, then "
			       "chmod 0600 it",
			       path);
	return 0;
}

int pin_get(const struct dataplane *d, const char *name, enum object_kind kind,
	    struct sb_error *error)
{
	static const char *const names[] = {
		[OBJECT_MAP] = "map",
		[OBJECT_PROGRAM] = "program",
		[OBJECT_LINK] = "link",
	};
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	struct stat st;

	if (lstat(pin_path(d, name, path), &st) < 0)
		return errno == ENOENT ? -ENOENT
				       : sb_fail(error, errno, "%s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		int r = check_owner(path, &st, error);

		if (r < 0)
			return r;
	}
	/* A symbolic link would lead out of the directory that was checked. */
	fd = S_ISREG(st.st_mode) ? bpf_obj_get(path) : -EACCES;
	if (fd == -EPERM)
		return explain_refusal(error, EPERM, "opening %s", path);
	if (fd < 0 && fd != -EACCES)
		return sb_fail(error, -fd, "%s: %s", path, strerror(-fd));
	if (fd < 0 || !is_kind(fd, kind))
		return sb_fail(
			error, EEXIST,
			"%s is not a BPF %s, so sockbroker has not made it: remove it or name "
			"another directory with --bpffs",
			path, names[kind]);
	return TAKE_FD(fd);
}

int pin_get_or_clear(const struct dataplane *d, const char *name, enum object_kind kind,
		     struct sb_error *error)
{
	struct sb_error trouble = {};
	int fd = pin_get(d, name, kind, &trouble), r;

	if (fd == -EEXIST) {
		r = pin_remove(d, name, error);
		return r < 0 ? r : -ENOENT;
	}
	if (fd < 0 && fd != -ENOENT && error)
		*error = trouble;
	return fd;
}

int pin_set(const struct dataplane *d, const char *name, int fd, struct sb_error *error)
{
	char path[PATH_MAX];
	int r = bpf_obj_pin(fd, pin_path(d, name, path));

	if (r < 0)
		return explain_refusal(error, -r, "pinning %s", path);
	if (chmod(path, 0600) < 0) {
		r = -errno;
		unlink(path);
		return sb_fail(error, -r, "chmod %s: %s", path, strerror(-r));
	}
	return 0;
}

int pin_rename(const struct dataplane *d, const char *from, const char *to, struct sb_error *error)
{
	char old[PATH_MAX], new[PATH_MAX];

	if (rename(pin_path(d, from, old), pin_path(d, to, new)) < 0)
		return sb_fail(error, errno, "renaming %s to %s: %s", old, to, strerror(errno));
	return 0;
}

int pin_remove(const struct dataplane *d, const char *name, struct sb_error *error)
{
	char path[PATH_MAX];

	if (unlink(pin_path(d, name, path)) < 0 && errno != ENOENT)
		return sb_fail(error, errno, "removing %s: %s", path, strerror(errno));
	return 0;
}
