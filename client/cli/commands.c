/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of verbs. */
#include <stdint.h>
#include <string.h>

#include "client/cli/commands.h"

static const struct option_spec bind_options[] = { [BIND_MOVE] = { "--move" }, { NULL } };
static const struct option_spec rules_options[] = { [RULES_TEXT] = { "--text" }, { NULL } };
static const struct option_spec apply_options[] = { [APPLY_DRY_RUN] = { "--dry-run" }, { NULL } };
static const struct option_spec explain_options[] = { [EXPLAIN_FROM] = { "--from", 2 }, { NULL } };
static const struct option_spec unload_options[] = { [UNLOAD_YES] = { "--yes" }, { NULL } };
static const struct option_spec register_options[] = {
	[REGISTER_LISTEN_FDS] = { "--listen-fds" },
	[REGISTER_FD] = { "--fd", 1, true },
	[REGISTER_PID] = { "--pid", 1 },
	[REGISTER_MAIN_PID] = { "--main-pid", 1 },
	[REGISTER_REPLACE] = { "--replace" },
	[REGISTER_ADD] = { "--add" },
	{ NULL },
};

static const struct command commands[] = {
	{
		.name = "status",
		.usage = "status [LABEL]",
		.summary = "labels, groups, sockets and their counters",
		.help = "Shows the broker, the labels, the groups of sockets that packets are "
			"spread\n"
			"over with their counters, and every socket with its address, cookie, slot "
			"and\n"
			"registrant. With LABEL: only that label. A dead socket's slot is stepped "
			"over.\n",
		.max_args = 1,
		.run = cmd_status,
	},
	{
		.name = "rules",
		.usage = "rules [--text] [LABEL]",
		.summary = "the rules, most specific first",
		.help = "Lists the rules, of all labels or of LABEL, in the order in which they "
			"win.\n"
			"  --text  as rule text, which `sockbroker apply` reads\n",
		.max_args = 1,
		.options = rules_options,
		.run = cmd_rules,
	},
	{
		.name = "explain",
		.usage = "explain PROTO ADDR PORT [--from ADDR PORT]",
		.summary = "what a packet would meet, and why",
		.help = "Says which rule such a packet (PROTO is tcp or udp) meets, which rules "
			"that one\n"
			"shadows, its label, the socket that gets it, the verdict and the reason.\n"
			"  --from ADDR PORT  where the packet comes from; it decides which socket "
			"of a\n"
			"                    group is chosen\n",
		.min_args = 3,
		.max_args = 3,
		.options = explain_options,
		.run = cmd_explain,
	},
	{
		.name = "version",
		.usage = "version",
		.summary = "versions of this command and of the broker",
		.help = "Shows the version of this command, and those of the broker, its dataplane "
			"and\n"
			"the kernel. `sockbroker --version` asks no broker.\n",
		.run = cmd_version,
	},
	{
		.name = "help",
		.usage = "help [VERB]",
		.summary = "this list, or what a verb does",
		.help = "Shows all verbs, or the usage and the options of one.\n",
		.max_args = 1,
		.run = cmd_help,
	},
	{
		.name = "bind",
		.usage = "bind LABEL PROTO PREFIX PORTS [--move]",
		.summary = "adds a rule",
		.help = "Packets of PROTO (tcp, udp, any) to PREFIX (an address or ADDR/LEN) and "
			"PORTS\n"
			"(80, 8000-8999, 80,443, or any) go to the sockets of LABEL. The longest "
			"prefix\n"
			"wins, then the narrowest range of ports.\n"
			"  --move  take an equal rule away from another label\n",
		.changes = true,
		.min_args = 4,
		.max_args = 4,
		.options = bind_options,
		.run = cmd_bind,
	},
	{
		.name = "unbind",
		.usage = "unbind [LABEL] PROTO PREFIX PORTS",
		.summary = "removes a rule",
		.help = "Removes a rule that bind or apply made; with LABEL only if it is that "
			"label's.\n",
		.changes = true,
		.min_args = 3,
		.max_args = 4,
		.run = cmd_unbind,
	},
	{
		.name = "apply",
		.usage = "apply FILE [--dry-run]",
		.summary = "makes the rules those of a file, in one step",
		.help = "Makes the runtime rules exactly those of FILE (-: standard input) and "
			"prints\n"
			"the difference. FILE is rule text, lines of PROTO PREFIX PORTS LABEL, or "
			"the\n"
			"bindings.json of tubular. With a bad line nothing changes.\n"
			"  --dry-run  only print what would change\n",
		.changes = true,
		.min_args = 1,
		.max_args = 1,
		.options = apply_options,
		.run = cmd_apply,
	},
	{
		.name = "register",
		.usage = "register [LABEL] [--listen-fds | --fd N...] [--main-pid PID] [--replace "
			 "| --add]\n"
			 "register LABEL --pid PID [PROTO ADDR PORT] [--replace | --add]",
		.summary = "hands sockets in",
		.help = "Hands TCP listeners and bound, unconnected UDP sockets to the broker. All "
			"of\n"
			"them are taken, or none.\n"
			"  --listen-fds  those that the service manager passed (the default if it "
			"did);\n"
			"                without LABEL, LISTEN_FDNAMES are the labels\n"
			"  --fd N...     open file descriptors of this process\n"
			"  --pid PID     those of another process, all or the ones bound to ADDR "
			"PORT\n"
			"                (each may be *)\n"
			"  --main-pid PID  who serves them, if not this process: for "
			"WhenEmpty=hold\n"
			"  --replace     the label's sockets are exactly these from now on (the "
			"default)\n"
			"  --add         they join those that are there\n",
		.changes = true,
		.max_args = 4,
		.options = register_options,
		.run = cmd_register,
	},
	{
		.name = "unregister",
		.usage = "unregister LABEL [PROTO]",
		.summary = "takes sockets out",
		.help = "Takes the sockets of LABEL out, those of PROTO (tcp, udp, any) or all. "
			"The\n"
			"services keep them open.\n",
		.changes = true,
		.min_args = 1,
		.max_args = 2,
		.run = cmd_unregister,
	},
	{
		.name = "run",
		.usage = "run LABEL... -- COMMAND...",
		.summary = "runs a service with the sockets that are held for it",
		.help = "Takes the sockets that the broker keeps for the labels (WhenEmpty=hold), "
			"with the\n"
			"connections that wait in them, and executes COMMAND with them by the "
			"convention\n"
			"of systemd's socket activation: LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES "
			"(the labels,\n"
			"with _ for :). Sockets that were passed to this command that way stay in "
			"front.\n",
		.changes = true,
		.min_args = 1,
		.max_args = SIZE_MAX,
		.run = cmd_run,
	},
	{
		.name = "reload",
		.usage = "reload",
		.summary = "has the broker read its configuration anew",
		.help = "Has the broker read sockbroker.conf and the label files anew: all of it "
			"is "
			"taken,\n"
			"or, when there is any error, none, and the first error is said.\n",
		.changes = true,
		.run = cmd_reload,
	},
	{
		.name = "unload",
		.usage = "unload [--yes]",
		.summary = "detaches and unpins everything",
		.help = "Takes the dataplane away and ends the broker: from then on packets go "
			"their\n"
			"ordinary way.\n"
			"  --yes  don't ask\n",
		.changes = true,
		.options = unload_options,
		.run = cmd_unload,
	},
	{ 0 },
};

const struct command *commands_table(void)
{
	return commands;
}

const struct command *commands_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}
