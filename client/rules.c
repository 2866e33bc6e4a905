/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules: one more, one less, or all of them at once. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "client/handle.h"
#include "client/table.h"
#include "client/text-file.h"

#define SEALED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static struct sockbroker_changes reply_changes(const struct sockbroker *sb)
{
	return (struct sockbroker_changes){
		.added = handle_reply_number(sb, "ADDED"),
		.removed = handle_reply_number(sb, "REMOVED"),
		.moved = handle_reply_number(sb, "MOVED"),
		.unchanged = handle_reply_number(sb, "UNCHANGED"),
	};
}

static void add_rule(struct sb_writer *w, const char *label, const char *protocol,
		     const char *prefix, const char *ports)
{
	if (label)
		sb_writer_add(w, "LABEL", "%s", label);
	sb_writer_add(w, "PROTOCOL", "%s", protocol);
	sb_writer_add(w, "PREFIX", "%s", prefix);
	sb_writer_add(w, "PORTS", "%s", ports);
}

int sockbroker_bind(struct sockbroker *sb, const char *label, const char *protocol,
		    const char *prefix, const char *ports, unsigned int flags,
		    struct sockbroker_changes *ret)
{
	struct sb_writer w = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	if (flags & ~SOCKBROKER_MOVE)
		return handle_fail_local(sb, EINVAL, "bind has no such flag: 0x%x", flags);
	sb_writer_add(&w, "REQUEST", "bind");
	add_rule(&w, label, protocol, prefix, ports);
	if (flags & SOCKBROKER_MOVE)
		sb_writer_add(&w, "MOVE", "yes");
	r = handle_call(sb, &w, NULL, 0);
	if (r < 0)
		return r;
	if (ret)
		*ret = reply_changes(sb);
	return 0;
}

int sockbroker_unbind(struct sockbroker *sb, const char *label, const char *protocol,
		      const char *prefix, const char *ports, uint64_t *ret_removed)
{
	struct sb_writer w = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	sb_writer_add(&w, "REQUEST", "unbind");
	add_rule(&w, label, protocol, prefix, ports);
	r = handle_call(sb, &w, NULL, 0);
	if (r < 0)
		return r;
	if (ret_removed)
		*ret_removed = handle_reply_number(sb, "REMOVED");
	return 0;
}

/* MEMFD is sealed. On a refusal the table of bad lines, if there is a readable one, comes along. */
static int apply_memfd(struct sockbroker *sb, int memfd, unsigned int flags,
		       struct sockbroker_changes *ret, struct sockbroker_table **ret_rows)
{
	struct sb_writer w = { 0 };
	int r;

	sb_writer_add(&w, "REQUEST", "apply");
	if (flags & SOCKBROKER_DRY_RUN)
		sb_writer_add(&w, "DRY_RUN", "yes");
	r = handle_call(sb, &w, &memfd, 1);
	if (r < 0) {
		if (ret_rows && sb->failure == SOCKBROKER_REFUSED && sb->packet.n_fds == 1)
			table_new_from_memfd(sb->packet.fds[0], ret_rows, NULL);
		return r;
	}
	if (ret_rows && sb->packet.n_fds > 0) {
		r = table_take_from_reply(sb, ret_rows);
		if (r < 0)
			return r;
	}
	if (ret)
		*ret = reply_changes(sb);
	return 0;
}

static int apply_begin(struct sockbroker *sb, unsigned int flags,
		       struct sockbroker_table **ret_rows)
{
	int r = handle_begin(sb);

	if (ret_rows)
		*ret_rows = NULL;
	if (r < 0)
		return r;
	if (flags & ~SOCKBROKER_DRY_RUN)
		return handle_fail_local(sb, EINVAL, "apply has no such flag: 0x%x", flags);
	return 0;
}

int sockbroker_apply(struct sockbroker *sb, const char *text, size_t length, unsigned int flags,
		     struct sockbroker_changes *ret, struct sockbroker_table **ret_rows)
{
	_cleanup_close_ int memfd = -1;
	int r = apply_begin(sb, flags, ret_rows);

	if (r < 0)
		return r;
	memfd = sb_memfd_new_sealed("sockbroker-rules", text, length);
	if (memfd < 0)
		return handle_fail_local(sb, -memfd, "no memory file: %s", strerror(-memfd));
	return apply_memfd(sb, memfd, flags, ret, ret_rows);
}

int sockbroker_apply_fd(struct sockbroker *sb, int fd, unsigned int flags,
			struct sockbroker_changes *ret, struct sockbroker_table **ret_rows)
{
	_cleanup_close_ int memfd = -1;
	int r = apply_begin(sb, flags, ret_rows);
	int seals;

	if (r < 0)
		return r;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals >= 0 && (seals & SEALED) == SEALED)
		return apply_memfd(sb, fd, flags, ret, ret_rows);
	memfd = text_file_seal(fd, SOCKBROKER_TEXT_MAX, &sb->error);
	if (memfd < 0) {
		sb->failure = SOCKBROKER_LOCAL;
		return memfd;
	}
	return apply_memfd(sb, memfd, flags, ret, ret_rows);
}

int sockbroker_rules_text(struct sockbroker *sb, const char *label, int *ret_fd)
{
	struct sb_writer w = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	sb_writer_add(&w, "REQUEST", "rules");
	if (label)
		sb_writer_add(&w, "LABEL", "%s", label);
	sb_writer_add(&w, "FORMAT", "text");
	r = handle_call(sb, &w, NULL, 0);
	if (r < 0)
		return r;
	r = handle_take_file(sb, ret_fd);
	if (r < 0)
		return r;
	lseek(*ret_fd, 0, SEEK_SET);
	return 0;
}
