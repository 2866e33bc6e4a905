/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.freedesktop.systemd1(5): StartUnit() answers with the path of a job, and JobRemoved tells how
 * that went. */
#include "broker/activate/starter.h"

#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD ".Manager"

#define INVOCATION_TEXT 33 /* 128 bits in hex, and a NUL */

struct start {
	LIST_ENTRY(start) entry;
	struct starter *starter;
	char unit[256];
	char *job;         /* owned; NULL: StartUnit() has not answered */
	sd_bus_slot *slot; /* owned; of that call */
	started f;
	void *data;
};

struct starter {
	sd_bus *bus;
	LIST_HEAD(, start) starts;
};

void start_cancel(struct start *start)
{
	LIST_REMOVE(start, entry);
	sd_bus_slot_unref(start->slot);
	free(start->job);
	free(start);
}

static void finish(struct start *start, int r, const char *state, const char *invocation,
		   const struct sb_error *error)
{
	start->f(start->data, r, state, invocation, error);
	start_cancel(start);
}

static void finish_refused(struct start *start, int code, const char *sentence)
{
	struct sb_error error = { 0 };
	int r = sb_fail(&error, code, "%s", sentence);

	finish(start, r, NULL, NULL, &error);
}

/* InvocationID of the unit at PATH. One that cannot be read is not known. */
static void read_invocation(sd_bus *bus, const char *path, char ret[static INVOCATION_TEXT])
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL;
	const uint8_t *id;
	size_t size;

	ret[0] = '\0';
	if (sd_bus_get_property(bus, SYSTEMD, path, SYSTEMD ".Unit", "InvocationID", &e, &m,
				"ay") >= 0 &&
	    sd_bus_message_read_array(m, 'y', (const void **)&id, &size) > 0 &&
	    size == INVOCATION_TEXT / 2)
		for (size_t i = 0; i < size; i++)
			sprintf(ret + 2 * i, "%02x", id[i]);
	sd_bus_message_unref(m);
	sd_bus_error_free(&e);
}

/* What became of the unit after a job that was done. */
static void finish_done(struct start *start)
{
	_cleanup_free_ char *path = NULL, *state = NULL;
	char invocation[INVOCATION_TEXT];
	sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = sd_bus_path_encode(MANAGER_PATH "/unit", start->unit, &path);

	if (r >= 0)
		r = sd_bus_get_property_string(start->starter->bus, SYSTEMD, path, SYSTEMD ".Unit",
					       "ActiveState", &e, &state);
	if (r < 0) {
		finish_refused(start, -r, e.message ? e.message : strerror(-r));
	} else {
		read_invocation(start->starter->bus, path, invocation);
		finish(start, 0, state, invocation, NULL);
	}
	sd_bus_error_free(&e);
}

static void finish_job(struct start *start, const char *result)
{
	struct sb_error error = { 0 };
	int r;

	if (!strcmp(result, "done")) {
		finish_done(start);
		return;
	}
	r = sb_fail(&error, EIO, "it could not be started (%s): systemctl status %s says more",
		    result, start->unit);
	finish(start, r, NULL, NULL, &error);
}

static int on_job_removed(sd_bus_message *m, void *data, sd_bus_error *e)
{
	const char *job, *unit, *result;
	struct starter *s = data;
	struct start *start, *next;
	uint32_t id;

	if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
		return 0;
	for (start = LIST_FIRST(&s->starts); start; start = next) {
		next = LIST_NEXT(start, entry);
		if (start->job && !strcmp(start->job, job))
			finish_job(start, result);
	}
	return 0;
}

static int on_started(sd_bus_message *m, void *data, sd_bus_error *unused)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);
	struct start *start = data;
	const char *job;
	int r;

	if (e) {
		finish_refused(start, sd_bus_error_get_errno(e), e->message);
		return 0;
	}
	r = sd_bus_message_read(m, "o", &job);
	if (r >= 0) {
		start->job = strdup(job);
		r = start->job ? 0 : -ENOMEM;
	}
	if (r < 0)
		finish_refused(start, -r, strerror(-r));
	return 0;
}

int starter_start(struct starter *s, const char *unit, started f, void *data, struct start **ret,
		  struct sb_error *error)
{
	_cleanup_free_ struct start *start = calloc(1, sizeof(*start));
	int r;

	if (!start)
		return sb_fail(error, ENOMEM, "out of memory");
	if (strlen(unit) >= sizeof(start->unit))
		return sb_fail(error, EINVAL, "%s is too long for the name of a unit", unit);
	strcpy(start->unit, unit);
	start->starter = s;
	start->f = f;
	start->data = data;
	r = sd_bus_call_method_async(s->bus, &start->slot, SYSTEMD, MANAGER_PATH, MANAGER,
				     "StartUnit", on_started, start, "ss", unit, "replace");
	if (r < 0)
		return sb_fail(error, -r, "%s cannot be asked for: %s", unit, strerror(-r));
	LIST_INSERT_HEAD(&s->starts, start, entry);
	*ret = TAKE_PTR(start);
	return 0;
}

int starter_new(struct starter **ret, sd_event *event, struct sb_error *error)
{
	_cleanup_(starter_freep) struct starter *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return sb_fail(error, ENOMEM, "out of memory");
	LIST_INIT(&s->starts);
	r = sd_bus_open_system(&s->bus);
	if (r < 0)
		return sb_fail(error, -r, "the system bus cannot be reached: %s", strerror(-r));
	/* Before anything is asked for, so that no answer is missed. */
	r = sd_bus_match_signal(s->bus, NULL, SYSTEMD, MANAGER_PATH, MANAGER, "JobRemoved",
				on_job_removed, s);
	if (r >= 0)
		r = sd_bus_call_method(s->bus, SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe", NULL,
				       NULL, NULL);
	if (r >= 0)
		r = sd_bus_attach_event(s->bus, event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		return sb_fail(error, -r, "systemd cannot be reached over the bus: %s",
			       strerror(-r));
	*ret = TAKE_PTR(s);
	return 0;
}

void starter_free(struct starter *s)
{
	struct start *start;

	if (!s)
		return;
	while ((start = LIST_FIRST(&s->starts)))
		start_cancel(start);
	sd_bus_flush_close_unref(s->bus);
	free(s);
}
