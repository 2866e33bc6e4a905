/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/state/directory.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOCK "lock"

static int fail(struct sb_error *error, const char *path, int code)
{
	return sb_fail(error, code, "state directory %s: %s", path, strerror(code));
}

/* What is root's is as good as ours: root could change what is ours just as well. */
static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() || st->st_uid == 0;
}

static bool others_write(const struct stat *st)
{
	return st->st_mode & (S_IWGRP | S_IWOTH);
}

static int check_directory(const char *path, const struct stat *st, struct sb_error *error)
{
	if (!is_ours(st))
		return sb_fail(error, EPERM,
			       "state directory %s belongs to uid %u, who could change what is in "
			       "it; the broker runs as uid %u: chown it, or name another with "
			       "--state",
			       path, (unsigned)st->st_uid, (unsigned)geteuid());
	if (others_write(st))
		return sb_fail(error, EPERM,
			       "state directory %s can be written by others than its owner (mode "
			       "%04o): chmod go-w, or name another with --state",
			       path, (unsigned)st->st_mode & 07777);
	return 0;
}

static int not_a_file(const struct directory *d, const char *name, struct sb_error *error)
{
	return sb_fail(error, EPERM, "state file %s/%s is no ordinary file: remove it", d->path,
		       name);
}

static int check_file(const struct directory *d, const char *name, const struct stat *st,
		      struct sb_error *error)
{
	if (!S_ISREG(st->st_mode))
		return not_a_file(d, name, error);
	if (!is_ours(st))
		return sb_fail(
			error, EPERM,
			"state file %s/%s belongs to uid %u, the broker runs as uid %u: chown "
			"it if what it says is right, or remove it",
			d->path, name, (unsigned)st->st_uid, (unsigned)geteuid());
	if (others_write(st))
		return sb_fail(
			error, EPERM,
			"state file %s/%s can be written by others than its owner (mode %04o): "
			"chmod go-w if what it says is right, or remove it",
			d->path, name, (unsigned)st->st_mode & 07777);
	return 0;
}

static int open_directory(struct directory *d, struct sb_error *error)
{
	bool made = mkdir(d->path, 0755) == 0;
	struct stat st;

	if (!made && errno != EEXIST)
		return sb_fail(error, errno, "state directory %s cannot be made: %s", d->path,
			       strerror(errno));
	/* Whatever the umask: by default the socket that everybody connects to lives here too. */
	if (made && chmod(d->path, 0755) < 0)
		return fail(error, d->path, errno);
	if (lstat(d->path, &st) == 0 && S_ISLNK(st.st_mode))
		return sb_fail(error, ELOOP,
			       "state directory %s is a symbolic link: name the directory itself "
			       "with --state",
			       d->path);
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (d->fd < 0 || fstat(d->fd, &st) < 0)
		return fail(error, d->path, errno);
	return check_directory(d->path, &st, error);
}

static int take_lock(struct directory *d, struct sb_error *error)
{
	struct stat st;
	int r;

	d->lock =
		openat(d->fd, LOCK, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (d->lock < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
		return not_a_file(d, LOCK, error);
	if (d->lock < 0 || fstat(d->lock, &st) < 0)
		return sb_fail(error, errno, "state file %s/%s: %s", d->path, LOCK,
			       strerror(errno));
	r = check_file(d, LOCK, &st, error);
	if (r < 0)
		return r;
	if (flock(d->lock, LOCK_EX | LOCK_NB) < 0)
		return sb_fail(error, errno == EWOULDBLOCK ? EBUSY : errno,
			       errno == EWOULDBLOCK ? "another broker runs on state directory %s"
						    : "state directory %s cannot be locked",
			       d->path);
	return 0;
}

static int show_presence(struct directory *d, struct sb_error *error)
{
	d->presence = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->presence < 0)
		return fail(error, d->path, errno);
	d->alone = flock(d->presence, LOCK_EX | LOCK_NB) == 0;
	if (flock(d->presence, LOCK_SH | LOCK_NB) < 0)
		return sb_fail(error, errno, "state directory %s cannot be locked", d->path);
	return 0;
}

int directory_open(struct directory *d, const char *path, struct sb_error *error)
{
	size_t n = strlen(path);
	int r;

	*d = DIRECTORY_NULL;
	if (n >= sizeof(d->path))
		return fail(error, path, ENAMETOOLONG);
	strcpy(d->path, path);
	while (n > 1 && d->path[n - 1] == '/') /* behind which a link would be followed */
		d->path[--n] = '\0';
	r = open_directory(d, error);
	if (r == 0)
		r = take_lock(d, error);
	if (r == 0)
		r = show_presence(d, error);
	if (r < 0)
		directory_close(d);
	return r;
}

void directory_close(struct directory *d)
{
	d->presence = sb_close(d->presence);
	d->lock = sb_close(d->lock);
	d->fd = sb_close(d->fd);
}

static bool same_inode(int fd, int there, const char *name)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(there, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool directory_is_there(const struct directory *d)
{
	return d->fd >= 0 && same_inode(d->fd, AT_FDCWD, d->path) &&
	       same_inode(d->lock, d->fd, LOCK);
}

/* SIZE bytes, or fewer when the file has become shorter. */
static int read_all(int fd, char *data, size_t size, size_t *ret)
{
	for (*ret = 0; *ret < size;) {
		ssize_t n = read(fd, data + *ret, size - *ret);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*ret += (size_t)n;
	}
	return 0;
}

int directory_read(const struct directory *d, const char *name, char **ret, size_t *ret_length,
		   struct sb_error *error)
{
	_cleanup_close_ int fd =
		openat(d->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *data = NULL;
	struct stat st;
	int r;

	*ret = NULL;
	*ret_length = 0;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && (errno == ELOOP || errno == ENXIO)) /* a symbolic link, a socket */
		return not_a_file(d, name, error);
	if (fd < 0 || fstat(fd, &st) < 0)
		return sb_fail(error, errno, "state file %s/%s: %s", d->path, name,
			       strerror(errno));
	r = check_file(d, name, &st, error);
	if (r < 0)
		return r;
	/* To go on without it would be to forget what it says. */
	if (st.st_size > DIRECTORY_FILE_MAX)
		return sb_fail(
			error, EFBIG,
			"state file %s/%s has %jd bytes, more than the %jd that can be read: "
			"restore it, or remove it",
			d->path, name, (intmax_t)st.st_size, (intmax_t)DIRECTORY_FILE_MAX);
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return sb_fail(error, ENOMEM, "out of memory");
	r = read_all(fd, data, (size_t)st.st_size, ret_length);
	if (r < 0)
		return sb_fail(error, -r, "state file %s/%s: %s", d->path, name, strerror(-r));
	data[*ret_length] = '\0';
	*ret = TAKE_PTR(data);
	return 0;
}

int directory_create(const struct directory *d, const char *name)
{
	int fd;

	/* A left-over may be anything: never written to, never followed. */
	if (unlinkat(d->fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}
