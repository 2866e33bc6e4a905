/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Label names: [A-Za-z0-9][A-Za-z0-9._@:-]{0,99}, at most 100 bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "protocol/errors.h"

#define SB_LABEL_MAX 100

/* Whether the N bytes at S are a label name. S needs no final NUL. */
bool sb_label_valid(const char *s, size_t n);

/* 0, or -EINVAL with a sentence that quotes S (made printable) and says what is wrong with it. */
int sb_label_check(const char *s, struct sb_error *error);
