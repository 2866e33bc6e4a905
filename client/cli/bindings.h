/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tubular's bindings.json made into rule text; pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "protocol/errors.h"
#include "protocol/record.h"

/* Whether the N bytes at DATA are JSON rather than rule text: the first thing in them is a '{'. */
bool bindings_look_like(const char *data, size_t n);

/*
 * Appends to TEXT one line of rule text for every binding: line K is bindings[K - 1]. As with
 * tubular, port 0 is all ports, and there is no protocol: a binding is for TCP and UDP. -EINVAL
 * with a sentence that says where: what is no JSON or of another shape, an unknown key, a key or a
 * binding that comes twice.
 */
int bindings_to_rules(const char *data, size_t n, struct sb_text *text, struct sb_error *error);
