/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays that grow by doubling, without a capacity to keep. Internal to config/. */
#pragma once

#include <errno.h>
#include <stdlib.h>

/* Makes room for one element behind the N of SIZE bytes at *ARRAY, all of which were added so. */
static inline int grow(void **array, size_t n, size_t size)
{
	void *larger;

	if ((n & (n - 1)) != 0) /* room up to the next power of two */
		return 0;
	larger = reallocarray(*array, n ? n * 2 : 1, size);
	if (!larger)
		return -ENOMEM;
	*array = larger;
	return 0;
}
