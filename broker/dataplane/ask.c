/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to the kernel that change nothing. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "broker/dataplane/internal.h"

#define PROGRAMS_MAX 64 /* the kernel's limit for one namespace */

int object_info(int fd, void *info, uint32_t size)
{
	return bpf_obj_get_info_by_fd(fd, info, &size);
}

static void fill_context(struct bpf_sk_lookup *c, const struct packet *packet,
			 const struct sb_address *from, uint16_t from_port)
{
	bool v4 = packet->destination.family == AF_INET;
	size_t length = v4 ? 4 : 16;

	c->family = packet->destination.family;
	c->protocol = packet->protocol;
	memcpy(v4 ? &c->local_ip4 : c->local_ip6, packet->destination.bytes, length);
	c->local_port = packet->port;
	if (from && from->family == packet->destination.family)
		memcpy(v4 ? &c->remote_ip4 : c->remote_ip6, from->bytes, length);
	c->remote_port = htons(from_port);
}

int run(void *self, const struct packet *packet, const struct sb_address *from, uint16_t from_port,
	struct verdict *ret)
{
	struct dataplane *d = self;
	struct bpf_sk_lookup in = {}, out = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &in, .ctx_size_in = sizeof(in),
		    .ctx_out = &out, .ctx_size_out = sizeof(out));
	int r;

	if (d->unloaded)
		return -ESHUTDOWN;
	*ret = (struct verdict){ .kind = VERDICT_UNKNOWN, .error = ENOENT };
	if (d->live.program < 0)
		return 0;
	fill_context(&in, packet, from, from_port);
	r = bpf_prog_test_run_opts(d->live.program, &options);
	if (r < 0)
		/* EOPNOTSUPP: a socket of a SO_REUSEPORT group, which such a run cannot ask */
		ret->error = -r;
	else if (options.retval == SK_DROP)
		*ret = (struct verdict){ .kind = VERDICT_DROP };
	else if (out.cookie == 0)
		*ret = (struct verdict){ .kind = VERDICT_PASS };
	else
		*ret = (struct verdict){ .kind = VERDICT_SOCKET, .cookie = out.cookie };
	return 0;
}

/* Needs CAP_SYS_ADMIN; the name stays empty without. */
static void program_name(uint32_t id, char name[static 16])
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info = {};

	if (fd >= 0 && object_info(fd, &info, sizeof(info)) == 0)
		memcpy(name, info.name, 15);
}

int programs(void *self, struct other_program *ret, size_t max)
{
	uint32_t ids[PROGRAMS_MAX] = {}, n = PROGRAMS_MAX;
	struct dataplane *d = self;
	int r;

	if (d->unloaded)
		return -ESHUTDOWN;
	r = bpf_prog_query(d->netns, BPF_SK_LOOKUP, 0, NULL, ids, &n);
	if (r < 0)
		return r;
	if (n > max)
		n = (uint32_t)max;
	for (uint32_t i = 0; i < n; i++) {
		ret[i] = (struct other_program){
			.id = ids[i],
			.position = i,
			.ours = d->live.program_id != 0 && ids[i] == d->live.program_id,
		};
		program_name(ids[i], ret[i].name);
	}
	return (int)n;
}
