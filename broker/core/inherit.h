/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets of socket units, passed to the broker at each start (Service=sockbroker.service,
 * FileDescriptorName=LABEL). The service manager keeps them, so they outlive broker and service.
 * Letting go of them would reset nothing: when the time of what waits is up they are emptied.
 */
#pragma once

#include "broker/core/core-internal.h"

/* Registers them under the labels that they are named after, beside what these have. One that
 * cannot be used is logged and left to the caller; the broker starts without it. */
void inherit_sockets(struct core *c, struct core_passed_fd *fds, size_t n);
