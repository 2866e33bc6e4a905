/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A rule: (protocol, prefix, port range) -> label. Plain data, 32 bytes: there may be a million. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "protocol/address.h"

enum rule_origin {
	RULE_RUNTIME = 0, /* bind or apply */
	RULE_CONFIG = 1,  /* a label file */
};

#define RULE_OWNERS_MAX 127

struct rule {
	uint8_t address[16]; /* network order; IPv4 in the first four; zero after the prefix */
	uint8_t family;      /* AF_INET or AF_INET6 */
	uint8_t protocol;    /* IPPROTO_TCP or IPPROTO_UDP */
	uint8_t prefix_length;
	uint8_t origin : 1; /* enum rule_origin */
	uint8_t owner : 7;  /* of a runtime rule: whose it is (core/shares.h), 0: nobody's */
	uint16_t port_first, port_last;
	uint32_t label;  /* id in the registry */
	uint32_t number; /* for hit counters; not part of the rule's identity */
};

/* The destination of a packet. */
struct packet {
	struct sb_address destination;
	uint16_t port;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
};

struct rule rule_make(int protocol, const struct sb_prefix *prefix, struct sb_ports ports,
		      uint32_t label, enum rule_origin origin);
struct sb_prefix rule_prefix(const struct rule *r);
struct sb_ports rule_ports(const struct rule *r);

/* Order of the trie: family, address, prefix length, then protocol, first and last port. Rules are
 * the same rule when this is 0, whatever their labels. */
int rule_compare(const struct rule *a, const struct rule *b);
/* The same without protocol and ports. */
int rule_compare_prefix(const struct rule *a, const struct rule *b);

/* Order of lists for people: most specific first (longest prefix, narrowest range), then by the
 * order above. */
int rule_compare_specific(const struct rule *a, const struct rule *b);

bool rule_matches(const struct rule *r, const struct packet *p);

/* Both for one prefix and protocol, equally wide, and overlapping: they cannot coexist. */
bool rule_conflicts(const struct rule *a, const struct rule *b);

/* "tcp 192.0.2.0/24 80" (without the label) into BUF, returned. */
#define RULE_TEXT_MAX 96
const char *rule_format(const struct rule *r, char buf[static RULE_TEXT_MAX]);
