/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/config.h"

#include <stdio.h>
#include <string.h>

#include "broker/config/broker-file.h"
#include "broker/config/conflicts.h"
#include "broker/config/file.h"
#include "broker/config/grow.h"
#include "broker/config/label-file.h"
#include "broker/config/report.h"

#define SUFFIX ".label"

static void label_clear(struct config_label *l)
{
	free(l->path);
	free(l->description);
	free(l->rules);
	free(l->activate);
	policy_clear(&l->policy);
}

struct config *config_new(void)
{
	struct config *c = calloc(1, sizeof(*c));

	if (c)
		broker_file_defaults(&c->broker);
	return c;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_labels; i++)
		label_clear(&c->labels[i]);
	free(c->labels);
	free(c);
}

static int compare_name(const void *name, const void *label)
{
	return strcmp(name, ((const struct config_label *)label)->name);
}

const struct config_label *config_find(const struct config *c, const char *name)
{
	if (c->n_labels == 0)
		return NULL;
	return bsearch(name, c->labels, c->n_labels, sizeof(*c->labels), compare_name);
}

static int by_name(const void *a, const void *b)
{
	return compare_name(((const struct config_label *)a)->name, b);
}

/* NULL: out of memory, and REPORT knows. */
static char *join(const char *dir, const char *name, struct config_report *report)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		report_out_of_memory(report);
		return NULL;
	}
	return path;
}

static void read_broker_file(struct config *c, const char *dir, struct config_report *report)
{
	_cleanup_free_ char *path = join(dir, "sockbroker.conf", report), *text = NULL;
	size_t length;

	if (path && file_read(path, true, &text, &length, report) > 0)
		broker_file_parse(&c->broker, path, text, length, report);
}

/* Takes PATH over. */
static void read_label_file(struct config *c, const char *name, char *path,
			    struct config_report *report)
{
	_cleanup_free_ char *owned = path, *text = NULL;
	struct config_label *l;
	size_t length;

	if (file_read(path, false, &text, &length, report) < 0)
		return;
	if (grow((void **)&c->labels, c->n_labels, sizeof(*c->labels)) < 0) {
		report_out_of_memory(report);
		return;
	}
	l = &c->labels[c->n_labels++];
	*l = (struct config_label){
		.path = TAKE_PTR(owned),
		.max_sockets = c->broker.max_sockets,
		.when_empty = WHEN_EMPTY_DROP,
		.hold_timeout_us = CONFIG_HOLD_TIMEOUT_DEFAULT_US,
		.trigger_interval_us = CONFIG_TRIGGER_INTERVAL_DEFAULT_US,
		.trigger_burst = CONFIG_TRIGGER_BURST_DEFAULT,
	};
	strcpy(l->name, name);
	label_file_parse(l, text, length, report);
	c->n_rules += l->n_rules;
}

/* FILE is any name in the directory. */
static void read_label(struct config *c, const char *dir, const char *file,
		       struct config_report *report)
{
	_cleanup_free_ char *path = join(dir, file, report), *name = NULL;
	size_t n = strlen(file), suffix = strlen(SUFFIX);
	struct sb_error error = { 0 };

	if (!path)
		return;
	if (n < suffix || strcmp(file + n - suffix, SUFFIX)) {
		report_warning(report, path, "is not called NAME" SUFFIX " and is not read");
		return;
	}
	name = strndup(file, n - suffix);
	if (!name)
		report_out_of_memory(report);
	else if (sb_label_check(name, &error) < 0)
		report_error(report, path, 0, "the file is called after no label: %s",
			     error.message);
	else
		read_label_file(c, name, TAKE_PTR(path), report);
}

static void check_limits(const struct config *c, const char *dir, struct config_report *report)
{
	if (c->n_labels > c->broker.max_labels)
		report_error(report, dir, 0, "there are %zu labels, and MaxLabels= is %u",
			     c->n_labels, c->broker.max_labels);
	if (c->n_rules > c->broker.max_rules)
		report_error(report, dir, 0, "there are %zu rules, and MaxRules= is %u", c->n_rules,
			     c->broker.max_rules);
}

static void read_labels(struct config *c, const char *dir, struct config_report *report)
{
	_cleanup_free_ char *labels = join(dir, "labels.d", report);
	char **names;
	size_t n;

	if (!labels || file_names(labels, &names, &n, report) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		read_label(c, labels, names[i], report);
	file_names_free(names, n);
	/* "a-b.label" comes before "a.label", but label "a" before "a-b". */
	if (c->n_labels > 1)
		qsort(c->labels, c->n_labels, sizeof(*c->labels), by_name);
	check_limits(c, labels, report);
	conflicts_report(c, report);
}

int config_read(const char *dir, struct config **ret, struct config_report *report)
{
	_cleanup_(config_freep) struct config *c = config_new();

	if (!c) {
		report_out_of_memory(report);
		return -ENOMEM;
	}
	read_broker_file(c, dir, report);
	read_labels(c, dir, report);
	if (report->out_of_memory)
		return -ENOMEM;
	if (report->n_all_errors > 0)
		return -EINVAL;
	*ret = TAKE_PTR(c);
	return 0;
}
