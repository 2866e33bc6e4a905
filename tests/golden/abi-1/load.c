/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * golden-abi-1 PINS STATE ABI FD...: leaves a dataplane of ABI 1 attached to this network namespace
 * and pinned in the directory PINS, and its state in STATE. The FDs are IPv4 sockets: TCP listeners
 * for label web, bound UDP ones for dns. ABI is what the rules say of themselves: 1, or a lie.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/golden/abi-1/abi-1.skel.h"

#define SOCKETS_MAX 8

static const uint32_t web_slots[SOCKETS_MAX] = { 100, 65535, 0, 101 };
static const uint32_t dns_slots[SOCKETS_MAX] = { 77, 78 };
/* Their lists: somewhere, and at the very end. */
#define WEB_LIST 1000
#define DNS_LIST_END 262144

static void *map_memory(struct bpf_map *map, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (p == MAP_FAILED)
		err(1, "mmap %s", bpf_map__name(map));
	return p;
}

static void pin_one(int fd, const char *directory, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (bpf_obj_pin(fd, path) < 0 || chmod(path, 0600) < 0)
		err(1, "%s", path);
}

static int type_of(int fd)
{
	int type = 0;
	socklen_t length = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0)
		err(1, "fd %d", fd);
	return type;
}

/* Puts the sockets of TYPE into the SLOTS and the list that begins at FIRST; returns how many. */
static uint32_t fill(struct abi_1 *skeleton, int type, const int *fds, size_t n,
		     const uint32_t *slots, uint32_t owner, uint32_t first)
{
	uint32_t *lists = map_memory(skeleton->maps.slot_lists, 1048576), done = 0;
	uint32_t *owners = map_memory(skeleton->maps.slot_owners, 262144);

	for (size_t i = 0; i < n; i++) {
		uint64_t value = (uint64_t)fds[i];

		if (type_of(fds[i]) != type)
			continue;
		owners[slots[done]] = owner;
		if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.sockmap), &slots[done], &value,
					BPF_NOEXIST) < 0)
			err(1, "slot %u", slots[done]);
		lists[first + done] = slots[done];
		done++;
	}
	return done;
}

static void fill_maps(struct abi_1 *skeleton, uint32_t abi, const int *fds, size_t n)
{
	uint64_t *groups = map_memory(skeleton->maps.groups, 262144);
	uint8_t *rules = map_memory(skeleton->maps.rules, 1183744);
	uint64_t generation = 12;
	uint32_t web = fill(skeleton, SOCK_STREAM, fds, n, web_slots, 3 * 2 + 1, WEB_LIST);
	uint32_t dns_list = DNS_LIST_END - ((uint32_t)n - web);
	uint32_t dns = fill(skeleton, SOCK_DGRAM, fds, n, dns_slots, 7 * 2 + 1 + 1, dns_list);

	groups[3 * 8] = WEB_LIST | (uint64_t)web << 24 | (uint64_t)5 << 40;
	groups[7 * 8 + 4] = dns_list | (uint64_t)dns << 24 | (uint64_t)6 << 40;
	memcpy(rules, &abi, sizeof(abi));
	memcpy(rules + 24, &generation, sizeof(generation));
}

static void attach_and_pin(struct abi_1 *skeleton, const char *pins)
{
	int program = bpf_program__fd(skeleton->progs.sockbroker);
	int ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int link = bpf_link_create(program, ns, BPF_SK_LOOKUP, NULL);

	if (link < 0)
		err(1, "attaching");
	if (mkdir(pins, 0700) < 0)
		err(1, "%s", pins);
	pin_one(bpf_map__fd(skeleton->maps.sockmap), pins, "sockmap");
	pin_one(bpf_map__fd(skeleton->maps.groups), pins, "groups");
	pin_one(bpf_map__fd(skeleton->maps.slot_lists), pins, "slot_lists");
	pin_one(bpf_map__fd(skeleton->maps.slot_owners), pins, "slot_owners");
	pin_one(bpf_map__fd(skeleton->maps.counters), pins, "counters");
	pin_one(bpf_map__fd(skeleton->maps.rules), pins, "rules");
	pin_one(program, pins, "prog");
	pin_one(link, pins, "link");
}

static FILE *create(const char *directory, const char *name)
{
	char path[4096];
	FILE *f;

	umask(077);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "w");
	if (!f)
		err(1, "%s", path);
	return f;
}

static void write_socket(FILE *f, const char *label, int fd, uint32_t slot)
{
	struct sockaddr_in address = { 0 };
	socklen_t length = sizeof(address), cookie_length = sizeof(uint64_t);
	uint64_t cookie = 0;
	char text[INET_ADDRSTRLEN];

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_length) < 0)
		err(1, "fd %d", fd);
	inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
	fprintf(f,
		"socket\tlabel=%s\tprotocol=%s\tfamily=ipv4\taddress=%s\tport=%u\t"
		"cookie=%" PRIu64 "\tslot=%u\tdual=0\treuseport=0\tpid=%d\tuid=%u\tgid=%u\t"
		"unit=golden.service\tsince=1700000000\n",
		label, type_of(fd) == SOCK_STREAM ? "tcp" : "udp", text, ntohs(address.sin_port),
		cookie, slot, (int)getpid(), geteuid(), getegid());
}

/* A label, and the sockets of TYPE. */
static void write_label(FILE *f, const char *name, int id, int type, const int *fds, size_t n,
			const uint32_t *slots)
{
	fprintf(f, "label\tname=%s\tid=%d\n", name, id);
	for (size_t i = 0; i < n; i++)
		if (type_of(fds[i]) == type)
			write_socket(f, name, fds[i], *slots++);
}

static void write_state(const char *state, const int *fds, size_t n)
{
	FILE *f = create(state, "labels");

	fputs("sockbroker_state\tversion=1\n", f);
	write_label(f, "web", 3, SOCK_STREAM, fds, n, web_slots);
	write_label(f, "dns", 7, SOCK_DGRAM, fds, n, dns_slots);
	fputs("end\n", f);
	fclose(f);
	f = create(state, "rules");
	fputs("# sockbroker-rules epoch=4\n"
	      "tcp 192.0.2.0/24 80 web\n"
	      "tcp 198.51.100.0/24 80 web\n",
	      f);
	fclose(f);
	f = create(state, "journal");
	fputs("# sockbroker-journal epoch=4\n"
	      "+ tcp 192.0.2.0/24 8000-8999 web\n+ udp 192.0.2.0/24 53 dns\n.\n"
	      "- tcp 198.51.100.0/24 80 -\n.\n",
	      f);
	fclose(f);
}

int main(int argc, char **argv)
{
	struct abi_1 *skeleton;
	int fds[SOCKETS_MAX];
	size_t n = 0;

	if (argc < 5 || argc - 4 > SOCKETS_MAX)
		errx(2, "usage: %s PINS STATE ABI FD...", argv[0]);
	for (int i = 4; i < argc; i++)
		fds[n++] = atoi(argv[i]);
	skeleton = abi_1__open_and_load();
	if (!skeleton)
		err(1, "loading");
	fill_maps(skeleton, (uint32_t)strtoul(argv[3], NULL, 10), fds, n);
	attach_and_pin(skeleton, argv[1]);
	write_state(argv[2], fds, n);
	abi_1__destroy(skeleton);
	return 0;
}
