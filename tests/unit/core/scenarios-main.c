/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/scenarios.h"

#include <stdlib.h>

int scenarios_main(const char *name, void (*check)(void **state), int argc, char **argv)
{
	const size_t part = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	const size_t parts = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	struct CMUnitTest tests[64] = { 0 };
	size_t n = 0;

	assert_true(parts > 0 && n_scenarios <= ARRAY_SIZE(tests));
	for (size_t i = part; i < n_scenarios; i += parts)
		tests[n++] = (struct CMUnitTest){
			.name = scenarios[i].name,
			.test_func = check,
			.initial_state = (void *)&scenarios[i],
		};
	return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}
