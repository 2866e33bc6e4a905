/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One line of rule text. `apply` runs this a million times: words are read where they lie, nothing
 * is allocated, and *RET is only written where it has a value. */
#include <errno.h>
#include <string.h>

#include "protocol/address.h"
#include "protocol/printable.h"
#include "protocol/span.h"

enum {
	WORD_PROTOCOL,
	WORD_PREFIX,
	WORD_PORTS,
	WORD_LABEL,
	N_WORDS,
};

struct word {
	const char *text;
	size_t length;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next word at *S, which moves behind it; its length is 0 at the end of the line's content. */
static struct word next_word(const char **s, const char *end)
{
	const char *p = *s;
	struct word w;

	while (p < end && is_blank(*p))
		p++;
	w.text = p;
	while (p < end && !is_blank(*p) && *p != '#')
		p++;
	w.length = (size_t)(p - w.text);
	*s = p;
	return w;
}

static int refuse_count(size_t n_words, const struct word *surplus, struct sb_error *error)
{
	static const char *const names[N_WORDS] = { "protocol", "prefix", "list of ports",
						    "label" };
	char quoted[SB_QUOTE_MAX];

	if (n_words < N_WORDS)
		return sb_fail(error, EINVAL,
			       "the %s is missing; a rule is written PROTO PREFIX PORTS LABEL",
			       names[n_words]);
	return sb_fail(
		error, EINVAL,
		"%s behind the label is too much; a rule is written PROTO PREFIX PORTS LABEL",
		sb_quote(surplus->text, surplus->length, quoted));
}

int sb_rule_line_parse(const char *line, size_t n, struct sb_rule_line *ret, struct sb_error *error)
{
	const char *end = line + n;
	struct word words[N_WORDS], surplus;
	size_t n_words = 0;
	const struct word *label = &words[WORD_LABEL];
	int r;

	if (n > 0 && end[-1] == '\r') /* a file written on Windows */
		end--;
	while (n_words < N_WORDS) {
		words[n_words] = next_word(&line, end);
		if (words[n_words].length == 0)
			break;
		n_words++;
	}
	if (n_words == 0)
		return 0;
	if (n_words < N_WORDS)
		return refuse_count(n_words, NULL, error);
	surplus = next_word(&line, end);
	if (surplus.length > 0)
		return refuse_count(n_words, &surplus, error);

	r = sb_protocol_parse_span(words[WORD_PROTOCOL].text, words[WORD_PROTOCOL].length,
				   &ret->protocols, error);
	if (r < 0)
		return r;
	r = sb_prefix_parse_span(words[WORD_PREFIX].text, words[WORD_PREFIX].length, &ret->prefix,
				 error);
	if (r < 0)
		return r;
	r = sb_ports_parse_span(words[WORD_PORTS].text, words[WORD_PORTS].length, ret->ports,
				ARRAY_SIZE(ret->ports), &ret->n_ports, error);
	if (r < 0)
		return r;
	r = sb_label_check_span(label->text, label->length, error);
	if (r < 0)
		return r;
	memcpy(ret->label, label->text, label->length);
	ret->label[label->length] = '\0';
	return 1;
}
