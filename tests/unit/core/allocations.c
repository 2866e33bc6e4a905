/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/allocations.h"

#include <stdlib.h>
#include <string.h>

static size_t live, n_watched, fail_at;
static const bool *watched;
static bool failed;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
void __wrap_free(void *p);

void allocations_fail(size_t n, const bool *while_true)
{
	n_watched = 0;
	fail_at = n;
	watched = while_true;
	failed = false;
}

bool allocations_failed(void)
{
	watched = NULL;
	return failed;
}

size_t allocations_live(void)
{
	return live;
}

static bool allow(void)
{
	if (!watched || !*watched || ++n_watched != fail_at)
		return true;
	failed = true;
	return false;
}

static void *counted(void *p)
{
	live += p != NULL;
	return p;
}

void *__wrap_malloc(size_t n)
{
	return allow() ? counted(__real_malloc(n)) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return allow() ? counted(__real_calloc(n, size)) : NULL;
}

/* Nobody here frees by a size of 0. */
void *__wrap_realloc(void *p, size_t n)
{
	void *bigger = allow() ? __real_realloc(p, n) : NULL;

	return p ? bigger : counted(bigger);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	void *bigger = allow() ? __real_reallocarray(p, n, size) : NULL;

	return p ? bigger : counted(bigger);
}

char *__wrap_strdup(const char *s)
{
	return allow() ? counted(__real_strdup(s)) : NULL;
}

void __wrap_free(void *p)
{
	live -= p != NULL;
	__real_free(p);
}
