/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration of a broker on this machine. */
#pragma once

#include "broker/config/config.h"
#include "broker/options.h"

/* Reads the configuration that OPTIONS names and logs what is wrong with it. 0 with *RET, or a
 * negative errno with the first of the errors. */
int broker_read_config(const struct options *options, struct config **ret, struct sb_error *error);
