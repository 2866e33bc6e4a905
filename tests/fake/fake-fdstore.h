/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A service manager's fd store, which has a copy of each fd. */
#pragma once

#include "broker/core/port.h"
#include "tests/fake/fake-host.h"

#define FAKE_STORE_MAX 64

struct fake_stored {
	int fd; /* of the host's fakes */
	char name[FDSTORE_NAME_MAX + 1];
};

struct fake_fdstore {
	bool off; /* keeps nothing, as without a service manager */
	struct fake_host *host;
	struct fake_stored fds[FAKE_STORE_MAX];
	size_t n;
};

struct fake_fdstore *fake_fdstore_new(struct fake_host *host);
void fake_fdstore_free(struct fake_fdstore *s);
struct fdstore_port fake_fdstore_port(struct fake_fdstore *s);
