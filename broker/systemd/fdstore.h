/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service manager's file descriptor store (FileDescriptorStoreMax=, sd_notify(3)). Without
 * $NOTIFY_SOCKET nothing is kept. */
#pragma once

#include "broker/core/port.h"

struct fdstore_port fdstore_port(void);
