/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/io/harness.h"

#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "broker/base/log.h"
#include "broker/io/keepers.h"
#include "broker/io/porter.h"
#include "broker/io/zygote.h"

#define HELD_UP_OFFSET 8 /* of the "sockmap" */
#define TURNS_MAX 10000  /* of a millisecond, at most */

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

/* Answers with the request's own fields: REQUEST= as ECHO=, "big" with a table, "size-N" with one
 * of N bytes. */
static void handle(void *data, struct request *request, struct reply *reply)
{
	struct harness *h = data;
	const char *name = sb_message_get(request->message, "REQUEST");
	char c;

	if (name && !strncmp(name, "long", 4) && h->gate[0] >= 0)
		assert_int_equal(read(h->gate[0], &c, 1), 1);
	h->handled++;
	h->n_fds = request->n_fds;
	h->actor = *request->actor;
	h->n_here = 0;
	for (size_t i = 0; request->fds && i < request->n_fds; i++) {
		if (request->fds[i] < 0)
			continue;
		assert_true(fcntl(request->fds[i], F_GETFD) & FD_CLOEXEC);
		h->n_here++;
	}
	h->looked = request->sockets ? (int)request->n_fds : -1;
	if (request->sockets)
		h->socket = request->sockets[0];
	sb_writer_accept(&reply->writer, request->message->short_form);
	if (request->message->short_form)
		return;
	sb_writer_add(&reply->writer, "ECHO", "%s", name ? name : "?");
	if (name && !strcmp(name, "big")) {
		sb_text_append(&reply->table, "a table", 7);
		reply->has_table = true;
	}
	if (name && (!strncmp(name, "size-", 5) || !strncmp(name, "long-", 5))) {
		sb_text_printf(&reply->table, "%*s", atoi(name + 5), "");
		reply->has_table = true;
	}
	if (name && (!strcmp(name, "change") || !strcmp(name, "full") || !strcmp(name, "refused")))
		add_optional_table(name, reply);
}

static bool is_admin(void *data, const struct actor *actor)
{
	const struct harness *h = data;

	return !h->nobody_administers && actor->uid == getuid();
}

static enum files_wanted wants_files(void *data, struct request *request)
{
	const struct harness *h = data;

	return !request->message->short_form || h->refuses_sockets ? FILES_UNWANTED
	       : h->keeps_sockets                                  ? FILES_PASSED_ON
								   : FILES_LOOKED_AT;
}

static int reserve(void *data, uid_t uid, uint32_t *slots, size_t n, struct quota_charge *charge,
		   struct sb_error *error)
{
	struct harness *h = data;

	if (h->reserved + (int)n > h->n_slots)
		return sb_fail(error, E2BIG, "no room for %zu sockets", n);
	for (size_t i = 0; i < n; i++)
		slots[i] = 1000 + (uint32_t)i;
	h->reserved += (int)n;
	return 0;
}

static void release(void *data, const struct request_socket *sockets, size_t n)
{
	struct harness *h = data;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(sockets[i].slot, 1000 + i);
	h->reserved -= (int)n;
}

/* "long" is the name of what takes long. */
static bool takes_long(void *data, const struct request *request)
{
	const char *name = sb_message_get(request->message, "REQUEST");

	return name && !strncmp(name, "long", 4);
}

static void forked(void *data)
{
	struct harness *h = data;

	server_forked(h->server);
	keepers_forked(h->keepers);
}

/* In a porter: slot 1000 takes sockets, the next one is in use; the "sockmap" is a file, into which
 * that a socket came is written. */
static int store(int sockmap, uint32_t slot, int fd)
{
	char held_up;

	while (pread(sockmap, &held_up, 1, HELD_UP_OFFSET) == 1 && held_up)
		usleep(1000);
	if (slot != 1000)
		return -EEXIST;
	return pwrite(sockmap, &fd, sizeof(fd), 0) == sizeof(fd) ? 0 : -errno;
}

void hold_up_storing(struct harness *h, bool hold)
{
	const char held_up = hold;

	assert_int_equal(pwrite(h->sockmap, &held_up, 1, HELD_UP_OFFSET), 1);
}

static int drop_privilege(void)
{
	return 0;
}

int harness_setup(void **state)
{
	static struct porter_calls porter = { .store = store, .drop_privilege = drop_privilege };
	struct harness *h = calloc(1, sizeof(*h));
	const struct server_calls calls = {
		.data = h,
		.handle = handle,
		.is_admin = is_admin,
		.wants_files = wants_files,
		.reserve = reserve,
		.release = release,
		.takes_long = takes_long,
		.forked = forked,
	};
	struct sb_error error = { 0 };
	int listener;

	assert_non_null(h);
	log_setup(LOG_EMERG);
	h->fds_before = count_fds();
	h->n_slots = SB_WIRE_FDS_MAX;
	h->gate[0] = h->gate[1] = -1;
	h->zygote = zygote_new(
		(const zygote_child[PROCESS_KINDS]){
			[PROCESS_PORTER] = porter_main, [PROCESS_KEEPER] = keeper_main },
		&porter);
	strcpy(h->dir, "/tmp/test-server-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	snprintf(h->path, sizeof(h->path), "%s/socket", h->dir);
	h->loop = loop_new();
	h->options = (struct server_options){
		.timeout_us = 3600000000,
		.max_connections = 100,
		.max_connections_per_user = 50,
		.max_reply_bytes = 1 << 20,
		.reply_bytes_per_minute = 1 << 20,
	};
	listener = server_listen(h->path, &error);
	if (listener < 0)
		fail_msg("%s", error.message);
	h->quota = quota_new();
	h->sockmap = memfd_create("sockmap", MFD_CLOEXEC);
	h->keepers = keepers_new(loop_base(h->loop), h->zygote);
	h->server = server_new(h->loop, listener, &h->options, &calls, h->quota, h->zygote,
			       h->keepers, &(struct porter_files){ h->sockmap, h->sockmap });
	assert_non_null(h->server);
	*state = h;
	return 0;
}

int harness_teardown(void **state)
{
	struct harness *h = *state;

	server_free(h->server);
	keepers_free(h->keepers);
	quota_free(h->quota);
	zygote_free(h->zygote);
	loop_free(h->loop);
	close(h->sockmap);
	sb_close(h->gate[0]);
	sb_close(h->gate[1]);
	unlink(h->path);
	assert_int_equal(rmdir(h->dir), 0);
	assert_int_equal(count_fds(), h->fds_before);
	free(h);
	return 0;
}

void harness_options(struct harness *h, unsigned connections, unsigned per_user, uint64_t us)
{
	h->options.max_connections = connections;
	h->options.max_connections_per_user = per_user;
	h->options.timeout_us = us;
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

bool harness_until(struct harness *h, bool (*condition)(struct harness *h))
{
	for (int i = 0; i < TURNS_MAX; i++) {
		turn(h);
		if (condition(h))
			return true;
		usleep(1000);
	}
	return false;
}

/* 0 for a zombie too. The name in /proc/PID/stat may hold anything. */
static pid_t parent_of(pid_t pid)
{
	char path[64], text[512] = "", state = 'Z', *end;
	FILE *file;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	end = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	if (!end || sscanf(end, ") %c %d", &state, &parent) != 2 || state == 'Z')
		return 0;
	return parent;
}

size_t children_of(pid_t parent, pid_t *pids, size_t max)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) && n < max) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 0 && parent_of(pid) == parent)
			pids[n++] = pid;
	}
	closedir(dir);
	return n;
}

size_t porters(pid_t *pids, size_t max)
{
	pid_t zygote = 0;

	return children_of(getpid(), &zygote, 1) == 1 ? children_of(zygote, pids, max) : 0;
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

void check_reply(struct harness *h, int client, const char *text)
{
	const char *reply = client_reply(h, client, NULL);

	assert_non_null(reply);
	assert_string_equal(reply, text);
}

void check_refusal(struct harness *h, int client, const char *part)
{
	const char *reply = client_reply(h, client, NULL);

	if (!reply || !strstr(reply, part))
		fail_msg("%s: not \"%s\"", reply ? reply : "(closed)", part);
}

void ask(struct harness *h, int client, const char *name)
{
	char request[64], reply[64];

	snprintf(request, sizeof(request), "REQUEST=%s\n", name);
	snprintf(reply, sizeof(reply), "OK=1\nECHO=%s\n", name);
	assert_int_equal(client_ask(client, request), 0);
	check_reply(h, client, reply);
}

bool has_something(int client)
{
	return recv(client, (char[1]){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}
