/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/host/listeners.h"

#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>

#include "broker/host/netlink.h"

struct gathered {
	struct local_listener *list;
	size_t n, capacity;
	uint8_t protocol;
};

static int append(struct gathered *g, const struct local_listener *l)
{
	if (g->n == g->capacity) {
		size_t capacity = g->capacity ? g->capacity * 2 : 64;
		struct local_listener *bigger = reallocarray(g->list, capacity, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		g->list = bigger;
		g->capacity = capacity;
	}
	g->list[g->n++] = *l;
	return 0;
}

static bool has_v6only(const struct nlmsghdr *message, const struct inet_diag_msg *m)
{
	const struct rtattr *a = (const void *)(m + 1);
	int left = (int)(message->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == INET_DIAG_SKV6ONLY)
			return *(const uint8_t *)RTA_DATA(a) != 0;
	return false;
}

static int take_socket(const struct nlmsghdr *message, void *data)
{
	const struct inet_diag_msg *m = NLMSG_DATA(message);
	struct gathered *g = data;
	struct local_listener l = { .protocol = g->protocol };

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) || m->id.idiag_dport != 0)
		return 0;
	l.address.family = m->idiag_family;
	memcpy(l.address.bytes, m->id.idiag_src, m->idiag_family == AF_INET ? 4 : 16);
	l.port = ntohs(m->id.idiag_sport);
	l.cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
	l.dual = m->idiag_family == AF_INET6 && !has_v6only(message, m);
	return l.port ? append(g, &l) : 0;
}

int listeners_read(int fd, struct local_listener **list, size_t *n)
{
	static const struct {
		uint8_t family, protocol;
		uint32_t states;
	} kinds[] = {
		{ AF_INET, IPPROTO_TCP, 1 << TCP_LISTEN },
		{ AF_INET6, IPPROTO_TCP, 1 << TCP_LISTEN },
		{ AF_INET, IPPROTO_UDP, 1 << TCP_CLOSE },
		{ AF_INET6, IPPROTO_UDP, 1 << TCP_CLOSE },
	};
	struct gathered g = { .list = *list, .n = *n, .capacity = *n };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds) && r == 0; i++) {
		struct inet_diag_req_v2 request = {
			.sdiag_family = kinds[i].family,
			.sdiag_protocol = kinds[i].protocol,
			.idiag_states = kinds[i].states,
		};

		g.protocol = kinds[i].protocol;
		r = netlink_dump(fd, SOCK_DIAG_BY_FAMILY, &request, sizeof(request), take_socket,
				 &g);
	}
	*list = g.list;
	*n = g.n;
	return r;
}

struct gathered_addresses {
	struct sb_address *list;
	size_t n;
};

static int take_address(const struct nlmsghdr *message, void *data)
{
	const struct ifaddrmsg *m = NLMSG_DATA(message);
	struct gathered_addresses *g = data;
	const struct rtattr *a, *found = NULL;
	struct sb_address *bigger;
	int left;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) ||
	    (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
		return 0;
	left = (int)(message->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	/* On a point-to-point interface IFA_ADDRESS is the peer's, IFA_LOCAL ours. */
	for (a = IFA_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == IFA_LOCAL || (a->rta_type == IFA_ADDRESS && !found))
			found = a;
	if (!found || RTA_PAYLOAD(found) < (m->ifa_family == AF_INET ? 4 : 16))
		return 0;
	bigger = reallocarray(g->list, g->n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	g->list = bigger;
	g->list[g->n] = (struct sb_address){ .family = m->ifa_family };
	memcpy(g->list[g->n].bytes, RTA_DATA(found), m->ifa_family == AF_INET ? 4 : 16);
	g->n++;
	return 0;
}

int addresses_read(int fd, struct sb_address **list, size_t *n)
{
	struct ifaddrmsg request = { .ifa_family = AF_UNSPEC };
	struct gathered_addresses g = { .list = *list, .n = *n };
	int r = netlink_dump(fd, RTM_GETADDR, &request, sizeof(request), take_address, &g);

	*list = g.list;
	*n = g.n;
	return r;
}
