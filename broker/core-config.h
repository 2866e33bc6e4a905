/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration as the files have it (config/) in the words of the core, which knows no files:
 * part of the composition root. */
#pragma once

#include "broker/config/config.h"
#include "broker/core/core.h"

struct core_config_storage {
	struct core_config config; /* borrows from the struct config and from what follows */
	struct core_label_config *labels;
	struct rule *rules;
};

/* 0 or -ENOMEM. CONFIG must outlive S. */
int core_config_from(struct core_config_storage *s, const struct config *config,
		     struct sb_error *error);
void core_config_clear(struct core_config_storage *s);
