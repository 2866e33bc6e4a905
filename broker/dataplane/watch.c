/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What others may take away while the broker runs: its pins, and the name of the namespace. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/base/log.h"
#include "broker/dataplane/internal.h"

static bool is_pinned(const struct dataplane *d, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	return lstat(pin_path(d, name, path), &st) == 0;
}

/* Whether PATH is what FD was opened from. */
static bool is_still(const char *path, int fd)
{
	struct stat now, then;

	return stat(path, &now) == 0 && fstat(fd, &then) == 0 && now.st_ino == then.st_ino &&
	       now.st_dev == then.st_dev;
}

/* What is pinned as long as the broker runs. */
struct object {
	const char *name;
	int fd;
};
#define OBJECTS (MAP_COUNT + 3)

static void list_objects(const struct dataplane *d, struct object ret[static OBJECTS])
{
	for (enum map_id id = 0; id < MAP_COUNT; id++)
		ret[id] = (struct object){ map_name(id), d->maps[id] };
	ret[MAP_COUNT] = (struct object){ PIN_RULES, d->live.map };
	ret[MAP_COUNT + 1] = (struct object){ PIN_PROGRAM, d->live.program };
	ret[MAP_COUNT + 2] = (struct object){ PIN_LINK, d->link };
}

/* Pins what is missing; returns how many pins that were. */
static int pin_missing(const struct dataplane *d, struct sb_error *error)
{
	struct object objects[OBJECTS];
	int n = 0;

	list_objects(d, objects);
	for (size_t i = 0; i < OBJECTS; i++) {
		int r;

		if (is_pinned(d, objects[i].name))
			continue;
		r = pin_set(d, objects[i].name, objects[i].fd, error);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

/* Pins everything in a directory where none of the names is in use, or nothing. */
static int pin_all(const struct dataplane *d, struct sb_error *error)
{
	struct object objects[OBJECTS];
	size_t n;
	int r = 0;

	list_objects(d, objects);
	for (n = 0; n < OBJECTS; n++) {
		r = pin_set(d, objects[n].name, objects[n].fd, error);
		if (r < 0)
			break;
	}
	while (r < 0 && n-- > 0)
		pin_remove(d, objects[n].name, NULL);
	return r < 0 ? r : OBJECTS;
}

/* The directory is not there any more, or another one is. */
static int directory_again(struct dataplane *d, struct sb_error *error)
{
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s", d->directory);
	d->lock = sb_close(d->lock);
	r = pins_open(d, path, error);
	if (r == 0)
		r = pin_all(d, error);
	if (r < 0)
		d->lock = sb_close(d->lock);
	return r;
}

static int look_at_pins(struct dataplane *d, struct sb_error *error)
{
	int n = is_still(d->directory, d->lock) ? pin_missing(d, error) : directory_again(d, error);

	if (n > 0)
		log_warning("%d pins in %s were removed while this broker runs, and are there "
			    "again: `sockbroker unload` is what removes them",
			    n, d->directory);
	return n < 0 ? n : 0;
}

static void say(const struct dataplane *d, const char *trouble)
{
	if (trouble[0])
		log_error("%s", trouble);
	else
		log_notice("the pins in %s and the network namespace are as they should be again",
			   d->directory);
}

const char *dataplane_look(struct dataplane *d)
{
	struct sb_error error = {};
	char trouble[sizeof(d->trouble)] = "";

	if (d->unloaded || d->link < 0 || d->live.map < 0 || d->renewed || d->unfinished)
		return NULL;
	if (look_at_pins(d, &error) < 0)
		snprintf(trouble, sizeof(trouble),
			 "the pins in %.200s are gone, and traffic goes on only as long as this "
			 "broker runs: %s",
			 d->directory, error.message);
	else if (d->netns_path && !is_still(d->netns_path, d->netns))
		snprintf(
			trouble, sizeof(trouble),
			"the network namespace %.200s was deleted%s: this broker goes on steering "
			"the former one, which lives as long as this broker or anybody else has it "
			"open; stop it, or start it again for the new one",
			d->netns_path, access(d->netns_path, F_OK) < 0 ? "" : " and made anew");
	if (strcmp(trouble, d->trouble) != 0)
		say(d, trouble);
	memcpy(d->trouble, trouble, sizeof(trouble));
	return trouble[0] ? d->trouble : NULL;
}
