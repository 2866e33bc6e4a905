/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Slots for sockets that a porter stores (io/porter.h), before a label has them. How long the
 * kernel keeps the porter on its way is the client's doing, and the socket may still get there when
 * the broker that sent it is long gone; so the word of the owner says that the slot is reserved,
 * which the next broker heeds (start.c).
 */
#include <inttypes.h>
#include <string.h>

#include "broker/core/core-internal.h"
#include "broker/core/shares.h"

bool core_is_admin(const struct core *c, const struct actor *actor)
{
	return policy_is_admin(actor, &c->settings.groups);
}

enum files_wanted core_wants_files(struct core *c, struct request *rq)
{
	const struct sb_message *m = rq->message;
	enum files_wanted wanted = FILES_UNWANTED;
	struct sb_error error = { 0 };

	if (!m->short_form && (m->n_fields == 0 || strcmp(m->fields[0].key, "REQUEST") != 0 ||
			       strcmp(m->fields[0].value, "register") != 0))
		return FILES_UNWANTED;
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct label *l;

		if (strcmp(m->fields[i].key, "LABEL") != 0)
			continue;
		if (request_may_register(c, rq, m->fields[i].value, &error) < 0)
			return FILES_UNWANTED;
		l = registry_find(c->registry, m->fields[i].value);
		if (wanted == FILES_UNWANTED)
			wanted = FILES_LOOKED_AT;
		if (l && l->when_empty == WHEN_EMPTY_HOLD)
			wanted = FILES_PASSED_ON;
	}
	return wanted;
}

static void give_back(struct core *c, uint32_t slot)
{
	/* If the kernel does not do it, the slot stays in use, as it is. */
	if (c->dataplane.slot_clear(c->dataplane.self, slot) == 0)
		range_give(&c->registry->slots, slot, 1);
}

static int reserve_one(struct core *c, uint32_t *ret, struct sb_error *error)
{
	int64_t slot = range_take(&c->registry->slots, 1);
	int r;

	if (slot < 0)
		return sb_fail(error, E2BIG, "all %d slots of the broker are in use", SB_SLOTS_MAX);
	*ret = (uint32_t)slot;
	r = c->dataplane.slot_adopt(c->dataplane.self, *ret, SB_SLOT_RESERVED);
	if (r == 0)
		return 0;
	range_give(&c->registry->slots, *ret, 1);
	return sb_fail(error, -r, "slot %" PRIu32 " cannot be reserved: %s", *ret, strerror(-r));
}

int core_slots_reserve(struct core *c, uid_t uid, uint32_t *slots, size_t n,
		       struct quota_charge *charge, struct sb_error *error)
{
	int r = shares_charge_reserved(c, uid, n, charge, error);

	for (size_t i = 0; i < n && r == 0; i++) {
		r = reserve_one(c, &slots[i], error);
		while (r < 0 && i-- > 0)
			give_back(c, slots[i]);
	}
	if (r < 0)
		quota_charge_clear(charge);
	return r;
}

void core_slots_release(struct core *c, const struct request_socket *sockets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!sockets[i].taken)
			give_back(c, sockets[i].slot);
}
