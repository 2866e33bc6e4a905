/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What waits in a listener is accepted to the last one. */
#include "tests/unit/client/check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "client/sockbroker.h"

struct taker {
	int taken, fail_at, result;
};

static int take(int fd, void *data)
{
	struct taker *t = data;

	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	return ++t->taken == t->fail_at ? t->result : 0;
}

static int listener_new(struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*a = (struct sockaddr_in){ AF_INET, 0, { htonl(INADDR_LOOPBACK) } };
	assert_int_equal(bind(fd, (struct sockaddr *)a, sizeof(*a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)a, &(socklen_t){ sizeof(*a) }), 0);
	return fd;
}

static int client_new(const struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)a, sizeof(*a)), 0);
	return fd;
}

static void test_all_of_them(void **state)
{
	struct taker t = { 0 };
	struct sockaddr_in a;
	int listener = listener_new(&a), clients[5];

	assert_int_equal(sockbroker_drain(listener, 0, 1000, take, &t), 0);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_new(&a);
	assert_int_equal(sockbroker_drain(listener, 10, 10000, take, &t), 5);
	assert_int_equal(t.taken, 5);
	assert_int_equal(fcntl(listener, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC); /* open */
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		close(clients[i]);
	close(listener);
}

struct latecomers {
	struct sockaddr_in address;
	int clients[3];
};

static void *come_late(void *data)
{
	struct latecomers *l = data;

	for (size_t i = 0; i < ARRAY_SIZE(l->clients); i++) {
		usleep(20000);
		l->clients[i] = client_new(&l->address);
	}
	return NULL;
}

/* As long as some come before it was quiet for long enough, it goes on. */
static void test_those_on_their_way(void **state)
{
	struct taker t = { 0 };
	struct latecomers l;
	int listener = listener_new(&l.address);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, come_late, &l), 0);
	assert_int_equal(sockbroker_drain(listener, 5000, 3600000, take, &t), 3);
	pthread_join(thread, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(l.clients); i++)
		close(l.clients[i]);
	close(listener);
}

static void test_no_longer_than_the_limit(void **state)
{
	struct taker t = { 0 };
	struct sockaddr_in a;
	int listener = listener_new(&a);

	/* Would be quiet after an hour. */
	assert_int_equal(sockbroker_drain(listener, 3600000, 30, take, &t), 0);
	close(listener);
}

static void test_failures(void **state)
{
	struct taker t = { .fail_at = 2, .result = -ECANCELED };
	struct sockaddr_in a;
	int listener = listener_new(&a), clients[3];
	int connected;

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_new(&a);
	assert_int_equal(sockbroker_drain(listener, 10, 1000, take, &t), -ECANCELED);
	assert_int_equal(t.taken, 2);
	connected = accept(listener, NULL, NULL);
	assert_int_equal(sockbroker_drain(-1, 10, 100, take, &t), 0); /* poll(2) passes over it */
	assert_int_equal(sockbroker_drain(9999, 10, 100, take, &t), -EBADF);
	assert_int_equal(sockbroker_drain(listener, -1, 100, take, &t), -EINVAL);
	assert_int_equal(sockbroker_drain(listener, 10, -1, take, &t), -EINVAL);
	assert_int_equal(sockbroker_drain(listener, 10, 100, NULL, &t), -EINVAL);
	shutdown(listener, SHUT_RDWR);
	assert_int_equal(sockbroker_drain(listener, 10, 1000, take, &t), -EINVAL);
	close(connected);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		close(clients[i]);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_them),
		cmocka_unit_test(test_those_on_their_way),
		cmocka_unit_test(test_no_longer_than_the_limit),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
