/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For the tests of wire-io.c: what no kernel of today sends, but a later one may. */
#pragma once

#include <sys/socket.h>

#include "protocol/wire-io.h"

/*
 * Takes every fd out of the control messages of MSG, however many messages there are, into P, which
 * owns them then. Fds that are no part of the request (SCM_PIDFD) are closed. -EMSGSIZE, with P
 * empty and every fd closed, when there are more than SB_WIRE_FDS_MAX.
 */
int sb_packet_take_control(struct sb_packet *p, struct msghdr *msg);
