/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses, prefixes, port ranges, protocols and rule lines as text; pure.
 *
 * Everything here is strict: a number ends where the text ends, no DNS, no names of services.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "protocol/errors.h"
#include "protocol/label.h"

/* Bytes in network order; an IPv4 address uses the first four, the others are zero. */
struct sb_address {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];
};

/* The bits after LENGTH are zero. */
struct sb_prefix {
	struct sb_address address;
	uint8_t length; /* 0-32 or 0-128 */
};

/* Both ends included. "any" is 0-65535; written ports are 1-65535. */
struct sb_ports {
	uint16_t first, last;
};

#define SB_PORTS_ANY ((struct sb_ports){ 0, 65535 })
#define SB_PORT_LIST_MAX 64 /* ranges in one PORTS argument */

/* Bits of a protocol set. */
#define SB_PROTOCOL_TCP 1U
#define SB_PROTOCOL_UDP 2U
#define SB_PROTOCOL_ANY (SB_PROTOCOL_TCP | SB_PROTOCOL_UDP)

/* Enough for "[ffff:...:255.255.255.255]:65535" or ".../128". */
#define SB_ADDRESS_TEXT_MAX 64
#define SB_PORTS_TEXT_MAX 12

/* "tcp", "udp", "any" -> protocol set. */
int sb_protocol_parse(const char *s, unsigned *ret, struct sb_error *error);

/* IPPROTO_TCP -> "tcp", IPPROTO_UDP -> "udp". */
const char *sb_protocol_name(int ipproto);

/* AF_INET -> "ipv4", AF_INET6 -> "ipv6". */
const char *sb_family_name(int family);

/* A numeric address, IPv6 with or without brackets. An IPv4-mapped one (::ffff:a.b.c.d) is refused
 * with a sentence that says to write the IPv4 address. */
int sb_address_parse(const char *s, struct sb_address *ret, struct sb_error *error);

/* ADDR or ADDR/LEN, IPv6 with or without brackets around ADDR or around all. Bits after LEN are
 * cleared, as iproute2 does not, and tubular does. IPv4-mapped prefixes are refused (see above). */
int sb_prefix_parse(const char *s, struct sb_prefix *ret, struct sb_error *error);

/* One port, 1-65535. */
int sb_port_parse(const char *s, uint16_t *ret, struct sb_error *error);

/* "80", "8000-8999", "80,443", "any", "*", "0". Fills RET (of MAX entries), *N ranges, sorted;
 * ranges of one list that overlap are refused. */
int sb_ports_parse(const char *s, struct sb_ports *ret, size_t max, size_t *n,
		   struct sb_error *error);

/* All write into BUF of the size named above and return it. */
const char *sb_address_format(const struct sb_address *a, char buf[static SB_ADDRESS_TEXT_MAX]);
const char *sb_prefix_format(const struct sb_prefix *p, char buf[static SB_ADDRESS_TEXT_MAX]);
const char *sb_ports_format(const struct sb_ports *p, char buf[static SB_PORTS_TEXT_MAX]);
/* "192.0.2.1:80", "[2001:db8::1]:80" */
const char *sb_endpoint_format(const struct sb_address *a, uint16_t port,
			       char buf[static SB_ADDRESS_TEXT_MAX]);

/* sockaddr_in or sockaddr_in6 -> address and port. An IPv4-mapped address stays IPv6.
 * -EAFNOSUPPORT for another family. */
int sb_address_from_sockaddr(const struct sockaddr_storage *ss, struct sb_address *ret,
			     uint16_t *ret_port);

/* Whether ADDRESS lies in PREFIX (false across families). */
bool sb_prefix_contains(const struct sb_prefix *prefix, const struct sb_address *address);

/* One line of rule text: PROTO PREFIX PORTS LABEL. */
struct sb_rule_line {
	unsigned protocols; /* set of SB_PROTOCOL_* */
	struct sb_prefix prefix;
	struct sb_ports ports[SB_PORT_LIST_MAX];
	size_t n_ports;
	char label[SB_LABEL_MAX + 1];
};

/*
 * Parses one line of N bytes (no newline, need not end in NUL). Returns 1 with *RET filled, 0 for
 * a blank or comment line, or -EINVAL with a sentence (without the line number).
 */
int sb_rule_line_parse(const char *line, size_t n, struct sb_rule_line *ret,
		       struct sb_error *error);
