/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/io/harness.h"

#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "broker/base/log.h"

#define TURNS_MAX 10000 /* of a millisecond, at most */

size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Table or none, the reply to these stands: "full" has no room for a warning. */
static void add_optional_table(const char *name, struct reply *reply)
{
	struct sb_error error = { 0 };

	reply->has_table = reply->table_optional = true;
	if (!strcmp(name, "full"))
		sb_writer_add(&reply->writer, "FILL", "%0*d",
			      SB_WIRE_PACKET_MAX - (int)reply->writer.length - 20, 0);
	if (!strcmp(name, "refused")) {
		sb_fail(&error, EINVAL, "line 1: bad");
		sb_writer_refuse(&reply->writer, false, &error);
	}
}

/* Answers with the request's own fields: REQUEST= as ECHO=, "big" with a table. */
static void handle(void *data, struct request *request, struct reply *reply)
{
	struct harness *h = data;
	const char *name = sb_message_get(request->message, "REQUEST");

	h->handled++;
	h->n_fds = request->n_fds;
	h->actor = *request->actor;
	for (size_t i = 0; i < request->n_fds; i++)
		assert_true(fcntl(request->fds[i], F_GETFD) & FD_CLOEXEC);
	sb_writer_accept(&reply->writer, request->message->short_form);
	if (request->message->short_form)
		return;
	sb_writer_add(&reply->writer, "ECHO", "%s", name ? name : "?");
	if (name && !strcmp(name, "big")) {
		sb_text_append(&reply->table, "a table", 7);
		reply->has_table = true;
	}
	if (name && (!strcmp(name, "change") || !strcmp(name, "full") || !strcmp(name, "refused")))
		add_optional_table(name, reply);
}

int harness_setup(void **state)
{
	struct harness *h = calloc(1, sizeof(*h));
	struct sb_error error = { 0 };
	int listener;

	assert_non_null(h);
	log_setup(LOG_EMERG);
	h->fds_before = count_fds();
	strcpy(h->dir, "/tmp/test-server-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	snprintf(h->path, sizeof(h->path), "%s/socket", h->dir);
	h->loop = loop_new();
	h->options = (struct server_options){ 100, 50, 3600000000 };
	listener = server_listen(h->path, &error);
	if (listener < 0)
		fail_msg("%s", error.message);
	h->server = server_new(h->loop, listener, &h->options, handle, h);
	assert_non_null(h->server);
	*state = h;
	return 0;
}

int harness_teardown(void **state)
{
	struct harness *h = *state;

	server_free(h->server);
	loop_free(h->loop);
	unlink(h->path);
	assert_int_equal(rmdir(h->dir), 0);
	assert_int_equal(count_fds(), h->fds_before);
	free(h);
	return 0;
}

void harness_options(struct harness *h, unsigned connections, unsigned per_user, uint64_t us)
{
	h->options = (struct server_options){ connections, per_user, us };
	server_configure(h->server, &h->options);
}

int client_new(struct harness *h)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, h->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

int client_send(int fd, const char *packet, size_t n, const int *fds)
{
	size_t n_fds = 0;

	while (fds && fds[n_fds] >= 0)
		n_fds++;
	return sb_packet_send(fd, packet, n, fds, n_fds, MSG_DONTWAIT);
}

static void turn(struct harness *h)
{
	event_base_loop(loop_base(h->loop), EVLOOP_NONBLOCK);
}

void harness_idle(struct harness *h)
{
	for (int i = 0; i < 20; i++)
		turn(h);
}

bool harness_turn(struct harness *h, int client)
{
	struct pollfd p = { .fd = client, .events = POLLIN };

	for (int i = 0; i < TURNS_MAX; i++) {
		turn(h);
		if (poll(&p, 1, i < 20 ? 0 : 1) > 0)
			return true;
	}
	return false;
}

const char *client_reply(struct harness *h, int client, int *fd)
{
	static struct sb_packet packet;
	int r;

	if (fd)
		*fd = -1;
	assert_true(harness_turn(h, client));
	r = sb_packet_receive(client, &packet);
	if (r == 0 || r == -ECONNRESET)
		return NULL;
	assert_int_equal(r, 1);
	if (fd && packet.n_fds > 0)
		*fd = TAKE_FD(packet.fds[0]);
	sb_packet_close(&packet);
	packet.data[packet.length] = '\0';
	return packet.data;
}
