/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The line on a terminal that says that a long request is still under way. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/sockbroker.h"

#define PROGRESS_AFTER_MS 500 /* whoever is answered sooner sees nothing */
#define PROGRESS_EVERY_MS 100

struct progress {
	struct sockbroker *broker;
	FILE *f;
	const char *file, *noun; /* "edge.rules", "line" */
	int memfd;               /* not owned */
	size_t count;            /* of lines in it */
	int64_t start;           /* CLOCK_MONOTONIC, milliseconds */
	size_t drawn;            /* bytes of the line that stands there; 0: none does */
};

/*
 * From here on requests of BROKER that wait show "applying FILE (N NOUNs)" on F, if that is a
 * terminal. MEMFD holds one NOUN a line. P and what is passed must stay until progress_end(), which
 * takes the line away: nothing else may be written to F before.
 */
void progress_begin(struct progress *p, struct sockbroker *broker, FILE *f, const char *file,
		    const char *noun, int memfd);
void progress_end(struct progress *p);
