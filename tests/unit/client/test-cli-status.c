/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status and explain, for people and as JSON. */
#include "tests/unit/client/check.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/commands.h"
#include "tests/unit/client/run-cli.h"

static const char status[] =
	"broker\tversion=0.1.0\tpid=812\tnetns=own\tuptime=3700\trules=2\tlabels=2\tsockets=2"
	"\tlink=17\tprogram=40\tgeneration=3\n"
	"program\tid=39\tname=other\tposition=0\tours=no\n"
	"label\tlabel=web\trules=2\tsockets=2\twhen_empty=drop\torigin=config\tdescription=public "
	"web\n"
	"label\tlabel=api\trules=0\tsockets=0\twhen_empty=pass\torigin=runtime\tdescription=\n"
	"group\tlabel=web\tprotocol=tcp\tfamily=ipv4\tsockets=2\tliving=1\tlookups=1000\tmisses=3"
	"\trespected=0\tdead_slots=5\terr_family=1\terr_protocol=0\terr_state=2\terr_other=0\n"
	"socket\tlabel=web\tprotocol=tcp\tfamily=ipv4\taddress=127.0.0.1:8080\tcookie=4711\tslot=0"
	"\tstate=alive\theld=no\tpid=900\tuid=0\tgid=0\tunit=nginx.service\tsince=1700000000\n"
	"socket\tlabel=web\tprotocol=tcp\tfamily=ipv4\taddress=127.0.0.1:8081\tcookie=4712\tslot=1"
	"\tstate=dead\theld=no\tpid=901\tuid=4294967294\tgid=0\tunit=\tsince=1700000000\n"
	"later\tx=y\n"
	"warning\tlabel=web\ttext=an IPv6 socket can't take IPv4 rules\n";

static void test_status(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer_file("OK=1\n", status), "status");
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(
		r.out,
		"sockbrokerd 0.1.0, pid 812, netns own, up 1 h 1 min\n"
		"2 labels, 2 rules, 2 sockets, link 17, program 40, generation 3\n"
		"\n"
		"PROGRAM  ID  POSITION  OURS\n"
		"other    39         0  no\n"
		"\n"
		"LABEL  RULES  SOCKETS  WHEN EMPTY  ORIGIN   DESCRIPTION\n"
		"web        2        2  drop        config   public web\n"
		"api        0        0  pass        runtime  -\n"
		"\n"
		"LABEL  PROTO  FAMILY  LIVING  LOOKUPS  MISSES  ERRORS  DEAD\n"
		"web    tcp    ipv4       1/2     1000       3       3     5\n"
		"\n"
		"LABEL  PROTO  ADDRESS         COOKIE  SLOT  STATE  HELD  PID  USER        UNIT\n"
		"web    tcp    127.0.0.1:8080    4711     0  alive  no    900  root        "
		"nginx.service\n"
		"web    tcp    127.0.0.1:8081    4712     1  dead   no    901  4294967294  -\n"
		"\n"
		"Dead sockets: 1 of 2; their slots are stepped over\n");
	assert_string_equal(r.err,
			    "sockbroker: warning: web: an IPv6 socket can't take IPv4 rules\n");
	RUN_ONCE(&r, &f, answer_file("OK=1\n", "label\tlabel=web\n"), "status", "web");
	assert_string_equal(f.requests[0].text, "REQUEST=status\nLABEL=web\n");
	assert_string_equal(r.out, "LABEL\nweb\n");
	RUN_ONCE(&r, &f,
		 answer_file("OK=1\n", "label\tlabel=web\twhen_empty=hold\tactivate=nginx.service"
				       "\tactivation=failed\n"),
		 "status", "web");
	assert_non_null(strstr(r.out, "hold, nginx.service failed"));
	setenv("TZ", "UTC", 1);
	RUN_ONCE(&r, &f,
		 answer_file("OK=1\n",
			     "socket\tlabel=web\theld=yes\theld_since=1700000000\twaiting=3"
			     "\thold_left=87\theld_for=87\n"
			     "socket\tlabel=web\theld=yes\twaiting=0\n"),
		 "status", "web");
	assert_non_null(strstr(r.out, "yes since 2023-11-14 22:13:20, 3 waiting, 87 s left"));
	assert_non_null(strstr(r.out, "yes\n"));
	run_free(&r);
}

static json_int_t integer(json_t *object, const char *key)
{
	json_t *v = json_object_get(object, key);

	assert_true(json_is_integer(v));
	return json_integer_value(v);
}

static const char *string(json_t *object, const char *key)
{
	const char *v = json_string_value(json_object_get(object, key));

	assert_non_null(v);
	return v;
}

static void test_status_json(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;
	json_t *doc, *label, *group, *socket;

	RUN_ONCE(&r, &f, answer_file("OK=1\n", status), "status", "--json");
	assert_int_equal(r.status, CLI_DONE);
	doc = json_loads(r.out, 0, NULL);
	assert_int_equal(integer(json_object_get(doc, "broker"), "pid"), 812);
	assert_int_equal(json_array_size(json_object_get(doc, "programs")), 1);
	assert_int_equal(json_array_size(json_object_get(doc, "labels")), 2);
	assert_int_equal(json_array_size(json_object_get(doc, "warnings")), 1);
	assert_null(json_object_get(doc, "later"));
	label = json_array_get(json_object_get(doc, "labels"), 0);
	assert_string_equal(string(label, "label"), "web");
	assert_int_equal(integer(label, "rules"), 2);
	assert_string_equal(string(label, "when_empty"), "drop");
	assert_int_equal(json_array_size(json_object_get(label, "sockets")), 2);
	group = json_array_get(json_object_get(label, "groups"), 0);
	assert_int_equal(integer(group, "lookups"), 1000);
	assert_int_equal(integer(group, "misses"), 3);
	assert_int_equal(integer(group, "errors"), 3);
	assert_int_equal(integer(group, "sockets"), 2);
	socket = json_array_get(json_object_get(label, "sockets"), 1);
	assert_int_equal(integer(socket, "cookie"), 4712);
	assert_int_equal(integer(socket, "slot"), 1);
	assert_true(json_is_false(json_object_get(socket, "held")));
	assert_string_equal(string(socket, "state"), "dead");
	json_decref(doc);
	run_free(&r);
}

static const char explain[] =
	"packet\tprotocol=tcp\taddress=2001:db8::7\tport=80\tfrom_address=2001:db8:1::9\tfrom_port="
	"999\n"
	"rule\tprotocol=tcp\tprefix=2001:db8::/48\tports=80\tlabel=web\torigin=runtime\n"
	"shadowed\tprotocol=tcp\tprefix=2001:db8::/32\tports=any\tlabel=all\torigin=config\n"
	"shadowed\tprotocol=tcp\tprefix=::/0\tports=80\tlabel=rest\torigin=config\n"
	"label\tlabel=web\trules=2\tsockets=1\twhen_empty=drop\torigin=config\tdescription=\n"
	"socket\tlabel=web\tprotocol=tcp\taddress=[::1]:8080\tcookie=4711\tslot=3\tstate=alive"
	"\theld=no\tpid=900\tuid=0\tunit=nginx.service\n"
	"verdict\tverdict=socket\treason=the rule's label has a living socket\tsource=kernel"
	"\tagrees=yes\n";

static void test_explain(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer_file("OK=1\n", explain), "explain", "tcp", "2001:db8::7", "80",
		 "--from", "2001:db8:1::9", "999");
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(f.requests[0].text,
			    "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=2001:db8::7\nPORT=80\n"
			    "FROM_ADDRESS=2001:db8:1::9\nFROM_PORT=999\n");
	assert_string_equal(r.out, "packet    tcp to [2001:db8::7]:80 from [2001:db8:1::9]:999\n"
				   "rule      tcp 2001:db8::/48 80 -> web (runtime)\n"
				   "shadows   tcp 2001:db8::/32 any -> all (config)\n"
				   "          tcp ::/0 80 -> rest (config)\n"
				   "label     web, rules: 2, sockets: 1, when empty: drop\n"
				   "socket    tcp [::1]:8080, cookie 4711, slot 3\n"
				   "          handed in by pid 900, user root, unit nginx.service\n"
				   "verdict   socket (answered by the attached program)\n"
				   "reason    the rule's label has a living socket\n");
	assert_string_equal(r.err, "");
	run_free(&r);
}

static void test_explain_no_rule(void **state)
{
	const char *file = "packet\tprotocol=udp\taddress=192.0.2.7\tport=53"
			   "\tfrom_address=0.0.0.0\tfrom_port=0\n"
			   "verdict\tverdict=pass\treason=no rule\tsource=kernel\tagrees=no\n";
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer_file("OK=1\n", file), "explain", "udp", "192.0.2.7", "53");
	assert_string_equal(r.out, "packet    udp to 192.0.2.7:53\n"
				   "rule      none\n"
				   "verdict   pass (answered by the attached program; the broker's "
				   "model says otherwise)\n"
				   "reason    no rule\n");
	run_free(&r);
}

static void test_explain_json(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;
	json_t *doc;

	RUN_ONCE(&r, &f, answer_file("OK=1\n", explain), "explain", "--json", "tcp", "2001:db8::7",
		 "80");
	doc = json_loads(r.out, 0, NULL);
	assert_string_equal(string(json_object_get(doc, "rule"), "label"), "web");
	assert_int_equal(json_array_size(json_object_get(doc, "shadowed")), 2);
	assert_int_equal(integer(json_object_get(doc, "socket"), "cookie"), 4711);
	assert_int_equal(integer(json_object_get(doc, "packet"), "port"), 80);
	assert_string_equal(string(doc, "verdict"), "socket");
	assert_string_equal(string(doc, "source"), "kernel");
	assert_true(json_is_true(json_object_get(doc, "agrees")));
	json_decref(doc);

	RUN_ONCE(&r, &f, answer_file("OK=1\n", "verdict\tverdict=pass\n"), "--json", "explain",
		 "tcp", "::1", "80");
	doc = json_loads(r.out, 0, NULL);
	assert_true(json_is_null(json_object_get(doc, "rule")));
	assert_true(json_is_null(json_object_get(doc, "socket")));
	assert_int_equal(json_array_size(json_object_get(doc, "shadowed")), 0);
	json_decref(doc);
	run_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),       cmocka_unit_test(test_status_json),
		cmocka_unit_test(test_explain),      cmocka_unit_test(test_explain_no_rule),
		cmocka_unit_test(test_explain_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
