/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/snapshot.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

static void encode_member(const struct label *l, const struct member *m, struct sb_text *text)
{
	char address[SB_ADDRESS_TEXT_MAX];

	sb_record_begin(text, "socket");
	sb_record_add(text, "label", "%s", l->name);
	sb_record_add(text, "protocol", "%s", sb_protocol_name(m->protocol));
	sb_record_add(text, "family", "%s", sb_family_name(m->address.family));
	sb_record_add(text, "address", "%s", sb_address_format(&m->address, address));
	sb_record_add(text, "port", "%u", m->port);
	sb_record_add(text, "cookie", "%" PRIu64, m->cookie);
	sb_record_add(text, "slot", "%" PRIu32, m->slot);
	sb_record_add(text, "dual", "%d", m->dual);
	sb_record_add(text, "reuseport", "%d", m->reuseport);
	sb_record_add(text, "pid", "%d", (int)m->pid);
	sb_record_add(text, "uid", "%u", (unsigned)m->uid);
	sb_record_add(text, "gid", "%u", (unsigned)m->gid);
	if (m->unit)
		sb_record_add(text, "unit", "%s", m->unit);
	sb_record_add(text, "since", "%" PRIu64, m->since);
	if (m->own)
		sb_record_add(text, "own", "1");
	if (m->held_since)
		sb_record_add(text, "held_since", "%" PRIu64, m->held_since);
	if (m->served_by)
		sb_record_add(text, "served_by", "%d", (int)m->served_by);
	sb_record_end(text);
}

static void encode_label(const struct label *l, struct sb_text *text)
{
	sb_record_begin(text, "label");
	sb_record_add(text, "name", "%s", l->name);
	sb_record_add(text, "id", "%" PRIu32, l->id);
	sb_record_end(text);
	for (size_t i = 0; i < l->n_members; i++)
		encode_member(l, &l->members[i], text);
}

void snapshot_encode(const struct registry *r, struct sb_text *text)
{
	for (struct label *l = registry_next(r, NULL); l; l = registry_next(r, l))
		encode_label(l, text);
	/* A file that was cut short lacks it. */
	sb_record_begin(text, "end");
	sb_record_end(text);
}

void snapshot_encode_change(struct label *const *labels, size_t n, struct sb_text *text)
{
	for (size_t i = 0; i < n; i++)
		encode_label(labels[i], text);
	sb_text_append(text, ".\n", 2);
}

struct decoder {
	struct registry *registry;
	struct label *label; /* whose sockets follow */
	bool changing;       /* a label may be there already */
};

static int number(const struct sb_record *rec, const char *key, uint64_t max, uint64_t *ret,
		  struct sb_error *error)
{
	const char *s = sb_record_get(rec, key);
	unsigned long long value;
	char *end;

	if (!s || s[0] < '0' || s[0] > '9')
		return sb_fail(error, EPROTO, "a %s lacks the number %s", rec->type, key);
	errno = 0;
	value = strtoull(s, &end, 10);
	if (errno || *end || value > max)
		return sb_fail(error, EPROTO, "%s=%s of a %s is out of bounds", key, s, rec->type);
	*ret = value;
	return 0;
}

static int decode_version(const struct sb_record *rec, struct sb_error *error)
{
	uint64_t version;
	int r;

	if (strcmp(rec->type, "sockbroker_state") != 0)
		return sb_fail(error, EPROTO, "not a state file of sockbroker");
	r = number(rec, "version", UINT32_MAX, &version, error);
	if (r < 0)
		return r;
	if (version == 0)
		return sb_fail(error, EPROTO, "no format has version 0");
	if (version > SNAPSHOT_VERSION)
		return sb_fail(error, EOPNOTSUPP,
			       "its format is version %" PRIu64 ", this broker knows %d", version,
			       SNAPSHOT_VERSION);
	return 0;
}

/* Makes room for a label NAME with the number ID. What loses its place came to nothing before, or
 * two labels would claim its sockets. */
static int displace(struct registry *r, struct label *old, const char *name, uint64_t id,
		    struct sb_error *error)
{
	if (!old)
		return 0;
	if (old->n_members > 0 && (old->id != id || strcmp(old->name, name) != 0))
		return sb_fail(error, EPROTO,
			       "label %s takes the name or id of label %s, which has sockets", name,
			       old->name);
	registry_remove(r, old);
	return 0;
}

static int decode_label(struct decoder *d, const struct sb_record *rec, struct sb_error *error)
{
	const char *name = sb_record_get(rec, "name");
	struct registry *r = d->registry;
	uint64_t id;
	int k;

	if (!name || sb_label_check(name, error) < 0 || (!d->changing && registry_find(r, name)))
		return sb_fail(error, EPROTO, "a label has no valid name of its own");
	k = number(rec, "id", SB_LABELS_MAX - 1, &id, error);
	if (k == 0 && d->changing)
		k = displace(r, registry_find(r, name), name, id, error);
	if (k == 0 && d->changing)
		k = displace(r, registry_get(r, (uint32_t)id), name, id, error);
	if (k < 0)
		return k;
	k = registry_add(r, name, (int64_t)id, &d->label);
	if (k == -EBUSY)
		return sb_fail(error, EPROTO, "label %s has the id of another one", name);
	return k < 0 ? sb_fail(error, -k, "label %s: %s", name, strerror(-k)) : 0;
}

/* Absent: 0. */
static int optional_number(const struct sb_record *rec, const char *key, uint64_t max,
			   uint64_t *ret, struct sb_error *error)
{
	*ret = 0;
	return sb_record_get(rec, key) ? number(rec, key, max, ret, error) : 0;
}

static int decode_hold(struct member *m, const struct sb_record *rec, struct sb_error *error)
{
	uint64_t own, served_by;
	int r = optional_number(rec, "own", 1, &own, error);

	if (r == 0)
		r = optional_number(rec, "held_since", UINT64_MAX, &m->held_since, error);
	if (r == 0)
		r = optional_number(rec, "served_by", INT32_MAX, &served_by, error);
	if (r < 0)
		return r;
	m->own = own;
	m->served_by = (pid_t)served_by;
	return 0;
}

static int decode_numbers(struct member *m, const struct sb_record *rec, struct sb_error *error)
{
	uint64_t port, slot, dual, reuseport, pid, uid, gid;
	int r;

	if ((r = number(rec, "port", UINT16_MAX, &port, error)) < 0 ||
	    (r = number(rec, "cookie", UINT64_MAX, &m->cookie, error)) < 0 ||
	    (r = number(rec, "slot", SB_SLOTS_MAX - 1, &slot, error)) < 0 ||
	    (r = number(rec, "dual", 1, &dual, error)) < 0 ||
	    (r = number(rec, "reuseport", 1, &reuseport, error)) < 0 ||
	    (r = number(rec, "pid", INT32_MAX, &pid, error)) < 0 ||
	    (r = number(rec, "uid", UINT32_MAX, &uid, error)) < 0 ||
	    (r = number(rec, "gid", UINT32_MAX, &gid, error)) < 0 ||
	    (r = number(rec, "since", UINT64_MAX, &m->since, error)) < 0)
		return r;
	m->port = (uint16_t)port;
	m->slot = (uint32_t)slot;
	m->dual = dual;
	m->reuseport = reuseport;
	m->pid = (pid_t)pid;
	m->uid = (uid_t)uid;
	m->gid = (gid_t)gid;
	return 0;
}

/* The text form refuses IPv4-mapped addresses, which a socket may well be bound to. */
static int decode_address(struct member *m, const struct sb_record *rec, struct sb_error *error)
{
	const char *family = sb_record_get(rec, "family"), *text = sb_record_get(rec, "address");

	if (!family || !text)
		return sb_fail(error, EPROTO, "a socket has no address");
	if (!strcmp(family, sb_family_name(AF_INET)))
		m->address.family = AF_INET;
	else if (!strcmp(family, sb_family_name(AF_INET6)))
		m->address.family = AF_INET6;
	else
		return sb_fail(error, EPROTO, "family=%s of a socket is none", family);
	if (inet_pton(m->address.family, text, m->address.bytes) != 1)
		return sb_fail(error, EPROTO, "address=%s of a socket is none", text);
	return 0;
}

static int decode_protocol(struct member *m, const struct sb_record *rec, struct sb_error *error)
{
	const char *protocol = sb_record_get(rec, "protocol");

	if (!protocol)
		return sb_fail(error, EPROTO, "a socket has no protocol");
	if (!strcmp(protocol, sb_protocol_name(IPPROTO_TCP)))
		m->protocol = IPPROTO_TCP;
	else if (!strcmp(protocol, sb_protocol_name(IPPROTO_UDP)))
		m->protocol = IPPROTO_UDP;
	else
		return sb_fail(error, EPROTO, "protocol=%s of a socket is none", protocol);
	return 0;
}

static int decode_unit(struct member *m, const struct sb_record *rec, struct sb_error *error)
{
	const char *unit = sb_record_get(rec, "unit");

	if (!unit || strlen(unit) >= POLICY_UNIT_MAX)
		return 0;
	m->unit = strdup(unit);
	return m->unit ? 0 : sb_fail(error, ENOMEM, "out of memory");
}

static int decode_member(struct decoder *d, const struct sb_record *rec, struct sb_error *error)
{
	const char *name = sb_record_get(rec, "label");
	struct label *l = d->label;
	struct member m = { .copy = -1 }, *bigger;
	int k;

	if (!l || !name || strcmp(name, l->name) != 0)
		return sb_fail(error, EPROTO, "a socket does not follow its label");
	k = decode_protocol(&m, rec, error);
	if (k == 0)
		k = decode_address(&m, rec, error);
	if (k == 0)
		k = decode_numbers(&m, rec, error);
	if (k == 0)
		k = decode_hold(&m, rec, error);
	if (k < 0)
		return k;
	bigger = reallocarray(l->members, l->n_members + 1, sizeof(*bigger));
	if (!bigger)
		return sb_fail(error, ENOMEM, "out of memory");
	l->members = bigger;
	k = decode_unit(&m, rec, error);
	if (k < 0)
		return k;
	if (range_take_at(&d->registry->slots, m.slot, 1) < 0) {
		free(m.unit);
		return sb_fail(error, EPROTO, "slot %" PRIu32 " holds two sockets", m.slot);
	}
	l->members[l->n_members++] = m;
	return 0;
}

static int decode_record(struct decoder *d, const struct sb_record *rec, struct sb_error *error)
{
	if (!strcmp(rec->type, "label"))
		return decode_label(d, rec, error);
	if (!strcmp(rec->type, "socket"))
		return decode_member(d, rec, error);
	return sb_fail(error, EPROTO, "unknown record %s", rec->type);
}

int snapshot_decode(struct registry *r, char *data, size_t length, struct sb_error *error)
{
	struct decoder d = { .registry = r };
	char *cursor = data, *end = data + length;
	struct sb_record rec;
	int k;

	k = sb_record_next(&cursor, end, &rec, error);
	if (k == 0)
		return sb_fail(error, EPROTO, "the file is empty");
	if (k > 0)
		k = decode_version(&rec, error);
	while (k >= 0) {
		k = sb_record_next(&cursor, end, &rec, error);
		if (k == 0)
			return sb_fail(error, EPROTO, "the file is cut short");
		if (k > 0 && !strcmp(rec.type, "end"))
			return cursor == end
				       ? 0
				       : sb_fail(error, EPROTO, "the file goes on behind its end");
		if (k > 0)
			k = decode_record(&d, &rec, error);
	}
	return k;
}

/* Where the line "." begins that closes the change at P; NULL when none does. */
static char *end_of_change(char *p, char *end)
{
	while (p < end) {
		char *newline = memchr(p, '\n', (size_t)(end - p));

		if (!newline)
			break;
		if (newline - p == 1 && *p == '.')
			return p;
		p = newline + 1;
	}
	return NULL;
}

int snapshot_replay(struct registry *r, char *data, size_t length, struct sb_error *error)
{
	char *cursor = data, *end = data + length, *close;

	while ((close = end_of_change(cursor, end))) {
		struct decoder d = { .registry = r, .changing = true };
		struct sb_record rec;
		int k;

		while ((k = sb_record_next(&cursor, close, &rec, error)) > 0) {
			k = decode_record(&d, &rec, error);
			if (k < 0)
				return k;
		}
		if (k < 0)
			return k;
		cursor = close + 2;
	}
	return 0;
}
