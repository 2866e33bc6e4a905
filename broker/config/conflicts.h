/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is wrong with the files only when they are seen together. Internal to config/. */
#pragma once

#include "broker/config/config.h"

/* Reports each rule that equals, or is as wide as and overlaps, one of an earlier file or line. */
void conflicts_report(const struct config *c, struct config_report *report);
