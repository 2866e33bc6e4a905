/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/cli/progress.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "client/handle.h"
#include "protocol/printable.h"

#define LINE_MAX_BYTES 512

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static size_t count_lines(int memfd)
{
	const char *text, *p;
	size_t length, n = 0;
	void *map;

	if (sb_memfd_map(memfd, SOCKBROKER_TEXT_MAX, false, &map, &length, NULL) < 0 || !map)
		return 0;
	text = p = map;
	while (p < text + length) {
		p = memchr(p, '\n', length - (size_t)(p - text));
		n++;
		if (!p)
			break;
		p++;
	}
	munmap(map, length);
	return n;
}

/* "1,234,567" into BUF, returned. */
static const char *group_digits(size_t n, char buf[static 32])
{
	char digits[24];
	size_t length = (size_t)snprintf(digits, sizeof(digits), "%zu", n);
	char *out = buf;

	for (size_t i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return buf;
}

/* How long a line may be so as not to wrap: a wrapped one could not be rewritten. */
static size_t columns(FILE *f)
{
	struct winsize size;

	if (ioctl(fileno(f), TIOCGWINSZ, &size) < 0 || size.ws_col < 2)
		return 79;
	return size.ws_col - 1U < LINE_MAX_BYTES - 1 ? size.ws_col - 1U : LINE_MAX_BYTES - 1;
}

/* The line into BUF; its length, at most MAX: a long name of the file loses its beginning. */
static size_t format_line(const struct progress *p, size_t max, char buf[static LINE_MAX_BYTES])
{
	char digits[32], rest[128];
	size_t name_n = strlen(p->file), room, n;
	int64_t ms = now_ms() - p->start;

	n = (size_t)snprintf(rest, sizeof(rest), " (%s %s%s): %" PRId64 ".%" PRId64 " s ...",
			     group_digits(p->count, digits), p->noun, p->count == 1 ? "" : "s",
			     ms / 1000, ms % 1000 / 100);
	n += strlen("sockbroker: applying ");
	room = max > n ? max - n : 0;
	if (name_n <= room)
		snprintf(buf, LINE_MAX_BYTES, "sockbroker: applying %s%s", p->file, rest);
	else if (room > 3)
		snprintf(buf, LINE_MAX_BYTES, "sockbroker: applying ...%s%s",
			 p->file + name_n - (room - 3), rest);
	else
		snprintf(buf, LINE_MAX_BYTES, "sockbroker: applying%s", rest);
	n = sb_make_printable(buf, strlen(buf));
	return n < max ? n : max;
}

/* Writes N bytes of LINE over what stands there. Blanks do what every terminal understands. */
static void draw(struct progress *p, const char *line, size_t n)
{
	char out[2 * LINE_MAX_BYTES];
	size_t length = 0;

	out[length++] = '\r';
	memcpy(out + length, line, n);
	length += n;
	if (n < p->drawn) {
		memset(out + length, ' ', p->drawn - n);
		length += p->drawn - n;
	}
	if (n == 0)
		out[length++] = '\r';
	fwrite(out, 1, length, p->f);
	fflush(p->f);
	p->drawn = n;
}

static int waiting(void *data)
{
	struct progress *p = data;
	int64_t ms = now_ms() - p->start;
	char line[LINE_MAX_BYTES];

	if (ms < PROGRESS_AFTER_MS)
		return (int)(PROGRESS_AFTER_MS - ms);
	if (p->drawn == 0)
		p->count = count_lines(p->memfd);
	draw(p, line, format_line(p, columns(p->f), line));
	return PROGRESS_EVERY_MS;
}

void progress_begin(struct progress *p, struct sockbroker *broker, FILE *f, const char *file,
		    const char *noun, int memfd)
{
	*p = (struct progress){
		.broker = broker,
		.f = f,
		.file = file,
		.noun = noun,
		.memfd = memfd,
		.start = now_ms(),
	};
	if (isatty(fileno(f)))
		handle_set_waiting(broker, waiting, p);
}

void progress_end(struct progress *p)
{
	handle_set_waiting(p->broker, NULL, NULL);
	if (p->drawn > 0)
		draw(p, "", 0);
}
