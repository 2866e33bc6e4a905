#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The sockbroker command against a real broker: every verb, good and bad input, exit statuses."""

import json
import os
import subprocess
import sys

import harness
import sandbox
from harness import BrokerTest, REFUSED

DONE, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3
VERBS = ('bind', 'unbind', 'rules', 'apply', 'register', 'unregister', 'status', 'explain',
         'reload', 'unload', 'version', 'help')


class CommandTest(BrokerTest):
    labels = {'filed': 'Description=from a file\nListenStream=203.0.113.0/24:80\n'
                       'AllowUser=%d\n' % sandbox.WEB_UID}

    def does(self, *arguments, **options):
        """Runs the command, which must succeed and say nothing but warnings on stderr; returns its
        output."""
        done = self.broker.command(*arguments, **options)
        said = [line for line in done.stderr.splitlines()
                if not line.startswith('sockbroker: warning: ')]
        self.assertEqual((done.returncode, said), (DONE, []), arguments)
        return done.stdout

    def refused(self, *arguments, status=FAILED, **options):
        """Runs the command, which must fail and change nothing; returns what it said."""
        before = self.snapshot()
        done = self.broker.command(*arguments, **options)
        self.assertEqual(done.returncode, status, (arguments, done.stderr))
        self.assertEqual(done.stdout, '')
        self.assertTrue(done.stderr.startswith('sockbroker: ') or status == FAILED, done.stderr)
        self.assertEqual(self.snapshot(), before)
        if status == FAILED and arguments[0] != 'apply':
            self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        return done.stderr

    def rule_set(self):
        return set(self.rules_text().splitlines())


class General(CommandTest):
    def test_help(self):
        text = self.does('help')
        for verb in VERBS:
            self.assertIn(verb, text)
            self.assertIn('sockbroker ' + verb, self.does('help', verb))
            self.assertEqual(self.does(verb, '--help'), self.does('help', verb))
        self.refused('help', 'no-such-verb', status=USAGE)

    def test_usage_errors(self):
        for arguments in ((), ('no-such-verb',), ('--no-such-option',), ('bind',), ('bind', 'web'),
                          ('bind', 'web', 'tcp', '192.0.2.1', '80', 'more'),
                          ('status', 'a', 'b'), ('rules', '--nonsense'), ('apply',),
                          ('explain', 'tcp'), ('explain', 'tcp', '192.0.2.1', '80', '--from', 'x'),
                          ('register',), ('--socket',)):
            with self.subTest(arguments=arguments):
                done = self.broker.command(*arguments)
                self.assertEqual(done.returncode, USAGE, done.stderr)
                self.assertEqual(done.stdout, '')
                self.assertIn('usage: sockbroker', done.stderr)

    def test_unreachable(self):
        for arguments in (('status',), ('bind', 'web', 'tcp', '192.0.2.1', '80'), ('rules',),
                          ('explain', 'tcp', '192.0.2.1', '80'), ('--json', 'status')):
            done = self.broker.command('--socket', self.broker.directory + '/nobody', *arguments)
            self.assertEqual((done.returncode, done.stdout), (UNREACHABLE, ''))
            self.assertIn('/nobody', done.stderr)
            self.assertEqual(done.stderr.count('\n'), 1)

    def test_version(self):
        self.assertIn('sockbroker', self.does('version'))
        self.assertIn('sockbroker', self.does('--version'))
        self.assertIsInstance(self.broker.json('version'), dict)

    def test_closed_output(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run((harness.scratch + '/build/client/sockbroker', '--socket',
                               self.broker.socket, 'status'), stdout=writer,
                              stderr=subprocess.PIPE, check=False)
        os.close(writer)
        self.assertNotEqual(done.returncode, 0)


class Rules(CommandTest):
    def test_bind_and_unbind(self):
        self.does('bind', 'web', 'tcp', '192.0.2.0/24', '80')
        self.assertIn('tcp 192.0.2.0/24 80 web', self.rule_set())
        self.does('bind', 'web', 'any', '2001:db8::/32', '80,443,8000-8999')
        self.does('bind', 'dns', 'udp', '192.0.2.53', 'any')
        self.tcp('a')
        self.tcp('six', '::1')
        self.udp('d')
        self.register('web', 'a', 'six')
        self.register('dns', 'd')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.assertEqual(self.tcp_reaches('2001:db8::1', 8500), 'six')
        self.assertEqual(self.udp_reaches('192.0.2.53', 53), 'd')
        self.does('unbind', 'web', 'tcp', '192.0.2.0/24', '80')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)
        self.does('unbind', 'udp', '192.0.2.53/32', '*')
        self.assertEqual(self.udp_reaches('192.0.2.53', 53), REFUSED)
        self.does('unbind', 'any', '2001:db8::/32', '80,443,8000-8999')
        self.assertNotIn('web', self.rules_text())

    def test_any_port_has_three_spellings(self):
        for ports in ('any', '*', '0'):
            self.does('bind', 'web', 'tcp', '192.0.2.1', ports)
            self.assertIn('tcp 192.0.2.1/32 any web', self.rule_set())
            self.does('unbind', 'web', 'tcp', '192.0.2.1', ports)

    def test_bits_behind_the_prefix_are_cleared(self):
        self.does('bind', 'web', 'tcp', '192.0.2.77/24', '80')
        self.assertIn('tcp 192.0.2.0/24 80 web', self.rule_set())

    def test_again_is_fine(self):
        for _ in range(2):
            self.does('bind', 'web', 'tcp', '192.0.2.0/24', '80')
        self.assertEqual(self.broker.json('bind', 'web', 'tcp', '192.0.2.0/24', '80'),
                         {'label': 'web', 'added': 0, 'moved': 0, 'unchanged': 1})

    def test_bad_input(self):
        for words, hint in ((('web', 'icmp', '192.0.2.1', '80'), 'icmp'),
                            (('web', 'tcp', '192.0.2', '80'), '192.0.2'),
                            (('web', 'tcp', '192.0.2.1/33', '80'), '33'),
                            (('web', 'tcp', '2001:db8::/129', '80'), '129'),
                            (('web', 'tcp', '::ffff:192.0.2.1', '80'), 'IPv4'),
                            (('web', 'tcp', '::ffff:192.0.2.0/120', '80'), 'IPv4'),
                            (('web', 'tcp', 'example.org', '80'), 'example.org'),
                            (('web', 'tcp', '192.0.2.1', '65536'), '65536'),
                            (('web', 'tcp', '192.0.2.1', '90-80'), '90'),
                            (('web', 'tcp', '192.0.2.1', '80,80'), '80'),
                            (('web', 'tcp', '192.0.2.1', 'http'), 'http'),
                            (('no good', 'tcp', '192.0.2.1', '80'), 'no good'),
                            (('', 'tcp', '192.0.2.1', '80'), '')):
            with self.subTest(words=words):
                self.assertIn(hint, self.refused('bind', *words))

    def test_conflicts_name_the_other_label(self):
        self.does('bind', 'web', 'tcp', '192.0.2.0/24', '80')
        self.does('bind', 'web', 'tcp', '192.0.2.0/24', '8000-8009')
        self.assertIn('web', self.refused('bind', 'other', 'tcp', '192.0.2.0/24', '80'))
        # equal width, overlapping: neither is the narrower one
        said = self.refused('bind', 'other', 'tcp', '192.0.2.0/24', '8005-8014')
        self.assertIn('web', said)
        self.assertIn('8000-8009', said)
        # a rule that differs in any of these stands beside it
        for words in (('tcp', '192.0.2.0/24', '8000-8004'), ('tcp', '192.0.2.0/25', '80'),
                      ('udp', '192.0.2.0/24', '80'), ('tcp', '192.0.2.0/24', '81')):
            self.does('bind', 'other', *words)

    def test_conflict_refuses_the_whole_list(self):
        self.does('bind', 'web', 'tcp', '192.0.2.0/24', '443')
        self.refused('bind', 'other', 'any', '192.0.2.0/24', '80,443')

    def test_move(self):
        self.tcp('a')
        self.tcp('b')
        self.register('web', 'a')
        self.register('other', 'b')
        self.does('bind', 'web', 'tcp', '192.0.2.0/24', '80')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        answer = self.broker.json('bind', '--move', 'other', 'tcp', '192.0.2.0/24', '80')
        self.assertEqual(answer['moved'], 1)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'b')
        self.assertNotIn('tcp 192.0.2.0/24 80 web', self.rule_set())

    def test_unbind_what_is_not_there(self):
        self.does('bind', 'web', 'tcp', '192.0.2.0/24', '80')
        self.assertIn('192.0.2.9', self.refused('unbind', 'tcp', '192.0.2.9', '80'))
        self.refused('unbind', 'other', 'tcp', '192.0.2.0/24', '80')
        self.refused('unbind', 'udp', '192.0.2.0/24', '80')

    def test_rules_of_the_configuration_stay(self):
        said = self.refused('unbind', 'filed', 'tcp', '203.0.113.0/24', '80')
        self.assertIn('filed', said)
        self.refused('bind', 'other', 'tcp', '203.0.113.0/24', '80')
        self.refused('bind', '--move', 'other', 'tcp', '203.0.113.0/24', '80')

    def test_list_is_most_specific_first(self):
        for words in (('0.0.0.0/0', '80'), ('192.0.2.0/24', 'any'), ('192.0.2.0/24', '80'),
                      ('192.0.2.0/24', '1-1000'), ('192.0.2.1', 'any')):
            self.does('bind', 'web', 'tcp', *words)
        rules = [(r['prefix'], r['ports']) for r in self.broker.json('rules', 'web')['rules']]
        self.assertEqual(rules, [('192.0.2.1/32', 'any'), ('192.0.2.0/24', '80'),
                                 ('192.0.2.0/24', '1-1000'), ('192.0.2.0/24', 'any'),
                                 ('0.0.0.0/0', '80')])
        text = self.does('rules')
        self.assertLess(text.index('192.0.2.1/32'), text.index('192.0.2.0/24'))
        self.assertIn('filed', text)
        self.assertNotIn('filed', self.does('rules', 'web'))
        origins = {r['label']: r['origin'] for r in self.broker.json('rules')['rules']}
        self.assertEqual(origins, {'web': 'runtime', 'filed': 'config'})

    def test_unprivileged(self):
        self.assertIn('192.0.2.1', self.refused('bind', 'web', 'tcp', '192.0.2.1', '80',
                                                uid=sandbox.OTHER_UID) + '192.0.2.1')
        self.does('rules', uid=sandbox.OTHER_UID)
        self.does('status', uid=sandbox.OTHER_UID)
        self.does('explain', 'tcp', '192.0.2.1', '80', uid=sandbox.OTHER_UID)


class Apply(CommandTest):
    TEXT = ('# rules of the edge\n\n'
            'tcp 192.0.2.0/24 80 web   # the site\n'
            'any 2001:db8::/32 8000-8999 web\n'
            'udp 198.51.100.0/24 any dns\n')

    def apply(self, text, *options):
        return self.does('apply', '-', *options, input=text)

    def test_file(self):
        path = self.broker.directory + '/rules'
        with open(path, 'w', encoding='utf-8') as file:
            file.write(self.TEXT)
        self.assertIn('4 added', self.does('apply', path))
        self.assertIn('tcp 192.0.2.0/24 80 web', self.rule_set())
        self.assertIn('0 added, 0 removed, 0 moved', self.does('apply', path))
        self.assertIn(path + '/no', self.refused('apply', path + '/no'))

    def test_rules_text_changes_nothing(self):
        self.apply(self.TEXT)
        before = self.snapshot()
        text = self.does('rules', '--text')
        answer = json.loads(self.does('--json', 'apply', '-', input=text))
        self.assertEqual((answer['added'], answer['removed'], answer['moved']), (0, 0, 0))
        self.assertEqual(self.snapshot(), before)

    def test_exactly_these(self):
        self.apply(self.TEXT)
        self.tcp('a')
        self.register('new', 'a')
        answer = json.loads(self.does('--json', 'apply', '-', input=(
            'tcp 192.0.2.0/24 80 new\nudp 198.51.100.0/24 any dns\ntcp 192.0.2.9 443 new\n')))
        self.assertEqual({k: answer[k] for k in ('added', 'removed', 'moved')},
                         {'added': 1, 'removed': 2, 'moved': 1})
        changes = {(c['change'], c['prefix'], c['label']) for c in answer['changes']}
        self.assertIn(('moved', '192.0.2.0/24', 'new'), changes)
        self.assertIn(('removed', '2001:db8::/32', 'web'), changes)
        self.assertIn(('added', '192.0.2.9/32', 'new'), changes)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.assertEqual(self.tcp_reaches('192.0.2.9', 443), 'a')
        self.assertEqual(self.tcp_reaches('2001:db8::1', 8000), REFUSED)

    def test_empty_removes_all_runtime_rules(self):
        self.apply(self.TEXT)
        self.apply('')
        self.assertEqual({line.split()[-1] for line in self.rule_set()}, {'filed'})

    def test_dry_run(self):
        self.apply(self.TEXT)
        before = self.snapshot()
        self.assertIn('1 added, 4 removed', self.apply('tcp 192.0.2.9 443 new\n', '--dry-run'))
        self.assertTrue(json.loads(self.does('--json', 'apply', '-', '--dry-run', input=''))
                        ['dry_run'])
        self.assertEqual(self.snapshot(), before)

    def test_bad_lines(self):
        self.apply(self.TEXT)
        for line, hint in (('tcp 192.0.2.0/24 80', ''), ('icmp 192.0.2.1 80 web', 'icmp'),
                           ('tcp 192.0.2.1/40 80 web', '40'), ('tcp 192.0.2.1 80 web more', 'more'),
                           ('tcp 192.0.2.1 99999 web', '99999'),
                           ('tcp ::ffff:192.0.2.1 80 web', 'IPv4'),
                           ('tcp 192.0.2.1 80 no/good', 'no/good')):
            with self.subTest(line=line):
                said = self.refused('apply', '-', input='tcp 192.0.2.200 80 web\n\n%s\n' % line)
                self.assertIn(':3: ', said)
                self.assertIn(hint, said)

    def test_all_bad_lines_at_once(self):
        said = self.refused('apply', '-', input='tcp 192.0.2.1 80 web\nbad\nudp x 1 y\nworse\n')
        for line in (2, 3, 4):
            self.assertIn(':%d: ' % line, said)

    def test_conflict_within_the_file(self):
        said = self.refused('apply', '-', input=(
            'tcp 192.0.2.1 80 web\ntcp 192.0.2.2 80 x\ntcp 192.0.2.1 80 other\n'))
        self.assertIn(':3: rule tcp 192.0.2.1/32 80 of label other is in conflict with line 1, '
                      'which gives it to label web', said)

    def test_conflicts_among_bad_lines(self):
        said = self.refused('apply', '-', input=(
            'tcp 192.0.2.1 80 web\nbad\ntcp 192.0.2.1 80 x\ntcp 192.0.2.1 80 y\n'))
        for line in (2, 3, 4):
            self.assertIn(':%d: ' % line, said)

    def test_repeated_lines(self):
        self.assertIn('1 added', self.apply('tcp 192.0.2.1 80 web\ntcp 192.0.2.1 80 web\n'))
        self.assertEqual(len([line for line in self.rule_set() if '192.0.2.1' in line]), 1)

    def test_conflict_with_the_configuration(self):
        said = self.refused('apply', '-', input='tcp 203.0.113.0/24 80 other\n')
        self.assertIn('filed', said)

    def test_bindings_of_tubular(self):
        path = self.broker.directory + '/bindings.json'
        with open(path, 'w', encoding='utf-8') as file:
            json.dump({'bindings': [
                {'label': 'web', 'prefix': '192.0.2.0/24', 'port': 80},
                {'label': 'all', 'prefix': '2001:db8::/32', 'port': 0}]}, file)
        self.does('apply', path)
        self.assertLessEqual({'tcp 192.0.2.0/24 80 web', 'udp 192.0.2.0/24 80 web',
                              'tcp 2001:db8::/32 any all', 'udp 2001:db8::/32 any all'},
                             self.rule_set())

    def test_long_file(self):
        text = ''.join('tcp 10.%d.%d.0/24 80 l%d\n' % (i >> 8, i & 255, i % 50)
                       for i in range(20000))
        self.assertIn('20000 added', self.apply(text))
        self.assertIn('0 added, 0 removed', self.apply(self.does('rules', '--text').replace(
            'tcp 203.0.113.0/24 80 filed\n', '')))
        self.assertIn('20000 removed', self.apply(''))


class Sockets(CommandTest):
    def setUp(self):
        super().setUp()
        self.rule('web', 'any', '192.0.2.0/24', '80')

    def test_register_fds(self):
        first, second = self.tcp('a').fileno(), self.udp('b').fileno()
        self.does('register', 'web', '--fd', str(first), str(second), pass_fds=(first, second))
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.assertEqual(self.udp_reaches('192.0.2.1', 80), 'b')
        third = self.tcp('c').fileno()
        self.does('register', 'web', '--add', '--fd', str(third), pass_fds=(third,))
        met = {self.tcp_reaches('192.0.2.%d' % i, 80) for i in range(24)}
        self.assertEqual(met, {'a', 'c'})
        self.does('register', 'web', '--replace', '--fd', str(third), pass_fds=(third,))
        self.assertEqual({self.tcp_reaches('192.0.2.%d' % i, 80) for i in range(16)}, {'c'})

    def test_register_bad_fds(self):
        self.assertIn('99', self.refused('register', 'web', '--fd', '99'))
        self.assertIn('not a socket', self.refused('register', 'web', '--fd', '0'))
        bound = self.bound(harness.socket.SOCK_STREAM, '127.0.0.1', 0).fileno()
        self.assertIn('listen', self.refused('register', 'web', '--fd', str(bound),
                                             pass_fds=(bound,)))

    def listen_fds(self, names, *arguments, socket_names='ab', pid=None):
        """Runs the command as a service manager would: sockets from 3 on, and the environment."""
        fds = [self.servers[n].fileno() for n in socket_names]
        pid = '$$' if pid is None else pid
        script = ('import os, sys\n'
                  'fds = [os.dup(int(f)) for f in sys.argv[1].split(",")]\n'
                  'fds = [__import__("fcntl").fcntl(f, 0, 100) for f in fds]\n'
                  'for i, f in enumerate(fds): os.dup2(f, 3 + i)\n'
                  'os.environ["LISTEN_PID"] = os.environ["LISTEN_PID"].replace("$$", '
                  'str(os.getpid()))\n'
                  'os.execv(sys.argv[2], sys.argv[2:])\n')
        environment = {**os.environ, **harness.SANITIZER_ENV, 'LISTEN_PID': pid,
                       'LISTEN_FDS': str(len(fds)), 'SOCKBROKER_SOCKET': self.broker.socket}
        if names:
            environment['LISTEN_FDNAMES'] = names
        return subprocess.run(
            (sys.executable, '-c', script, ','.join(map(str, fds)),
             harness.scratch + '/build/client/sockbroker', 'register') + arguments,
            capture_output=True, text=True, env=environment, pass_fds=fds, check=False)

    def test_listen_fds_under_one_label(self):
        self.tcp('a')
        self.udp('b')
        done = self.listen_fds(None, 'web', '--listen-fds')
        self.assertEqual((done.returncode, done.stderr), (DONE, ''))
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.assertEqual(self.udp_reaches('192.0.2.1', 80), 'b')

    def test_listen_fdnames_are_the_labels(self):
        self.tcp('a')
        self.udp('b')
        done = self.listen_fds('web:dns')
        self.assertEqual((done.returncode, done.stderr), (DONE, ''))
        self.assertEqual([s['protocol'] for s in self.sockets('web')], ['tcp'])
        self.assertEqual([s['protocol'] for s in self.sockets('dns')], ['udp'])

    def test_listen_fds_of_another_process(self):
        self.tcp('a')
        self.udp('b')
        before = self.snapshot()
        done = self.listen_fds(None, 'web', '--listen-fds', pid='1')
        self.assertNotEqual(done.returncode, DONE)
        self.assertTrue(done.stderr)
        self.assertEqual(self.snapshot(), before)

    def server_process(self, uid=None, far=False):
        """A process with a TCP and a UDP socket; (process, tcp port, udp port)."""
        script = ('import fcntl, os, socket, sys\n'
                  't = socket.create_server(("127.0.0.1", 0))\n'
                  'u = socket.socket(type=socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0))\n'
                  'b = socket.socket(); b.bind(("127.0.0.1", 0))\n'
                  'c = socket.create_connection(t.getsockname())\n'
                  'if %r: fcntl.fcntl(t.fileno(), 0, 15000)\n'
                  'print(t.getsockname()[1], u.getsockname()[1], flush=True)\n'
                  'sys.stdin.read()\n' % far)
        identity = {} if uid is None else {'user': uid, 'group': uid, 'extra_groups': []}
        process = subprocess.Popen(('/usr/bin/python3', '-c', script), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, **identity)
        self.addCleanup(process.communicate)
        return (process, *map(int, process.stdout.readline().split()))

    def test_register_of_another_process(self):
        process, tcp_port, udp_port = self.server_process(far=True)
        self.does('register', 'web', '--pid', str(process.pid))
        addresses = {(s['protocol'], s['address']) for s in self.sockets('web')}
        self.assertEqual(addresses, {('tcp', '127.0.0.1:%d' % tcp_port),
                                     ('udp', '127.0.0.1:%d' % udp_port)})
        self.does('unregister', 'web')
        self.does('register', 'web', '--pid', str(process.pid), 'udp', '127.0.0.1', str(udp_port))
        self.assertEqual([s['protocol'] for s in self.sockets('web')], ['udp'])
        self.assertIn(str(process.pid), self.refused('register', 'web', '--pid', str(process.pid),
                                                     'tcp', '192.0.2.200', '1'))

    def test_register_of_a_process_that_is_not(self):
        self.assertIn('4194000', self.refused('register', 'web', '--pid', '4194000'))
        self.refused('register', 'web', '--pid', 'x', status=USAGE)

    def test_unprivileged_registers_its_own_process(self):
        process, _, _ = self.server_process(uid=sandbox.WEB_UID)
        self.does('register', 'filed', '--pid', str(process.pid), uid=sandbox.WEB_UID)
        self.assertEqual({s['uid'] for s in self.sockets('filed')}, {str(sandbox.WEB_UID)})
        said = self.refused('register', 'web', '--pid', str(process.pid), uid=sandbox.WEB_UID)
        self.assertIn('web', said)
        # and not a process of someone else
        self.refused('register', 'filed', '--pid', str(os.getpid()), uid=sandbox.WEB_UID)

    def test_unregister(self):
        self.tcp('a')
        self.udp('b')
        self.register('web', 'a', 'b')
        self.does('unregister', 'web', 'udp')
        self.assertEqual([s['protocol'] for s in self.sockets('web')], ['tcp'])
        self.does('unregister', 'web')
        self.assertEqual(self.sockets('web'), [])
        self.assertIn('nobody', self.refused('unregister', 'nobody'))


class Json(CommandTest):
    def test_every_verb(self):
        fd = self.tcp('a').fileno()
        for words in (('version',), ('status',), ('status', 'filed'), ('rules',),
                      ('bind', 'web', 'any', '192.0.2.0/24', '80,443'),
                      ('explain', 'udp', '192.0.2.1', '80'), ('rules', 'web'),
                      ('register', 'web', '--fd', str(fd)), ('unregister', 'web', 'tcp'),
                      ('unbind', 'any', '192.0.2.0/24', '80'), ('reload',), ('unload', '--yes')):
            with self.subTest(words=words):
                self.assertIsInstance(self.broker.json(*words, pass_fds=(fd,)), dict)
        harness.eventually(lambda: self.broker.process.poll() is not None, 'the broker ends')

    def test_refusals_are_not_json(self):
        done = self.broker.command('--json', 'unbind', 'tcp', '192.0.2.9', '80')
        self.assertEqual((done.returncode, done.stdout), (FAILED, ''))
        self.assertIn('192.0.2.9', done.stderr)


class Reading(CommandTest):
    def setUp(self):
        super().setUp()
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        self.rule('wide', 'tcp', '192.0.0.0/8', 'any')
        self.rule('empty', 'any', '198.51.100.0/24', 'any')
        self.tcp('a')
        self.register('web', 'a')

    def test_status(self):
        text = self.does('status')
        for word in ('web', 'wide', 'empty', 'filed', '127.0.0.1:%d'
                     % self.servers['a'].getsockname()[1]):
            self.assertIn(word, text)
        one = self.does('status', 'web')
        self.assertIn('web', one)
        self.assertNotIn('filed', one)
        self.assertIn('nobody', self.refused('status', 'nobody'))

    def test_status_json(self):
        document = self.broker.json('status')
        found = list(walk(document))
        label = next(d for d in found if d.get('label') == 'web' and 'when_empty' in d)
        self.assertEqual((label['when_empty'], label['rules']), ('drop', 1))
        sock = next(d for d in found if 'cookie' in d)
        self.assertEqual((sock['protocol'], sock['pid'], sock['uid']), ('tcp', os.getpid(), 0))
        self.assertIn('held', sock)
        self.assertTrue(any('lookups' in d and d['misses'] == 0 for d in found))

    def test_explain_socket(self):
        text = self.does('explain', 'tcp', '192.0.2.7', '80')
        for word in ('192.0.2.0/24', 'web', '192.0.0.0/8', 'wide', '127.0.0.1:%d'
                     % self.servers['a'].getsockname()[1]):
            self.assertIn(word, text)
        document = self.broker.json('explain', 'tcp', '192.0.2.7', '80')
        self.assertEqual(document['verdict'], 'socket')
        self.assertIn('reason', document)
        self.assertEqual(document['rule']['prefix'], '192.0.2.0/24')
        self.assertEqual([r['prefix'] for r in document['shadowed']], ['192.0.0.0/8'])
        self.assertTrue(document['agrees'])
        self.assertEqual(document['source'], 'kernel')

    def test_explain_says_what_a_packet_meets(self):
        self.tcp('b')
        self.register('web', 'b', mode='add')
        for i in range(24):
            port = 20000 + i
            told = self.broker.json('explain', 'tcp', '192.0.2.7', '80', '--from', '192.0.2.99',
                                    str(port))
            client = self.bound(harness.socket.SOCK_STREAM, '192.0.2.99', port)
            client.connect(('192.0.2.7', 80))
            ready = harness.select.select(list(self.servers.values()), [], [], 10)[0]
            ready[0].accept()[0].close()
            self.assertEqual(told['socket']['address'],
                             '127.0.0.1:%d' % ready[0].getsockname()[1])

    def test_explain_drop_and_pass(self):
        for words, verdict in ((('tcp', '198.51.100.1', '80'), 'drop'),
                               (('udp', '198.51.100.1', '80'), 'drop'),
                               (('tcp', '203.0.113.1', '80'), 'drop'),
                               (('tcp', '203.0.113.1', '81'), 'pass'),
                               (('udp', '192.0.2.1', '80'), 'pass'),
                               (('tcp', '2001:db8::1', '80'), 'pass')):
            with self.subTest(words=words):
                document = self.broker.json('explain', *words)
                self.assertEqual(document['verdict'], verdict)
                self.assertTrue(document['reason'])
                self.assertTrue(self.does('explain', *words))

    def test_explain_counts_nothing(self):
        for _ in range(5):
            self.does('explain', 'tcp', '192.0.2.7', '80')
        self.assertEqual(self.group('web')['lookups'], '0')

    def test_explain_bad_input(self):
        for words in (('icmp', '192.0.2.1', '80'), ('any', '192.0.2.1', '80'),
                      ('tcp', '192.0.2.0/24', '80'), ('tcp', 'nowhere', '80'),
                      ('tcp', '192.0.2.1', '0'), ('tcp', '192.0.2.1', '80-81'),
                      ('tcp', '192.0.2.1', '80', '--from', '2001:db8::1', '1')):
            with self.subTest(words=words):
                done = self.broker.command('explain', *words)
                self.assertIn(done.returncode, (FAILED, USAGE))
                self.assertTrue(done.stderr.startswith('sockbroker: '))

    def test_reload(self):
        rules = self.does('rules', '--text')
        self.broker.label('more', 'ListenStream=203.0.113.0/25:80\n')
        self.refused('reload', uid=sandbox.OTHER_UID)
        self.assertEqual(self.does('rules', '--text'), rules)
        self.does('reload')
        more = self.does('rules', '--text')
        self.assertIn('203.0.113.0/25', more)
        self.broker.label('more', 'ListenStream=203.0.113.0/26:80\nListenStream=nonsense\n')
        self.broker.label('wrong', 'Colour=blue\n')
        said = self.refused('reload')
        self.assertIn("more.label:3: ListenStream=: 'nonsense'", said)
        self.assertIn('(and 1 more, in the log)', said)
        self.assertEqual(self.does('rules', '--text'), more)

    def test_unload(self):
        asked = self.broker.command('unload', input='n\n')
        self.assertNotEqual(asked.returncode, DONE)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.refused('unload', '--yes', uid=sandbox.OTHER_UID)
        self.does('unload', '--yes')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)
        harness.eventually(lambda: self.broker.process.poll() is not None, 'the broker ends')


def walk(value):
    """Every object in a JSON document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from walk(item)


if __name__ == '__main__':
    harness.main()
