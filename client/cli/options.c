/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* getopt_long knows neither options of several values nor how to do without globals. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/options.h"
#include "client/number.h"

/* Where reading stands. */
struct scan {
	int argc, next;
	char **argv;
};

void arguments_free(struct arguments *a)
{
	if (!a)
		return;
	free(a->memory);
	memset(a, 0, sizeof(*a));
}

/* One array of ARGC words for the arguments, and one for every option of both tables. */
static int arguments_allocate(struct arguments *a, int argc)
{
	size_t words = argc > 0 ? (size_t)argc : 1;
	const char **memory = calloc(words * (1 + 2 * OPTIONS_MAX), sizeof(char *));

	memset(a, 0, sizeof(*a));
	if (!memory)
		return -ENOMEM;
	a->memory = memory;
	a->args = memory;
	for (size_t i = 0; i < OPTIONS_MAX; i++) {
		a->options[i].values = memory + words * (1 + i);
		a->globals[i].values = memory + words * (1 + OPTIONS_MAX + i);
	}
	return 0;
}

/* The index of the option that WORD (up to '=') names, or -1. */
static int find_option(const struct option_spec *table, const char *word)
{
	size_t n = strcspn(word, "=");

	for (int i = 0; table && table[i].name; i++)
		if (strlen(table[i].name) == n && !strncmp(table[i].name, word, n))
			return i;
	return -1;
}

static bool is_number(const char *s)
{
	uint64_t n;

	return number_parse(s, &n);
}

static int take_values(struct scan *scan, const char *word, const struct option_spec *spec,
		       struct option_value *value, struct sb_error *error)
{
	const char *equals = strchr(word, '=');
	unsigned int wanted = spec->values;

	value->given = true;
	if (equals) {
		if (wanted != 1)
			return sb_fail(error, EINVAL, "%s is not written with =", spec->name);
		value->values[value->n_values++] = equals + 1;
		return 0;
	}
	for (; wanted > 0; wanted--) {
		if (scan->next == scan->argc)
			return sb_fail(error, EINVAL, "%s needs %u more value%s", spec->name,
				       wanted, wanted == 1 ? "" : "s");
		value->values[value->n_values++] = scan->argv[scan->next++];
	}
	while (spec->more_numbers && scan->next < scan->argc && is_number(scan->argv[scan->next]))
		value->values[value->n_values++] = scan->argv[scan->next++];
	return 0;
}

static int take_option(struct arguments *a, struct scan *scan, const struct option_spec *globals,
		       const struct option_spec *own, struct sb_error *error)
{
	const char *word = scan->argv[scan->next++];
	int i = find_option(own, word);

	if (i >= 0)
		return take_values(scan, word, &own[i], &a->options[i], error);
	i = find_option(globals, word);
	if (i >= 0)
		return take_values(scan, word, &globals[i], &a->globals[i], error);
	return sb_fail(error, EINVAL, "there is no option %s here", word);
}

int arguments_parse(struct arguments *ret, int argc, char **argv, const struct option_spec *globals,
		    const struct option_spec *own, bool stop_at_first, int *ret_used,
		    struct sb_error *error)
{
	struct scan scan = { .argc = argc, .argv = argv };
	bool options_ended = false;
	int r = arguments_allocate(ret, argc);

	if (r < 0)
		return sb_fail(error, ENOMEM, "out of memory");
	while (scan.next < scan.argc) {
		const char *word = scan.argv[scan.next];

		if (!options_ended && !strcmp(word, "--")) {
			options_ended = ret->dashes = true;
			ret->n_before_dashes = ret->n_args;
			scan.next++;
		} else if (!options_ended && word[0] == '-' && word[1]) {
			r = take_option(ret, &scan, globals, own, error);
			if (r < 0) {
				arguments_free(ret);
				return r;
			}
		} else if (stop_at_first) {
			break;
		} else {
			ret->args[ret->n_args++] = word;
			scan.next++;
		}
	}
	*ret_used = scan.next;
	return 0;
}
