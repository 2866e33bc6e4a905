#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What else clients may send or do. Nobody else notices, and nothing is left of it."""

import array
import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import socket
import struct

import harness
from harness import BrokerTest, eventually
import load
import sandbox
from sandbox import OTHER_UID, WEB_UID
import wire

MANY = 253
CLONE_NEWUSER = 0x10000000
MFD_HUGETLB = 4
SO_PASSSEC, SO_PASSPIDFD = 34, 76
O_PATH = getattr(os, 'O_PATH', 0o10000000)
UIDS = (None, WEB_UID)  # served by the broker itself, and by a porter


def rights(fds):
    return (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))


class HostileTest(BrokerTest):
    labels = {'web': 'AllowUser=%d\nListenStream=192.0.2.0/24:80\nMaxSockets=1024\n' % WEB_UID}

    def setUp(self):
        super().setUp()
        self.tcp('a')
        self.register('web', 'a')
        self.before = self.snapshot()

    def tearDown(self):
        super().tearDown()
        self.assertEqual(self.snapshot(), self.before)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')

    def as_before(self):
        """After a registration that was meant to succeed."""
        self.register('web', 'a')
        self.before = self.snapshot()

    def assertServed(self, client):
        self.assertTrue(client.ask('version').ok)


class Files(HostileTest):
    def files(self):
        """(what it is, fd) of every kind that the kernel makes here; closed after the test."""
        def keep(fd):
            self.addCleanup(os.close, fd)
            return fd

        def made(what, function, *arguments):
            try:
                fd = function(*arguments)
            except (OSError, AttributeError) as error:
                print('no %s here: %s' % (what, error))
                return []
            return [(what, keep(fd if isinstance(fd, int) else fd.detach()))]

        def sealed(flags):
            fd = os.memfd_create('x', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
            fcntl.fcntl(fd, wire.F_ADD_SEALS, wire.SEALS)
            return fd

        pipe, pair = os.pipe(), socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        server = socket.create_server(('127.0.0.1', 0))
        client = socket.create_connection(server.getsockname())
        libc = sandbox.libc
        found = [('pipe, read end', keep(pipe[0])), ('pipe, write end', keep(pipe[1])),
                 ('connected unix stream', keep(pair[0].detach())),
                 ('its other end', keep(pair[1].detach())),
                 ('connected TCP', keep(client.detach())),
                 ('accepted TCP', keep(server.accept()[0].detach()))]
        server.close()
        for what, function, *arguments in (
                ('regular file', os.open, __file__, os.O_RDONLY),
                ('directory', os.open, '/', os.O_RDONLY),
                ('path', os.open, '/', O_PATH),
                ('device', os.open, '/dev/zero', os.O_RDWR),
                ('terminal', os.open, '/dev/ptmx', os.O_RDWR | os.O_NOCTTY),
                ('proc', os.open, '/proc/self/status', os.O_RDONLY),
                ('namespace', os.open, '/proc/self/ns/net', os.O_RDONLY),
                ('memfd', os.memfd_create, 'x'),
                ('sealed memfd', sealed, 0),
                ('memfd on huge pages', sealed, MFD_HUGETLB),
                ('pidfd', os.pidfd_open, os.getpid()),
                ('epoll', lambda: select.epoll().fileno() and os.dup(select.epoll().fileno())),
                ('eventfd', libc.eventfd, 0, 0),
                ('timerfd', libc.timerfd_create, 1, 0),
                ('inotify', libc.inotify_init1, 0),
                ('signalfd', libc.signalfd, -1, ctypes.create_string_buffer(128), 0),
                ('unix datagram', socket.socket, socket.AF_UNIX, socket.SOCK_DGRAM),
                ('unix packets', socket.socket, socket.AF_UNIX, socket.SOCK_SEQPACKET),
                ('netlink', socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
                ('raw', socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
                ('packet', socket.socket, socket.AF_PACKET, socket.SOCK_RAW),
                ('vsock', socket.socket, 40, socket.SOCK_STREAM),
                ('alg', socket.socket, 38, socket.SOCK_SEQPACKET),
                ('new TCP', socket.socket, socket.AF_INET, socket.SOCK_STREAM),
                ('new UDP', socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)):
            found += made(what, function, *arguments)
        return found

    def test_every_kind(self):
        """Alone, and behind a socket that is fine."""
        files = self.files()
        self.assertGreater(len(files), 25)
        self.tcp('b')
        for uid in UIDS:
            with self.broker.client(uid) as client:
                for what, fd in files:
                    with self.subTest(what=what, uid=uid):
                        for fds in ([fd], [self.servers['b'], fd], [fd] * MANY):
                            reply = client.ask('register', LABEL='web', fds=fds)
                            self.assertFalse(reply.ok)
                            self.assertTrue(reply.message)
                            self.assertRegex(client.short('web', fds), '^ERR [A-Z0-9]+ .')
                        self.assertFalse(client.ask('apply', fds=[fd]).ok and fd != 'sealed memfd'
                                         and uid is not None)
        self.servers.pop('b').close()

    def test_one_socket_253_times(self):
        for uid in UIDS:
            with self.broker.client(uid) as client:
                reply = client.ask('register', LABEL='web', fds=[self.tcp('b')] * MANY)
            self.assertEqual(reply.error, 'EINVAL')
            self.assertIn('sockets 0 and 1', reply.message)
            self.servers.pop('b').close()

    def test_253_sockets(self):
        """They are taken; a part of them may be bad; then none is."""
        names = ['n%d' % i for i in range(MANY - 1)]
        for name in names:
            self.tcp(name)
        loose = self.bound(socket.SOCK_STREAM, '127.0.0.1', 0)
        for uid in UIDS:
            with self.broker.client(uid) as client:
                reply = client.ask('register', LABEL='web',
                                   fds=[self.servers[n] for n in names] + [loose])
                self.assertEqual(reply.error, 'ENOTCONN')
                self.assertEqual(self.snapshot(), self.before)
                reply = client.ask('register', LABEL='web', fds=[self.servers[n] for n in names])
                self.assertEqual(reply.get('SOCKETS'), str(len(names)))
                self.as_before()
        for name in names:
            self.servers.pop(name).close()

    def test_more_than_fit(self):
        """The kernel lets no packet have more than 253; two control messages are one."""
        a = self.servers['a'].fileno()
        for uid in UIDS:
            with self.broker.client(uid) as client:
                with self.assertRaises(OSError):
                    client.socket.sendmsg([b'web#'], [rights([a] * (MANY + 1))])
                with self.assertRaises(OSError):
                    client.socket.sendmsg([b'web#'], [rights([a] * MANY), rights([a])])
                client.socket.sendmsg([b'web#'], [rights([a] * 100), rights([a] * 153)])
                self.assertRegex(client.receive()[0], b'^ERR EINVAL ')
                self.assertServed(client)

    def test_own_connection(self):
        """The broker is sent its own clients' sockets, this one among them."""
        for uid in UIDS:
            with self.broker.client(uid) as client, self.broker.client(uid) as other:
                for fds in ([client.socket], [other.socket], [client.socket, other.socket] * 100):
                    reply = client.ask('register', LABEL='web', fds=fds)
                    self.assertEqual(reply.error, 'EAFNOSUPPORT')
                self.assertServed(other)

    def test_extras(self):
        """Credentials, security labels and pidfds that ride along, there and back."""
        ucred = struct.pack('iII', os.getpid(), 0, 0)
        for uid in UIDS:
            with self.broker.client(uid) as client:
                for option in (socket.SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD):
                    with contextlib.suppress(OSError):
                        client.socket.setsockopt(socket.SOL_SOCKET, option, 1)
                client.socket.sendmsg(
                    [b'web#'], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, ucred),
                                rights([self.servers['a'].fileno()])])
                packet, controls, _, _ = client.socket.recvmsg(4096, 4096)
                self.assertEqual(packet, b'OK')
                for _, kind, data in controls:
                    if kind == 4:  # SCM_PIDFD
                        os.close(struct.unpack('i', data)[0])
        self.as_before()


class Memfds(HostileTest):
    def test_sparse(self):
        """Larger than any memory, and empty."""
        fd = os.memfd_create('sparse', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.addCleanup(os.close, fd)
        os.ftruncate(fd, 1 << 42)
        fcntl.fcntl(fd, wire.F_ADD_SEALS, wire.SEALS)
        self.assertEqual(self.broker.ask('apply', fds=[fd]).error, 'EMSGSIZE')
        for uid in UIDS:
            with self.broker.client(uid) as client:
                self.assertEqual(client.ask('register', LABEL='web', fds=[fd] * MANY).error, 'ENOTSOCK')

    def test_all_of_what_apply_takes(self):
        """A gigabyte of nothing: zeros are no rules."""
        fd = os.memfd_create('zeros', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.addCleanup(os.close, fd)
        os.ftruncate(fd, 64 << 20)
        fcntl.fcntl(fd, wire.F_ADD_SEALS, wire.SEALS)
        self.assertFalse(self.broker.ask('apply', fds=[fd]).ok)

    def test_changed_while_it_is_read(self):
        """Only what cannot be changed is read."""
        for seals in (0, 2, 4, 8, 2 | 4, 2 | 8, 4 | 8):
            fd = os.memfd_create('loose', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.write(fd, b'tcp 192.0.2.0/24 81 web\n')
            fcntl.fcntl(fd, wire.F_ADD_SEALS, seals)
            reply = self.broker.ask('apply', fds=[fd])
            os.close(fd)
            self.assertEqual(reply.error, 'EINVAL')
            self.assertIn('sealed', reply.message)
        fd = wire.sealed_memfd(b'')
        self.addCleanup(os.close, fd)
        for change in (lambda: os.ftruncate(fd, 1), lambda: os.write(fd, b'x')):
            with self.assertRaises(PermissionError):
                change()

    def test_huge_pages(self):
        try:
            fd = os.memfd_create('huge', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | MFD_HUGETLB)
        except OSError as error:
            self.skipTest('no huge pages: %s' % error)
        self.addCleanup(os.close, fd)
        os.ftruncate(fd, 2 << 20)
        fcntl.fcntl(fd, wire.F_ADD_SEALS, wire.SEALS)
        self.assertEqual(self.broker.ask('apply', fds=[fd]).error, 'EINVAL')


class Packets(HostileTest):
    def test_sizes(self):
        for uid in UIDS:
            with self.broker.client(uid) as client:
                head = b'REQUEST=version\nX='
                client.send(head + b'x' * (4096 - len(head)))
                self.assertIn(b'version has no field X=', client.receive()[0])
                client.send(b'x' * 4097, [self.servers['a']] * MANY)
                self.assertTrue(client.receive()[0].startswith(b'ERROR=EMSGSIZE\n'))
                client.send(b'web#' + b'x' * 4093, [self.servers['a']] * MANY)
                self.assertTrue(client.receive()[0].startswith(b'ERR EMSGSIZE '))
                client.send(b'x')
                self.assertTrue(client.receive()[0].startswith(b'ERROR=EPROTO\n'))
                self.assertServed(client)

    def test_empty(self):
        """It ends the connection, with or without files."""
        for uid in UIDS:
            for fds in ([], [self.servers['a']] * MANY):
                with self.broker.client(uid) as client:
                    client.send(b'', fds)
                    self.assertEqual(client.receive()[0], b'')

    def test_flood(self):
        """As many requests as the queues take, none of whose replies is read."""
        for uid in UIDS:
            client = self.broker.client(uid)
            client.socket.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                for _ in range(100000):
                    client.send(b'REQUEST=version\n')
                    sent += 1
            with self.broker.client(OTHER_UID) as other:
                self.assertServed(other)
            client.socket.setblocking(True)
            for _ in range(sent):
                self.assertTrue(client.receive()[0].startswith(b'OK=1\n'))
            client.socket.close()


class Coming(HostileTest):
    """Clients that come and go."""

    def test_10000(self):
        for i in range(10000):
            with self.broker.client(UIDS[i % 2]) as client, contextlib.suppress(BrokenPipeError):
                if i % 3 == 1:
                    client.send(b'REQUEST=version\n')
                elif i % 3 == 2:
                    client.send(b'no good#', [self.servers['a']])
        for uid in UIDS:
            eventually(lambda: self.is_served(uid), 'served')

    def is_served(self, uid):
        try:
            return self.broker.ask('version', uid=uid).ok
        except (BrokenPipeError, ConnectionResetError):
            return False  # its share is not given back yet

    def test_killed_with_a_request_under_way(self):
        for uid in UIDS:
            def attack(child):
                with self.broker.client(uid) as client, socket.create_server(('', 0)) as listener:
                    child.tell('begin')
                    while True:
                        client.short('nothing', [listener] * MANY)

            for _ in range(10):
                child = load.Child(attack)
                child.hear()
                child.destroy()
            self.assertTrue(self.broker.ask('version', uid=uid).ok)

    def test_process_gone(self):
        """Who has connected is gone, and another goes on with its connection."""
        for uid in UIDS:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                client = self.broker.client(uid)
                if os.fork() > 0:
                    os._exit(0)
                os.read(reader, 1)
                answer = client.short('web', [self.servers['a']])
                os._exit(0 if answer == 'OK' and os.write(writer, b'!') else 1)
            os.waitpid(pid, 0)
            os.write(writer, b'x')
            eventually(lambda: not select.select([reader], [], [], 0)[0] or True, 'begun')
            record = eventually(lambda: [s for s in self.sockets('web')
                                         if s['uid'] == str(uid or 0)], 'registered')
            self.assertEqual(len(record), 1)
            os.close(reader)
            os.close(writer)
        self.as_before()

    def test_root_of_a_user_namespace(self):
        """It is whoever it is outside."""
        def attack(child):
            ready, go = os.pipe(), os.pipe()
            pid = os.fork()
            if pid == 0:
                sandbox.check(sandbox.libc.unshare(CLONE_NEWUSER))
                os.write(ready[1], b'x')
                os.read(go[0], 1)
                os.setgid(0)
                os.setuid(0)
                with wire.Client(self.broker.socket) as client:
                    reply = client.ask('unload')
                child.tell([reply.error, reply.message])
                os._exit(0)
            os.read(ready[0], 1)
            for name in ('uid_map', 'gid_map'):
                with open('/proc/%d/%s' % (pid, name), 'w', encoding='ascii') as file:
                    file.write('0 %d 1' % OTHER_UID)
            os.write(go[1], b'x')
            os.waitpid(pid, 0)

        child = load.Child(attack)
        self.addCleanup(child.destroy)
        error, message = child.hear()
        self.assertEqual(error, 'EPERM')
        self.assertIn('uid %d may not' % OTHER_UID, message)


class Descriptors(HostileTest):
    """The broker has only so many."""

    LIMIT = 900       # of which 320 stay for requests, and as many again for who administers
    RESERVED = 320

    def setUp(self):
        def prepare_process():
            sandbox.die_with_parent()
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.LIMIT, self.LIMIT))

        prepare, harness.Broker.prepare_process = (harness.Broker.prepare_process,
                                                   lambda _: prepare_process())
        try:
            super().setUp()
        finally:
            harness.Broker.prepare_process = prepare

    def connect(self, uid):
        """Until one is turned away."""
        clients = []
        while True:
            client = self.broker.client(uid)
            self.addCleanup(client.socket.close)
            with contextlib.suppress(BrokenPipeError):
                client.send(b'REQUEST=version\n')
            packet = b''
            with contextlib.suppress(ConnectionResetError):
                packet = client.receive()[0] or client.receive()[0]
            if not packet.startswith(b'OK=1\n'):
                return clients, packet
            clients.append(client)

    def test_used_up(self):
        self.assertIn('RLIMIT_NOFILE', self.broker.log())  # it warns
        users, refusal = self.connect(WEB_UID)
        self.assertIn(refusal[:13], (b'ERROR=EAGAIN\n', b'ERROR=EDQUOT\n'))
        roots, _ = self.connect(None)
        self.assertGreater(len(roots), 100)
        self.assertLess(len(self.broker.fds()), self.LIMIT - self.RESERVED + 10)
        # each is served, with as many files as there may be, and a table
        for client in (roots[0], users[0]):
            self.assertServed(client)
            self.assertTrue(client.ask('status').ok)
            self.assertEqual(client.ask('register', LABEL='web', fds=[self.servers['a']] * MANY).error,
                             'EINVAL')
            self.assertTrue(client.ask('register', LABEL='web', fds=[self.servers['a']]).ok)
        for client in users + roots[1:]:
            client.socket.close()
        eventually(lambda: self.broker.ask('version', uid=OTHER_UID).ok, 'there is room again')
        self.as_before()


class Processes(HostileTest):
    """Those that the broker has made are killed."""

    def children(self, name):
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError), open('/proc/%s/comm' % pid, encoding='utf-8') as file:
                if file.read().strip() == name and self.session(pid) == self.session(
                        self.broker.process.pid):
                    found.append(int(pid))
        return found

    def session(self, pid):
        return os.stat('/proc/%s/ns/net' % pid).st_ino

    def test_porter(self):
        with self.broker.client(WEB_UID) as client, self.broker.client(OTHER_UID) as other:
            self.assertServed(client)
            self.assertServed(other)
            porter, = self.children('sb-%d' % WEB_UID)
            os.kill(porter, signal.SIGKILL)
            self.assertEqual(client.receive(), (b'', []))
            self.assertServed(other)
        self.assertIn('the process that serves uid %d ended' % WEB_UID, eventually(
            lambda: 'ended' in self.broker.log() and self.broker.log(), 'it is said'))
        with self.broker.client(WEB_UID) as client:
            self.assertServed(client)

    def test_zygote(self):
        zygote, = self.children('sb-zygote')
        with self.broker.client(WEB_UID) as client:
            self.assertServed(client)
            os.kill(zygote, signal.SIGKILL)
            eventually(lambda: zygote not in self.children('sb-zygote'), 'gone')
            self.assertServed(client)
            with self.broker.client(OTHER_UID) as other:
                self.assertServed(other)

    def test_scribe(self):
        text = b''.join(b'tcp 10.%d.%d.0/24 80 web\n' % (i >> 8, i & 255) for i in range(60000))
        self.assertTrue(self.broker.ask('apply', fds=[wire.sealed_memfd(text)]).ok)
        for _ in range(20):
            with self.broker.client(OTHER_UID) as client:
                client.send(b'REQUEST=rules\n')
                for pid in eventually(lambda: self.children('sb-scribe')
                                      or select.select([client.socket], [], [], 0)[0], 'it begins'):
                    if isinstance(pid, int):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                packet, fds = client.receive()
                wire.Reply(b'', fds)
                self.assertServed(client)
                if packet.startswith(b'ERROR=EIO\nMESSAGE=the answer could not be written'):
                    break
        else:
            self.fail('never killed in time')
        self.assertTrue(self.broker.ask('apply', fds=[wire.sealed_memfd(b'')]).ok)


if __name__ == '__main__':
    harness.main()
