#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""RuleCounters=: hits of each rule, exact, and kept while other rules change."""
import os
import socket
import threading

import harness
from harness import BrokerTest


class Hits(BrokerTest):
    conf = 'RuleCounters=yes\nMaxRules=100\n'

    def prepare(self):
        self.broker.conf(self.conf)

    def hits(self):
        return {(r['protocol'], r['prefix'], r['ports']): r['hits']
                for r in self.broker.json('rules')['rules']}

    def steered(self):
        self.tcp('a', '127.0.0.1', 8008)
        self.udp('u', '127.0.0.1', 8008)
        self.register('web', 'a', 'u')
        self.rule('web', 'any', '192.0.2.0/24', '80,8000-8999')
        self.rule('web', 'tcp', '192.0.2.0/25', '443')
        self.rule('web', 'tcp', '0.0.0.0/0', '22')

    def test_exact(self):
        self.steered()
        for address, port, times in (('192.0.2.1', 80, 3), ('192.0.2.200', 80, 2),
                                     ('192.0.2.9', 8500, 4), ('192.0.2.9', 443, 1),
                                     ('192.0.2.9', 22, 5)):
            for _ in range(times):
                self.assertEqual(self.tcp_reaches(address, port), 'a')
        self.assertEqual(self.udp_reaches('192.0.2.1', 80), 'u')
        self.assertEqual(self.hits(), {
            ('tcp', '192.0.2.0/24', '80'): 5, ('udp', '192.0.2.0/24', '80'): 1,
            ('tcp', '192.0.2.0/24', '8000-8999'): 4, ('udp', '192.0.2.0/24', '8000-8999'): 0,
            ('tcp', '192.0.2.0/25', '443'): 1, ('tcp', '0.0.0.0/0', '22'): 5})

    def test_from_all_cpus(self):
        self.steered()
        cpus = sorted(os.sched_getaffinity(0))

        def send(cpu):
            os.sched_setaffinity(0, {cpu})
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(2000):
                    sender.sendto(b'x', ('192.0.2.1', 80))

        threads = [threading.Thread(target=send, args=(cpu,)) for cpu in cpus for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(self.hits()['udp', '192.0.2.0/24', '80'], 2000 * len(threads))

    def test_kept_while_others_change(self):
        self.steered()
        for _ in range(3):
            self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.rule('web', 'tcp', '192.0.2.128/25', '80')
        self.unrule('web', 'tcp', '192.0.2.0/25', '443')
        text = self.rules_text()
        self.assertEqual(self.broker.command('apply', '-', input=text + 'tcp 10.0.0.1 1 web\n')
                         .returncode, 0)
        self.broker.reload()
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.assertEqual(self.hits()['tcp', '192.0.2.0/24', '80'], 4)
        # A rule that comes back is a new one.
        self.unrule('web', 'tcp', '192.0.2.0/24', '80')
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        self.assertEqual(self.hits()['tcp', '192.0.2.0/24', '80'], 0)

    def test_explain_counts_nothing(self):
        self.steered()
        rule = self.broker.json('explain', 'tcp', '192.0.2.1', '80')['rule']
        self.assertEqual(rule['hits'], 0)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.assertIn('1 hit', self.broker.command('explain', 'tcp', '192.0.2.1', '80').stdout)

    def test_all_replaced(self):
        """While one set replaces another both are counted."""
        for second in range(3):
            text = ''.join('tcp 10.0.%d.%d 1 web\n' % (second, i) for i in range(100))
            self.assertEqual(self.broker.command('apply', '-', input=text).returncode, 0)
        self.assertEqual(len(self.hits()), 100)

    def test_too_many(self):
        self.steered()
        text = ''.join('tcp 10.0.0.%d 1 web\n' % i for i in range(101))
        answer = self.broker.command('apply', '-', input=text)
        self.assertEqual(answer.returncode, 1)
        self.assertIn('MaxRules=', answer.stderr)


class Off(BrokerTest):
    def test_no_hits(self):
        self.tcp('a', '127.0.0.1', 8008)
        self.register('web', 'a')
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        self.assertNotIn('hits', self.broker.json('rules')['rules'][0])


if __name__ == '__main__':
    harness.main()
