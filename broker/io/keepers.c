/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/keepers.h"

#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "broker/base/log.h"
#include "broker/base/rate-limit.h"
#include "broker/io/loop.h"
#include "broker/io/zygote.h"
#include "protocol/wire-io.h"

/* Processes of one user, and of all, those that the kernel does not let end among them. */
#define KEEPERS_PER_USER_MAX 4
#define KEEPERS_MAX 128
/* Files that one has, if its table of fds has room for them. */
#define KEPT_MAX 16384
/* Without a new file for so long a keeper ends. */
#define IDLE_US 1000000
/* Files that wait here for a keeper are offered again so much later; with so many, it is full. */
#define RETRY_US 50000
#define WAITING_MAX 64

struct keeper {
	LIST_ENTRY(keeper) entry; /* keepers::list */
	struct keepers *all;
	uid_t uid;
	size_t n;    /* files that it has */
	int control; /* owned; -1: it was told to end */
	int pidfd;   /* owned; -1: it has not sent that yet */
	struct event *control_event, *pidfd_event, *idle_event; /* owned */
};

/* A file that no keeper takes just now. */
struct waiting {
	STAILQ_ENTRY(waiting) entry;
	uid_t uid;
	int fd; /* owned */
};

struct keepers {
	struct event_base *base;
	struct zygote *zygote;
	LIST_HEAD(, keeper) list;
	struct keeper
		*last; /* in the list too: for all whose own are held up; NULL: none is there */
	size_t n, kept_max;
	STAILQ_HEAD(, waiting) waiting;
	size_t n_waiting;
	struct event *retry_event; /* owned */
	struct rate_limit log;
};

/* -- the process ------------------------------------------------------------------------------ */

void keeper_main(void *data, const int *fds, size_t n)
{
	struct sb_packet *packet = calloc(1, sizeof(*packet));
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), r = -EINVAL;

	prctl(PR_SET_NAME, "sb-keeper");
	if (packet && n == 1 && pidfd >= 0)
		r = sb_packet_send(fds[0], "", 1, &pidfd, 1, 0);
	if (r < 0)
		return;
	close(pidfd);
	do {
		packet->n_fds = 0; /* they stay open */
		r = sb_packet_receive(fds[0], packet);
	} while (r > 0 || r == -EMFILE);
}

/* -- keepers ---------------------------------------------------------------------------------- */

static void keeper_free(struct keeper *k)
{
	if (k->control_event)
		event_free(k->control_event);
	if (k->pidfd_event)
		event_free(k->pidfd_event);
	if (k->idle_event)
		event_free(k->idle_event);
	sb_close(k->control);
	sb_close(k->pidfd);
	free(k);
}
SB_DEFINE_CLEANUP(struct keeper, keeper_free)

static void offer_again(struct keepers *all);

static void gone(struct keeper *k)
{
	struct keepers *all = k->all;

	LIST_REMOVE(k, entry);
	all->n--;
	if (all->last == k)
		all->last = NULL;
	keeper_free(k);
	offer_again(all);
}

/* It is gone when its pidfd says so: at its end the control socket is closed first. */
static void let_go(struct keeper *k)
{
	event_del(k->control_event);
	event_del(k->idle_event);
	if (k->all->last == k)
		k->all->last = NULL;
	k->control = sb_close(k->control);
	if (k->pidfd < 0)
		gone(k);
}

static void on_gone(evutil_socket_t fd, short what, void *data)
{
	gone(data);
}

static void on_control(evutil_socket_t fd, short what, void *data)
{
	struct sb_packet packet;
	struct keeper *k = data;
	int r = sb_packet_receive(fd, &packet);

	if (r == -EAGAIN)
		return;
	if (r != 1 || packet.n_fds != 1 || k->pidfd >= 0) {
		if (r == 1)
			sb_packet_close(&packet);
		let_go(k);
		return;
	}
	k->pidfd = TAKE_FD(packet.fds[0]);
	k->pidfd_event = event_new(k->all->base, k->pidfd, EV_READ, on_gone, k);
	if (!k->pidfd_event || event_add(k->pidfd_event, NULL) < 0)
		let_go(k);
}

static void wait_idle(struct keeper *k)
{
	loop_add(k->idle_event, IDLE_US);
}

static void on_idle(evutil_socket_t fd, short what, void *data)
{
	struct keeper *k = data;

	if (k->pidfd < 0 || (k == k->all->last && k->all->n > 1))
		wait_idle(k);
	else
		let_go(k);
}

static int spawn(struct keepers *all, uid_t uid, struct keeper **ret)
{
	_cleanup_(keeper_freep) struct keeper *k = calloc(1, sizeof(*k));
	_cleanup_close_ int theirs = -1;
	int pair[2], r;

	if (!k)
		return -ENOMEM;
	k->all = all;
	k->uid = uid;
	k->control = k->pidfd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	k->control = pair[0];
	theirs = pair[1];
	fcntl(k->control, F_SETFL, O_NONBLOCK);
	k->control_event = event_new(all->base, k->control, EV_READ | EV_PERSIST, on_control, k);
	k->idle_event = event_new(all->base, -1, 0, on_idle, k);
	if (!k->control_event || !k->idle_event || event_add(k->control_event, NULL) < 0)
		return -ENOMEM;
	r = zygote_spawn(all->zygote, PROCESS_KEEPER, &theirs, 1);
	if (r < 0)
		return r;
	LIST_INSERT_HEAD(&all->list, k, entry);
	all->n++;
	*ret = TAKE_PTR(k);
	return 0;
}

/* -- files ------------------------------------------------------------------------------------ */

static int give_to(struct keeper *k, int fd)
{
	int r;

	if (k->control < 0 || k->n >= k->all->kept_max)
		return -EAGAIN;
	r = sb_packet_send(k->control, "", 1, &fd, 1, MSG_DONTWAIT);
	if (r < 0)
		return r;
	k->n++;
	wait_idle(k);
	/* Not the last one: the other is in the queue of the keeper, or in its table. */
	sb_close(fd);
	return 0;
}

/* Does not end as long as others are held up: it has to take what they would. */
static int give_to_last(struct keepers *all, int fd)
{
	int r = all->last ? 0 : spawn(all, (uid_t)-1, &all->last);

	return r < 0 ? r : give_to(all->last, fd);
}

static int give(struct keepers *all, uid_t uid, int fd)
{
	struct keeper *k;
	size_t n = 0;
	int r;

	LIST_FOREACH(k, &all->list, entry)
	{
		if (k->uid != uid)
			continue;
		n++;
		if (give_to(k, fd) == 0)
			return 0;
	}
	if (n >= KEEPERS_PER_USER_MAX || all->n >= KEEPERS_MAX)
		return give_to_last(all, fd);
	r = spawn(all, uid, &k);
	return r < 0 ? r : give_to(k, fd);
}

static void retry_later(struct keepers *all)
{
	if (!STAILQ_EMPTY(&all->waiting))
		loop_add(all->retry_event, RETRY_US);
}

static void offer_again(struct keepers *all)
{
	STAILQ_HEAD(, waiting) still = STAILQ_HEAD_INITIALIZER(still);
	struct waiting *w;

	while ((w = STAILQ_FIRST(&all->waiting))) {
		STAILQ_REMOVE_HEAD(&all->waiting, entry);
		if (give(all, w->uid, w->fd) < 0) {
			STAILQ_INSERT_TAIL(&still, w, entry);
			continue;
		}
		all->n_waiting--;
		free(w);
	}
	STAILQ_CONCAT(&all->waiting, &still);
	retry_later(all);
}

static void on_retry(evutil_socket_t fd, short what, void *data)
{
	offer_again(data);
}

void keepers_take(struct keepers *all, uid_t uid, int fd)
{
	int r = give(all, uid, fd);
	struct waiting *w;

	if (r == 0)
		return;
	log_limited(&all->log, LOG_WARNING, "a file of uid %u cannot be closed just now: %s",
		    (unsigned)uid, strerror(-r));
	w = calloc(1, sizeof(*w));
	if (!w) { /* there is nothing else that could be done */
		sb_close(fd);
		return;
	}
	w->uid = uid;
	w->fd = fd;
	STAILQ_INSERT_TAIL(&all->waiting, w, entry);
	all->n_waiting++;
	retry_later(all);
}

bool keepers_are_full(const struct keepers *all)
{
	return all->n_waiting >= WAITING_MAX;
}

/* -- life ------------------------------------------------------------------------------------- */

/* A keeper has the limit of the broker, and some fds of its own. */
static size_t count_kept(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur < KEPT_MAX + 16 ? (size_t)limit.rlim_cur - 16 : KEPT_MAX;
}

struct keepers *keepers_new(struct event_base *base, struct zygote *zygote)
{
	_cleanup_(keepers_freep) struct keepers *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->base = base;
	k->zygote = zygote;
	k->kept_max = count_kept();
	LIST_INIT(&k->list);
	STAILQ_INIT(&k->waiting);
	k->log = (struct rate_limit){ .burst = 3, .interval_us = 10000000 };
	k->retry_event = event_new(base, -1, 0, on_retry, k);
	return k->retry_event ? TAKE_PTR(k) : NULL;
}

void keepers_free(struct keepers *all)
{
	struct waiting *w;
	struct keeper *k;

	if (!all)
		return;
	while ((k = LIST_FIRST(&all->list))) {
		LIST_REMOVE(k, entry);
		keeper_free(k);
	}
	while ((w = STAILQ_FIRST(&all->waiting))) {
		STAILQ_REMOVE_HEAD(&all->waiting, entry);
		sb_close(w->fd);
		free(w);
	}
	if (all->retry_event)
		event_free(all->retry_event);
	free(all);
}

void keepers_forked(struct keepers *all)
{
	struct keeper *k;

	LIST_FOREACH(k, &all->list, entry)
	{
		k->control = sb_close(k->control);
		k->pidfd = sb_close(k->pidfd);
	}
}
