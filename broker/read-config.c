/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/read-config.h"

#include <string.h>

#include "broker/base/log.h"
#include "broker/systemd/activator.h"

/* Activate= where nobody starts units. */
static int check_units(const struct options *options, const struct config *config,
		       struct sb_error *error)
{
	if (options->activator || activator_is_there())
		return 0;
	for (size_t i = 0; i < config->n_labels; i++)
		if (config->labels[i].activate)
			return sb_fail(error, EOPNOTSUPP,
				       "%s:%u: Activate= needs systemd, which does not run this "
				       "machine: leave the line out, and start the service in your "
				       "own way",
				       config->labels[i].path, config->labels[i].activate_line);
	return 0;
}

static int read_config(const char *dir, struct config **ret, struct sb_error *error)
{
	_cleanup_(config_report_clear) struct config_report report = { 0 };
	int r = config_read(dir, ret, &report);

	for (size_t i = 0; i < report.n_warnings; i++)
		log_warning("%s", report.warnings[i]);
	for (size_t i = 0; i < report.n_errors; i++)
		log_error("%s", report.errors[i]);
	if (report.n_all_errors > report.n_errors)
		log_error("... and %zu more errors", report.n_all_errors - report.n_errors);
	if (r == -ENOMEM)
		log_error("out of memory while reading the configuration");
	if (r < 0 && report.n_errors == 0)
		return sb_fail(error, -r, "the configuration in %s cannot be read: %s", dir,
			       strerror(-r));
	if (r < 0 && report.n_all_errors > 1)
		return sb_fail(error, -r, "%s (and %zu more, in the log)", report.errors[0],
			       report.n_all_errors - 1);
	return r < 0 ? sb_fail(error, -r, "%s", report.errors[0]) : 0;
}

int broker_read_config(const struct options *options, struct config **ret, struct sb_error *error)
{
	_cleanup_(config_freep) struct config *config = NULL;
	int r = read_config(options->config, &config, error);

	if (r < 0)
		return r;
	r = check_units(options, config, error);
	if (r < 0) {
		log_error("%s", error->message);
		return r;
	}
	*ret = TAKE_PTR(config);
	return 0;
}
