/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hands out stretches of a numbered space: slots of the sockmap, places in slot_lists, label ids.
 * Next-fit, so that what was given back is used again as late as possible. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
	uint64_t *bits; /* one a number, set: in use; owned */
	uint32_t size;
	uint32_t next; /* where the search goes on */
	uint32_t used;
};

/* Numbers 0 .. SIZE-1, all free. -ENOMEM. */
int range_init(struct range *r, uint32_t size);
void range_clear(struct range *r);

/* N numbers in a row: the first, or -ENOSPC. */
int64_t range_take(struct range *r, uint32_t n);
/* Takes exactly these; -EBUSY if one of them is in use, -EINVAL if out of bounds. */
int range_take_at(struct range *r, uint32_t first, uint32_t n);
/* Whether NUMBER is in use. */
bool range_has(const struct range *r, uint32_t number);
void range_give(struct range *r, uint32_t first, uint32_t n);
