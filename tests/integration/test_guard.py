#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guard rails: bind and apply say which listeners a rule takes traffic from."""
import json

import harness
from harness import BrokerTest


class Guard(BrokerTest):
    def bind(self, *arguments):
        done = self.broker.command('bind', *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def test_listener_on_every_address(self):
        self.tcp('sshd', '0.0.0.0', 2222)
        said = self.bind('proxy', 'tcp', '203.0.113.1', 'any')
        self.assertIn('takes traffic from the TCP socket that listens on 0.0.0.0:2222', said)
        # It does take it, and only there.
        self.assertEqual(self.tcp_reaches('203.0.113.1', 2222), harness.REFUSED)
        self.assertEqual(self.tcp_reaches('203.0.113.2', 2222), 'sshd')

    def test_listener_on_one_address(self):
        self.udp('dns', '203.0.113.5', 53)
        said = self.bind('x', 'udp', '203.0.113.0/29', '50-60')
        self.assertIn('the UDP socket that listens on 203.0.113.5:53', said)
        self.assertEqual(self.bind('x', 'udp', '203.0.113.8/29', '50-60'), '')
        self.assertEqual(self.bind('x', 'tcp', '203.0.113.0/29', '50-60'), '')

    def test_dual_stack_listener(self):
        self.tcp('six', '::', 8443)
        self.assertIn('[::]:8443', self.bind('x', 'tcp', '203.0.113.1', '8443'))
        self.assertIn('[::]:8443', self.bind('x', 'tcp', '2001:db8::/64', '8443'))

    def test_registered_ones_are_no_victims(self):
        self.tcp('a', '0.0.0.0', 8008)
        self.register('web', 'a')
        self.assertEqual(self.bind('web', 'tcp', '203.0.113.0/24', 'any'), '')

    def test_ephemeral_ports(self):
        said = self.bind('x', 'udp', '127.0.0.0/8', 'any')
        self.assertIn('ephemeral range', said)
        self.assertIn('127.0.0.1', said)
        self.assertEqual(self.bind('x', 'udp', '127.0.0.0/9', '53'), '')
        self.assertEqual(self.bind('x', 'udp', '203.0.113.0/24', 'any'), '')

    def test_apply_counts_what_is_too_much(self):
        self.tcp('sshd', '0.0.0.0', 2222)
        text = ''.join('tcp 203.0.113.%d 2222 x\n' % i for i in range(15))
        done = self.broker.command('apply', '-', '--dry-run', input=text)
        self.assertEqual(done.stderr.count('takes traffic from'), 10)
        self.assertIn('and 5 more of this kind', done.stderr)

    def test_json(self):
        self.tcp('sshd', '0.0.0.0', 2222)
        done = self.broker.command('--json', 'bind', 'x', 'tcp', '203.0.113.1', '2222')
        self.assertIn('takes traffic', json.loads(done.stdout)['warnings'][0])
        done = self.broker.command('--json', 'apply', '-', input='tcp 203.0.113.2 2222 x\n')
        self.assertIn('takes traffic', json.loads(done.stdout)['warnings'][0])


if __name__ == '__main__':
    harness.main()
