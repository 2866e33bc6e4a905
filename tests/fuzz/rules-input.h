/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules and packets out of bytes: any bytes give some, and few bytes give neighbours. */
#pragma once

#include "broker/model/tables-layout.h"
#include "tests/fuzz/fuzz.h"

struct rule take_rule(struct bytes *b);
struct packet take_packet(struct bytes *b);

/* The packets around R: CHECK is called with one for each corner, inside and just outside. */
void packets_around(const struct rule *r, void (*check)(void *data, const struct packet *p),
		    void *data);
