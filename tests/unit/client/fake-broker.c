/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/client/check.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "protocol/wire-io.h"
#include "tests/unit/client/fake-broker.h"

/* Whether FD has something to read before the broker is stopped. */
static bool wait_readable(struct fake_broker *f, int fd)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
			       { .fd = f->stop[0], .events = POLLIN } };

	while (poll(p, 2, -1) < 0)
		;
	return p[1].revents == 0;
}

static void record(struct fake_broker *f, struct sb_packet *p)
{
	struct fake_request *request = &f->requests[f->n_requests++];

	memcpy(request->text, p->data, p->length);
	request->text[p->length] = '\0';
	request->n_fds = p->n_fds;
	if (p->n_fds > 0) {
		ssize_t n = pread(p->fds[0], request->file, sizeof(request->file) - 1, 0);

		request->file[n > 0 ? n : 0] = '\0';
	}
	sb_packet_close(p);
}

static void reply(int conn, const struct fake_step *step)
{
	size_t n = step->file ? strlen(step->file) : 0;
	int fd = -1;

	if (step->file && step->action == FAKE_OPEN_FILE) {
		fd = memfd_create("open", MFD_CLOEXEC);
		if (write(fd, step->file, n) != (ssize_t)n)
			abort();
	} else if (step->file) {
		fd = sb_memfd_new_sealed("fake", step->file, n);
	}
	if (step->n_fds > 0)
		sb_packet_send(conn, step->reply, strlen(step->reply), step->fds, step->n_fds, 0);
	else
		sb_packet_send(conn, step->reply, strlen(step->reply), &fd, fd >= 0 ? 1 : 0, 0);
	sb_close(fd);
}

/* One connection, until it ends or its step says so. Returns false when the broker is stopped. */
static bool serve(struct fake_broker *f, int conn)
{
	struct sb_packet *p = calloc(1, sizeof(*p));
	bool go_on = true;

	while (go_on) {
		const struct fake_step *step = &f->steps[f->n_requests];
		bool is_last = f->n_requests == f->n_steps;

		if (!is_last && step->action == FAKE_HANG_UP_AT_ONCE) {
			f->n_requests++;
			if (step->reply)
				reply(conn, step);
			break;
		}
		/* After the last step: until the client goes, so that silence lasts. */
		go_on = wait_readable(f, conn);
		if (!go_on || is_last || sb_packet_receive(conn, p) <= 0)
			break;
		record(f, p);
		if (step->action == FAKE_HANG_UP)
			break;
		if (step->late)
			go_on = wait_readable(f, step->late);
		if (step->action != FAKE_SILENCE)
			reply(conn, step);
	}
	free(p);
	return go_on;
}

static void *run(void *data)
{
	struct fake_broker *f = data;
	bool go_on = true;

	while (go_on && wait_readable(f, f->listener)) {
		int conn = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);

		go_on = serve(f, conn);
		sb_close(conn);
	}
	return NULL;
}

void fake_broker_start(struct fake_broker *f, const struct fake_step *steps, size_t n_steps)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	memset(f, 0, sizeof(*f));
	f->steps = steps;
	f->n_steps = n_steps;
	strcpy(f->directory, "/tmp/sockbroker-test-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/socket", f->directory);
	strcpy(sa.sun_path, f->path);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(f->listener >= 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(f->listener, 8), 0);
	assert_int_equal(pipe(f->stop), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

void fake_broker_stop(struct fake_broker *f)
{
	assert_int_equal(write(f->stop[1], "", 1), 1);
	pthread_join(f->thread, NULL);
	sb_close(f->listener);
	sb_close(f->stop[0]);
	sb_close(f->stop[1]);
	unlink(f->path);
	rmdir(f->directory);
}
