/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/world.h"

#include <stdio.h>

#include "broker/base/log.h"
#include "protocol/wire-io.h"

struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	log_setup(LOG_EMERG); /* refusals are on purpose here */
	w->host = fake_host_new(&w->calls);
	w->kernel = fake_dataplane_new(&w->calls, w->host);
	w->state = fake_state_new(&w->calls);
	w->watch = fake_watch_new(&w->calls);
	w->units = fake_units_new(&w->calls);
	w->fdstore = fake_fdstore_new(w->host);
	w->fdstore->off = true;
	w->quota = quota_new();
	w->actor = (struct actor){ .pid = 100 };
	w->config.settings = (struct core_settings){
		.groups = { POLICY_NO_GROUP, POLICY_NO_GROUP },
		.max_rules = 1000,
		.max_labels = 100,
		.max_sockets = 64,
	};
	return w;
}

static void forget_reply(struct world *w)
{
	sb_text_free(&w->reply.table);
	while (w->reply.n_fds > 0)
		fake_close_fd(w->host, w->reply.fds[--w->reply.n_fds]);
	w->reply = (struct reply){ 0 };
	free(w->table);
	w->table = NULL;
	w->error = (struct sb_error){ 0 };
}

void world_free(struct world *w)
{
	if (!w)
		return;
	world_stop(w);
	config_clear(w);
	quota_free(w->quota);
	fake_watch_free(w->watch);
	fake_units_free(w->units);
	fake_fdstore_free(w->fdstore);
	fake_state_free(w->state);
	fake_dataplane_free(w->kernel);
	fake_host_free(w->host);
	free(w);
}

static char *copy(const struct fake_blob *b)
{
	return b->data ? memcpy(malloc(b->length + 1), b->data, b->length + 1) : NULL;
}

void world_stop(struct world *w)
{
	forget_reply(w);
	core_free(w->core);
	w->core = NULL;
	assert_int_equal(fake_core_fds(w->host), 0);
	assert_int_equal(w->watch->n, 0);
	assert_int_equal(quota_used(w->quota, QUOTA_SOCKETS), 0);
	assert_int_equal(quota_used(w->quota, QUOTA_RULES), 0);
}

/* The request `reload`. */
static int reload_again(void *data, struct sb_error *error)
{
	struct world *w = data;

	return core_configure(w->core, &w->config, error);
}

/* As a service manager does, which keeps one of each. */
static void pass(struct world *w, struct core_passed_fd *to, int fd, const char *name)
{
	*to = (struct core_passed_fd){ fake_dup(w->host, fd), strdup(name) };
	w->host->files[to->fd - FAKE_FD_FIRST].of_core = true;
}

static size_t pass_all(struct world *w, struct core_passed_fd *passed)
{
	size_t n = 0;

	for (size_t i = 0; i < w->fdstore->n; i++)
		pass(w, &passed[n++], w->fdstore->fds[i].fd, w->fdstore->fds[i].name);
	for (size_t i = 0; i < w->n_units_fds; i++)
		pass(w, &passed[n++], w->units_fds[i].fd, w->units_fds[i].name);
	return n;
}

int world_start_on(struct world *w, const struct state_port *state, const struct core_saved *saved)
{
	struct dataplane_port dataplane = fake_dataplane_port(w->kernel);
	struct host_port host = fake_host_port(w->host);
	struct watch_port watch = fake_watch_port(w->watch);
	struct units_port units = fake_units_port(w->units);
	struct fdstore_port fdstore = fake_fdstore_port(w->fdstore);
	struct core_passed_fd passed[FAKE_STORE_MAX + 8];
	struct core_saved all = *saved;
	int r = -ENOMEM;

	world_stop(w);
	all.alone = w->alone;
	all.fds = passed;
	all.n_fds = pass_all(w, passed);
	w->in_core = true;
	w->core = core_new(&dataplane, state, &host, &watch, &units, &fdstore, w->quota, "1.2.3",
			   NULL);
	if (w->core)
		core_on_reload(w->core, reload_again, w);
	if (w->core)
		r = core_start(w->core, &w->config, &all, &w->error);
	w->in_core = false;
	for (size_t i = 0; i < all.n_fds; i++) {
		if (passed[i].fd >= 0)
			fake_close_fd(w->host, passed[i].fd);
		free((char *)passed[i].name);
	}
	return r;
}

int world_start(struct world *w)
{
	struct state_port state = fake_state_port(w->state);
	struct fake_state *s = w->state;
	_cleanup_free_ char *labels = copy(&s->labels), *changes = copy(&s->labels_journal),
			    *rules = copy(&s->rules), *journal = copy(&s->journal);
	struct core_saved saved = {
		.labels = labels,
		.labels_length = s->labels.length,
		.labels_journal = changes,
		.labels_journal_length = s->labels_journal.length,
		.labels_damage = w->labels_damage,
		.rules = rules,
		.rules_length = s->rules.length,
		.journal = journal,
		.journal_length = s->journal.length,
	};

	return world_start_on(w, &state, &saved);
}

int world_reload(struct world *w)
{
	int r;

	forget_reply(w);
	w->in_core = true;
	r = core_configure(w->core, &w->config, &w->error);
	w->in_core = false;
	return r;
}

int world_setup(void **state)
{
	struct world *w = world_new();

	assert_int_equal(world_start(w), 0);
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	world_free(*state);
	return 0;
}

/* -- requests --------------------------------------------------------------------------------- */

static int read_reply(struct world *w, bool short_form)
{
	const struct sb_writer *writer = &w->reply.writer;

	w->table = calloc(1, w->reply.table.length + 1);
	assert_non_null(w->table);
	if (w->reply.has_table && w->reply.table.length)
		memcpy(w->table, w->reply.table.data, w->reply.table.length);
	assert_int_equal(sb_writer_finish(writer), 0);
	if (short_form)
		return sb_short_reply_verdict(writer->buffer, writer->length, &w->error);
	assert_int_equal(sb_message_decode(&w->answer, writer->buffer, writer->length, NULL), 0);
	return sb_message_verdict(&w->answer, &w->error);
}

/* As io/porter.c: what could be a socket to register is put into its slot. */
static void look_at(struct world *w, int fd, struct request_socket *s, bool pass, int *passed)
{
	struct host_port host = fake_host_port(w->host);
	pid_t pid;

	s->stored = -EOPNOTSUPP;
	s->looked = host.inspect(host.self, fd, &s->facts);
	if (s->looked == 0 && (s->facts.protocol == IPPROTO_UDP || s->facts.listening)) {
		w->kernel->slots[s->slot].cookie = s->facts.cookie;
		s->stored = 0;
	}
	s->passed = pass && (s->stored == 0 || host.pidfd_pid(host.self, fd, &pid) != -EBADF);
	*passed = s->passed ? fd : -1;
}

static int request_by_porter(struct world *w, struct request *request)
{
	struct request_socket sockets[SB_WIRE_FDS_MAX] = { 0 };
	struct quota_charge charge = { 0 };
	uint32_t slots[SB_WIRE_FDS_MAX];
	int passed[SB_WIRE_FDS_MAX];
	const int *fds = request->fds;
	enum files_wanted wanted = core_wants_files(w->core, request);
	int r;

	if (wanted == FILES_UNWANTED) {
		core_request(w->core, request, &w->reply);
		return 0;
	}
	r = core_slots_reserve(w->core, w->actor.uid, slots, request->n_fds, &charge, &w->error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < request->n_fds; i++) {
		sockets[i].slot = slots[i];
		look_at(w, fds[i], &sockets[i], wanted == FILES_PASSED_ON, &passed[i]);
	}
	quota_charge_clear(&charge);
	request->sockets = sockets;
	request->fds = wanted == FILES_PASSED_ON ? passed : NULL;
	core_request(w->core, request, &w->reply);
	core_slots_release(w->core, sockets, request->n_fds);
	return 0;
}

int ask_fds(struct world *w, const int *fds, const char *format, ...)
{
	struct request request = {
		.message = &w->request,
		.actor = &w->actor,
		.pidfd = -1,
		.fds = fds,
	};
	char packet[SB_WIRE_PACKET_MAX + 1];
	struct sb_error error = { 0 };
	va_list ap;
	int n, r = 0;

	while (fds && fds[request.n_fds] >= 0)
		request.n_fds++;
	va_start(ap, format);
	n = vsnprintf(packet, sizeof(packet), format, ap);
	va_end(ap);
	assert_true(n > 0 && n < (int)sizeof(packet));
	forget_reply(w);
	if (sb_message_decode(&w->request, packet, (size_t)n, &error) < 0)
		fail_msg("%s", error.message);
	w->in_core = true;
	if (w->by_porter && request.n_fds > 0)
		r = request_by_porter(w, &request);
	else
		core_request(w->core, &request, &w->reply);
	w->in_core = false;
	if (r < 0)
		return r;
	return read_reply(w, w->request.short_form);
}

int ask_apply(struct world *w, const char *text, bool dry_run)
{
	int fd = sb_memfd_new_sealed("rules", text, strlen(text)), r;

	assert_true(fd >= 0);
	r = ask_fds(w, FDS(fd), "REQUEST=apply\nDRY_RUN=%s\n", dry_run ? "yes" : "no");
	close(fd);
	return r;
}

static int ask_rule(struct world *w, const char *request, const char *rule)
{
	char label[128], protocol[8], prefix[64], ports[600];

	assert_int_equal(sscanf(rule, "%127s %7s %63s %599s", label, protocol, prefix, ports), 4);
	return ask(w, "REQUEST=%s\nLABEL=%s\nPROTOCOL=%s\nPREFIX=%s\nPORTS=%s\n", request, label,
		   protocol, prefix, ports);
}

int ask_bind(struct world *w, const char *rule)
{
	return ask_rule(w, "bind", rule);
}

int ask_unbind(struct world *w, const char *rule)
{
	return ask_rule(w, "unbind", rule);
}

int ask_register(struct world *w, const char *label, int fd)
{
	return ask_fds(w, FDS(fd), "REQUEST=register\nLABEL=%s\n", label);
}

int ask_add(struct world *w, const char *label, int fd)
{
	return ask_fds(w, FDS(fd), "REQUEST=register\nLABEL=%s\nMODE=add\n", label);
}

/* -- what happens meanwhile -----------------------------------------------------------------------
 */

void process_ends(struct world *w, pid_t pid)
{
	for (size_t i = 0; i < w->host->n_files; i++) {
		int fd = FAKE_FD_FIRST + (int)i;

		if (w->host->files[i].pid != pid || !fake_watch_take(w->watch, fd))
			continue;
		w->in_core = true;
		core_ready(w->core, fd);
		w->in_core = false;
	}
}

void connections_wait(struct world *w, uint64_t cookie, uint32_t n)
{
	for (size_t i = 0; i < w->host->n_files; i++) {
		struct fake_file *f = &w->host->files[i];

		if (f->pid || f->closed || f->facts.cookie != cookie)
			continue;
		f->waiting += n;
		if (!fake_watch_take(w->watch, FAKE_FD_FIRST + (int)i))
			continue;
		w->in_core = true;
		core_ready(w->core, FAKE_FD_FIRST + (int)i);
		w->in_core = false;
	}
}

void unit_started(struct world *w, int error, bool active)
{
	struct unit_start start = {
		.error = error,
		.active = active,
		.message = error ? "it cannot be" : NULL,
	};

	assert_true(w->units->pending);
	w->units->pending = false;
	if (w->units->invocation)
		snprintf(start.invocation, sizeof(start.invocation), "%u", w->units->invocation);
	w->in_core = true;
	core_unit_started(w->core, w->units->label, &start);
	w->in_core = false;
}

void time_passes(struct world *w, uint64_t us)
{
	w->host->monotonic_us += us;
	w->host->now += us / 1000000;
	if (w->watch->alarm_us == 0 || w->watch->alarm_us > w->host->monotonic_us)
		return;
	w->watch->alarm_us = 0;
	w->in_core = true;
	core_alarm(w->core);
	w->in_core = false;
}

/* -- replies ---------------------------------------------------------------------------------- */

void check_refusal(const struct world *w, int r, int code, const char *part)
{
	if (r != -code || !strstr(w->error.message, part))
		fail_msg("not %s with \"%s\", but %s: %s", sb_error_name(code), part,
			 r < 0 ? sb_error_name(-r) : "OK", w->error.message);
	assert_int_not_equal(w->error.message[strlen(w->error.message) - 1], '.');
}

void check_field(const struct world *w, const char *key, const char *value)
{
	const char *found = sb_message_get(&w->answer, key);

	if (!found)
		fail_msg("no %s= in the reply", key);
	assert_string_equal(found, value);
}

size_t warnings(const struct world *w, const char *part)
{
	size_t n = 0;

	for (size_t i = 0; i < w->answer.n_fields; i++)
		n += !strcmp(w->answer.fields[i].key, "WARNING") &&
		     (!part || strstr(w->answer.fields[i].value, part));
	return n;
}

static const char *table_look(const struct world *w, const char *type, size_t index,
			      const char *key, size_t *count)
{
	static char found[1024];
	_cleanup_free_ char *text = strdup(w->table);
	char *cursor = text, *end = text + strlen(text);
	const char *value = NULL;
	struct sb_record record;
	size_t n = 0;

	assert_non_null(text);
	while (sb_record_next(&cursor, end, &record, NULL) == 1)
		if (!strcmp(record.type, type) && n++ == index && key)
			value = sb_record_get(&record, key);
	if (count)
		*count = n;
	return value ? strncpy(found, value, sizeof(found) - 1) : NULL;
}

const char *table_get(const struct world *w, const char *type, size_t index, const char *key)
{
	return table_look(w, type, index, key, NULL);
}

size_t table_count(const struct world *w, const char *type)
{
	size_t n;

	table_look(w, type, 0, NULL, &n);
	return n;
}

char *rules_text(struct world *w)
{
	assert_int_equal(ask(w, "REQUEST=rules\nFORMAT=text\n"), 0);
	return strdup(w->table);
}

void check_rules(struct world *w, const char *text)
{
	_cleanup_free_ char *now = rules_text(w);

	assert_string_equal(now, text);
}

/* Takes out the first value that follows KEY. */
static void blank(char *text, const char *key)
{
	char *value = strstr(text, key), *rest;

	assert_non_null(value);
	value += strlen(key);
	rest = value + strcspn(value, "\t\n");
	memmove(value, rest, strlen(rest) + 1);
}

char *model_text(struct world *w)
{
	struct actor asker = w->actor;
	struct sb_text text = { 0 };

	w->actor = (struct actor){ 0 };
	assert_int_equal(ask(w, "REQUEST=rules\n"), 0);
	sb_text_append(&text, w->table, strlen(w->table));
	assert_int_equal(ask(w, "REQUEST=status\n"), 0);
	w->actor = asker;
	blank(w->table, "pid="); /* of the process, which may be another */
	blank(w->table, "generation=");
	blank(w->table, "rules_bytes=");
	sb_text_append(&text, w->table, strlen(w->table));
	assert_int_equal(text.error, 0);
	return text.data;
}

int hit_from(struct world *w, const char *protocol, const char *address, uint16_t port,
	     uint16_t from_port)
{
	struct packet packet = {
		.port = port,
		.protocol = !strcmp(protocol, "udp") ? IPPROTO_UDP : IPPROTO_TCP,
	};
	struct verdict verdict;

	assert_int_equal(sb_address_parse(address, &packet.destination, NULL), 0);
	verdict = fake_verdict(w->kernel, &packet, from_port);
	switch (verdict.kind) {
	case VERDICT_SOCKET:
		return (int)verdict.cookie;
	case VERDICT_DROP:
		return DROP;
	default:
		return PASS;
	}
}

int hit(struct world *w, const char *protocol, const char *address, uint16_t port)
{
	return hit_from(w, protocol, address, port, 0);
}

/* -- configuration -------------------------------------------------------------------------------
 */

struct core_label_config *config_label(struct world *w, const char *name, const char *const *rules)
{
	struct core_label_config *labels = (struct core_label_config *)w->config.labels, *l;
	struct rule *list = calloc(64, sizeof(*list));
	char line[256];

	if (!labels)
		w->config.labels = labels = calloc(CONFIG_LABELS_MAX, sizeof(*labels));
	assert_true(labels && list && w->config.n_labels < CONFIG_LABELS_MAX);
	l = &labels[w->config.n_labels++];
	*l = (struct core_label_config){ .name = name, .file = "x.label", .rules = list };
	for (; rules && *rules; rules++) {
		struct sb_rule_line parsed;

		snprintf(line, sizeof(line), "%s %s", *rules, name);
		assert_int_equal(sb_rule_line_parse(line, strlen(line), &parsed, NULL), 1);
		assert_true(l->n_rules < 64);
		list[l->n_rules++] =
			rule_make(parsed.protocols == SB_PROTOCOL_UDP ? IPPROTO_UDP : IPPROTO_TCP,
				  &parsed.prefix, parsed.ports[0], 0, RULE_CONFIG);
	}
	return l;
}

void config_clear(struct world *w)
{
	for (size_t i = 0; i < w->config.n_labels; i++) {
		struct core_label_config *l = (struct core_label_config *)&w->config.labels[i];

		free((struct rule *)l->rules);
		policy_clear(&l->policy);
	}
	free((struct core_label_config *)w->config.labels);
	w->config.labels = NULL;
	w->config.n_labels = 0;
}

void allow_user(struct core_label_config *l, uid_t uid)
{
	struct policy *p = &l->policy;

	p->users = reallocarray(p->users, p->n_users + 1, sizeof(*p->users));
	p->users[p->n_users++] = uid;
}

void allow_group(struct core_label_config *l, gid_t gid)
{
	struct policy *p = &l->policy;

	p->groups = reallocarray(p->groups, p->n_groups + 1, sizeof(*p->groups));
	p->groups[p->n_groups++] = gid;
}

void allow_unit(struct core_label_config *l, const char *unit)
{
	struct policy *p = &l->policy;

	p->units = reallocarray(p->units, p->n_units + 1, sizeof(*p->units));
	p->units[p->n_units++] = strdup(unit);
}
