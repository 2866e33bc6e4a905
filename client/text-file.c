/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads through one small buffer that stays in the cache: faster than mapping or one big block. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client/text-file.h"
#include "protocol/cleanup.h"

#define CHUNK (128U << 10)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int write_all(int fd, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, data, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		data += k;
		n -= (size_t)k;
	}
	return 0;
}

int text_file_seal(int fd, size_t max, struct sb_error *error)
{
	_cleanup_free_ char *chunk = malloc(CHUNK);
	_cleanup_close_ int memfd = -1;
	size_t total = 0;

	if (!chunk)
		return sb_fail(error, ENOMEM, "out of memory");
	memfd = memfd_create("sockbroker-rules", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd < 0)
		return sb_fail(error, errno, "no memory file: %s", strerror(errno));
	for (;;) {
		ssize_t n = read(fd, chunk, CHUNK);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sb_fail(error, errno, "%s", strerror(errno));
		if (n == 0)
			break;
		total += (size_t)n;
		if (total > max)
			return sb_fail(error, EFBIG, "more than %zu MiB are not accepted",
				       max >> 20);
		r = write_all(memfd, chunk, (size_t)n);
		if (r < 0)
			return sb_fail(error, -r, "writing a memory file failed: %s", strerror(-r));
	}
	if (lseek(memfd, 0, SEEK_SET) < 0 || fcntl(memfd, F_ADD_SEALS, SEALS) < 0)
		return sb_fail(error, errno, "sealing a memory file failed: %s", strerror(errno));
	return TAKE_FD(memfd);
}
