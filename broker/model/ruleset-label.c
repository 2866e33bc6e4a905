/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules of one label. */
#include <errno.h>
#include <string.h>

#include "broker/model/ruleset-internal.h"

int ruleset_relabel(struct ruleset *s, const struct rule *r, uint32_t label)
{
	uint32_t i;
	struct chunk *c = ruleset_place(s, r, &i);

	if (!c)
		return -ENOENT;
	c->rules[i].label = label;
	chunk_tags(c)[i] = label_tag(label);
	return 0;
}

void ruleset_begin_label(const struct ruleset *s, uint32_t label, size_t most,
			 struct ruleset_label_cursor *c)
{
	*c = (struct ruleset_label_cursor){ .set = s, .label = label, .left = most };
}

/* The next one in the cursor's chunk. */
static const struct rule *next_in_chunk(struct ruleset_label_cursor *c)
{
	const struct chunk *chunk = &c->set->chunks[c->chunk];
	const uint8_t *tags = chunk_tags(chunk), *tag;

	while ((tag = memchr(tags + c->index, label_tag(c->label), chunk->count - c->index))) {
		const struct rule *r = &chunk->rules[tag - tags];

		c->index = (uint32_t)(tag - tags) + 1;
		if (r->label == c->label)
			return r;
	}
	return NULL;
}

const struct rule *ruleset_next_label(struct ruleset_label_cursor *c)
{
	for (; c->left > 0 && c->chunk < c->set->n_chunks; c->chunk++, c->index = 0) {
		const struct rule *r = next_in_chunk(c);

		if (r) {
			c->left--;
			return r;
		}
	}
	return NULL;
}
