#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another version takes over under load: a made-up next one (tests/next), in which everything but the
sockmap has another shape. No connection fails or reaches the wrong server, and each is counted."""

import os

import harness
import killed
import load
from harness import BrokerTest, REFUSED

CONNECTIONS = 20000


class Versions(BrokerTest):
    labels = {'filed': 'ListenStream=203.0.113.0/24:80\nWhenEmpty=pass\n'}

    def setUp(self):
        super().setUp()
        self.this = self.broker.program
        self.next = harness.scratch + '/build/tests/next/sockbrokerd-next'
        self.web = [self.tcp('a'), self.tcp('b')]
        self.udp('c')
        self.tcp('six', '::1')
        self.furnish()

    def furnish(self):
        self.ask('register', LABEL='web', fds=self.web)
        self.register('dns', 'c')
        self.register('web6', 'six')
        self.rule('web', 'tcp', '192.0.2.0/24', '80,8000-8999')
        self.rule('dns', 'udp', '192.0.2.0/25', 'any')
        self.rule('web6', 'tcp', '2001:db8::/32', '80')
        self.rule('empty', 'any', '198.51.100.0/24', 'any')

    def serve(self):
        """From here on a and b answer by themselves."""
        for name in 'ab':
            self.addCleanup(load.serve(self.servers.pop(name).dup(), name.encode()).destroy)

    def upgrade(self):
        self.broker.program = self.next
        self.broker.start()

    def abi(self):
        return int(self.ask('version').get('ABI'))

    def assertServed(self, answers):
        print(answers)
        self.assertEqual(set(answers), {'a', 'b'})
        self.assertGreaterEqual(sum(answers.values()), CONNECTIONS)

    def assertOthers(self):
        self.assertEqual(self.udp_reaches('192.0.2.1', 53), 'c')
        self.assertEqual(self.tcp_reaches('2001:db8::1', 80), 'six')
        self.assertEqual(self.tcp_reaches('198.51.100.1', 80), REFUSED)
        self.tcp('ordinary', '203.0.113.1', 80)
        self.assertEqual(self.tcp_reaches('203.0.113.1', 80), 'ordinary')
        self.close('ordinary')


class Upgrade(Versions):
    def taken_over(self, end):
        before, abi = self.snapshot(), self.abi()
        self.serve()
        with load.under_way('192.0.2.', 80, CONNECTIONS) as answers:
            end()
            self.upgrade()
        self.assertServed(answers)
        self.assertEqual(self.snapshot(), before)
        self.assertEqual(self.abi(), abi + 1)
        self.assertEqual(int(self.group('web')['lookups']), sum(answers.values()))
        self.assertEqual(self.group('web')['misses'], '0')
        self.assertOthers()
        # The next start finds what it knows.
        self.broker.kill()
        self.assertOthers()
        self.broker.start()
        self.assertEqual(self.snapshot(), before)
        self.assertOwner()

    def test_sigterm(self):
        self.taken_over(self.broker.stop)

    def test_kill(self):
        self.taken_over(self.broker.kill)

    def test_no_way_back(self):
        before, abi = self.snapshot(), self.abi()
        self.serve()
        with load.under_way('192.0.2.', 80, CONNECTIONS) as answers:
            self.broker.stop()
            self.upgrade()
            self.broker.stop()
            self.broker.program = self.this
            pins = sorted(os.listdir(self.broker.bpffs))
            said = self.broker.refused()
            self.assertRegex(said, r'made by a newer sockbroker \(ABI %d, this one knows %d\): nothing '
                             'was touched and traffic goes on; start the newer sockbrokerd again'
                             % (abi + 1, abi))
            self.assertEqual(sorted(os.listdir(self.broker.bpffs)), pins)
            self.upgrade()
        self.assertServed(answers)
        self.assertEqual(self.snapshot(), before)
        self.assertOthers()
        # but from nothing
        self.assertTrue(self.broker.ask('unload').ok)
        harness.eventually(lambda: self.broker.process.poll() is not None, 'it ends')
        self.broker.stop()
        self.broker.program = self.this
        self.broker.start()
        self.assertEqual(self.abi(), abi)
        self.furnish()
        self.assertOthers()

    def test_room_of_the_next_version(self):
        """More labels than this version can number."""
        self.broker.stop()
        self.broker.conf('MaxLabels=8192\n')
        self.upgrade()
        rules = self.rules_text() + ''.join('tcp 198.51.100.1 %d l%d\n' % (10000 + i, i)
                                            for i in range(5000))
        self.assertEqual(self.broker.command('apply', '-', input=rules).returncode, 0)
        self.tcp('far')
        self.register('l4999', 'far')
        for _ in range(2):
            self.assertEqual(self.tcp_reaches('198.51.100.1', 14999), 'far')
            self.assertOthers()
            self.broker.kill()
            self.broker.start()
        self.assertEqual(len(self.sockets('l4999')), 1)


class Killed(Versions):
    """The next version is killed on its way, before each call in turn that others could notice."""

    def setUp(self):
        super().setUp()
        self.number = 0

    def start_anew(self):
        """Another broker of this version with pins of its own takes over from the one before: it
        attaches behind it, and comes into force when that one is unloaded."""
        former, self.broker = self.broker, harness.Broker()
        self.addCleanup(self.broker.destroy)
        self.broker.label('filed', self.labels['filed'])
        self.broker.start()
        self.furnish()
        self.assertTrue(former.ask('unload').ok)
        former.process.wait(harness.TIMEOUT)
        former.stop()

    def kill_next(self, n):
        self.broker.kill()
        self.broker.program = self.next
        log = len(self.broker.log())
        return killed.before_call(self.broker.spawn(preexec_fn=killed.traced), n,
                                  lambda: 'ready: ' in self.broker.log()[log:], harness.TIMEOUT * 3)

    def start_this(self):
        """This version goes on where the next one did not come into force, and is refused where it
        did. Returns whether it went on."""
        self.broker.program = self.this
        try:
            self.broker.start()
        except AssertionError as error:
            self.assertIn('made by a newer sockbroker', str(error))
            return False
        return True

    def test_killed_on_the_way(self):
        self.serve()
        outcomes, n, fired = [], 0, True
        with load.under_way('192.0.2.', 80, CONNECTIONS, processes=1) as answers:
            while fired:
                n, before = n + 1, self.snapshot()
                fired = self.kill_next(n)
                self.broker.process = None
                self.assertOthers()
                if n % 2:
                    outcomes.append(self.start_this())
                    if outcomes[-1]:
                        self.assertEqual(self.snapshot(), before)
                        self.broker.kill()
                log = len(self.broker.log())
                self.upgrade()
                self.assertEqual(self.snapshot(), before)
                if n % 2:  # What came into force is gone on with, not made once more.
                    self.assertEqual('made anew' in self.broker.log()[log:], outcomes[-1])
                self.assertEqual([p for p in os.listdir(self.broker.bpffs) if 'new' in p], [])
                self.assertOthers()
                self.start_anew()
        print('killed before each of %d calls' % (n - 1))
        self.assertServed(answers)
        # First it went on, from some call on it did not.
        self.assertRegex(''.join('yn'[not went_on] for went_on in outcomes), r'^y{3,}n{3,}$')


if __name__ == '__main__':
    harness.main()
