/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bpf/pinned.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

void open_it(struct fixture *f)
{
	f->dataplane = scratch_open(&f->scratch);
	f->port = dataplane_port(f->dataplane);
}

void close_it(struct fixture *f)
{
	dataplane_free(f->dataplane);
	f->dataplane = NULL;
}

void publish_it(struct fixture *f)
{
	struct sb_error error = {};

	if (f->port.publish(f->port.self, f->rules, &error) < 0)
		fail_msg("%s", error.message);
}

void fill_it(struct fixture *f)
{
	group_fill(&f->port, group_of(LABEL, "tcp", SB_GROUP_V4), 0, &f->listener, 1,
		   SB_EMPTY_DROP);
}

int pinned_start(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->scratch = *(struct scratch *)*state;
	f->rules = rules_from("tcp 127.1.0.0/16 any", LABEL);
	f->listener = socket_open("tcp", "127.0.0.1", 0);
	open_it(f);
	fill_it(f);
	*state = f;
	return 0;
}

int pinned_start_published(void **state)
{
	int r = pinned_start(state);

	publish_it(*state);
	return r;
}

static void empty_pins(const struct fixture *f)
{
	DIR *d = opendir(f->scratch.pins);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (unlink(pin(f, e->d_name)) < 0)
			rmdir(pin(f, e->d_name));
	if (d)
		closedir(d);
	rmdir(f->scratch.pins);
}

int pinned_stop(void **state)
{
	struct fixture *f = *state;

	if (f->dataplane) {
		f->port.unload(f->port.self, NULL);
		close_it(f);
	}
	ruleset_free(f->rules);
	close(f->listener);
	empty_pins(f); /* of a test that failed, or that put things there */
	free(f);
	return 0;
}

bool steers(const struct fixture *f)
{
	return reaches(f->listener, STEERED, PORT);
}

char *pin(const struct fixture *f, const char *name)
{
	static char path[2][384]; /* two in one expression */
	static unsigned next;
	char *p = path[next++ % 2];

	snprintf(p, sizeof(path[0]), "%s/%s", f->scratch.pins, name);
	return p;
}

bool pinned(const struct fixture *f, const char *name)
{
	struct stat st;

	return lstat(pin(f, name), &st) == 0;
}

struct dataplane_info info_of(const struct fixture *f)
{
	struct dataplane_info info;

	f->port.info(f->port.self, &info);
	return info;
}

void assert_refused(const struct fixture *f, const char *pins, int code, const char *words)
{
	struct dataplane_options options = { .bpffs = pins ? pins : f->scratch.pins };
	struct sb_error error = {};
	struct dataplane *d = NULL;

	assert_int_equal(dataplane_open(&d, &options, &error), -code);
	assert_null(d);
	if (!strstr(error.message, words))
		fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

void replace_pin(const struct fixture *f, const char *name, int fd)
{
	assert_true(fd >= 0);
	unlink(pin(f, name));
	assert_int_equal(bpf_obj_pin(fd, pin(f, name)), 0);
	close(fd);
}

int array_of(uint32_t entries, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);

	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "array", 4, 8, entries, &options);
}
