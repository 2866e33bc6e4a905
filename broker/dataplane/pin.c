/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "broker/dataplane/dataplane-internal.h"

#define PIN_PATH_MAX 512

static const char *pin_path(const struct dataplane *d, const char *name, char *buf)
{
	snprintf(buf, PIN_PATH_MAX, "%s/%s", d->path, name);
	return buf;
}

static int check_dir(const struct dataplane *d, struct sb_error *error)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(d->dir, &fs) < 0 || fstat(d->dir, &st) < 0)
		return sb_fail(error, errno, "%s: %s", d->path, strerror(errno));
	if (fs.f_type != BPF_FS_MAGIC)
		return sb_fail(error, EINVAL,
			       "%s is not in a bpf file system; mount one with: mount -t bpf bpf "
			       "/sys/fs/bpf (or name another directory with --bpffs)",
			       d->path);
	if (st.st_uid != geteuid())
		return sb_fail(error, EPERM, "%s belongs to uid %u, not to this broker (uid %u)",
			       d->path, (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 0022)
		return sb_fail(error, EPERM,
			       "%s is writable by others (mode %03o): whoever can open a pin can "
			       "redirect traffic; make it 0700",
			       d->path, (unsigned)(st.st_mode & 0777));
	return 0;
}

int pin_open_dir(struct dataplane *d, struct sb_error *error)
{
	bool made = mkdir(d->path, 0700) == 0;
	int r;

	if (!made && errno != EEXIST)
		return sb_fail(error, errno,
			       errno == ENOENT ? "%s cannot be made, its parent is missing; mount "
						 "a bpf file system there: mount -t bpf bpf PATH"
					       : "%s cannot be made: no permission, or no bpf file "
						 "system is mounted there",
			       d->path);
	d->dir = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dir < 0)
		return sb_fail(error, errno, "%s: %s", d->path, strerror(errno));
	r = check_dir(d, error);
	if (r < 0 && made)
		rmdir(d->path);
	return r;
}

int pin_get(const struct dataplane *d, const char *name)
{
	char path[PIN_PATH_MAX];

	return bpf_obj_get(pin_path(d, name, path));
}

/* bpffs has no unnamed pins: the new one gets a name of its own first and then takes the place of
 * the old one by rename, so that NAME is never missing. */
int pin_put(const struct dataplane *d, const char *name, int fd)
{
	char path[PIN_PATH_MAX], temporary[PIN_PATH_MAX], new_name[64];
	int r;

	snprintf(new_name, sizeof(new_name), "%s_new", name);
	pin_path(d, name, path);
	pin_path(d, new_name, temporary);
	unlink(temporary);
	r = bpf_obj_pin(fd, temporary);
	if (r < 0)
		return r;
	if (chmod(temporary, 0600) < 0 || rename(temporary, path) < 0) {
		r = -errno;
		unlink(temporary);
		return r;
	}
	return 0;
}

int pin_remove(const struct dataplane *d, const char *name)
{
	return unlinkat(d->dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}
