/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A service manager that does what the test says. */
#pragma once

#include "broker/core/port.h"
#include "tests/fake/fake-calls.h"

struct fake_units {
	struct fake_calls *calls;
	size_t n_starts; /* asked for in all */
	char unit[64];   /* of the last one */
	uint32_t label;
	bool pending;        /* it has not been answered */
	unsigned invocation; /* of the unit; 0: not known */
};

struct fake_units *fake_units_new(struct fake_calls *calls);
void fake_units_free(struct fake_units *u);
struct units_port fake_units_port(struct fake_units *u);
