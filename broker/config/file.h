/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files themselves: all I/O of config/ is here. Internal to config/. */
#pragma once

#include "broker/config/config.h"

/*
 * Reads PATH whole into *RET (owned by the caller, a NUL behind its *RET_LENGTH bytes). 1; 0 when
 * it does not exist and MAY_BE_MISSING; a negative errno when REPORT says what is wrong.
 */
int file_read(const char *path, bool may_be_missing, char **ret, size_t *ret_length,
	      struct config_report *report);

/*
 * The names in the directory PATH that config_read() is to look at, sorted; hidden files, backups
 * and what dpkg leaves lying are not among them. To be freed by file_names_free(). Also 0, with no
 * names, when there is no such directory; a negative errno when REPORT says what is wrong.
 */
int file_names(const char *path, char ***ret, size_t *ret_n, struct config_report *report);
void file_names_free(char **names, size_t n);
