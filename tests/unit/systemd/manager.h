/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service manager's end of sd_notify(3). */
#pragma once

/* NOTIFY_SOCKET leads to *STATE, a socket (an int) that does not block. */
int manager_setup(void **state);
int manager_teardown(void **state);
