/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A start on pinned maps and a saved state that anyone could have written. Whether it is refused or
 * not, nobody's packet is given to somebody else's socket; one that is not leaves maps and model
 * the same, and so do the requests after it and the next start.
 *
 * The input: a byte of HOW_*, a byte with the number of words to write into the maps, 7 bytes for
 * each of them, some bytes that choose requests, and the files of the saved state, each ended by a
 * byte 0x1e.
 */
#include "tests/fuzz/pinned-world.h"

#define REQUESTS 6
#define SEPARATOR 0x1e

enum {
	HOW_TOOK_OVER = 1, /* a program is attached */
	HOW_RENEWED = 2,   /* it has other maps: groups, lists and owners are new */
	HOW_DAMAGED = 4,   /* the state directory says that labels may be of no use */
	HOW_LABELS = 8,    /* there are such files: 8, 16, 32, 64 */
};

/* Words near each other meet more often than not. */
static uint32_t take_index(struct bytes *b, uint8_t kind, uint32_t max)
{
	uint32_t index = take_16(b);

	return kind & 0x80 ? index % max : index % 64;
}

static void write_word(struct bytes *b, struct pinned *p)
{
	static const uint32_t sizes[] = { SB_SLOTS_MAX, SB_SLOTS_MAX, SB_GROUPS_MAX,
					  SB_SLOT_LIST_MAX };
	const uint8_t kind = take_8(b);
	const uint32_t index = take_index(b, kind, sizes[kind & 3]), word = take_32(b);

	switch (kind & 3) {
	case 0:
		p->owners[index] = word;
		break;
	case 1:
		p->sockets[index] = pinned_socket(p, word % PINNED_SOCKETS);
		break;
	case 2: /* all but the sequence, or something that makes sense */
		p->groups[index] = kind & 0x40 ? (uint64_t)word << 6
					       : SB_GROUP_WORD(word & 0xffff, word >> 16 & 0xff,
							       word >> 24, 0);
		break;
	default:
		p->lists[index] = word;
	}
}

static void take_state(struct bytes *b, struct fake_state *s, unsigned present)
{
	struct fake_blob *const blobs[] = { &s->labels, &s->labels_journal, &s->rules,
					    &s->journal };

	for (size_t i = 0; i < ARRAY_SIZE(blobs); i++) {
		const uint8_t *end = b->left ? memchr(b->data, SEPARATOR, b->left) : NULL;
		size_t n = end ? (size_t)(end - b->data) : b->left;

		if (present & 1U << i)
			fake_blob_set(blobs[i], (const char *)b->data, n);
		n += end != NULL;
		b->data += n;
		b->left -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	struct pinned *p = pinned_new();
	unsigned how = take_8(&b);
	uint8_t requests[REQUESTS];

	for (unsigned n = take_8(&b) % 32; n > 0; n--)
		write_word(&b, p);
	for (size_t i = 0; i < REQUESTS; i++)
		requests[i] = take_8(&b);
	take_state(&b, p->state, how / HOW_LABELS);
	p->took_over = how & HOW_TOOK_OVER;
	p->labels_damage = how & HOW_DAMAGED ? "it was told so" : NULL;
	if (how & HOW_RENEWED)
		pinned_renew(p);
	if (pinned_start(p) == 0) {
		pinned_check(p);
		for (size_t i = 0; i < REQUESTS; i++)
			pinned_ask(p, requests[i]);
		pinned_check(p);
		pinned_stop(p);
		require(pinned_start(p) == 0);
		pinned_check(p);
	}
	pinned_free(p);
	return 0;
}
