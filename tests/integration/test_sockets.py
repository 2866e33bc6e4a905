#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the broker refuses to take, each with its own sentence, and that a refusal changes nothing."""

import os
import socket

import harness
import sandbox
from harness import BrokerTest, REFUSED

IPPROTO_MPTCP = 262
SO_BINDTODEVICE = 25


class Refusals(BrokerTest):
    labels = {'small': 'MaxSockets=2\n'}

    def setUp(self):
        super().setUp()
        self.tcp('good')
        self.register('web', 'good')
        self.rule('web', 'any', '192.0.2.0/24', '80')
        self.before = self.snapshot()
        self.fds = self.broker.quiet_fds()

    def assertRefused(self, bad, error, *words, label='web', fields=None):
        """BAD alone, and behind a socket that is fine, and by the short form: the same refusal."""
        self.tcp('fine')
        sockets = bad if isinstance(bad, list) else [bad]
        for fds in (sockets, [self.servers['fine']] + sockets):
            reply = self.broker.ask('register', LABEL=label, fds=fds, **(fields or {}))
            self.assertEqual(reply.error, error, reply)
            for word in words:
                self.assertIn(word.lower(), reply.message.lower())
            self.assertUnchanged()
        with self.broker.client() as client:
            text = client.short(label, sockets)
        self.assertRegex(text, '^ERR %s .' % error)
        self.assertUnchanged()

    def assertUnchanged(self):
        self.assertEqual(self.snapshot(), self.before)
        self.assertEqual(self.broker.quiet_fds(), self.fds)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'good')

    def test_not_a_socket(self):
        with open('/dev/null', 'rb') as file:
            self.assertRefused(file, 'ENOTSOCK', 'not a socket')

    def test_pipe(self):
        ends = os.pipe()
        try:
            self.assertRefused(ends[0], 'ENOTSOCK', 'not a socket')
        finally:
            for end in ends:
                os.close(end)

    def test_unix_stream(self):
        sock = self.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind('\0sockbroker-test-%d' % os.getpid())
        sock.listen(1)
        self.assertRefused(sock, 'EAFNOSUPPORT', 'unix')

    def test_unix_datagram(self):
        # the kernel's sockmap would take this one
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with left, right:
            self.assertRefused(left, 'EAFNOSUPPORT', 'unix')

    def test_netlink(self):
        self.assertRefused(self.socket(socket.AF_NETLINK, socket.SOCK_RAW), 'EAFNOSUPPORT')

    def test_raw(self):
        sock = self.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.assertRefused(sock, 'ESOCKTNOSUPPORT', 'raw')

    def test_mptcp(self):
        try:
            sock = self.bound(socket.SOCK_STREAM, '127.0.0.1', 0, protocol=IPPROTO_MPTCP)
        except OSError as error:
            self.skipTest('this kernel has no MPTCP: %s' % error)
        sock.listen(1)
        self.assertRefused(sock, 'EPROTONOSUPPORT', 'MPTCP', 'GODEBUG=multipathtcp=0')

    def test_udplite(self):
        try:
            sock = self.bound(socket.SOCK_DGRAM, '127.0.0.1', 0, protocol=socket.IPPROTO_UDPLITE)
        except OSError as error:
            self.skipTest('this kernel has no UDP-Lite: %s' % error)
        self.assertRefused(sock, 'EPROTONOSUPPORT')

    def test_tcp_neither_bound_nor_listening(self):
        sock = self.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.assertRefused(sock, 'ENOTCONN', 'listen')

    def test_tcp_bound_but_not_listening(self):
        self.assertRefused(self.bound(socket.SOCK_STREAM, '127.0.0.1', 0), 'ENOTCONN', 'listen')

    def test_tcp_established(self):
        # the kernel's sockmap would take this one too
        client, server, _ = self.dial(*self.servers['good'].getsockname())
        for sock in (client, server):
            reply = self.broker.ask('register', LABEL='web', fds=[sock])
            self.assertIn(reply.error, ('EISCONN', 'ENOTCONN'), reply)
            self.assertIn('listen', reply.message)
        self.assertUnchanged()

    def test_udp_connected(self):
        sock = self.bound(socket.SOCK_DGRAM, '127.0.0.1', 0)
        sock.connect(('127.0.0.1', 9))
        self.assertRefused(sock, 'EISCONN', 'connected')

    def test_udp_unbound(self):
        for family in (socket.AF_INET, socket.AF_INET6):
            with self.subTest(family=family):
                self.assertRefused(self.socket(family, socket.SOCK_DGRAM), 'EDESTADDRREQ', 'bound')

    def test_another_network_namespace(self):
        with sandbox.other_netns():
            stream = self.bound(socket.SOCK_STREAM, '0.0.0.0', 8008)
            stream.listen(1)
            datagram = self.bound(socket.SOCK_DGRAM, '0.0.0.0', 8008)
        self.assertRefused(stream, 'EXDEV', 'network namespace')
        self.assertRefused(datagram, 'EXDEV', 'network namespace')

    def test_bound_to_a_device(self):
        device = (socket.SOL_SOCKET, SO_BINDTODEVICE, b'lo\0')
        stream = self.bound(socket.SOCK_STREAM, '127.0.0.1', 0, [device])
        stream.listen(1)
        self.assertRefused(stream, 'ENODEV', 'device')
        self.assertRefused(self.bound(socket.SOCK_DGRAM, '127.0.0.1', 0, [device]), 'ENODEV',
                           'device')

    def test_too_many_for_the_label(self):
        names = [self.tcp('n%d' % i) for i in range(3)]
        self.assertRefused(names, 'ENOSPC', 'small', '2', label='small')

    def test_no_socket_at_all(self):
        reply = self.broker.ask('register', LABEL='web')
        self.assertFalse(reply.ok)
        self.assertUnchanged()

    def test_counts_that_do_not_add_up(self):
        self.tcp('fine')
        for pairs in ((('LABEL', 'web'), ('COUNT', '2')),
                      (('LABEL', 'web'), ('COUNT', '0')),
                      (('LABEL', 'web'), ('COUNT', '1'), ('LABEL', 'other'), ('COUNT', '1')),
                      (('LABEL', 'web'), ('COUNT', '-1')),
                      (('LABEL', 'web'), ('COUNT', 'x'))):
            with self.subTest(pairs=pairs):
                reply = self.broker.ask('register', *pairs, fds=[self.servers['fine']])
                self.assertFalse(reply.ok, reply)
                self.assertUnchanged()

    def test_second_label_bad_leaves_first_alone(self):
        self.tcp('fine')
        bad = self.bound(socket.SOCK_STREAM, '127.0.0.1', 0)
        reply = self.broker.ask('register', ('LABEL', 'web'), ('COUNT', '1'), ('LABEL', 'other'),
                                ('COUNT', '1'), fds=[self.servers['fine'], bad])
        self.assertEqual(reply.error, 'ENOTCONN', reply)
        self.assertUnchanged()

    def test_bad_label_names(self):
        self.tcp('fine')
        for name in ('', '-x', '.x', 'a b', 'a/b', 'ä', 'x' * 101):
            with self.subTest(name=name):
                reply = self.broker.ask('register', LABEL=name, fds=[self.servers['fine']])
                self.assertEqual(reply.error, 'EINVAL', reply)
                self.assertUnchanged()


class Accepted(BrokerTest):
    def test_longest_label_and_every_character(self):
        for label in ('x' * 100, 'A9._@:-z'):
            self.tcp(label)
            self.register(label, label)
            self.assertEqual(len(self.sockets(label)), 1)

    def test_several_labels_in_one_request(self):
        for name in 'abc':
            self.tcp(name)
        reply = self.ask('register', ('LABEL', 'one'), ('COUNT', '2'), ('LABEL', 'two'),
                         fds=[self.servers[n] for n in 'abc'])
        self.assertEqual(reply.get('SOCKETS'), '3')
        self.assertEqual(len(self.sockets('one')), 2)
        self.assertEqual(len(self.sockets('two')), 1)

    def test_many_sockets_in_one_packet(self):
        names = ['n%d' % i for i in range(60)]
        for name in names:
            self.tcp(name)
        fds = self.broker.quiet_fds()
        self.register('pool', *names)
        self.assertEqual(len(self.sockets('pool')), 60)
        self.assertEqual(self.broker.quiet_fds(), fds)  # none is kept: a dead service must look dead

    def test_the_same_socket_again(self):
        self.tcp('a')
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        for mode in ('replace', 'add', 'replace'):
            self.register('web', 'a', mode=mode)
            self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.assertEqual(len(self.sockets('web')), 1)

    def test_registrant_is_who_connected(self):
        self.broker.label('open', 'AllowUser=%d\n' % sandbox.WEB_UID)
        self.broker.reload()
        self.tcp('a')
        harness.eventually(lambda: self.broker.ask('register', LABEL='open', uid=sandbox.WEB_UID,
                                                   fds=[self.servers['a']]).ok, 'reloaded')
        record, = self.sockets('open')
        self.assertEqual((record['uid'], record['pid']), (str(sandbox.WEB_UID), str(os.getpid())))
        self.assertEqual((record['protocol'], record['state']), ('tcp', 'alive'))
        self.assertIn('127.0.0.1', record['address'])
        self.assertNotEqual(record['cookie'], '0')

    def test_v6only_for_ipv4_rules_warns(self):
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        self.tcp('a', '::1')
        self.register('web', 'a')
        warnings = self.ask('status').records('warning')
        self.assertEqual([w['label'] for w in warnings], ['web'])
        self.assertIn('IPv4', warnings[0]['text'])
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)
        # the warning goes with its cause
        self.tcp('b')
        self.register('web', 'b', mode='add')
        self.assertEqual(self.ask('status').records('warning'), [])

    def test_unregister(self):
        self.tcp('a')
        self.udp('b')
        self.register('web', 'a', 'b')
        self.rule('web', 'any', '192.0.2.0/24', '80')
        self.assertEqual(self.ask('unregister', LABEL='web', PROTOCOL='tcp').get('SOCKETS'), '1')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)
        self.assertEqual(self.udp_reaches('192.0.2.1', 80), 'b')
        self.assertEqual(self.ask('unregister', LABEL='web').get('SOCKETS'), '1')
        self.assertEqual(self.udp_reaches('192.0.2.1', 80), REFUSED)

    def test_replace_leaves_the_other_protocol(self):
        self.tcp('a')
        self.udp('b')
        self.register('web', 'a', 'b')
        self.tcp('c')
        self.register('web', 'c')
        self.rule('web', 'any', '192.0.2.0/24', '80')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'c')
        self.assertEqual(self.udp_reaches('192.0.2.1', 80), 'b')


if __name__ == '__main__':
    harness.main()
