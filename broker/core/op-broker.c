/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* version, reload and unload: the broker itself. */
#include <string.h>
#include <sys/utsname.h>

#include "broker/base/log.h"
#include "broker/core/fdstore.h"

int op_version(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	struct utsname kernel;

	if (uname(&kernel) < 0)
		strcpy(kernel.release, "unknown");
	sb_writer_add(&reply->writer, "VERSION", "%s", c->version);
	sb_writer_add(&reply->writer, "PROTOCOL", "%d", SB_WIRE_VERSION);
	sb_writer_add(&reply->writer, "ABI", "%d", SB_ABI_VERSION);
	sb_writer_add(&reply->writer, "KERNEL", "%s", kernel.release);
	sb_writer_add(&reply->writer, "NETNS", "%s", c->netns ? c->netns : "own");
	return 0;
}

int op_reload(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	return c->reload(c->reload_data, error);
}

int op_unload(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	int r = c->dataplane.unload(c->dataplane.self, error);

	if (r < 0)
		return r;
	fdstore_clear(c);
	c->unloaded = true;
	log_notice("dataplane detached and unpinned at the request of uid %u",
		   (unsigned)rq->actor->uid);
	sb_writer_add(&reply->writer, "DETACHED", "yes");
	return 0;
}
