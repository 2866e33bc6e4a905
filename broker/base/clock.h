/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two clocks: tests give the core their own through its host port. */
#pragma once

#include <stdint.h>

/* Seconds since the epoch. */
uint64_t clock_realtime(void);

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t clock_monotonic_us(void);
