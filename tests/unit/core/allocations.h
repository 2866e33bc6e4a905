/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The allocations of an executable that is linked with --wrap of malloc and its kin (meson.build):
 * how many are not freed, and one that fails. What libraries allocate for themselves is not seen.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Lets the N-th allocation made while *WATCHED fail, counted from 1 and from now on; 0: none. */
void allocations_fail(size_t n, const bool *watched);
/* No more; whether it has failed. */
bool allocations_failed(void);

/* How many there are that nobody has freed. */
size_t allocations_live(void);
