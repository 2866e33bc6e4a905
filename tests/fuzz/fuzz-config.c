/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text of sockbroker.conf and of label files: every value that is set is within its bounds, and
 * what is wrong is said in lines that can be shown. */
#include "broker/config/broker-file.h"
#include "broker/config/label-file.h"
#include "broker/config/report.h"
#include "protocol/printable.h"
#include "tests/fuzz/fuzz.h"

/* Instead of those of nss.c (the linker is told so): what an input does must not depend on the
 * users of the machine. */
int __wrap_nss_user(const char *s, uid_t *ret, struct sb_error *error);
int __wrap_nss_group(const char *s, gid_t *ret, struct sb_error *error);

int __wrap_nss_user(const char *s, uid_t *ret, struct sb_error *error)
{
	if (s[0] != 'u')
		return sb_fail(error, EINVAL, "there is no such user");
	*ret = (uid_t)strlen(s);
	return 0;
}

int __wrap_nss_group(const char *s, gid_t *ret, struct sb_error *error)
{
	if (s[0] != 'g')
		return sb_fail(error, EINVAL, "there is no such group");
	*ret = (gid_t)strlen(s);
	return 0;
}

static void check_report(struct config_report *report, const char *path)
{
	require(!report->out_of_memory && report->n_errors <= CONFIG_ERRORS_MAX);
	require(report->n_errors <= report->n_all_errors);
	for (size_t i = 0; i < report->n_errors; i++) {
		const char *s = report->errors[i];
		size_t n = strlen(s), length;

		require(strncmp(s, path, strlen(path)) == 0);
		for (size_t k = 0; k < n; k += length) {
			length = sb_utf8_length(s + k, n - k);
			require(length > 0 && !sb_is_control(s + k, length));
		}
	}
	config_report_clear(report);
}

/* REFUSED: nobody will use it, but what there is has to be sound. */
static void check_label(const struct config_label *l, bool refused)
{
	require(l->max_sockets >= 1 && l->max_sockets <= CONFIG_SOCKETS_MAX);
	if (l->activate)
		require(l->activate_line > 0 && *l->activate);
	if (l->activate && !refused)
		require(l->when_empty == WHEN_EMPTY_HOLD);
	for (size_t i = 0; i < l->n_rules; i++) {
		const struct config_rule *r = &l->rules[i];

		require(r->ports.first <= r->ports.last && r->line > 0);
		require(r->protocol == IPPROTO_TCP || r->protocol == IPPROTO_UDP);
		require(r->prefix.length <= (r->prefix.address.family == AF_INET ? 32 : 128));
		require(sb_prefix_contains(&r->prefix, &r->prefix.address));
	}
}

static void check_broker(const struct config_broker *b)
{
	require(b->max_labels >= 1 && b->max_labels <= CONFIG_LABELS_MAX);
	require(b->max_rules <= CONFIG_RULES_MAX);
	require(b->max_sockets >= 1 && b->max_sockets <= CONFIG_SOCKETS_MAX);
	require(b->max_connections >= 1 && b->max_connections <= CONFIG_CONNECTIONS_MAX);
	require(b->max_reply_memory >= CONFIG_REPLY_MIN && b->max_reply_memory <= CONFIG_REPLY_MAX);
	require(b->max_reply_rate >= CONFIG_REPLY_MIN && b->max_reply_rate <= CONFIG_REPLY_MAX);
	require(b->request_timeout_us >= CONFIG_REQUEST_TIMEOUT_MIN_US &&
		b->request_timeout_us <= CONFIG_REQUEST_TIMEOUT_MAX_US);
}

/* A configuration with one label, made as config_read() makes it, for config_free(). */
static struct config *config_with_label(const char *path)
{
	struct config *c = config_new();

	require(c);
	c->labels = calloc(1, sizeof(c->labels[0]));
	require(c->labels);
	c->n_labels = 1;
	c->labels[0].path = strdup(path);
	c->labels[0].max_sockets = c->broker.max_sockets;
	require(c->labels[0].path);
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = config_with_label("label-file");
	char *text = calloc(1, size + 1); /* as file_read() ends it */
	struct config_report report = { 0 };

	require(text);
	if (size > 0)
		memcpy(text, data, size);
	label_file_parse(&c->labels[0], text, size, &report);
	check_label(&c->labels[0], report.n_errors > 0);
	check_report(&report, "label-file");
	broker_file_parse(&c->broker, "broker-file", text, size, &report);
	check_broker(&c->broker);
	check_report(&report, "broker-file");
	free(text);
	config_free(c);
	return 0;
}
