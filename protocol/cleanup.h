/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scope-bound ownership, for every layer.
 *
 * A local that owns something is declared with one of the _cleanup_*_ attributes and disarmed on
 * the line that hands it on (TAKE_FD, TAKE_PTR), so that every early return is correct.
 */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes *fd unless it is negative; errno survives. Always returns -1, to be assigned back. */
static inline int sb_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		close(fd);
		errno = saved;
	}
	return -1;
}

/* Closes N fds, as sb_close(). */
static inline void sb_close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sb_close(fds[i]);
}

static inline void sb_cleanup_close(int *fd)
{
	*fd = sb_close(*fd);
}

static inline void sb_cleanup_free(void *p)
{
	free(*(void **)p);
}

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_close_ _cleanup_(sb_cleanup_close)
#define _cleanup_free_ _cleanup_(sb_cleanup_free)

/* Defines a cleanup function NAMEp for a destructor NAME(TYPE *) that accepts NULL. */
#define SB_DEFINE_CLEANUP(type, name)                                                              \
	static inline void name##p(type **p)                                                       \
	{                                                                                          \
		if (*p)                                                                            \
			name(*p);                                                                  \
	}

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *_pp = &(p);                                                         \
		__typeof__(p) _v = *_pp;                                                           \
		*_pp = NULL;                                                                       \
		_v;                                                                                \
	})

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *_fdp = &(fd);                                                                 \
		int _fd = *_fdp;                                                                   \
		*_fdp = -1;                                                                        \
		_fd;                                                                               \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))
