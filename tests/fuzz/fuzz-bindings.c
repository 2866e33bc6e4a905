/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tubular's bindings.json: what is converted is rule text, one line for each binding. */
#include "client/cli/bindings.h"
#include "protocol/address.h"
#include "tests/fuzz/fuzz.h"

static void check_rules(const char *text, size_t n)
{
	while (n > 0) {
		const char *newline = memchr(text, '\n', n);
		struct sb_rule_line line;

		require(newline);
		require(sb_rule_line_parse(text, (size_t)(newline - text), &line, NULL) == 1);
		require(line.protocols == SB_PROTOCOL_ANY && line.n_ports == 1);
		n -= (size_t)(newline + 1 - text);
		text = newline + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *json = exact_copy(data, size);
	struct sb_error error = { 0 };
	struct sb_text text = { 0 };
	int r;

	bindings_look_like(json, size);
	r = bindings_to_rules(json, size, &text, &error);
	require(r == 0 || (r == -error.code && error.message[0]));
	if (r == 0)
		check_rules(text.data, text.length);
	sb_text_free(&text);
	free(json);
	return 0;
}
