/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/label.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "protocol/printable.h"
#include "protocol/span.h"

enum {
	FIRST = 1, /* may begin a label */
	INNER = 2,
};

/* A table, because `apply` asks this for every byte of a million labels. */
static const uint8_t classes[256] = {
	['0' ... '9'] = FIRST | INNER,
	['A' ... 'Z'] = FIRST | INNER,
	['a' ... 'z'] = FIRST | INNER,
	['.'] = INNER,
	['_'] = INNER,
	['@'] = INNER,
	[':'] = INNER,
	['-'] = INNER,
};

bool sb_label_valid(const char *s, size_t n)
{
	if (n == 0 || n > SB_LABEL_MAX || !(classes[(uint8_t)s[0]] & FIRST))
		return false;
	for (size_t i = 1; i < n; i++) {
		if (!(classes[(uint8_t)s[i]] & INNER))
			return false;
	}
	return true;
}

int sb_label_check_span(const char *s, size_t n, struct sb_error *error)
{
	char quoted[SB_QUOTE_MAX], character[SB_QUOTE_MAX];

	if (sb_label_valid(s, n))
		return 0;
	if (n == 0)
		return sb_fail(error, EINVAL, "the label is empty");
	sb_quote(s, n, quoted);
	for (size_t i = 0; i < n; i++) {
		if (!(classes[(uint8_t)s[i]] & INNER))
			return sb_fail(error, EINVAL,
				       "label %s has %s in it, where only letters, digits and "
				       ". _ @ : - may stand",
				       quoted, sb_quote(s + i, 1, character));
	}
	if (!(classes[(uint8_t)s[0]] & FIRST))
		return sb_fail(error, EINVAL, "label %s does not begin with a letter or a digit",
			       quoted);
	return sb_fail(error, EINVAL, "label %s is %zu bytes long, %d is the most", quoted, n,
		       SB_LABEL_MAX);
}

int sb_label_check(const char *s, struct sb_error *error)
{
	return sb_label_check_span(s, strlen(s), error);
}
