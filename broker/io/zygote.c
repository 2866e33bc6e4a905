/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/zygote.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "broker/base/log.h"
#include "protocol/wire-io.h"

/* When there is no room for a process, it is tried again so much later. */
#define AGAIN_US 10000

struct zygote {
	zygote_child children[PROCESS_KINDS];
	void *data;
	int fd; /* owned; -1: there is none */
};

/* -- the process ------------------------------------------------------------------------------ */

static void become_zygote(int fd, pid_t parent)
{
	prctl(PR_SET_NAME, "sb-zygote");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	/* The end of its socket tells when to go: signals to the whole group are for the broker. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* nobody waits for the children */
	if (fd > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0U, 0);
}

static void run_child(const struct zygote *z, int fd, struct sb_packet *packet)
{
	prctl(PR_SET_PDEATHSIG, 0);
	signal(SIGCHLD, SIG_DFL);
	close(fd);
	z->children[(unsigned char)packet->data[0]](z->data, packet->fds, packet->n_fds);
	_exit(0);
}

static void run_zygote(const struct zygote *z, int fd)
{
	struct sb_packet packet;

	while (sb_packet_receive(fd, &packet) == 1) {
		pid_t pid;

		/* Giving up would close the fds, and with them what is in their queues: strangers'
		 * files, which might hold up this process too. */
		while ((pid = fork()) < 0)
			usleep(AGAIN_US);
		if (pid == 0)
			run_child(z, fd, &packet);
		sb_packet_close(&packet);
	}
	_exit(0);
}

/* -- the broker's side ------------------------------------------------------------------------ */

static int start(struct zygote *z)
{
	pid_t parent = getpid(), pid;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		become_zygote(pair[1], parent);
		run_zygote(z, pair[1]);
	}
	if (pid < 0) {
		int r = -errno;

		close(pair[0]);
		close(pair[1]);
		return r;
	}
	close(pair[1]);
	z->fd = pair[0];
	return 0;
}

struct zygote *zygote_new(const zygote_child children[static PROCESS_KINDS], void *data)
{
	struct zygote *z = calloc(1, sizeof(*z));

	if (!z)
		return NULL;
	memcpy(z->children, children, sizeof(z->children));
	z->data = data;
	z->fd = -1;
	start(z);
	return z;
}

void zygote_free(struct zygote *z)
{
	if (!z)
		return;
	sb_close(z->fd);
	free(z);
}

int zygote_spawn(struct zygote *z, enum process_kind kind, const int *fds, size_t n)
{
	const char name = (char)kind;
	int r = z->fd < 0 ? start(z) : 0;

	if (r == 0)
		r = sb_packet_send(z->fd, &name, 1, fds, n, MSG_DONTWAIT);
	if (r != -EPIPE && r != -ECONNRESET)
		return r;
	log_warning("the process that makes others is gone, there will be another");
	z->fd = sb_close(z->fd);
	r = start(z);
	return r < 0 ? r : sb_packet_send(z->fd, &name, 1, fds, n, MSG_DONTWAIT);
}
