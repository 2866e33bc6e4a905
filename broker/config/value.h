/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The values of settings. Internal to config/. Each refusal is a sentence without the key. */
#pragma once

#include "broker/config/config.h"

int value_number(const char *s, unsigned min, unsigned max, unsigned *ret, struct sb_error *error);

/* "4096", "512M": bytes, or so many K, M, G or T of 1024, 1024 * 1024 and so on. MAX is at most
 * 2^60. */
int value_size(const char *s, uint64_t min, uint64_t max, uint64_t *ret, struct sb_error *error);

/* yes, no, true, false, on, off, y, n, t, f, 1, 0 */
int value_bool(const char *s, bool *ret, struct sb_error *error);

/* "10", "1.5s", "1min 30s": seconds where no unit is named (systemd.time(7)). Microseconds. */
int value_span(const char *s, uint64_t min, uint64_t max, uint64_t *ret, struct sb_error *error);

/* A unit that a process can be in: NAME.service, .scope, .socket, .mount or .swap. */
int value_unit(const char *s, struct sb_error *error);

/* PREFIX:PORTS */
int value_listen(const char *s, struct sb_prefix *prefix, struct sb_ports *ports, size_t max,
		 size_t *n, struct sb_error *error);
