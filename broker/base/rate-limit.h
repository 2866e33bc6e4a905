/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* So many of something in so much time; the others are counted. For lines of the log that a client
 * can bring about. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "protocol/cleanup.h"

struct rate_limit {
	unsigned burst;       /* so many ... */
	uint64_t interval_us; /* ... from the first one on */
	/* What there was, zeroed at first. */
	uint64_t since_us;
	unsigned passed, held_back;
};

/* Whether one more may pass at NOW_US (any clock that does not go back, in microseconds). If so,
 * *HELD_BACK is how many have not since the last one that has. */
bool rate_limit_pass(struct rate_limit *r, uint64_t now_us, unsigned *held_back);

/* Logs, if it may, and how many were held back before. */
void log_limited(struct rate_limit *r, int level, const char *format, ...) _printf_(3, 4);
