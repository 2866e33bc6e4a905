/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/systemd/activator.h"

#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "protocol/wire-io.h"

struct pending {
	LIST_ENTRY(pending) entry;
	int fd; /* owned */
	uint32_t label;
};

struct activator {
	const char *path;
	LIST_HEAD(, pending) pending;
};

bool activator_is_there(void)
{
	return sd_booted() > 0;
}

struct activator *activator_new(const char *path)
{
	struct activator *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->path = path;
	LIST_INIT(&a->pending);
	return a;
}

static void forget(struct pending *p)
{
	LIST_REMOVE(p, entry);
	sb_close(p->fd);
	free(p);
}

void activator_free(struct activator *a)
{
	struct pending *p;

	if (!a)
		return;
	while ((p = LIST_FIRST(&a->pending)))
		forget(p);
	free(a);
}

static int dial(const struct activator *a, struct sb_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strlen(a->path) >= sizeof(address.sun_path))
		return sb_fail(error, ENAMETOOLONG, "%s is too long for a Unix socket", a->path);
	strcpy(address.sun_path, a->path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return sb_fail(error, errno,
			       "sockbroker-activate cannot be reached at %s: %s; is "
			       "sockbroker-activate.socket started?",
			       a->path, strerror(errno));
	return TAKE_FD(fd);
}

int activator_start(struct activator *a, const char *unit, uint32_t label, struct sb_error *error)
{
	_cleanup_free_ struct pending *p = calloc(1, sizeof(*p));
	_cleanup_close_ int fd = -1;
	struct sb_writer w = { 0 };
	int r;

	if (!p)
		return sb_fail(error, ENOMEM, "out of memory");
	fd = dial(a, error);
	if (fd < 0)
		return fd;
	sb_writer_add(&w, "REQUEST", "start");
	sb_writer_add(&w, "UNIT", "%s", unit);
	r = sb_packet_send(fd, w.buffer, w.length, NULL, 0, MSG_DONTWAIT);
	if (r < 0)
		return sb_fail(error, -r, "sockbroker-activate cannot be asked: %s", strerror(-r));
	p->fd = TAKE_FD(fd);
	p->label = label;
	LIST_INSERT_HEAD(&a->pending, p, entry);
	return TAKE_PTR(p)->fd;
}

static struct pending *find(const struct activator *a, int fd)
{
	struct pending *p;

	LIST_FOREACH(p, &a->pending, entry)
	if (p->fd == fd)
		return p;
	return NULL;
}

bool activator_owns(const struct activator *a, int fd)
{
	return find(a, fd) != NULL;
}

void activator_forget(struct activator *a, int fd)
{
	forget(find(a, fd));
}

/* 0 with the unit's state, or a negative errno with a sentence. */
static int receive(int fd, struct unit_start *ret, struct sb_error *error)
{
	_cleanup_free_ struct sb_packet *packet = malloc(sizeof(*packet));
	_cleanup_free_ struct sb_message *message = malloc(sizeof(*message));
	const char *state, *invocation;
	int r = packet && message ? sb_packet_receive(fd, packet) : -ENOMEM;

	if (r == 0)
		return sb_fail(error, EPIPE, "sockbroker-activate has ended without an answer");
	if (r < 0)
		return sb_fail(error, -r, "the answer of sockbroker-activate: %s", strerror(-r));
	r = sb_message_decode(message, packet->data, packet->length, error);
	sb_packet_close(packet);
	if (r == 0)
		r = sb_message_verdict(message, error);
	if (r < 0)
		return r;
	state = sb_message_get(message, "STATE");
	ret->active = state && (!strcmp(state, "active") || !strcmp(state, "activating") ||
				!strcmp(state, "reloading"));
	invocation = sb_message_get(message, "INVOCATION");
	if (invocation && strlen(invocation) <= INVOCATION_MAX)
		strcpy(ret->invocation, invocation);
	return 0;
}

struct unit_start activator_read(struct activator *a, int fd, uint32_t *ret_label,
				 struct sb_error *error)
{
	struct pending *p = find(a, fd);
	struct unit_start start = { 0 };
	int r = receive(fd, &start, error);

	*ret_label = p->label;
	forget(p);
	if (r < 0) {
		start.error = -r;
		start.message = error->message;
	}
	return start;
}
