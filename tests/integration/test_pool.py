#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sockets that die under load: the other members of the pool lose nothing, with nobody telling."""

import time

import harness
import load
from harness import BrokerTest

CONNECTIONS = 24000
CLIENTS = 2
FAILED_MAX = 129  # a listener's queue dies with it: backlog + 1


class Pool(BrokerTest):
    def start_pool(self):
        """Four services of a process each, and clients that go round the prefix."""
        self.rule('pool', 'tcp', '192.0.2.0/24', '80')
        names = 'abcd'
        listeners = [self.tcp(n) for n in names]
        self.register('pool', *names)
        self.pool = {n: load.serve(l, n.encode()) for n, l in zip(names, listeners)}
        self.servers.clear()
        for child in self.pool.values():
            self.addCleanup(child.destroy)
        self.clients = [load.connect('192.0.2.', 80, CONNECTIONS // CLIENTS)
                        for _ in range(CLIENTS)]
        for child in self.clients:
            self.addCleanup(child.destroy)
            self.assertEqual(child.hear(), 'ready')

    def served(self, names):
        for name in names:
            self.pool[name].stop()
        return {name: self.pool[name].hear() for name in names}

    def assertOthersLostNothing(self, gone, gone_at, own=None):
        """Every failure is a connection that waited in the dead listener's own queue."""
        reports = [child.hear() for child in self.clients]
        answers = load.total(reports)
        failed = [f for r in reports for f in r['failed']]
        for answer, start in failed:
            self.assertIn(answer, ('ConnectionResetError', 'end of file'), failed)
            self.assertLess(start, gone_at, 'a connection begun after the close has failed')
        self.assertLessEqual(len(failed), FAILED_MAX)
        self.assertEqual(sum(answers.values()), CONNECTIONS)
        others = self.served(sorted(set(self.pool) - {gone}))
        for name, number in others.items():
            self.assertEqual(answers.get(name), number, 'each answer of %s arrived' % name)
            self.assertGreater(number, CONNECTIONS // 8)
        if own is not None:
            self.assertEqual(answers.get(gone), own)
        print('%s; %d of %s failed with it; slowest %.2f s'
              % (answers, len(failed), gone, max(r['slowest'] for r in reports)))

    def test_one_of_four_stops(self):
        self.start_pool()
        time.sleep(0.5)
        own = self.served('b')['b']
        self.pool['b'].wait()
        self.assertOthersLostNothing('b', time.monotonic(), own)

    def test_one_of_four_is_killed(self):
        self.start_pool()
        time.sleep(0.5)
        self.pool['c'].kill()
        self.assertOthersLostNothing('c', time.monotonic())

    def test_nobody_told_not_even_the_broker(self):
        self.start_pool()
        self.broker.kill()
        time.sleep(0.5)
        self.pool['d'].kill()
        self.assertOthersLostNothing('d', time.monotonic())
        self.broker.start()
        alive = [s for s in self.sockets('pool') if s['state'] == 'alive']
        self.assertLess(len(alive), 4)

    def test_replacement_under_load(self):
        """A new service takes over while the old one drains: nothing fails at all."""
        self.start_pool()
        for child in self.pool.values():
            self.addCleanup(child.destroy)
        time.sleep(0.2)
        newer = {}
        for round_ in range(4):
            names = ['%d%s' % (round_, n) for n in 'ef']
            listeners = [self.tcp(n) for n in names]
            self.register('pool', *names)
            for name, listener in zip(names, listeners):
                newer[name] = load.serve(listener, b'n')
                self.addCleanup(newer[name].destroy)
            self.servers.clear()
            time.sleep(0.1)
        answers = load.total([child.hear() for child in self.clients])
        self.assertEqual(set(answers) - set('abcdn'), set(), answers)
        self.assertEqual(sum(answers.values()), CONNECTIONS)
        self.assertGreater(answers['n'], 0)


if __name__ == '__main__':
    harness.main()
