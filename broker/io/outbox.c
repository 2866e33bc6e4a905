/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/outbox.h"

#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/base/log.h"
#include "broker/io/keepers.h"

struct parcel {
	STAILQ_ENTRY(parcel) entry; /* outbox::parcels */
	struct porter_header header;
	char *data; /* owned, as the fds */
	int *fds;
	size_t n_fds;
};

static void keep_fds(struct outbox *o, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		keepers_take(o->keepers, o->uid, fds[i]);
}

static void parcel_free(struct parcel *p)
{
	free(p->fds);
	free(p->data);
	free(p);
}
SB_DEFINE_CLEANUP(struct parcel, parcel_free)

static int keep(struct outbox *o, const struct porter_header *header, const void *data,
		const int *fds, size_t n_fds)
{
	_cleanup_(parcel_freep) struct parcel *p = calloc(1, sizeof(*p));
	struct parcel *kept;

	if (!p)
		return -ENOMEM;
	p->header = *header;
	p->data = malloc(header->length + 1);
	p->fds = calloc(n_fds + 1, sizeof(*fds));
	if (!p->data || !p->fds || event_add(o->write_event, NULL) < 0)
		return -ENOMEM;
	if (header->length > 0)
		memcpy(p->data, data, header->length);
	for (; p->n_fds < n_fds; p->n_fds++)
		p->fds[p->n_fds] = fds[p->n_fds];
	kept = TAKE_PTR(p);
	STAILQ_INSERT_TAIL(&o->parcels, kept, entry);
	return 0;
}

/* After sending, which went as R says. */
static void dispose(struct outbox *o, const int *fds, size_t n_fds, int r)
{
	if (r == 0) { /* the porter has others */
		sb_close_all(fds, n_fds);
		return;
	}
	log_debug("a porter was not told: %s", strerror(-r));
	keep_fds(o, fds, n_fds);
	if (r == -EPIPE || r == -ECONNRESET)
		return;
	o->broken = true;
	shutdown(o->fd, SHUT_RDWR);
}

void outbox_send(struct outbox *o, const struct porter_header *header, const void *data,
		 const int *fds, size_t n_fds)
{
	int r = -EAGAIN;

	if (outbox_is_empty(o))
		r = porter_send(o->fd, header, data, fds, n_fds, MSG_DONTWAIT);
	if (r == -EAGAIN) {
		r = keep(o, header, data, fds, n_fds);
		if (r == 0)
			return;
	}
	dispose(o, fds, n_fds, r);
}

static void on_writable(evutil_socket_t fd, short what, void *data)
{
	struct outbox *o = data;
	struct parcel *p;

	while ((p = STAILQ_FIRST(&o->parcels))) {
		int r = porter_send(fd, &p->header, p->data, p->fds, p->n_fds, MSG_DONTWAIT);

		if (r == -EAGAIN)
			return;
		STAILQ_REMOVE_HEAD(&o->parcels, entry);
		dispose(o, p->fds, p->n_fds, r);
		parcel_free(p);
	}
	event_del(o->write_event);
}

bool outbox_is_empty(const struct outbox *o)
{
	return STAILQ_EMPTY(&o->parcels);
}

int outbox_init(struct outbox *o, struct event_base *base, int fd, struct keepers *keepers,
		uid_t uid)
{
	o->fd = fd;
	o->keepers = keepers;
	o->uid = uid;
	STAILQ_INIT(&o->parcels);
	o->write_event = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, o);
	return o->write_event ? 0 : -ENOMEM;
}

void outbox_clear(struct outbox *o)
{
	struct parcel *p;

	if (!o->write_event)
		return;
	event_free(o->write_event);
	o->write_event = NULL;
	while ((p = STAILQ_FIRST(&o->parcels))) {
		STAILQ_REMOVE_HEAD(&o->parcels, entry);
		keep_fds(o, p->fds, p->n_fds);
		parcel_free(p);
	}
}
