/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DIR/sockbroker.conf and DIR/labels.d/NAME.label -> struct config, or every error with its line.
 * sockbroker.conf(5) and sockbroker.label(5) say what may stand in them.
 *
 * Reading has no effect but opening files and asking for users and groups (NSS, which may block
 * when the system keeps its users on the network). Apart from that it is a function of the files:
 * labels come sorted by name, rules in the order of their lines.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/sockbroker-abi.h"
#include "broker/model/label.h"
#include "broker/model/policy.h"
#include "broker/model/rule.h"

#define CONFIG_FILE_MAX (1024 * 1024) /* bytes of one file */
#define CONFIG_ERRORS_MAX 100         /* errors that are kept; the others are counted */

/* Defaults and the largest values. */
#define CONFIG_LABELS_DEFAULT SB_LABELS_MAX
#define CONFIG_LABELS_MAX SB_LABELS_MAX
#define CONFIG_RULES_DEFAULT 2000000U
#define CONFIG_RULES_MAX 16000000U
#define CONFIG_SOCKETS_DEFAULT LABEL_SOCKETS_DEFAULT
#define CONFIG_SOCKETS_MAX (4 * SB_GROUP_SLOTS_MAX) /* TCP and UDP, IPv4 and IPv6 */
#define CONFIG_CONNECTIONS_DEFAULT 1024U
#define CONFIG_CONNECTIONS_MAX 65536U
#define CONFIG_CONNECTIONS_PER_USER_DEFAULT 128U
#define CONFIG_REPLY_MEMORY_DEFAULT (512ULL << 20)
#define CONFIG_REPLY_RATE_DEFAULT (1ULL << 30)
#define CONFIG_REPLY_MIN (1ULL << 20)
#define CONFIG_REPLY_MAX (1ULL << 40)
#define CONFIG_REQUEST_TIMEOUT_DEFAULT_US 10000000ULL
#define CONFIG_REQUEST_TIMEOUT_MIN_US 100000ULL
#define CONFIG_REQUEST_TIMEOUT_MAX_US 3600000000ULL
#define CONFIG_HOLD_TIMEOUT_DEFAULT_US LABEL_HOLD_TIMEOUT_DEFAULT_US
#define CONFIG_HOLD_TIMEOUT_MIN_US 100000ULL
#define CONFIG_HOLD_TIMEOUT_MAX_US 86400000000ULL
#define CONFIG_TRIGGER_INTERVAL_DEFAULT_US LABEL_TRIGGER_INTERVAL_DEFAULT_US
#define CONFIG_TRIGGER_INTERVAL_MAX_US 86400000000ULL
#define CONFIG_TRIGGER_BURST_DEFAULT LABEL_TRIGGER_BURST_DEFAULT
#define CONFIG_TRIGGER_BURST_MAX 1000000U

/* [Broker] */
struct config_broker {
	struct policy_groups groups;       /* AdminGroup=, ReadGroup= */
	unsigned max_labels;               /* MaxLabels=: labels, with a file or without */
	unsigned max_rules;                /* MaxRules=: rules, of files and of bind and apply */
	unsigned max_sockets;              /* MaxSockets=: of a label whose file does not say */
	unsigned max_connections;          /* MaxConnections= */
	unsigned max_connections_per_user; /* MaxConnectionsPerUser= */
	uint64_t max_reply_memory;         /* MaxReplyMemory=: bytes */
	uint64_t max_reply_rate;           /* MaxReplyRate=: bytes a minute and user */
	uint64_t request_timeout_us;       /* RequestTimeout= */
	bool rule_counters;                /* RuleCounters= */
};

/* One rule of a label file; a line with several port ranges makes several. */
struct config_rule {
	int protocol; /* IPPROTO_TCP (ListenStream=) or IPPROTO_UDP (ListenDatagram=) */
	struct sb_prefix prefix;
	struct sb_ports ports;
	unsigned line; /* in the label's path, from 1 */
};

/* One label file. */
struct config_label {
	char name[SB_LABEL_MAX + 1];
	char *path;                /* owned; DIR/labels.d/NAME.label */
	char *description;         /* owned; NULL: none */
	struct config_rule *rules; /* owned; in the order of the file */
	size_t n_rules;
	struct policy policy; /* owned; AllowUser=, AllowGroup=, AllowUnit= resolved */
	unsigned max_sockets; /* MaxSockets=, or that of [Broker] */
	enum when_empty when_empty;
	uint64_t hold_timeout_us;     /* HoldTimeout= */
	char *activate;               /* owned; Activate=, the name of a service unit; NULL: none */
	unsigned activate_line;       /* in the label's path, from 1 */
	uint64_t trigger_interval_us; /* TriggerLimitIntervalSec=; 0: no limit */
	unsigned trigger_burst;       /* TriggerLimitBurst=; 0: no limit */
};

struct config {
	struct config_broker broker;
	struct config_label *labels; /* owned; sorted by name (strcmp) */
	size_t n_labels;
	size_t n_rules; /* of all labels */
};

/* What there is to say about the files. Zero-initialize; config_report_clear() when done. */
struct config_report {
	/* "FILE:LINE: sentence", or "FILE: sentence" when it is about the whole file. No final dot,
	 * no control characters. Sorted by file as it was read, then as found. */
	char **errors;
	size_t n_errors;     /* kept in ERRORS, at most CONFIG_ERRORS_MAX */
	size_t n_all_errors; /* found */
	char **warnings;     /* the same form; files in labels.d that are not read */
	size_t n_warnings;   /* at most CONFIG_ERRORS_MAX */
	bool out_of_memory;  /* something could not even be noted; counts as failure */
};

/*
 * Reads the configuration in DIR. 0 with *RET owned by the caller (config_free()); -EINVAL when
 * REPORT holds errors: *RET is then untouched; or -ENOMEM. REPORT may hold warnings in any case.
 *
 * A DIR, sockbroker.conf or labels.d that does not exist is as good as an empty one. Files must be
 * regular (a symbolic link to a regular file will do); nothing here blocks on a FIFO.
 */
int config_read(const char *dir, struct config **ret, struct config_report *report);

/* All defaults, no labels: what an empty directory gives. NULL: out of memory. */
struct config *config_new(void);
void config_free(struct config *c);
SB_DEFINE_CLEANUP(struct config, config_free)

/* Frees what the report holds, and zeroes it. */
void config_report_clear(struct config_report *report);

/* The label's struct, or NULL. Borrowed. */
const struct config_label *config_find(const struct config *c, const char *name);
