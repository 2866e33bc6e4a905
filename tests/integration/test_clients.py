#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that know little, may little, or mean harm."""

import os
import random
import socket
import time

import harness
from harness import BrokerTest, eventually
from sandbox import OTHER_UID, WEB_UID
import wire


class ShortForm(BrokerTest):
    """What udpgrm and tubular's other clients send: LABEL# with fds; OK comes back."""

    def test_register(self):
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        with self.broker.client() as client:
            self.assertEqual(client.short('web', [self.tcp('a')]), 'OK')
            self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
            # it means replace, and the connection goes on being good
            self.assertEqual(client.short('web', [self.tcp('b'), self.tcp('c')]), 'OK')
        met = {self.tcp_reaches('192.0.2.%d' % i, 80) for i in range(24)}
        self.assertEqual(met, {'b', 'c'})

    def test_refusals(self):
        with self.broker.client() as client, open('/dev/null', 'rb') as file:
            self.assertRegex(client.short('web', [file]), '^ERR ENOTSOCK [^\n]+$')
            self.assertRegex(client.short('no good', [self.tcp('a')]), '^ERR EINVAL [^\n]+$')
            self.assertRegex(client.short('web', []), '^ERR [A-Z]+ [^\n]+$')
            self.assertEqual(client.short('web', [self.tcp('b')]), 'OK')


class Permissions(BrokerTest):
    labels = {
        'web': 'AllowUser=%d\nListenStream=192.0.2.0/24:80\n' % WEB_UID,
        'team': 'AllowGroup=%d\n' % WEB_UID,
        'admins': 'Description=nobody but admins\n',
    }

    def test_allowed_user_registers(self):
        with self.broker.client(WEB_UID) as client:
            self.assertEqual(client.short('web', [self.tcp('a')]), 'OK')
            self.assertTrue(client.ask('register', LABEL='web', fds=[self.tcp('b')]).ok)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'b')

    def test_other_user_is_told_who_may(self):
        sock = self.tcp('a')
        before = self.snapshot()
        with self.broker.client(OTHER_UID) as client:
            text = client.short('web', [sock])
            reply = client.ask('register', LABEL='web', fds=[sock])
        self.assertTrue(text.startswith('ERR EPERM '), text)
        self.assertEqual(reply.error, 'EPERM')
        for sentence in (text, reply.message):
            self.assertIn('web', sentence)
            self.assertIn(str(WEB_UID), sentence)
        self.assertEqual(self.snapshot(), before)

    def test_label_without_grants_is_for_admins(self):
        for label in ('admins', 'label-without-a-file'):
            with self.broker.client(WEB_UID) as client:
                reply = client.ask('register', LABEL=label, fds=[self.tcp('a')])
            self.assertEqual(reply.error, 'EPERM')
            self.assertIn(label, reply.message)
            self.assertTrue(self.register(label, 'a').ok)

    def test_group(self):
        sock = self.tcp('a')
        for groups, ok in (([WEB_UID], True), ([], False)):
            with self.broker.client(OTHER_UID, groups) as client:
                reply = client.ask('register', LABEL='team', fds=[sock])
            self.assertEqual(reply.ok, ok, reply)

    def test_one_forbidden_label_refuses_all(self):
        before = self.snapshot()
        with self.broker.client(WEB_UID) as client:
            reply = client.ask('register', ('LABEL', 'web'), ('COUNT', '1'), ('LABEL', 'admins'),
                               fds=[self.tcp('a'), self.tcp('b')])
        self.assertEqual(reply.error, 'EPERM')
        self.assertEqual(self.snapshot(), before)

    def test_unprivileged_may_read_but_not_change(self):
        with self.broker.client(OTHER_UID) as client:
            for request in ('version', 'rules', 'status'):
                self.assertTrue(client.ask(request).ok, request)
            rule = {'PROTOCOL': 'tcp', 'PREFIX': '192.0.2.9', 'PORTS': '80'}
            for reply in (client.ask('bind', LABEL='web', **rule),
                          client.ask('unbind', PROTOCOL='tcp', PREFIX='192.0.2.0/24', PORTS='80'),
                          client.ask('apply', fds=[wire.sealed_memfd(b'')]),
                          client.ask('reload'), client.ask('unload')):
                self.assertEqual(reply.error, 'EPERM', reply)
                self.assertTrue(reply.message)

    def test_registrant_takes_out_its_own_only(self):
        with self.broker.client(WEB_UID) as client:
            client.short('web', [self.tcp('a')])
        with self.broker.client(OTHER_UID) as client:
            self.assertEqual(client.ask('unregister', LABEL='web').error, 'EPERM')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        with self.broker.client(WEB_UID) as client:
            self.assertEqual(client.ask('unregister', LABEL='web').get('SOCKETS'), '1')


class Hostile(BrokerTest):
    def setUp(self):
        super().setUp()
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        self.tcp('a')
        self.register('web', 'a')
        self.before = self.snapshot()
        self.fds = self.broker.quiet_fds()

    def tearDown(self):
        super().tearDown()
        eventually(lambda: self.broker.fds() == self.fds, 'the broker has the fds it had before')
        self.assertEqual(self.snapshot(), self.before)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')

    def send_and_hang_up(self, packet, fds=()):
        with self.broker.client() as client:
            try:
                client.send(packet, fds)
                client.receive()
            except (ConnectionResetError, BrokenPipeError):
                pass

    def test_300_random_packets(self):
        seed = random.randrange(1 << 32)
        print('seed %d' % seed)
        dice = random.Random(seed)
        with open('/dev/null', 'rb') as file:
            pool = [file, self.tcp('b'), self.udp('c'), self.socket(socket.AF_UNIX,
                                                                    socket.SOCK_STREAM)]
            for _ in range(300):
                packet = dice.randbytes(dice.choice((1, 2, 7, 64, 1000, 4096)))
                fds = [dice.choice(pool) for _ in range(dice.choice((0, 0, 1, 3, 253)))]
                self.send_and_hang_up(packet, fds)
        self.servers.pop('b')
        self.servers.pop('c')

    def test_mutated_requests(self):
        seed = random.randrange(1 << 32)
        print('seed %d' % seed)
        dice = random.Random(seed)
        samples = [b'web#', b'REQUEST=register\nLABEL=web\nCOUNT=1\nMODE=add\n',
                   b'REQUEST=bind\nLABEL=web\nPROTOCOL=tcp\nPREFIX=192.0.2.0/24\nPORTS=80\n',
                   b'REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\nPORT=80\n',
                   b'REQUEST=status\nLABEL=web\n', b'REQUEST=rules\nFORMAT=text\n']
        for _ in range(300):
            packet = bytearray(dice.choice(samples))
            for _ in range(dice.randrange(1, 6)):
                packet[dice.randrange(len(packet))] = dice.choice(b'\0\n=#\xff\x80 AZ09')
            if b'bind' in packet or b'web#' == packet:
                packet[0] = 0  # a mutation that still means something must not confuse the test
            with open('/dev/null', 'rb') as file:
                self.send_and_hang_up(bytes(packet), [file] * dice.randrange(3))

    def test_50_silent_clients(self):
        silent = [self.broker.client() for _ in range(50)]
        started = time.monotonic()
        for _ in range(20):
            with self.broker.client() as client:
                self.assertTrue(client.ask('version').ok)
                self.assertTrue(client.ask('status').ok)
        self.assertLess(time.monotonic() - started, harness.TIMEOUT, 'others are answered at once')
        for client in silent:
            client.socket.close()

    def test_fds_of_a_client_that_never_reads(self):
        """Requests whose replies carry tables, asked and never read."""
        deaf = self.broker.client()
        deaf.socket.setblocking(False)
        try:
            for _ in range(2000):
                deaf.send('REQUEST=rules\n')
        except (BlockingIOError, ConnectionResetError, BrokenPipeError):
            pass
        self.assertTrue(self.broker.ask('version').ok)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        deaf.socket.close()

    def test_hang_up_before_the_reply(self):
        for _ in range(50):
            with self.broker.client() as client:
                client.send('REQUEST=status\n')
        with self.broker.client() as client:
            client.send('REQUEST=register\nLABEL=web\n', [self.servers['a']] * 3)

    def test_overlong_packet(self):
        for size in (4097, 5000, 60000):
            with self.broker.client() as client:
                try:
                    client.send(b'REQUEST=version\nX=' + b'x' * size, [self.servers['a']] * 5)
                    packet, _ = client.receive()
                    self.assertIn(packet[:5], (b'', b'ERROR'))
                except (ConnectionResetError, BrokenPipeError):
                    pass

    def test_longest_packet_is_fine(self):
        head = b'REQUEST=version\nX='
        with self.broker.client() as client:
            client.send(head + b'x' * (4096 - len(head)))
            packet, _ = client.receive()
        self.assertTrue(packet.startswith((b'OK=1', b'ERROR=')), packet)

    def test_most_fds_and_the_wrong_request(self):
        for request in ('version', 'status', 'nonsense', 'unregister'):
            with self.broker.client() as client:
                reply = client.ask(request, LABEL='nobody', fds=[self.servers['a']] * 253)
                self.assertFalse(reply.ok and request == 'nonsense', reply)

    def test_malformed_long_form(self):
        for packet in (b'REQUEST', b'REQUEST=\n', b'request=version\n', b'\n\n',
                       b'REQUEST=version\n=x\n', b'REQUEST=no-such\n',
                       b'REQUEST=version\0', b'REQUEST=status\nREQUEST=unload\n', b'#', b'##',
                       b'x' * 101 + b'#', b'web#\n', b'REQUEST=explain\n',
                       b'REQUEST=explain\nPROTOCOL=icmp\nADDRESS=192.0.2.1\nPORT=80\n',
                       b'REQUEST=bind\nLABEL=web\nPROTOCOL=tcp\nPREFIX=nonsense\nPORTS=80\n'):
            with self.subTest(packet=packet), self.broker.client() as client:
                client.send(packet)
                answer, _ = client.receive()
                self.assertTrue(answer == b'' or answer.startswith((b'ERROR=', b'ERR ')), answer)

    def test_unsealed_or_foreign_rule_files(self):
        loose = os.memfd_create('loose', os.MFD_CLOEXEC)
        os.write(loose, b'tcp 192.0.2.0/24 80 web\n')
        ends = os.pipe()
        try:
            for fds in ([loose], [ends[0]], [self.servers['a']], [], [loose, loose]):
                reply = self.broker.ask('apply', fds=fds)
                self.assertFalse(reply.ok, reply)
                self.assertTrue(reply.message)
        finally:
            for fd in (loose, *ends):
                os.close(fd)

    def test_many_requests_on_one_connection(self):
        with self.broker.client() as client:
            for _ in range(200):
                client.send('REQUEST=version\n')
                client.send('REQUEST=status\n')
                self.assertEqual(client.receive()[1], [])
                for fd in client.receive()[1]:
                    os.close(fd)

    def test_more_clients_than_fit(self):
        """However many one user opens, another still gets in."""
        crowd = []
        try:
            for _ in range(1500):
                client = self.broker.client(OTHER_UID)
                client.socket.setblocking(False)
                crowd.append(client)
        except OSError:
            pass
        self.assertTrue(self.broker.ask('version').ok)
        for client in crowd:
            client.socket.close()


if __name__ == '__main__':
    harness.main()
