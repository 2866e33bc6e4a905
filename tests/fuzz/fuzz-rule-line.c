/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of rule text: what is understood, and written again, is understood as the same. */
#include "protocol/address.h"
#include "tests/fuzz/fuzz.h"

static size_t write_line(const struct sb_rule_line *l, char *buf, size_t size)
{
	char prefix[SB_ADDRESS_TEXT_MAX], ports[SB_PORTS_TEXT_MAX];
	int n = snprintf(buf, size, "%s %s ",
			 l->protocols == SB_PROTOCOL_ANY   ? "any"
			 : l->protocols == SB_PROTOCOL_TCP ? "tcp"
							   : "udp",
			 sb_prefix_format(&l->prefix, prefix));

	for (size_t i = 0; i < l->n_ports; i++)
		n += snprintf(buf + n, size - (size_t)n, "%s%s", i ? "," : "",
			      sb_ports_format(&l->ports[i], ports));
	n += snprintf(buf + n, size - (size_t)n, " %s", l->label);
	return (size_t)n;
}

static void check_ports(const struct sb_rule_line *l)
{
	require(l->n_ports > 0 && l->n_ports <= SB_PORT_LIST_MAX);
	for (size_t i = 0; i < l->n_ports; i++) {
		require(l->ports[i].first <= l->ports[i].last);
		require(i == 0 || l->ports[i - 1].last < l->ports[i].first);
	}
}

static void check_line(const char *line, size_t n)
{
	struct sb_rule_line l, again;
	struct sb_error error = { 0 };
	char text[2048];
	int r = sb_rule_line_parse(line, n, &l, &error);

	require(r >= 0 || (r == -EINVAL && error.code == EINVAL && error.message[0]));
	if (r <= 0)
		return;
	require(l.protocols && !(l.protocols & ~SB_PROTOCOL_ANY));
	require(l.prefix.length <= (l.prefix.address.family == AF_INET ? 32 : 128));
	require(sb_prefix_contains(&l.prefix, &l.prefix.address));
	require(sb_label_valid(l.label, strlen(l.label)));
	check_ports(&l);
	n = write_line(&l, text, sizeof(text));
	require(n < sizeof(text));
	require(sb_rule_line_parse(text, n, &again, NULL) == 1);
	require(again.protocols == l.protocols && again.n_ports == l.n_ports);
	require(memcmp(&again.prefix, &l.prefix, sizeof(l.prefix)) == 0);
	require(memcmp(again.ports, l.ports, l.n_ports * sizeof(l.ports[0])) == 0);
	require(strcmp(again.label, l.label) == 0);
}

/* The words alone, as they come from the wire and from a command line. */
static void check_word(const char *s)
{
	struct sb_ports ports[SB_PORT_LIST_MAX];
	char text[SB_ADDRESS_TEXT_MAX];
	struct sb_address address, again;
	struct sb_prefix prefix;
	unsigned protocols;
	uint16_t port;
	size_t n;

	sb_protocol_parse(s, &protocols, NULL);
	sb_label_check(s, NULL);
	sb_prefix_parse(s, &prefix, NULL);
	sb_port_parse(s, &port, NULL);
	if (sb_ports_parse(s, ports, ARRAY_SIZE(ports), &n, NULL) == 0)
		require(n > 0 && n <= ARRAY_SIZE(ports));
	if (sb_address_parse(s, &address, NULL) == 0) {
		require(sb_address_parse(sb_address_format(&address, text), &again, NULL) == 0);
		require(memcmp(&address, &again, sizeof(again)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size > 0) {
		const uint8_t *newline = memchr(data, '\n', size);
		size_t n = newline ? (size_t)(newline - data) : size;
		char *line = exact_copy(data, n), *word = strndup(line, n);

		require(word);
		check_line(line, n);
		check_word(word);
		free(word);
		free(line);
		data += newline ? n + 1 : n;
		size -= newline ? n + 1 : n;
	}
	return 0;
}
