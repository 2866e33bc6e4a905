/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/world.h"

/* web: TCP of uid 33 (twice), TCP and UDP of uid 34. */
struct fixture {
	struct world *w;
	int a, b, c, udp;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct core_label_config *l;
	struct world *w;

	world_setup((void **)&w);
	l = config_label(w, "web", RULES("tcp 192.0.2.0/24 80", "udp 192.0.2.0/24 80"));
	allow_user(l, 33);
	allow_user(l, 34);
	assert_int_equal(world_reload(w), 0);
	*f = (struct fixture){
		.w = w,
		.a = fake_tcp(w->host, "127.0.0.1", 1),
		.b = fake_tcp(w->host, "127.0.0.1", 2),
		.c = fake_tcp(w->host, "127.0.0.1", 3),
		.udp = fake_udp(w->host, "127.0.0.1", 4),
	};
	w->actor = (struct actor){ .uid = 33 };
	assert_int_equal(ask_fds(w, FDS(f->a, f->b), "REQUEST=register\nLABEL=web\n"), 0);
	w->actor = (struct actor){ .uid = 34 };
	assert_int_equal(ask_fds(w, FDS(f->c, f->udp), "REQUEST=register\nLABEL=web\nMODE=add\n"),
			 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	world_free(f->w);
	free(f);
	return 0;
}

static void test_own_sockets(void **state)
{
	struct fixture *f = *state;

	f->w->actor = (struct actor){ .uid = 33 };
	assert_int_equal(ask(f->w, "REQUEST=unregister\nLABEL=web\n"), 0);
	check_field(f->w, "SOCKETS", "2");
	for (uint16_t from = 0; from < 4; from++)
		assert_int_equal(hit_from(f->w, "tcp", "192.0.2.1", 80, from), f->c);
	assert_int_equal(hit(f->w, "udp", "192.0.2.1", 80), f->udp);
	assert_int_equal(f->w->core->registry->slots.used, 2);
	check_refusal(f->w, ask(f->w, "REQUEST=unregister\nLABEL=web\n"), EPERM,
		      "uid 33 registered none of the sockets of label web");
}

static void test_one_protocol(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f->w, "REQUEST=unregister\nLABEL=web\nPROTOCOL=udp\n"), 0);
	check_field(f->w, "SOCKETS", "1");
	assert_int_equal(hit(f->w, "udp", "192.0.2.1", 80), DROP);
	assert_int_equal(hit_from(f->w, "tcp", "192.0.2.1", 80, 2), f->c);
	assert_int_equal(ask(f->w, "REQUEST=unregister\nLABEL=web\nPROTOCOL=any\n"), 0);
	check_field(f->w, "SOCKETS", "1");
	check_refusal(f->w, ask(f->w, "REQUEST=unregister\nLABEL=web\nPROTOCOL=icmp\n"), EINVAL,
		      "icmp");
}

static void test_strangers(void **state)
{
	struct fixture *f = *state;

	f->w->actor = (struct actor){ .uid = 35 };
	check_refusal(f->w, ask(f->w, "REQUEST=unregister\nLABEL=web\n"), EPERM, "uid 35");
	f->w->actor = (struct actor){ .uid = 33 };
	check_refusal(f->w, ask(f->w, "REQUEST=unregister\nLABEL=web\nPROTOCOL=udp\n"), EPERM,
		      "uid 33");
	assert_int_equal(hit(f->w, "udp", "192.0.2.1", 80), f->udp);
}

static void test_admin(void **state)
{
	struct fixture *f = *state;

	f->w->actor = (struct actor){ .uid = 0 };
	assert_int_equal(ask(f->w, "REQUEST=unregister\nLABEL=web\n"), 0);
	check_field(f->w, "SOCKETS", "4");
	assert_int_equal(hit(f->w, "tcp", "192.0.2.1", 80), DROP);
	assert_int_equal(f->w->core->registry->slots.used, 0);
	assert_int_equal(f->w->core->registry->lists.used, 0);
	check_refusal(f->w, ask(f->w, "REQUEST=unregister\nLABEL=web\n"), ENOENT,
		      "label web has no sockets");
	check_refusal(f->w, ask(f->w, "REQUEST=unregister\nLABEL=web\nPROTOCOL=udp\n"), ENOENT,
		      "label web has no udp sockets");
	check_refusal(f->w, ask(f->w, "REQUEST=unregister\nLABEL=none\n"), ENOENT, "no label none");
}

/* All are closed, nobody swept yet: there is nothing to take out, also for an admin. */
static void test_closed_sockets(void **state)
{
	struct fixture *f = *state;

	f->w->actor = (struct actor){ .uid = 0 };
	fake_close(f->w->kernel, (uint64_t)f->udp);
	check_refusal(f->w, ask(f->w, "REQUEST=unregister\nLABEL=web\nPROTOCOL=udp\n"), ENOENT,
		      "has no udp sockets");
}

static void test_label_is_forgotten(void **state)
{
	struct fixture *f = *state;
	int fd = fake_tcp(f->w->host, "127.0.0.1", 5);

	f->w->actor = (struct actor){ .uid = 0 };
	assert_int_equal(ask_register(f->w, "bare", fd), 0);
	assert_non_null(registry_find(f->w->core->registry, "bare"));
	assert_int_equal(ask(f->w, "REQUEST=unregister\nLABEL=bare\n"), 0);
	assert_null(registry_find(f->w->core->registry, "bare"));
	/* One with rules stays. */
	assert_int_equal(ask_bind(f->w, "ruled tcp 10.0.0.0/8 1"), 0);
	assert_int_equal(ask_register(f->w, "ruled", fd), 0);
	assert_int_equal(ask(f->w, "REQUEST=unregister\nLABEL=ruled\n"), 0);
	assert_non_null(registry_find(f->w->core->registry, "ruled"));
	assert_int_equal(hit(f->w, "tcp", "10.0.0.1", 1), DROP);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own_sockets), TEST(test_one_protocol),   TEST(test_strangers),
		TEST(test_admin),       TEST(test_closed_sockets), TEST(test_label_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
