/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every fuzz target starts with. A target takes any bytes, and aborts when something that
 * always holds does not. It is linked with libFuzzer (tests/fuzz/run), and with replay.c, which
 * gives it the files of its corpus.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The input, taken from its beginning; zeros follow its end. */
struct bytes {
	const uint8_t *data;
	size_t left;
};

static inline uint8_t take_8(struct bytes *b)
{
	if (b->left == 0)
		return 0;
	b->left--;
	return *b->data++;
}

static inline uint16_t take_16(struct bytes *b)
{
	uint16_t low = take_8(b);

	return (uint16_t)(low | take_8(b) << 8);
}

static inline uint32_t take_32(struct bytes *b)
{
	uint32_t low = take_16(b);

	return low | (uint32_t)take_16(b) << 16;
}

/* A copy of exactly N bytes in memory of its own, so that a sanitizer sees what reads behind it. */
static inline char *exact_copy(const void *data, size_t n)
{
	char *copy = malloc(n ? n : 1);

	require(copy);
	if (n > 0)
		memcpy(copy, data, n);
	return copy;
}
