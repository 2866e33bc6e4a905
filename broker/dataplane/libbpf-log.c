/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/dataplane/libbpf-log.h"

#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"

/* As process-wide as libbpf's callback is. */
static char last_warning[256];

static int on_print(enum libbpf_print_level level, const char *format, va_list ap)
{
	char line[1024];
	int n;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	n = vsnprintf(line, sizeof(line), format, ap);
#pragma GCC diagnostic pop
	line[strcspn(line, "\n")] = '\0';
	if (level == LIBBPF_WARN)
		snprintf(last_warning, sizeof(last_warning), "%.*s", (int)sizeof(last_warning) - 1,
			 line);
	if (level != LIBBPF_DEBUG)
		log_debug("%s", line);
	return n;
}

void libbpf_log_setup(void)
{
	libbpf_set_print(on_print);
}

void libbpf_log_forget(void)
{
	last_warning[0] = '\0';
}

const char *libbpf_log_last(void)
{
	return last_warning;
}
