#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Users share what the broker has. Each limit to the exact number, as a client sees it."""

import select

import harness
from harness import BrokerTest, eventually
from sandbox import OTHER_UID, WEB_UID
import wire

ADMINS = 4242
THIRD_UID = 64003


class Connections(BrokerTest):
    def prepare(self):
        self.broker.conf('MaxConnections=24\nMaxConnectionsPerUser=10\n')

    def connect(self, uid, n):
        """As many as the user gets, of N; the last one's refusal, or None."""
        clients, refusal = [], None
        for _ in range(n):
            client = self.broker.client(uid)
            self.addCleanup(client.socket.close)
            packet = self.first_answer(client)
            if packet.startswith(b'ERROR='):
                refusal = wire.Reply(packet, [])
                self.assertEqual(client.receive(), (b'', []), 'the end')
                break
            clients.append(client)
        return clients, refusal

    def first_answer(self, client):
        try:
            client.send('REQUEST=version\n')
        except BrokenPipeError:
            pass  # refused before it was read
        return client.receive()[0]

    def test_share(self):
        first, refusal = self.connect(WEB_UID, 20)
        self.assertEqual(len(first), 10)
        self.assertEqual(refusal.error, 'EDQUOT')
        self.assertIn('10 connections', refusal.message)
        self.assertIn('MaxConnectionsPerUser=', refusal.message)
        # (24 - 10) / 3
        second, refusal = self.connect(OTHER_UID, 20)
        self.assertEqual(len(second), 4)
        self.assertEqual(refusal.error, 'EDQUOT')
        self.assertIn('its share is 4', refusal.message)
        self.assertIn('MaxConnections=', refusal.message)
        # (24 - 14) / 4
        third, _ = self.connect(THIRD_UID, 20)
        self.assertEqual(len(third), 2)
        # who was there first is served, and may go on
        for client in first + second + third:
            self.assertTrue(client.ask('version').ok)
        # what is given back can be had again
        for client in first:
            client.socket.close()
        eventually(lambda: self.connect(THIRD_UID, 1)[0], 'there is room again')

    def test_root_has_no_share(self):
        crowd, refusal = self.connect(WEB_UID, 20)
        self.assertIsNotNone(refusal)
        roots, refusal = self.connect(None, 60)
        self.assertIsNone(refusal)
        self.assertEqual(len(roots), 60)
        for client in roots + crowd:
            self.assertTrue(client.ask('version').ok)

    def test_limit_lowered(self):
        crowd, _ = self.connect(WEB_UID, 8)
        self.broker.conf('MaxConnections=4\n')
        self.ask('reload')
        self.assertEqual(self.connect(WEB_UID, 1)[0], [])
        self.assertEqual(self.connect(OTHER_UID, 1)[0], [])
        for client in crowd:
            self.assertTrue(client.ask('version').ok)


class Administrators(BrokerTest):
    """Those of a group get in like root; of the rules they have shares."""

    def prepare(self):
        self.broker.conf('AdminGroup=%d\nMaxConnections=1\nMaxRules=9\n' % ADMINS)

    def bind(self, client, i):
        return client.ask('bind', LABEL='web', PROTOCOL='tcp', PREFIX='192.0.2.%d' % i, PORTS='80')

    def test_connections(self):
        clients = [self.broker.client(uid, [ADMINS]) for uid in (WEB_UID, OTHER_UID) * 20]
        for client in clients:
            self.assertTrue(client.ask('version').ok)
            client.socket.close()

    def test_rules(self):
        with self.broker.client(WEB_UID, [ADMINS]) as web, \
                self.broker.client(OTHER_UID, [ADMINS]) as other:
            for i in range(4):
                self.assertTrue(self.bind(web, i).ok)
            reply = self.bind(web, 4)
            self.assertEqual(reply.error, 'EDQUOT')
            self.assertIn('uid %d has 4 runtime rules' % WEB_UID, reply.message)
            self.assertIn('is 4 just now', reply.message)
            self.assertTrue(self.bind(other, 5).ok)
            self.assertEqual(self.bind(other, 6).error, 'EDQUOT')
            # root's are bounded by MaxRules= alone
            for i in range(10, 14):
                self.rule('web', 'tcp', '192.0.2.%d' % i, '80')
            reply = self.broker.ask('bind', LABEL='web', PROTOCOL='tcp', PREFIX='192.0.2.99',
                                    PORTS='80')
            self.assertEqual(reply.error, 'ENOSPC')
            # whoever takes one out, it is its maker's that is given back
            for i in range(10, 14):
                self.unrule('web', 'tcp', '192.0.2.%d' % i, '80')
            self.unrule('web', 'tcp', '192.0.2.1', '80')
            self.assertEqual(self.bind(web, 8).error, 'EDQUOT')  # it is not alone: (3 + 5) / 3
            self.assertTrue(self.bind(other, 7).ok)
            text = b'tcp 192.0.2.0/24 1 web\n' * 1 + b''.join(
                b'tcp 192.0.2.%d 2 web\n' % i for i in range(4))
            reply = web.ask('apply', fds=[wire.sealed_memfd(text)])
            self.assertEqual(reply.error, 'EDQUOT')
            self.assertTrue(web.ask('apply', fds=[wire.sealed_memfd(text.split(b'\n', 1)[1])]).ok)


class Replies(BrokerTest):
    """The memory of tables."""

    def prepare(self):
        self.broker.conf('MaxReplyMemory=2M\nMaxReplyRate=2M\n')

    def apply(self, n):
        """N rules, whose table has about 90 bytes each."""
        text = ''.join('tcp 10.0.%d.%d 80 web\n' % (i >> 8, i & 255) for i in range(n))
        self.assertTrue(self.broker.ask('apply', fds=[wire.sealed_memfd(text.encode())]).ok)
        self.size = len(self.ask('rules').table)

    def setUp(self):
        super().setUp()
        self.apply(4500)
        self.assertTrue((1 << 20) / 3 < self.size < (1 << 20) / 2, self.size)

    def test_not_read(self):
        deaf = [self.broker.client(WEB_UID) for _ in range(2)]
        for client in deaf:
            client.send('REQUEST=rules\n')
            select.select([client.socket], [], [], harness.TIMEOUT)
        with self.broker.client(WEB_UID) as client:
            reply = client.ask('rules')
            self.assertEqual(reply.error, 'EDQUOT')
            self.assertIn('have %d, and may have %d (MaxReplyMemory=' % (2 * self.size, 1 << 20),
                          reply.message)
            self.assertTrue(client.ask('version').ok)
        # others have theirs
        self.assertTrue(self.broker.ask('rules', uid=OTHER_UID).ok)
        self.assertTrue(self.broker.ask('rules').ok)
        # one reads, the other goes without reading
        wire.Reply(*deaf[0].receive())
        deaf[1].socket.close()
        deaf[0].socket.close()
        eventually(lambda: self.broker.ask('version', uid=WEB_UID).ok, 'it is served')
        def both():
            with self.broker.client(WEB_UID) as one, self.broker.client(WEB_UID) as two:
                return one.ask('rules').error != 'EDQUOT' and two.ask('rules').error != 'EDQUOT'
        eventually(both, 'given back')

    def test_too_often(self):
        for _ in range(10):
            reply = self.broker.ask('rules', uid=WEB_UID)
            if not reply.ok and 'MaxReplyMemory' not in reply.message:
                break
        self.assertEqual(reply.error, 'EDQUOT')
        self.assertRegex(reply.message, r'MaxReplyRate=.*ask again in [0-9]+ s$')
        self.assertTrue(self.broker.ask('rules', uid=OTHER_UID).ok)
        self.assertTrue(self.broker.ask('version', uid=WEB_UID).ok)
        for _ in range(10):
            self.assertTrue(self.broker.ask('rules').ok)

    def test_too_large(self):
        self.apply(15000)
        reply = self.broker.ask('rules', uid=WEB_UID)
        self.assertEqual(reply.error, 'EDQUOT')
        self.assertIn('have 0, and may have %d' % (1 << 20), reply.message)
        self.assertTrue(self.broker.ask('rules').ok)


if __name__ == '__main__':
    harness.main()
