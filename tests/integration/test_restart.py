#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The broker goes and comes back: traffic flows on, and the next one takes everything over."""

import os
import time

import harness
import load
import sandbox
from harness import BrokerTest, REFUSED, eventually


class Restart(BrokerTest):
    labels = {'filed': 'ListenStream=203.0.113.0/24:80\nWhenEmpty=pass\nAllowUser=%d\n'
                       % sandbox.WEB_UID}

    def furnish(self):
        self.tcp('a')
        self.tcp('b')
        self.udp('c')
        self.tcp('six', '::1')
        self.register('web', 'a', 'b')
        self.register('dns', 'c')
        self.register('web6', 'six')
        self.rule('web', 'tcp', '192.0.2.0/24', '80,8000-8999')
        self.rule('dns', 'udp', '192.0.2.0/25', 'any')
        self.rule('web6', 'tcp', '2001:db8::/32', '80')
        self.rule('empty', 'any', '198.51.100.0/24', 'any')

    def assertTraffic(self):
        met = {self.tcp_reaches('192.0.2.%d' % i, 8000 + i) for i in range(24)}
        self.assertEqual(met, {'a', 'b'})
        self.assertEqual(self.udp_reaches('192.0.2.1', 53), 'c')
        self.assertEqual(self.tcp_reaches('2001:db8::1', 80), 'six')
        self.assertEqual(self.tcp_reaches('198.51.100.1', 80), REFUSED)

    def comes_back(self, end):
        self.furnish()
        self.assertTraffic()
        before = self.snapshot()
        client, server, _ = self.dial('192.0.2.1', 80)
        for _ in range(3):
            end()
            self.assertTraffic()
            self.assertEcho(client, server)
            self.broker.start()
            self.assertTraffic()
            self.assertEqual(self.snapshot(), before)
            self.assertEcho(client, server)
        self.assertOwner()

    def test_sigterm(self):
        self.comes_back(self.broker.stop)

    def test_kill(self):
        self.comes_back(self.broker.kill)

    def test_killed_right_after_ok(self):
        """A reply OK means: durable."""
        self.furnish()
        for i in range(10):
            self.tcp('n%d' % i)
            self.register('l%d' % i, 'n%d' % i)
            self.rule('l%d' % i, 'tcp', '203.0.113.%d' % i, '443')
            self.broker.kill()
            self.assertEqual(self.tcp_reaches('203.0.113.%d' % i, 443), 'n%d' % i)
            self.broker.start()
        for i in range(10):
            self.assertEqual(self.tcp_reaches('203.0.113.%d' % i, 443), 'n%d' % i)
            self.assertEqual(len(self.sockets('l%d' % i)), 1)
        self.unrule('l3', 'tcp', '203.0.113.3', '443')
        self.broker.kill()
        self.broker.start()
        self.assertEqual(self.tcp_reaches('203.0.113.3', 443), REFUSED)
        self.assertNotIn('l3', self.rules_text())

    def test_sockets_that_died_meanwhile(self):
        self.furnish()
        self.broker.kill()
        self.close('a')
        for i in range(8):
            self.assertEqual(self.tcp_reaches('192.0.2.%d' % i, 80), 'b')
        self.broker.start()
        for i in range(8):
            self.assertEqual(self.tcp_reaches('192.0.2.%d' % i, 80), 'b')
        alive = [s for s in self.sockets('web') if s['state'] == 'alive']
        self.assertEqual(len(alive), 1)

    def test_counters_survive(self):
        self.furnish()
        for i in range(6):
            self.tcp_reaches('192.0.2.%d' % i, 80)
        self.broker.kill()
        self.tcp_reaches('192.0.2.1', 80)
        self.broker.start()
        self.assertEqual(self.group('web')['lookups'], '7')

    def test_configuration_changed_meanwhile(self):
        self.furnish()
        self.broker.stop()
        self.broker.label('filed', 'ListenStream=203.0.113.0/25:81\n')
        self.broker.start()
        self.tcp('f')
        self.register('filed', 'f')
        self.assertEqual(self.tcp_reaches('203.0.113.1', 81), 'f')
        self.assertEqual(self.tcp_reaches('203.0.113.1', 80), REFUSED)
        self.assertIn(self.tcp_reaches('192.0.2.1', 80), ('a', 'b'))

    def test_no_connection_lost_over_restarts(self):
        self.furnish()
        for name in 'ab':
            self.addCleanup(load.serve(self.servers[name], name.encode()).destroy)
        clients = [load.connect('192.0.2.', 80, None) for _ in range(2)]
        for child in clients:
            self.addCleanup(child.destroy)
            child.hear()
        for end in (self.broker.kill, self.broker.stop) * 3:
            time.sleep(0.2)
            end()
            time.sleep(0.2)
            self.broker.start()
        for child in clients:
            child.stop()
        answers = load.total([child.hear() for child in clients])
        print(answers)
        self.assertEqual(set(answers), {'a', 'b'}, answers)
        self.assertGreater(sum(answers.values()), 1000)

    def test_second_broker_is_refused(self):
        """Two owners of one set of pins must not be."""
        self.furnish()
        done = harness.subprocess.run(self.broker.command_line(), capture_output=True, text=True,
                                      timeout=harness.TIMEOUT, check=False,
                                      env={**os.environ, **harness.SANITIZER_ENV})
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(done.stderr.strip())
        self.assertTraffic()
        self.assertTrue(self.broker.ask('version').ok)

    def assertStartRefused(self, *words):
        done = harness.subprocess.run(self.broker.command_line(), capture_output=True, text=True,
                                      timeout=harness.TIMEOUT, check=False,
                                      env={**os.environ, **harness.SANITIZER_ENV})
        self.assertNotEqual(done.returncode, 0)
        for word in words + ('sockets are in use', 'start afresh'):
            self.assertIn(word, done.stderr)
        self.assertTraffic()

    def test_state_of_no_use(self):
        """Living sockets are not given up for a state that is lost, damaged or from the future."""
        self.furnish()
        before = self.snapshot()
        self.broker.stop()
        labels = os.path.join(self.broker.state, 'labels')
        os.rename(labels, labels + '.kept')
        self.assertStartRefused('are missing')
        with open(labels + '.kept', encoding='utf-8') as file:
            text = file.read()
        for bad, word in ((text[:-20], 'are damaged'),
                          (text.replace('version=2', 'version=9', 1), 'newer sockbroker')):
            with open(labels, 'w', encoding='utf-8') as file:
                file.write(bad)
            self.assertStartRefused(word)
        os.rename(labels + '.kept', labels)
        self.broker.start()
        self.assertTraffic()
        self.assertEqual(self.snapshot(), before)

    def test_unload_takes_everything_down(self):
        self.furnish()
        self.assertTrue(self.broker.ask('unload').ok)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)
        eventually(lambda: self.broker.process.poll() is not None, 'the broker ends')
        self.broker.stop()
        self.assertFalse(os.path.exists(self.broker.bpffs) and os.listdir(self.broker.bpffs))


class Reload(BrokerTest):
    labels = {'web': 'Description=as it was\nListenStream=192.0.2.0/24:80\n'}

    def setUp(self):
        super().setUp()
        self.tcp('a')
        self.register('web', 'a')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')

    def reload_good(self, sign):
        """Reloads and waits until rule text SIGN is there."""
        self.broker.reload()
        eventually(lambda: sign in self.rules_text(), 'rule %r after the reload' % sign)

    def test_new_label_and_new_rules(self):
        self.broker.label('web', 'ListenStream=192.0.2.0/25:80\nListenStream=192.0.2.0/24:8080\n')
        self.broker.label('more', 'ListenStream=198.51.100.0/24:80\n')
        self.reload_good('more')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 8080), 'a')
        self.assertEqual(self.tcp_reaches('192.0.2.129', 80), REFUSED)
        self.tcp('m')
        self.register('more', 'm')
        self.assertEqual(self.tcp_reaches('198.51.100.1', 80), 'm')

    def test_runtime_rules_stay(self):
        self.rule('web', 'tcp', '203.0.113.7', '443')
        self.broker.label('more', 'ListenStream=198.51.100.0/24:80\n')
        self.reload_good('more')
        self.assertEqual(self.tcp_reaches('203.0.113.7', 443), 'a')

    def test_removed_file_takes_its_rules_along(self):
        self.broker.label('web', None)
        self.broker.label('more', 'ListenStream=198.51.100.0/24:80\n')
        self.reload_good('more')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)

    def test_when_empty_changes(self):
        self.broker.label('web', 'ListenStream=192.0.2.0/24:80\nListenStream=192.0.2.0/24:1\n'
                                 'WhenEmpty=pass\n')
        self.reload_good(' 1 ')
        self.close('a')
        self.tcp('ordinary', '192.0.2.1', 80)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'ordinary')

    def assertKept(self, file, line, *words):
        """A reload with the files as they are now changes nothing, and says where the error is."""
        before, log = self.snapshot(), len(self.broker.log())
        self.broker.label('zz-fine', 'ListenStream=198.51.100.0/24:80\n')
        self.broker.reload()
        place = '%s:%s' % (file, line)
        said = eventually(lambda: place in self.broker.log()[log:] and self.broker.log()[log:],
                          'the log names ' + place)
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(self.snapshot(), before)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')

    def test_unknown_key(self):
        self.broker.label('more', 'ListenStream=203.0.113.1:80\nListenSteam=203.0.113.2:80\n')
        self.assertKept('more.label', 3, 'ListenSteam')

    def test_bad_value(self):
        self.broker.label('more', 'ListenStream=203.0.113.1:80\nWhenEmpty=maybe\n')
        self.assertKept('more.label', 3, 'maybe')

    def test_bad_prefix(self):
        self.broker.label('more', 'ListenStream=203.0.113.1/33:80\n')
        self.assertKept('more.label', 2)

    def test_mapped_prefix(self):
        self.broker.label('more', 'ListenStream=[::ffff:203.0.113.0/120]:80\n')
        self.assertKept('more.label', 2, 'IPv4')

    def test_unknown_user(self):
        self.broker.label('more', 'AllowUser=no-such-user-here\n')
        self.assertKept('more.label', 2, 'no-such-user-here')

    def test_conflict_between_files(self):
        self.broker.label('more', 'ListenStream=192.0.2.0/24:80\n')
        self.assertKept('more.label', 2, 'web')

    def test_bad_main_file(self):
        self.broker.conf('NoSuchKey=1\n')
        self.assertKept('sockbroker.conf', 2, 'NoSuchKey')

    def test_bad_label_name(self):
        self.broker.label('no good', 'ListenStream=203.0.113.1:80\n')
        before = self.snapshot()
        self.broker.label('zz-fine', 'ListenStream=198.51.100.0/24:80\n')
        log = len(self.broker.log())
        self.broker.reload()
        eventually(lambda: 'no good' in self.broker.log()[log:], 'the log names the file')
        self.assertEqual(self.snapshot(), before)

    def test_repaired(self):
        self.broker.label('more', 'ListenStream=nonsense\n')
        self.assertKept('more.label', 2)
        self.broker.label('more', 'ListenStream=203.0.113.1:80\n')
        self.reload_good('203.0.113.1')
        self.assertIn('198.51.100.0/24', self.rules_text())


class Start(harness.unittest.TestCase):
    """A broker that cannot start says which thing is missing, and what to do."""

    def setUp(self):
        self.broker = harness.Broker()
        self.addCleanup(self.broker.destroy)

    def start(self, *arguments, **options):
        done = harness.subprocess.run(self.broker.command_line(*arguments), capture_output=True,
                                      text=True, timeout=harness.TIMEOUT, check=False,
                                      env={**os.environ, **harness.SANITIZER_ENV}, **options)
        self.assertIsNone(harness.SANITIZER.search(done.stderr), done.stderr)
        return done

    def test_bad_configuration(self):
        self.broker.label('web', 'ListenStream=192.0.2.0/24:80\nOops=1\n')
        for arguments in ((), ('--check-config',)):
            done = self.start(*arguments)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn('web.label:3', done.stderr)
            self.assertIn('Oops', done.stderr)

    def test_check_config_good(self):
        self.broker.label('web', 'ListenStream=192.0.2.0/24:80\n')
        done = self.start('--check-config')
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_no_bpffs(self):
        self.broker.bpffs = self.broker.directory + '/not-a-bpffs'
        done = self.start()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('bpf', done.stderr)
        self.broker.bpffs = harness.tempfile.mkdtemp(dir=harness.scratch + '/bpf') + '/x'

    def test_no_privilege(self):
        os.chmod(self.broker.directory, 0o777)
        done = self.start(user=sandbox.WEB_UID, group=sandbox.WEB_UID, extra_groups=[])
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(done.stderr.strip())

    def test_usage(self):
        for arguments in (('--no-such-option',), ('stray',), ('--log-level', 'loud')):
            done = self.start(*arguments)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertTrue(done.stderr.strip())

    def test_version_and_help(self):
        for option, word in (('--version', 'sockbrokerd'), ('--help', '--bpffs')):
            done = self.start(option)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(word, done.stdout)

    def test_another_netns(self):
        """--netns: the rules are the other namespace's; sockets of ours are foreign there."""
        name = 'sockbroker-test-%d' % os.getpid()
        path = '/run/netns/' + name
        harness.subprocess.run(('ip', 'netns', 'add', name), check=True)
        self.addCleanup(harness.subprocess.run, ('ip', 'netns', 'del', name), check=True)
        self.broker.start('--netns', path)
        own = harness.socket.create_server(('127.0.0.1', 0))
        self.addCleanup(own.close)
        self.assertEqual(self.broker.ask('register', LABEL='web', fds=[own]).error, 'EXDEV')
        self.assertEqual(self.broker.ask('version').get('NETNS'), path)
        home = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sandbox.check(sandbox.libc.setns(there, sandbox.CLONE_NEWNET))
            sandbox.ip('link', 'set', 'lo', 'up')
            sandbox.ip('route', 'add', 'local', '192.0.2.0/24', 'dev', 'lo')
            listener = harness.socket.create_server(('127.0.0.1', 0))
            client = harness.socket.socket()
        finally:
            sandbox.check(sandbox.libc.setns(home, sandbox.CLONE_NEWNET))
            os.close(home)
            os.close(there)
        with listener, client:
            self.assertTrue(self.broker.ask('register', LABEL='web', fds=[listener]).ok)
            self.assertTrue(self.broker.ask('bind', LABEL='web', PROTOCOL='tcp',
                                            PREFIX='192.0.2.0/24', PORTS='80').ok)
            client.settimeout(harness.TIMEOUT)
            client.connect(('192.0.2.1', 80))
            listener.accept()[0].close()


if __name__ == '__main__':
    harness.main()
