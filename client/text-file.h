/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files made into what the wire carries. Internal to client/. */
#pragma once

#include <stddef.h>

#include "protocol/errors.h"

/*
 * Copies FD (not consumed), from where it stands to its end, into a new sealed memfd, which the
 * caller owns. Looks at no byte of it. -EFBIG above MAX bytes; the sentence does not name the file.
 */
int text_file_seal(int fd, size_t max, struct sb_error *error);
