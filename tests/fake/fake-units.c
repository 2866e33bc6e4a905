/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fake/fake-units.h"

#include <stdio.h>
#include <string.h>

struct fake_units *fake_units_new(struct fake_calls *calls)
{
	struct fake_units *u = calloc(1, sizeof(*u));

	if (!u)
		abort();
	u->calls = calls;
	return u;
}

void fake_units_free(struct fake_units *u)
{
	free(u);
}

static int start(void *self, const char *unit, uint32_t label, struct sb_error *error)
{
	struct fake_units *u = self;
	int r = fake_call(u->calls, FAKE_CALL_unit_start);

	if (r < 0)
		return sb_fail(error, -r, "fake units: %s", strerror(-r));
	u->n_starts++;
	snprintf(u->unit, sizeof(u->unit), "%s", unit);
	u->label = label;
	u->pending = true;
	return 0;
}

struct units_port fake_units_port(struct fake_units *u)
{
	return (struct units_port){ .self = u, .start = start };
}
