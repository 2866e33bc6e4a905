/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/base/rate-limit.h"

#include <stdarg.h>
#include <stdio.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"

bool rate_limit_pass(struct rate_limit *r, uint64_t now_us, unsigned *held_back)
{
	if (r->passed == 0 || now_us - r->since_us >= r->interval_us) {
		r->since_us = now_us;
		r->passed = 0;
	}
	if (r->passed >= r->burst) {
		r->held_back++;
		return false;
	}
	r->passed++;
	*held_back = r->held_back;
	r->held_back = 0;
	return true;
}

void log_limited(struct rate_limit *r, int level, const char *format, ...)
{
	char line[1024];
	unsigned held_back;
	va_list ap;

	if (!rate_limit_pass(r, clock_monotonic_us(), &held_back))
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (held_back > 0)
		log_line(level, "%s (and %u such lines before that were left out)", line,
			 held_back);
	else
		log_line(level, "%s", line);
}
