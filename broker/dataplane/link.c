/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attaching to the namespace, and updating what is attached. */
#include <bpf/bpf.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/dataplane/internal.h"

static int create_link(struct dataplane *d, int program, struct sb_error *error)
{
	_cleanup_close_ int fd = bpf_link_create(program, d->netns, BPF_SK_LOOKUP, NULL);
	struct bpf_link_info info = {};
	int r;

	if (fd == -E2BIG)
		return sb_fail(
			error, E2BIG,
			"64 sk_lookup programs are attached to this network namespace already, "
			"the kernel takes no more");
	if (fd < 0)
		return explain_refusal(error, -fd, "attaching to the network namespace");
	r = object_info(fd, &info, sizeof(info));
	if (r < 0)
		return sb_fail(error, -r, "asking for the link's id: %s", strerror(-r));
	/* If this fails the link goes with its fd, and nothing was attached but for a moment. */
	r = pin_set(d, PIN_LINK, fd, error);
	if (r < 0)
		return r;
	d->link_id = info.id;
	d->link = TAKE_FD(fd);
	return 0;
}

static int update_link(struct dataplane *d, int program, struct sb_error *error)
{
	LIBBPF_OPTS(bpf_link_update_opts, options);
	int r;

	/* Only in place of what we know to be there. */
	if (d->live.program >= 0) {
		options.flags = BPF_F_REPLACE;
		options.old_prog_fd = (uint32_t)d->live.program;
	}
	r = bpf_link_update(d->link, program, &options);
	if (r == -EPERM && d->live.program >= 0)
		return sb_fail(error, EBUSY,
			       "somebody else has put another program into the link pinned in %s; "
			       "restart sockbrokerd to take it over",
			       d->directory);
	if (r == -ENOLINK)
		return sb_fail(error, ENODEV, "the network namespace is gone");
	return r < 0 ? explain_refusal(error, -r, "switching to the new rules") : 0;
}

/* Packets meet the new generation already; the next publish, or the next start, goes on with the
 * names if that fails here. */
static void finish(struct dataplane *d)
{
	struct sb_error trouble = {};

	d->unfinished = switch_finish(d, &trouble) < 0;
	if (d->unfinished)
		log_warning("pins of the new rules: %s", trouble.message);
	/* Now they are what is attached. */
	d->renewed = false;
	d->former_counters = sb_close(d->former_counters);
}

int publish(void *self, const struct ruleset *rules, struct sb_error *error)
{
	struct dataplane *d = self;
	struct generation g = GENERATION_NONE;
	int r = 0;

	if (d->unloaded)
		return sb_fail(error, ESHUTDOWN, "the dataplane is unloaded");
	if (d->unfinished)
		r = switch_finish(d, error);
	if (r < 0)
		return r;
	d->unfinished = false;
	r = generation_build(d, rules, d->live.number + 1, &g, error);
	if (r == 0)
		r = switch_pin(d, &g, error);
	if (r == 0) {
		r = d->link < 0 ? create_link(d, g.program, error)
				: update_link(d, g.program, error);
		if (r < 0)
			switch_clear(d, NULL);
	}
	if (r < 0) {
		generation_close(&g);
		return r;
	}
	generation_close(&d->live);
	d->live = g;
	finish(d);
	return 0;
}

/* The pins go first: as long as one of them cannot be removed nothing has happened to packets, and
 * a second try goes on from there. Our fds keep link, program and maps alive meanwhile. */
int unload(void *self, struct sb_error *error)
{
	struct dataplane *d = self;
	int r;

	if (d->unloaded)
		return sb_fail(error, ESHUTDOWN, "the dataplane is unloaded");
	r = pin_remove(d, PIN_LINK, error);
	if (r == 0)
		r = switch_clear(d, error);
	if (r == 0)
		r = pin_remove(d, PIN_RULES, error);
	if (r == 0)
		r = pin_remove(d, PIN_PROGRAM, error);
	for (enum map_id id = 0; id < MAP_COUNT && r == 0; id++)
		r = pin_remove(d, map_name(id), error);
	if (r < 0)
		return r;
	r = d->link < 0 ? 0 : bpf_link_detach(d->link);
	/* Without its pin the link goes with its last fd all the same. */
	if (r < 0 && r != -ENOLINK)
		log_warning("detaching from the network namespace: %s", strerror(-r));
	d->unloaded = true;
	d->link = sb_close(d->link);
	generation_close(&d->live);
	maps_close(d);
	/* The directory stays when others keep things in it. */
	rmdir(d->directory);
	return 0;
}
