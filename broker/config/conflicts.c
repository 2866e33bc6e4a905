/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/conflicts.h"

#include "broker/config/report.h"

/* A rule and where it stands. The number in the rule is its place in the order of the files. */
struct place {
	struct rule rule;
	const struct config_label *label;
	unsigned line;
};

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* Rules that may not coexist become neighbours: prefix, protocol, width, first port. */
static int by_conflict(const void *pa, const void *pb)
{
	const struct rule *a = &((const struct place *)pa)->rule;
	const struct rule *b = &((const struct place *)pb)->rule;
	int r = rule_compare_prefix(a, b);

	if (r == 0)
		r = compare(a->protocol, b->protocol);
	if (r == 0)
		r = compare(a->port_last - a->port_first, b->port_last - b->port_first);
	if (r == 0)
		r = compare(a->port_first, b->port_first);
	return r ? r : compare(a->number, b->number);
}

static void report_pair(const struct place *a, const struct place *b, struct config_report *report)
{
	const struct place *later = a->rule.number > b->rule.number ? a : b;
	const struct place *earlier = later == a ? b : a;
	char one[RULE_TEXT_MAX], ports[SB_PORTS_TEXT_MAX];
	struct sb_ports range = rule_ports(&earlier->rule);

	rule_format(&later->rule, one);
	if (rule_compare(&a->rule, &b->rule) == 0)
		report_error(report, later->label->path, later->line,
			     "rule %s stands in %s:%u already", one, earlier->label->path,
			     earlier->line);
	else
		report_error(report, later->label->path, later->line,
			     "rule %s overlaps ports %s of %s:%u, a range of the same width", one,
			     sb_ports_format(&range, ports), earlier->label->path, earlier->line);
}

static size_t collect(const struct config *c, struct place *places)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_labels; i++) {
		const struct config_label *l = &c->labels[i];

		for (size_t j = 0; j < l->n_rules; j++, n++) {
			const struct config_rule *r = &l->rules[j];

			places[n].rule = rule_make(r->protocol, &r->prefix, r->ports, (uint32_t)i,
						   RULE_CONFIG);
			places[n].rule.number = (uint32_t)n;
			places[n].label = l;
			places[n].line = r->line;
		}
	}
	return n;
}

void conflicts_report(const struct config *c, struct config_report *report)
{
	_cleanup_free_ struct place *places = NULL;
	size_t n;

	if (c->n_rules < 2)
		return;
	places = calloc(c->n_rules, sizeof(*places));
	if (!places) {
		report_out_of_memory(report);
		return;
	}
	n = collect(c, places);
	qsort(places, n, sizeof(*places), by_conflict);
	for (size_t i = 1; i < n; i++)
		if (rule_conflicts(&places[i - 1].rule, &places[i].rule))
			report_pair(&places[i - 1], &places[i], report);
}
