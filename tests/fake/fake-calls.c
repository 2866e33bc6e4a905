/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fake/fake-calls.h"

#include <string.h>

void fake_calls_begin(struct fake_calls *c, size_t fail_at, int error)
{
	c->n = 0;
	memset(c->count, 0, sizeof(c->count));
	c->fail_at = fail_at;
	c->fail_errno = error;
	c->failed = false;
}

int fake_call(struct fake_calls *c, enum fake_call call)
{
	if (c->in_after) /* the test looks, not the core */
		return 0;
	c->count[call]++;
	if (c->limit[call] && c->count[call] > c->limit[call])
		return 0;
	if (++c->n != c->fail_at)
		return 0;
	c->failed = true;
	c->failed_call = call;
	return -c->fail_errno;
}

int fake_call_changed(struct fake_calls *c)
{
	if (!c->after || c->in_after)
		return 0;
	c->in_after = true;
	c->after(c->data);
	c->in_after = false;
	return 0;
}

const char *fake_call_name(enum fake_call call)
{
	static const char *const names[] = {
#define X(name) #name,
		FAKE_CALLS(X)
#undef X
	};

	return names[call];
}
