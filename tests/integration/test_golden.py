#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What earlier versions left, kept as it was (tests/golden), is taken over by the broker of today."""

import os
import socket
import struct
import subprocess

import harness
import load
from harness import BrokerTest, REFUSED

CONNECTIONS = 20000
PORTS = (80, 8000, 8999)
ADDRESSES = ['192.0.2.%d' % i for i in range(16)]
LOOKUPS = len(PORTS) * len(ADDRESSES)  # of label web, in assertTraffic()
SO_COOKIE = 57


class Abi1(BrokerTest):
    def setUp(self):
        self.servers = {}
        self.broker = harness.Broker()
        self.addCleanup(self.broker.destroy)
        for name in 'abc':
            self.tcp(name)
        self.udp('d')
        self.cookies = {name: struct.unpack('Q', sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
                        for name, sock in self.servers.items()}

    def golden(self, abi=1):
        """Nothing of what follows is running any more when this is over, but traffic flows."""
        fds = [self.servers[name].fileno() for name in 'abcd']
        subprocess.run([harness.scratch + '/build/tests/golden/abi-1/golden-abi-1',
                        self.broker.bpffs, self.broker.state, str(abi)] + [str(fd) for fd in fds],
                       pass_fds=fds, check=True)
        self.assertTraffic()

    def assertTraffic(self):
        met = {self.tcp_reaches(address, port) for address in ADDRESSES for port in PORTS}
        self.assertEqual(met, {'a', 'b', 'c'})
        self.assertEqual(self.tcp_reaches('192.0.2.1', 9000), REFUSED)
        self.assertEqual(self.tcp_reaches('198.51.100.1', 80), REFUSED)
        self.assertEqual(self.udp_reaches('192.0.2.1', 53), 'd')

    def assertTakenOver(self):
        slots = {record['cookie']: (record['label'], record['slot'], record['unit'])
                 for record in self.sockets()}
        self.assertEqual(slots, {
            str(self.cookies['a']): ('web', '100', 'golden.service'),
            str(self.cookies['b']): ('web', '65535', 'golden.service'),
            str(self.cookies['c']): ('web', '0', 'golden.service'),
            str(self.cookies['d']): ('dns', '77', 'golden.service')})
        self.assertEqual({record['state'] for record in self.sockets()}, {'alive'})
        self.assertEqual(sorted(self.rules_text().splitlines()), [
            'tcp 192.0.2.0/24 80 web', 'tcp 192.0.2.0/24 8000-8999 web', 'udp 192.0.2.0/24 53 dns'])
        self.assertEqual([name for name in os.listdir(self.broker.bpffs) if 'new' in name], [])

    def test_taken_over(self):
        self.golden()
        self.broker.start()
        self.assertIn('is of ABI 1, this version has ABI', self.broker.log())
        self.assertTakenOver()
        self.assertTraffic()
        self.assertEqual(int(self.group('web')['lookups']), 2 * LOOKUPS)
        self.assertEqual(self.group('dns', 'udp')['lookups'], '2')
        # and it is the owner
        self.broker.kill()
        self.assertTraffic()
        self.broker.start()
        self.assertTakenOver()
        self.tcp('e')
        self.register('web', 'e')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'e')
        self.close('e')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)
        self.assertEqual(self.udp_reaches('192.0.2.1', 53), 'd')

    def test_under_load(self):
        """No connection is lost or led astray, and each is counted once."""
        self.golden()
        for name in 'abc':
            self.addCleanup(load.serve(self.servers[name], name.encode()).destroy)
        with load.under_way('192.0.2.', 80, CONNECTIONS) as answers:
            self.broker.start()
        print(answers)
        self.assertEqual(set(answers), {'a', 'b', 'c'})
        self.assertGreaterEqual(sum(answers.values()), CONNECTIONS)
        self.assertTakenOver()
        self.assertEqual(int(self.group('web')['lookups']), sum(answers.values()) + LOOKUPS)
        self.assertEqual(self.group('web')['misses'], '0')

    def test_by_a_later_version(self):
        """No version has to be passed through."""
        self.golden()
        self.broker.program = harness.scratch + '/build/tests/next/sockbrokerd-next'
        self.broker.start()
        self.assertTakenOver()
        self.assertTraffic()
        self.assertEqual(int(self.group('web')['lookups']), 2 * LOOKUPS)

    def test_newer(self):
        """The same under a number that this broker does not know."""
        self.golden(abi=99)
        before = sorted(os.listdir(self.broker.bpffs))
        said = self.broker.refused()
        self.assertIn('made by a newer sockbroker (ABI 99, this one knows', said)
        self.assertIn('traffic goes on; start the newer sockbrokerd again, or unload', said)
        self.assertEqual(sorted(os.listdir(self.broker.bpffs)), before)
        self.assertTraffic()

    def test_unknown(self):
        """Rules that do not say what made them, and maps of another shape."""
        self.golden(abi=0)
        said = self.broker.refused()
        self.assertIn('counters was made by another version of sockbroker', said)
        self.assertIn('traffic goes on as it is', said)
        self.assertTraffic()

    def test_sockets_that_died_meanwhile(self):
        self.golden()
        self.close('b')
        self.broker.start()
        self.assertEqual({r['cookie'] for r in self.sockets('web')},
                         {str(self.cookies[name]) for name in 'ac'})
        self.assertEqual({self.tcp_reaches('192.0.2.1', 8000 + i) for i in range(32)}, {'a', 'c'})

    def test_state_of_no_use(self):
        self.golden()
        os.unlink(self.broker.state + '/labels')
        said = self.broker.refused()
        self.assertIn('labels and sockets are missing, but 4 pinned sockets are in use', said)
        self.assertTraffic()


if __name__ == '__main__':
    harness.main()
