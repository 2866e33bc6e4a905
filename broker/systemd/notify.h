/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the service manager is told (sd_notify(3)). Without $NOTIFY_SOCKET every call does nothing
 * and returns 0.
 *
 * All return 1 when the manager was told, 0 when there is none, or a negative errno; none of these
 * is a reason to stop.
 */
#pragma once

#include <stdint.h>

#include "protocol/cleanup.h"

/* READY=1 and STATUS=: started, or (after notify_reloading) reloaded. STATUS is one line, cut at
 * control characters. */
int notify_ready(const char *status);

/* RELOADING=1 with MONOTONIC_USEC=, as Type=notify-reload wants it. To be followed by
 * notify_ready() whether the reload was accepted or refused. */
int notify_reloading(void);

/* STATUS= alone. */
int notify_status(const char *format, ...) _printf_(1, 2);

/* STOPPING=1 and STATUS=. */
int notify_stopping(const char *status);

/* WATCHDOG=1. */
int notify_watchdog(void);

/* Microseconds within which the manager wants a notify_watchdog() (WatchdogSec=); 0: it does not.
 * Call notify_watchdog() at half of it. */
uint64_t notify_watchdog_interval_us(void);
