/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/systemd/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "broker/base/clock.h"

#define STATUS_MAX 256

/* A newline would start another assignment: what comes after a control character is not sent. */
static int status_length(const char *status)
{
	size_t n = 0;

	while (n < STATUS_MAX && ((unsigned char)status[n] >= 0x20 && status[n] != 0x7f))
		n++;
	return (int)n;
}

int notify_ready(const char *status)
{
	return sd_notifyf(0, "READY=1\nSTATUS=%.*s", status_length(status), status);
}

int notify_reloading(void)
{
	return sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading",
			  clock_monotonic_us());
}

int notify_status(const char *format, ...)
{
	char status[STATUS_MAX + 1];
	va_list ap;

	va_start(ap, format);
	vsnprintf(status, sizeof(status), format, ap);
	va_end(ap);
	return sd_notifyf(0, "STATUS=%.*s", status_length(status), status);
}

int notify_stopping(const char *status)
{
	return sd_notifyf(0, "STOPPING=1\nSTATUS=%.*s", status_length(status), status);
}

int notify_watchdog(void)
{
	return sd_notify(0, "WATCHDOG=1");
}

uint64_t notify_watchdog_interval_us(void)
{
	uint64_t interval;

	/* A malformed $WATCHDOG_USEC counts as none: the manager that wrote it will notice. */
	return sd_watchdog_enabled(0, &interval) > 0 ? interval : 0;
}
