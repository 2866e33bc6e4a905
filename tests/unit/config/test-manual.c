/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the manual pages say of keys, defaults and limits is what the reader does. */
#include "tests/unit/config/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define KEY_LINE ".It Va "

/* The page NAME, owned by the caller. */
static char *read_page(const char *name)
{
	char path[512], *text = calloc(1, 65536);
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/docs/man/%s", SOURCE_ROOT, name);
	f = fopen(path, "re");
	assert_non_null(f);
	n = fread(text, 1, 65535, f);
	assert_true(n > 0 && n < 65535);
	fclose(f);
	return text;
}

/* Whether the entry of KEY in the page holds TEXT. */
static void expect_entry(const char *page, const char *key, const char *text)
{
	char head[64], entry[4096];
	const char *begin, *end;

	snprintf(head, sizeof(head), KEY_LINE "%s Ns = Ns ", key);
	begin = strstr(page, head);
	if (!begin) {
		fail_msg("%s= is not in the page", key);
		return;
	}
	end = strstr(begin + 1, "\n.It ") ?: begin + strlen(begin);
	assert_true((size_t)(end - begin) < sizeof(entry));
	snprintf(entry, sizeof(entry), "%.*s", (int)(end - begin), begin);
	for (char *c = entry; (c = strchr(c, '\n'));) /* where a line ends is of no account */
		*c = ' ';
	if (!strstr(entry, text))
		fail_msg("the entry of %s= does not say: %s", key, text);
}

/* Every key that the page documents is one that the reader knows, and there are COUNT. */
static void expect_keys(struct scratch *s, const char *page, const char *file, const char *section,
			int count)
{
	for (const char *at = page; (at = strstr(at, "\n" KEY_LINE)); count--) {
		char text[128], key[64];

		at += strlen("\n" KEY_LINE);
		assert_int_equal(sscanf(at, "%63s", key), 1);
		snprintf(text, sizeof(text), "[%s]\n%s=\n", section, key);
		scratch_write(s, file, text);
		scratch_read(s);
		if (s->report.n_errors > 0 && strstr(s->report.errors[0], "is not known"))
			fail_msg("%s= is in the page, and is not known", key);
	}
	assert_int_equal(count, 0);
}

/* "BEFORE VALUE AFTER" without blanks in between. */
static void expect_number(const char *page, const char *key, const char *before,
			  unsigned long long value, const char *after)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%llu%s", before, value, after);
	expect_entry(page, key, text);
}

static void test_broker(void **state)
{
	_cleanup_free_ char *page = read_page("sockbroker.conf.5");
	_cleanup_(config_freep) struct config *c = config_new();
	const struct config_broker *b = &c->broker;

	expect_keys(*state, page, "sockbroker.conf", "Broker", 11);
	expect_entry(page, "AdminGroup", "Default: none");
	expect_entry(page, "ReadGroup", "Default: none");
	expect_number(page, "MaxLabels", "Default: ", b->max_labels, ".");
	expect_number(page, "MaxLabels", "from 1 to ", CONFIG_LABELS_MAX, ".");
	expect_number(page, "MaxRules", "Default: ", b->max_rules, ".");
	expect_number(page, "MaxRules", "from 1 to ", CONFIG_RULES_MAX, ".");
	expect_number(page, "MaxSockets", "Default: ", b->max_sockets, ".");
	expect_number(page, "MaxSockets", "from 1 to ", CONFIG_SOCKETS_MAX, ".");
	expect_number(page, "MaxConnections", "Default: ", b->max_connections, ".");
	expect_number(page, "MaxConnections", "from 1 to ", CONFIG_CONNECTIONS_MAX, ".");
	expect_number(page, "MaxConnectionsPerUser", "Default: ", b->max_connections_per_user, ".");
	expect_number(page, "MaxConnectionsPerUser", "from 1 to ", CONFIG_CONNECTIONS_MAX, ".");
	expect_number(page, "MaxReplyMemory", "Default: ", b->max_reply_memory >> 20, "M.");
	expect_number(page, "MaxReplyRate", "Default: ", b->max_reply_rate >> 30, "G.");
	assert_int_equal(CONFIG_REPLY_MIN, 1 << 20);
	assert_int_equal(CONFIG_REPLY_MAX, 1ULL << 40);
	expect_entry(page, "MaxReplyMemory", "from 1M to 1T");
	expect_entry(page, "MaxReplyRate", "from 1M to 1T");
	assert_int_equal(b->request_timeout_us % 1000000, 0);
	expect_number(page, "RequestTimeout", "Default: ", b->request_timeout_us / 1000000, "s.");
	expect_entry(page, "RequestTimeout", "from 100ms to 1h");
	expect_entry(page, "RuleCounters", b->rule_counters ? "Default: yes" : "Default: no");
}

static void test_label(void **state)
{
	struct scratch *s = *state;
	_cleanup_free_ char *page = read_page("sockbroker.label.5");

	expect_keys(s, page, "labels.d/x.label", "Label", 12);
	expect_number(page, "MaxSockets", "from 1 to ", CONFIG_SOCKETS_MAX, ".");
	expect_number(page, "MaxSockets", "which is ", CONFIG_SOCKETS_DEFAULT, " unless");
	expect_number(page, "HoldTimeout", "Default: ", CONFIG_HOLD_TIMEOUT_DEFAULT_US / 1000000,
		      "s.");
	expect_entry(page, "HoldTimeout", "from 100ms to 24h");
	expect_number(page, "ListenStream", "of at most ", SB_PORT_LIST_MAX, " that");
	assert_non_null(strstr(page, "100 bytes at most")); /* SB_LABEL_MAX */
	assert_int_equal(SB_LABEL_MAX, 100);
}

/* The examples of the page are accepted, but for users and groups that are not on every machine. */
static void test_examples(void **state)
{
	_cleanup_free_ char *page = read_page("sockbroker.label.5");
	struct scratch *s = *state;
	char *at = strstr(page, ".Sh EXAMPLES"), *end;
	int n = 0;

	while ((at = strstr(at, ".Bd -literal -offset indent\n"))) {
		at += strlen(".Bd -literal -offset indent\n");
		end = strstr(at, ".Ed");
		assert_non_null(end);
		*end = '\0';
		scratch_write(s, "labels.d/x.label", at);
		scratch_read(s);
		for (size_t i = 0; i < s->report.n_errors; i++)
			if (!strstr(s->report.errors[i], ": there is no "))
				fail_msg("%s", s->report.errors[i]);
		at = end + 1;
		n++;
	}
	assert_int_equal(n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_broker),
		scratch_test(test_label),
		scratch_test(test_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
