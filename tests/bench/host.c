/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/host.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

void *map_memory(int map, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);

	if (p == MAP_FAILED)
		err(1, "mmap of a map");
	return p;
}

static void enter_scratch(struct host *h)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	struct rlimit files = { 4096, 4096 };
	int fd;

	must(unshare(CLONE_NEWNET | CLONE_NEWNS), "unshare");
	fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
	must(ioctl(fd, SIOCSIFFLAGS, &lo), "lo up");
	close(fd);
	must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount");
	snprintf(h->root, sizeof(h->root), "/tmp/sockbroker-bench.XXXXXX");
	if (!mkdtemp(h->root))
		err(1, "%s", h->root);
	must(mount("bpf", h->root, "bpf", 0, NULL), "mount bpffs");
}

static int listener(int family)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	int fd = must(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

	if (family == AF_INET)
		must(bind(fd, (struct sockaddr *)&v4, sizeof(v4)), "bind");
	else
		must(bind(fd, (struct sockaddr *)&v6, sizeof(v6)), "bind");
	must(listen(fd, 1), "listen");
	return fd;
}

/* Every label has a socket for IPv4 and one for IPv6, in slots that the tries' values name too. */
static void fill_labels(struct host *h)
{
	const struct dataplane_port *p = &h->port;

	for (uint32_t i = 0; i < 2 * SET_LABELS; i++) {
		uint32_t label = i / 2, v6 = i % 2, slot = (v6 ? IPV6_FIRST_SLOT : 0) + label;
		uint32_t group = label * SB_GROUPS_PER_LABEL + (v6 ? SB_GROUP_V6 : SB_GROUP_V4);
		int fd = listener(v6 ? AF_INET6 : AF_INET);

		h->sockets[v6][label] = fd;
		must(p->slot_store(p->self, slot, SB_SLOT_OWNER(label, 0), fd), "slot_store");
		must(p->list_store(p->self, slot, &slot, 1), "list_store");
		must(p->group_store(p->self, group, slot, 1, SB_EMPTY_DROP), "group_store");
	}
}

struct host *host_new(uint32_t rule_numbers)
{
	LIBBPF_OPTS(bpf_map_create_opts, mapped, .map_flags = BPF_F_MMAPABLE);
	struct dataplane_options options = { .rule_numbers = rule_numbers };
	struct host *h = calloc(1, sizeof(*h));
	struct sb_error error = {};
	char pins[80];

	if (!h)
		errx(1, "out of memory");
	h->rule_numbers = rule_numbers;
	enter_scratch(h);
	snprintf(pins, sizeof(pins), "%s/pins", h->root);
	options.bpffs = pins;
	if (dataplane_open(&h->dataplane, &options, &error) < 0)
		errx(1, "%s", error.message);
	h->port = dataplane_port(h->dataplane);
	fill_labels(h);
	h->packets = must(bpf_map_create(BPF_MAP_TYPE_ARRAY, "packets", 4,
					 sizeof(struct bench_packet), BENCH_PACKETS, &mapped),
			  "packets");
	h->state = must(bpf_map_create(BPF_MAP_TYPE_ARRAY, "state", 4, sizeof(struct bench_state),
				       2, &mapped),
			"state");
	h->packet_memory = map_memory(h->packets, sizeof(struct bench_packet) * BENCH_PACKETS);
	h->state_memory = map_memory(h->state, sizeof(struct bench_state));
	return h;
}

void host_free(struct host *h)
{
	struct sb_error error = {};

	if (!h)
		return;
	munmap(h->packet_memory, sizeof(struct bench_packet) * BENCH_PACKETS);
	munmap((void *)h->state_memory, sizeof(struct bench_state));
	close(h->packets);
	close(h->state);
	for (unsigned i = 0; i < 2 * SET_LABELS; i++)
		close(h->sockets[i % 2][i / 2]);
	h->port.unload(h->port.self, &error);
	dataplane_free(h->dataplane);
	umount2(h->root, MNT_DETACH);
	rmdir(h->root);
	free(h);
}

static uint64_t word_of(const uint8_t *bytes, unsigned n)
{
	uint64_t word = 0;

	while (n--)
		word = word << 8 | *bytes++;
	return word;
}

void host_fill_packets(struct host *h, const struct set *set, struct random *r, uint16_t port)
{
	for (unsigned i = 0; i < BENCH_PACKETS; i++) {
		struct packet p = set_packet(set, r, port);
		const uint8_t *bytes = p.destination.bytes;

		h->packet_memory[i] = (struct bench_packet){
			.high = word_of(bytes, 8),
			.low = word_of(bytes + 8, 8),
			.address = (uint32_t)word_of(bytes, 4),
			.key = p.port,
		};
	}
}
