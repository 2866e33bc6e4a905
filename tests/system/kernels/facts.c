/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this kernel can do, for people. Without arguments: the largest value of a mapped array,
 * which bounds the rules of one generation. With the pin of a program: how much the verifier walked
 * to load it, and whether it can be test run, which explain asks for.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB (1024u * 1024)

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int array_fits(unsigned bytes)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = bytes,
		.max_entries = 1,
		.map_flags = BPF_F_MMAPABLE,
	};
	int fd = bpf(BPF_MAP_CREATE, &attr);

	if (fd < 0)
		return 0;
	close(fd);
	return 1;
}

static void print_value_limit(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned fits = 0, fails = 1024 * MIB, middle;

	setrlimit(RLIMIT_MEMLOCK, &unlimited); /* counted there before 5.11 */
	if (array_fits(512 * MIB)) {
		puts("value of a mapped array: 512 MiB and more");
		return;
	}
	while (fails - fits > 4096) {
		middle = fits + (fails - fits) / 2 / 4096 * 4096;
		if (middle == fits)
			break;
		if (array_fits(middle))
			fits = middle;
		else
			fails = middle;
	}
	printf("value of a mapped array: at most about %u KiB\n", fits / 1024);
}

static void print_program(const char *pin)
{
	union bpf_attr attr = { .pathname = (uintptr_t)pin };
	struct bpf_prog_info info = {};
	struct bpf_sk_lookup context = { .family = AF_INET, .protocol = IPPROTO_TCP };
	int fd = bpf(BPF_OBJ_GET, &attr), r;

	if (fd < 0) {
		printf("program: %s\n", strerror(errno));
		return;
	}
	attr = (union bpf_attr){
		.info = { (__u32)fd, sizeof(info), (uintptr_t)&info },
	};
	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) == 0)
		printf("program: %u bytes, %s, %u instructions verified (0: not told)\n",
		       info.xlated_prog_len, info.jited_prog_len ? "compiled" : "interpreted",
		       info.verified_insns);
	attr = (union bpf_attr){
		.test = {
			.prog_fd = (__u32)fd,
			.ctx_in = (uintptr_t)&context,
			.ctx_size_in = sizeof(context),
		},
	};
	r = bpf(BPF_PROG_TEST_RUN, &attr);
	printf("test runs: %s\n", r == 0 ? "yes" : strerror(errno));
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		print_program(argv[1]);
	else
		print_value_limit();
	return 0;
}
