/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The composition root: owns every object of the broker and wires them to each other. */
#pragma once

#include "broker/config/config.h"
#include "broker/io/zygote.h"
#include "broker/options.h"

struct broker;

/*
 * Builds everything and starts: state, dataplane, core, server. CONFIG is consumed, also on
 * failure; ZYGOTE makes porters, and outlives the broker. 0, or a negative errno with a sentence;
 * then nothing of the kernel has changed but what a second start mends.
 */
int broker_new(struct broker **ret, const struct options *options, struct config *config,
	       struct zygote *zygote, struct sb_error *error);

/* Runs until SIGTERM or SIGINT, or until the dataplane was unloaded. 0 or a negative errno. */
int broker_run(struct broker *b);

/* Closes everything; what is pinned keeps steering. */
void broker_free(struct broker *b);
SB_DEFINE_CLEANUP(struct broker, broker_free)
