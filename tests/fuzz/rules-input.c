/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fuzz/rules-input.h"

static unsigned family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

static void set_bit(uint8_t *address, unsigned bit, bool value)
{
	uint8_t mask = (uint8_t)(0x80 >> bit % 8);

	address[bit / 8] = (uint8_t)(value ? address[bit / 8] | mask : address[bit / 8] & ~mask);
}

static bool get_bit(const uint8_t *address, unsigned bit)
{
	return address[bit / 8] & 0x80 >> bit % 8;
}

/* KIND: bit 0 the family, bits 2-3 what the address is made from, bits 5-7 how many bits of it are
 * flipped then. */
static struct sb_address take_address(struct bytes *b, unsigned kind)
{
	static const uint8_t pattern[16] = { 0x2a, 0x05, 0xa5, 0x5a, 0x0f, 0xf0, 0x12, 0x34,
					     0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x13, 0x37 };
	struct sb_address a = { .family = kind & 1 ? AF_INET6 : AF_INET };
	unsigned bits = family_bits(a.family), n = bits / 8;

	switch (kind >> 2 & 3) {
	case 0:
		break;
	case 1:
		memcpy(a.bytes, pattern, n);
		break;
	case 2:
		memset(a.bytes, 0xff, n);
		break;
	default:
		for (unsigned i = 0; i < n; i++)
			a.bytes[i] = take_8(b);
	}
	for (unsigned i = kind >> 5; i > 0; i--) {
		unsigned bit = take_8(b) % bits;

		set_bit(a.bytes, bit, !get_bit(a.bytes, bit));
	}
	return a;
}

struct rule take_rule(struct bytes *b)
{
	unsigned kind = take_8(b), length, first, width;
	struct sb_prefix p = { .address = take_address(b, kind) };
	unsigned bits = family_bits(p.address.family);

	length = take_8(b) % (bits + 1);
	p.length = (uint8_t)length;
	for (unsigned bit = length; bit < bits; bit++)
		set_bit(p.address.bytes, bit, false);
	first = take_16(b);
	width = kind & 0x10 ? take_16(b) : take_8(b) % 4;
	if (width > 65535 - first)
		width = 65535 - first;
	return rule_make(kind & 2 ? IPPROTO_UDP : IPPROTO_TCP, &p,
			 (struct sb_ports){ (uint16_t)first, (uint16_t)(first + width) }, take_8(b),
			 RULE_RUNTIME);
}

struct packet take_packet(struct bytes *b)
{
	unsigned kind = take_8(b);

	return (struct packet){
		.destination = take_address(b, kind),
		.protocol = kind & 2 ? IPPROTO_UDP : IPPROTO_TCP,
		.port = take_16(b),
	};
}

/* R's address with the bits behind its prefix set to FILL. */
static struct sb_address corner(const struct rule *r, bool fill)
{
	struct sb_address a = { .family = r->family };

	memcpy(a.bytes, r->address, sizeof(a.bytes));
	for (unsigned bit = r->prefix_length; bit < family_bits(r->family); bit++)
		set_bit(a.bytes, bit, fill);
	return a;
}

void packets_around(const struct rule *r, void (*check)(void *data, const struct packet *p),
		    void *data)
{
	const uint16_t ports[] = { (uint16_t)(r->port_first - 1), r->port_first, r->port_last,
				   (uint16_t)(r->port_last + 1) };
	struct packet p = { .protocol = r->protocol };

	for (unsigned i = 0; i < 3; i++) {
		p.destination = corner(r, i == 1);
		if (i == 2 && r->prefix_length > 0) /* the neighbour */
			set_bit(p.destination.bytes, r->prefix_length - 1U,
				!get_bit(p.destination.bytes, r->prefix_length - 1U));
		for (unsigned k = 0; k < 4; k++) {
			p.port = ports[k];
			check(data, &p);
		}
	}
	p.protocol = r->protocol == IPPROTO_TCP ? IPPROTO_UDP : IPPROTO_TCP;
	p.destination = corner(r, false);
	p.port = r->port_first;
	check(data, &p);
}
