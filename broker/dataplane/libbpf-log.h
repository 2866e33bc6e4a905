/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libbpf would print goes to the log at debug level; the last warning is kept for error
 * messages. libbpf has one print callback a process. */
#pragma once

/* Installs the callback. */
void libbpf_log_setup(void);
void libbpf_log_forget(void);
/* The last warning's first line, "" when there was none. */
const char *libbpf_log_last(void);
