#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a client sends may take for ever to be closed, or even to be looked at. Others do not wait.

Each test lets a user do one such thing, and goes on until the kernel is known to hold somebody up.
Meanwhile others are served. Times are not asserted: who waits for a file here, waits until it ends.
"""

import contextlib
import os
import signal
import socket
import time

import attacks
import fuse
import harness
import load
from harness import BrokerTest, eventually
from sandbox import OTHER_UID, WEB_UID

MANY = 253
REGISTER = b'REQUEST=register\nLABEL=evil\n'
PORTERS_PER_USER = 4
KEEPERS_PER_USER = 4
KEEPER_IDLE = 1  # seconds without a file, after which a keeper ends
STUCK = 0.26  # seconds without an answer, after which a porter counts as stuck


class Closing(BrokerTest):
    labels = {
        'evil': 'AllowUser=%d\nMaxSockets=1024\n' % WEB_UID,
        'good': 'AllowUser=%d\nListenStream=192.0.2.0/24:80\n' % OTHER_UID,
    }

    def setUp(self):
        super().setUp()
        self.filesystems, self.attackers = [], []
        self.addCleanup(self.end_attack)
        self.tcp('a')
        self.others_are_served(1)

    def end_attack(self):
        for each in self.filesystems + self.attackers:  # in this order: nobody waits any more
            each.destroy()
        self.filesystems, self.attackers = [], []

    def filesystem(self, never, flags=0):
        self.filesystems.append(fuse.Filesystem(never, flags))
        return self.filesystems[-1]

    def attack(self, function):
        """
        A process of WEB_UID's that calls FUNCTION and keeps what that returns, until it is killed.
        """
        def work(child):
            kept = function()
            child.tell('done')
            signal.pause()
            del kept

        self.attackers.append(load.Child(work))
        return self.attackers[-1]

    def send(self, packet, fds, client=None):
        client = client or self.broker.client(WEB_UID)
        client.send(packet, fds)
        return client

    @contextlib.contextmanager
    def broker_stopped(self):
        """What is sent within stays in the queues of connections that the broker does not know yet."""
        self.broker.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.broker.process.send_signal(signal.SIGCONT)

    def others_are_served(self, times=10):
        """An administrator, and a user of another name, register and ask."""
        for _ in range(times):
            with self.broker.client() as client:
                self.assertTrue(client.ask('version').ok)
            with self.broker.client(OTHER_UID) as client:
                self.assertEqual(client.short('good', [self.servers['a']]), 'OK')
                self.assertTrue(client.ask('status').ok)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')

    def others_are_served_while(self, operation, filesystem):
        filesystem.wait_for(operation)
        self.others_are_served()

    def porters(self, uid=WEB_UID):
        return self.broker.processes().count('sb-%d' % uid)


class Files(Closing):
    """Of a filesystem whose daemon never answers that they are closed."""

    def test_with_a_request(self):
        for packet, n in ((REGISTER, 1), (b'evil#', MANY), (b'good#', 1), (b'REQUEST=status\n', MANY),
                          (b'\1\2\3', 1), (b'x' * 4097, MANY)):
            with self.subTest(packet=packet[:20], n=n):
                filesystem = self.filesystem({fuse.FLUSH})
                self.attack(lambda: self.send(packet, [filesystem.open()] * n))
                self.others_are_served_while(fuse.FLUSH, filesystem)
                self.end_attack()

    def test_among_sockets(self):
        filesystem = self.filesystem({fuse.FLUSH})

        def attack():
            listener = socket.create_server(('127.0.0.1', 0))
            return self.send(b'evil#', [listener, filesystem.open(), listener]), listener

        self.attack(attack)
        self.others_are_served_while(fuse.FLUSH, filesystem)
        self.assertEqual(self.sockets('evil'), [])

    def test_the_reply_comes_when_it_is_closed(self):
        filesystem = self.filesystem({fuse.FLUSH})

        def attack():
            client = self.send(b'evil#', [filesystem.open()])
            return client.receive()

        attacker = self.attack(attack)
        self.others_are_served_while(fuse.FLUSH, filesystem)
        filesystem.abort()
        self.assertEqual(attacker.hear(), 'done')


class Queues(Closing):
    """Files in the queue of a connection that is closed."""

    def hidden_in(self, queue):
        """The client that QUEUE(file) returns goes away, before the broker sees it."""
        filesystem = self.filesystem({fuse.WRITE}, fuse.WRITEBACK_CACHE)

        def attack():
            kept, client = attacks.dirty(filesystem, queue)
            client.socket.close()
            return kept

        with self.broker_stopped():
            self.assertEqual(self.attack(attack).hear(), 'done')
        return filesystem

    def test_client_goes(self):
        def queue(file):
            client = self.send(b'REQUEST=version\n', [])
            self.send(b'\0', [], client)
            self.send(b'evil#', [file], client)
            return client

        filesystem = self.hidden_in(queue)
        self.others_are_served_while(fuse.WRITE, filesystem)

    def test_empty_packets_before(self):
        def queue(file):
            client = self.broker.client(WEB_UID)
            for _ in range(20):
                client.send(b'')
            self.send(b'', [file], client)
            return client

        filesystem = self.hidden_in(queue)
        self.others_are_served_while(fuse.WRITE, filesystem)

    def test_connection_within(self):
        """A Unix socket, in whose queue there is another, in whose queue there is the file."""
        def queue(file):
            inner, outer = (socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
            socket.send_fds(inner[0], [b'x'], [file])
            socket.send_fds(outer[0], [b'x'], [inner[1].fileno()])
            client = self.send(b'evil#', [outer[1]])
            for end in inner + outer:
                end.close()
            return client

        filesystem = self.hidden_in(queue)
        self.others_are_served_while(fuse.WRITE, filesystem)

    def test_cycle(self):
        """A connection within itself, with the file: only the kernel's own collector finds it."""
        def queue(file):
            client = self.broker.client(WEB_UID)
            self.send(b'evil#', [client.socket, file], client)
            self.send(b'evil#', [client.socket, file], client)
            return client

        self.hidden_in(queue)
        self.others_are_served()


class TurnedAway(Queues):
    def prepare(self):
        self.broker.conf('MaxConnectionsPerUser=2\n')

    def setUp(self):
        super().setUp()
        crowd = [self.broker.client(WEB_UID) for _ in range(2)]
        for client in crowd:
            self.addCleanup(client.socket.close)
            self.assertTrue(client.ask('version').ok)


class TimedOut(Closing):
    def prepare(self):
        self.broker.conf('RequestTimeout=200ms\n')

    def test_deaf(self):
        """It does not take the table that it asked for, and has sent more."""
        filesystem = self.filesystem({fuse.WRITE}, fuse.WRITEBACK_CACHE)

        def attack():
            client = self.send(b'REQUEST=status\n', [])
            self.send(b'REQUEST=status\n', [], client)
            return attacks.dirty(filesystem, lambda file: self.send(b'evil#', [file], client))

        self.attack(attack)
        self.others_are_served_while(fuse.WRITE, filesystem)


class Locks(Closing):
    """
    The kernel does not tell a socket's address, nor takes it into a sockmap, while somebody else is in a
    call that has locked it: one that reads memory of a file, whose daemon does not answer.
    """

    def begin(self):
        filesystem = self.filesystem({fuse.READ})

        def attack():
            listener = socket.create_server(('127.0.0.1', 0))
            client = self.broker.client(WEB_UID)
            attacks.lock(filesystem, listener)
            # it is locked when the page has been asked for, which the test sees
            eventually(lambda: os.path.exists(self.broker.directory + '/locked'), 'locked')
            return self.send(REGISTER, [listener], client), listener

        attacker = self.attack(attack)
        filesystem.wait_for(fuse.READ)
        with open(self.broker.directory + '/locked', 'wb'):
            pass
        self.assertEqual(attacker.hear(), 'done')
        return filesystem

    def test_registered(self):
        filesystem = self.begin()
        self.others_are_served()
        self.assertEqual(self.sockets('evil'), [])
        # it is done when it can be done
        filesystem.abort()
        eventually(lambda: len(self.sockets('evil')) == 1, 'registered')

    def test_broker_killed(self):
        self.another_broker(self.broker.kill)

    def test_broker_stopped(self):
        self.another_broker(self.broker.stop)

    def test_broker_stopped_twice(self):
        self.another_broker(self.broker.stop, 2)

    def another_broker(self, end, times=1):
        """The process that is held up belongs to the old broker. It gets nothing of the new one's."""
        filesystem = self.begin()
        self.others_are_served()
        for _ in range(times):
            end()
            self.broker.start()
        # whatever slot there is, a socket that the label does not have is not met
        self.tcp('b')
        for label in ('good', 'another'):
            with self.broker.client() as client:
                self.assertEqual(client.short(label, [self.servers['b']]), 'OK')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'b')
        self.close('b')
        filesystem.abort()
        eventually(lambda: not self.held_up(), 'the old one is gone')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), harness.REFUSED)
        self.assertEqual(self.sockets('evil'), [])
        self.others_are_served()
        # none is there any more: what had to stay reserved can be had again
        self.broker.stop()
        self.broker.start()
        self.others_are_served()

    def held_up(self):
        """Processes of WEB_UID's porters, whoever's children they are by now."""
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError), open('/proc/%s/comm' % pid, encoding='utf-8') as file:
                if file.read().strip() == 'sb-%d' % WEB_UID:
                    found.append(pid)
        return found


class NoRight(Locks):
    """The same of a user who may register nothing at all."""
    labels = {'good': Closing.labels['good']}

    def send(self, packet, fds, client=None):
        return super().send(b'REQUEST=register\n', fds, client)

    def test_registered(self):
        """It is not even looked at."""
        self.begin()
        self.others_are_served()
        self.assertEqual(self.sockets('evil'), [])


class Ends(Closing):
    """A broker ends, and another begins, while what somebody sent cannot be closed."""

    def setUp(self):
        super().setUp()
        filesystem = self.filesystem({fuse.FLUSH})
        self.attack(lambda: self.send(b'evil#', [filesystem.open()] * MANY))
        self.others_are_served_while(fuse.FLUSH, filesystem)

    def test_killed(self):
        self.broker.kill()
        self.broker.start()
        self.others_are_served()

    def test_stopped(self):
        self.broker.stop()
        self.broker.start()
        self.others_are_served()


class Exhausted(Closing):
    """A user has as many processes stuck as it may, and goes on."""

    def test_all_porters_stuck(self):
        filesystem = self.filesystem({fuse.FLUSH})

        def attack():
            kept, refused = [], 0
            while refused < 20:
                client = self.broker.client(WEB_UID)
                client.socket.settimeout(STUCK)
                kept.append(client)
                with contextlib.suppress(BrokenPipeError):  # it may be refused already
                    client.send(b'evil#', [filesystem.open()])
                with contextlib.suppress(TimeoutError):
                    packet = client.receive()[0]
                    assert packet.startswith(b'ERROR=EAGAIN\nMESSAGE=what your user sent'), packet
                    refused += 1
            return kept

        attacker = self.attack(attack)
        self.assertEqual(attacker.hear(), 'done')
        self.assertEqual(self.porters(), PORTERS_PER_USER)
        self.others_are_served()
        self.keepers_are_bounded()
        self.broker.kill()
        self.broker.start()
        self.others_are_served()


    def keepers_are_bounded(self):
        """Further files are kept by some processes, which do not end either; the last one does not try."""
        def hide(file):
            client = self.broker.client(WEB_UID)
            with contextlib.suppress(BrokenPipeError):
                self.send(b'evil#', [file], client)
            client.socket.close()

        for i in range(KEEPERS_PER_USER + 2):
            filesystem = self.filesystem({fuse.WRITE}, fuse.WRITEBACK_CACHE)
            with self.broker_stopped():
                self.assertEqual(self.attack(lambda: attacks.dirty(filesystem, hide)).hear(), 'done')
            self.others_are_served(1)
            eventually(lambda: self.ending() == min(i + 1, KEEPERS_PER_USER), 'it is held up')
        # the last one stays, for longer than the others did
        end = time.monotonic() + 2 * KEEPER_IDLE
        while time.monotonic() < end:
            self.others_are_served(1)
        self.assertEqual(self.ending(), KEEPERS_PER_USER)
        self.assertEqual(self.broker.processes().count('sb-keeper'), KEEPERS_PER_USER + 1)
        self.others_are_served()

    def ending(self):
        """Keepers that would have ended by now: they have closed what the kernel lets them close."""
        n = 0
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError):
                with open('/proc/%s/comm' % pid, encoding='utf-8') as file:
                    keeper = file.read().strip() == 'sb-keeper'
                n += keeper and not os.path.exists('/proc/%s/fd/0' % pid)
        return n


class Kept(Closing):
    """
    The broker itself has a socket (WhenEmpty=hold), which its service has made into a connection that
    lingers: whoever closes it last waits.
    """
    labels = {
        'evil': 'AllowUser=%d\nWhenEmpty=hold\nHoldTimeout=200ms\n' % WEB_UID,
        'good': Closing.labels['good'],
    }

    def lingers(self, then):
        peer = socket.create_server(('127.0.0.1', 0))  # outlives the service
        self.addCleanup(peer.close)
        address = peer.getsockname()

        def attack():
            listener = socket.create_server(('127.0.0.1', 0))
            client = self.broker.client(WEB_UID)
            assert client.short('evil', [listener]) == 'OK'
            listener.shutdown(socket.SHUT_RDWR)
            listener.connect(address)
            attacks.linger(listener)
            listener.close()
            then(client)
            return client

        self.assertEqual(self.attack(attack).hear(), 'done')

    def test_unregistered(self):
        self.lingers(lambda client: client.ask('unregister', LABEL='evil'))
        self.others_are_served()

    def test_replaced(self):
        self.lingers(lambda client: client.short('evil', [socket.create_server(('127.0.0.1', 0))]))
        self.others_are_served()

    def test_time_is_up(self):
        self.lingers(lambda client: None)
        self.end_attack()
        eventually(lambda: not [s for s in self.sockets('evil') if s.get('own') != 'yes'], 'given up')
        self.others_are_served()

    def test_stopped(self):
        self.lingers(lambda client: None)
        self.broker.stop()
        self.broker.start()
        self.others_are_served()


class Demoted(Closing):
    """Who administers no more is not served as one who does."""

    def prepare(self):
        self.broker.conf('AdminGroup=4242\n')

    def test_reload(self):
        filesystem = self.filesystem({fuse.FLUSH})
        with self.broker.client(WEB_UID, [4242]) as client, \
                self.broker.client(WEB_UID, [4242]) as other:
            self.assertTrue(other.ask('reload').ok)
            self.broker.conf('')
            self.assertTrue(client.ask('reload').ok)  # it gets its answer
            with contextlib.suppress(BrokenPipeError):
                other.send(b'REQUEST=version\n', [filesystem.open()])
            self.others_are_served()
            self.assertEqual(client.receive(), (b'', []), 'the end')


class Slow(Closing):
    """What takes long, though not for ever."""

    def sent_and_gone(self, make):
        """When the broker sees what MAKE(keep) returned, nobody else has it."""
        def attack():
            keep = []
            fds = make(keep)
            client = self.send(REGISTER, fds)
            for fd in fds:
                os.close(fd)
            return client, keep

        with self.broker_stopped():
            self.assertEqual(self.attack(attack).hear(), 'done')
        self.others_are_served()

    def test_lingering(self):
        self.sent_and_gone(lambda keep: attacks.lingering(MANY, keep))

    def test_lingering_within_a_socket(self):
        self.sent_and_gone(lambda keep: [attacks.within_a_socket(attacks.lingering(4, keep))])

    def test_packet_sockets(self):
        self.sent_and_gone(lambda keep: attacks.packet_sockets(MANY))

    def test_large_memfds(self):
        self.sent_and_gone(lambda keep: attacks.large_memfds(4, 256 << 20))

    def test_long_queue(self):
        self.sent_and_gone(lambda keep: [attacks.queued_listener(800, keep)])


if __name__ == '__main__':
    harness.main()
