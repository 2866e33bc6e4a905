/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "broker/model/rule.h"

/* Sorts in place by rule_compare, in time linear in N; needs no memory. */
void rule_sort(struct rule *rules, size_t n);
