/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why the kernel refuses, and what to do about it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "broker/dataplane/internal.h"

/* libbpf has one log and one list of handlers for the process, and gives the log nothing of ours:
 * the one place where its last words can wait for explain_refusal. */
static struct {
	bool ready;
	char text[256];
} libbpf_words;

static _printf_(2, 0) int keep_words(enum libbpf_print_level level, const char *format,
				     va_list args)
{
	size_t used = strlen(libbpf_words.text);

	if (level != LIBBPF_WARN || used + 1 >= sizeof(libbpf_words.text))
		return 0;
	vsnprintf(libbpf_words.text + used, sizeof(libbpf_words.text) - used, format, args);
	for (char *c = libbpf_words.text + used; *c; c++)
		*c = isprint((unsigned char)*c) ? *c : ' ';
	return 0;
}

int libbpf_prepare(void)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, options, .prog_prepare_load_fn = point_to_values);
	int r;

	libbpf_words.text[0] = '\0';
	libbpf_set_print(keep_words);
	/* For good: libbpf 1.1 does not survive that its last handler is unregistered. */
	if (libbpf_words.ready)
		return 0;
	r = libbpf_register_prog_handler("sk_lookup/direct", BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP,
					 &options);
	libbpf_words.ready = r >= 0;
	return r < 0 ? r : 0;
}

struct capabilities {
	struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];
};

static int capabilities_read(struct capabilities *ret)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, ret->words) < 0 ? -errno : 0;
}

static bool has_capability(int number)
{
	struct capabilities own;

	if (capabilities_read(&own) < 0)
		return true;
	return own.words[CAP_TO_INDEX(number)].effective & CAP_TO_MASK(number);
}

int dataplane_drop_privilege(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	static const int kept[] = { CAP_BPF, CAP_PERFMON };
	struct capabilities own, left = {};
	int r;

	/* CAP_SYS_ADMIN alone does as well, but then it is what cannot be given up. */
	if (geteuid() == 0 || !has_capability(CAP_BPF))
		return 0;
	r = capabilities_read(&own);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		size_t word = CAP_TO_INDEX(kept[i]);
		uint32_t mask = CAP_TO_MASK(kept[i]);

		left.words[word].effective |= own.words[word].effective & mask;
		left.words[word].permitted |= own.words[word].permitted & mask;
	}
	/* The ambient ones go with the inheritable ones: nothing is executed from here. */
	return syscall(SYS_capset, &header, left.words) < 0 ? -errno : 0;
}

static const char *missing_capabilities(void)
{
	bool admin = has_capability(CAP_NET_ADMIN);
	bool bpf = has_capability(CAP_BPF) || has_capability(CAP_SYS_ADMIN);

	if (bpf && admin)
		return NULL;
	return bpf ? "CAP_NET_ADMIN" : admin ? "CAP_BPF" : "CAP_BPF and CAP_NET_ADMIN";
}

int explain_refusal(struct sb_error *error, int code, const char *what, ...)
{
	const char *missing = missing_capabilities();
	char action[256];
	va_list args;

	va_start(args, what);
	vsnprintf(action, sizeof(action), what, args);
	va_end(args);
	if (code == EPERM && missing)
		sb_fail(error, code,
			"%s needs %s, which this process does not have: start it as "
			"root or give its unit AmbientCapabilities=CAP_BPF CAP_NET_ADMIN",
			action, missing);
	else if ((code == EACCES || code == E2BIG) && !has_capability(CAP_PERFMON) &&
		 !has_capability(CAP_SYS_ADMIN))
		/* The verifier then also follows what a processor might do speculatively, and
		 * before 6.17 it refuses what it cannot follow instead of guarding it. */
		sb_fail(error, code,
			"%s: %s; before Linux 6.17 this needs CAP_PERFMON too: add it to the "
			"unit's AmbientCapabilities=, or start as root",
			action, strerror(code));
	else if (code == ENOSYS)
		sb_fail(error, code, "%s: this kernel has no bpf(2); it needs CONFIG_BPF_SYSCALL",
			action);
	else
		sb_fail(error, code, "%s: %s%s%s", action, strerror(code),
			libbpf_words.text[0] ? "; " : "", libbpf_words.text);
	libbpf_words.text[0] = '\0';
	return -code;
}

static int load_probe(const struct bpf_insn *instructions, size_t n)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_SK_LOOKUP);
	int fd = bpf_prog_load(BPF_PROG_TYPE_SK_LOOKUP, "sb_probe", "Dual BSD/GPL", instructions, n,
			       &options);

	if (fd < 0)
		return fd;
	sb_close(fd);
	return 0;
}

int probe_kernel(struct dataplane *d, struct sb_error *error)
{
	const struct bpf_insn load = {
		.code = BPF_LDX | BPF_W | BPF_MEM,
		.src_reg = BPF_REG_1,
		.off = offsetof(struct bpf_sk_lookup, ingress_ifindex),
	};
	const struct bpf_insn pass = { .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = SK_PASS };
	const struct bpf_insn leave = { .code = BPF_JMP | BPF_EXIT };
	int r = load_probe((struct bpf_insn[]){ pass, leave }, 2);

	if (r == -EINVAL)
		return sb_fail(error, EOPNOTSUPP,
			       "this kernel has no sk_lookup programs; Linux 5.9 and later do");
	if (r < 0)
		return explain_refusal(error, -r, "loading an sk_lookup program");
	d->has_ifindex = load_probe((struct bpf_insn[]){ load, pass, leave }, 3) == 0;
	return 0;
}
