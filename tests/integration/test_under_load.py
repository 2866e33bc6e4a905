#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to a broker all its life, with connections under way: none fails, and none reaches
the server of another label. (A service that is replaced: test_pool.py; one that is held and
restarted: test_hold.py; another version: test_upgrade.py, test_golden.py.)"""

import random

import harness
import load
from harness import BrokerTest

CONNECTIONS = 20000
RESTARTS = 50


def owners(host):
    """Who may answer at 192.0.2.HOST."""
    if host < 64:
        return 'a'
    if host < 128:
        return 'b'
    return 'ab'  # changes hands all the time, in some of the tests


class UnderLoad(BrokerTest):
    labels = {'a': 'ListenStream=192.0.2.0/26:80\n', 'b': 'ListenStream=192.0.2.64/26:80\n'}

    def setUp(self):
        super().setUp()
        for label in 'ab':
            listener = self.tcp(label)
            self.register(label, label)
            del self.servers[label]
            self.addCleanup(load.serve(listener, label.encode()).destroy)
        self.rule('a', 'tcp', '192.0.2.128/26', '80')
        self.rule('b', 'tcp', '192.0.2.192/26', '80')
        self.dice = random.Random(80)

    def lookups(self):
        return sum(int(self.group(label)['lookups']) for label in 'ab')

    def over_and_over(self, event, at_least):
        """EVENT(0), EVENT(1)... AT_LEAST so many times, and until there were enough connections."""
        n = 0
        with load.under_way('192.0.2.', 80, 0, expect=owners) as answers:
            while n < at_least or self.lookups() < CONNECTIONS:
                event(n)
                n += 1
        print('%d times: %s' % (n, answers))
        self.assertEqual(set(answers), {'a', 'b'})
        self.assertEqual(self.lookups(), sum(answers.values()))
        self.assertEqual([self.group(label)['misses'] for label in 'ab'], ['0', '0'])

    def restarts(self, end):
        def restart(_):
            end()
            self.broker.start()
        before = self.snapshot()
        self.over_and_over(restart, RESTARTS)
        self.assertEqual(self.snapshot(), before)

    def test_kill(self):
        self.restarts(self.broker.kill)

    def test_sigterm(self):
        self.restarts(self.broker.stop)

    def rule_set(self, i):
        """Some hundreds or thousands of rules, whose verdicts owners() tells: the upper half of the
        network is now of the one and now of the other, everything else may be nested at will."""
        text = ['tcp 192.0.2.128/25 80 ' + 'ab'[i % 2]]
        for i in range(self.dice.choice((0, 10, 100, 1000, 20000))):
            text.append('tcp 10.%d.%d.%d %d %s' % (*self.dice.randbytes(3), 80 + i, 'ab'[i % 2]))
        for length in range(27, 33):
            host = self.dice.randrange(0, 128, 1 << 32 - length)
            text.append('tcp 192.0.2.%d/%d 80 %s' % (host, length, owners(host)))
        return '\n'.join(sorted(set(text))) + '\n'

    def test_apply(self):
        def apply(n):
            done = self.broker.command('apply', '-', input=self.rule_set(n))
            self.assertEqual(done.returncode, 0, done.stderr)
        self.over_and_over(apply, 50)

    def test_bind_and_unbind(self):
        def bind_and_unbind(_):
            length = self.dice.randrange(27, 33)
            host = self.dice.randrange(0, 128, 1 << 32 - length)
            rule = (owners(host), 'tcp', '192.0.2.%d/%d' % (host, length), '80')
            self.assertTrue(self.rule(*rule).ok)
            self.assertTrue(self.unrule(*rule).ok)
        self.over_and_over(bind_and_unbind, 100)

    def test_reload(self):
        def reload(n):
            nested = ''.join('ListenStream=192.0.2.%d/%d:80\n' % (host, 30)
                             for host in self.dice.sample(range(0, 64, 4), n % 16))
            self.broker.label('a', self.labels['a'] + nested)
            self.broker.label('more', 'ListenStream=198.51.100.%d:80\n' % (n % 256))
            self.assertTrue(self.ask('reload').ok)
            if n % 3 == 2:
                self.broker.label('more', None)
        self.over_and_over(reload, 50)


if __name__ == '__main__':
    harness.main()
