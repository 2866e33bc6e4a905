#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""WhenEmpty=hold: connections wait while there is no service, and whoever comes serves them."""

import os
import select
import signal
import socket
import subprocess
import sys
import time

import harness
import load
import sandbox
from harness import BrokerTest, REFUSED, TIMEOUT, eventually
import wire

CONNECTIONS, CLIENTS = 20000, 4
NEVER = 'HoldTimeout=1h\n'

# A service as one finds them: takes what it is passed, knows nothing of brokers.
SERVICE = '''
import os, socket
assert int(os.environ['LISTEN_PID']) == os.getpid()
listener = socket.socket(fileno=3)
while True:
    connection, _ = listener.accept()
    connection.sendall(b'%s ' + connection.recv(16))
    connection.close()
'''


def taker(broker, label, name):
    """A process that takes the sockets of LABEL and serves the IPv4 one with NAME until it is
    stopped, then ends when the connection that it has is done."""
    def work(child):
        with wire.Client(broker.socket) as client:
            reply = client.ask('take', LABEL=label)
        assert reply.ok, reply
        child.tell('ready')
        listener, = [s for s in reply.sockets if s.family == socket.AF_INET]
        listener.settimeout(0.02)
        served = 0
        while not child.stopping:
            try:
                connection, _ = listener.accept()
            except (TimeoutError, InterruptedError):
                continue
            served += 1
            connection.settimeout(5)
            try:
                connection.sendall(name)
                connection.recv(1)
            except OSError:
                pass
            connection.close()
        child.tell(served)
        for sock in reply.sockets:
            sock.close()

    return load.Child(work)


class HoldTest(BrokerTest):
    labels = {
        'web': 'ListenStream=192.0.2.0/24:80,8000-8999\nListenStream=[2001:db8::/48]:80\n'
               'WhenEmpty=hold\nAllowUser=%d\n' % sandbox.WEB_UID + NEVER,
        'dns': 'ListenDatagram=192.0.2.0/24:53\nWhenEmpty=hold\n' + NEVER,
        'short': 'ListenStream=198.51.100.0/24:80\nWhenEmpty=hold\nHoldTimeout=300ms\n',
    }

    def service(self, *labels, name='served', uid=None):
        """A service started with `sockbroker run`."""
        identity = {} if uid is None else {'user': uid, 'group': uid, 'extra_groups': []}
        process = subprocess.Popen(
            (harness.scratch + '/build/client/sockbroker', 'run', *labels, '--', sys.executable,
             '-c', SERVICE % name), env={**os.environ, **harness.SANITIZER_ENV,
                                         'SOCKBROKER_SOCKET': self.broker.socket},
            stdin=subprocess.DEVNULL, preexec_fn=sandbox.die_with_parent, **identity)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        process.kill()
        process.wait()

    def client(self, address, port=80, hello=b'hello'):
        client = self.socket(socket.AF_INET6 if ':' in address else socket.AF_INET,
                             socket.SOCK_STREAM)
        client.connect((address, port))
        client.sendall(hello)
        return client

    def answer(self, client):
        """What came until the end of the connection."""
        found = b''
        while True:
            data = client.recv(64)
            if not data:
                return found.decode()
            found += data

    def held(self, label):
        """The sockets of LABEL that are held, by family."""
        return {s['family']: s for s in self.sockets(label) if s['held'] == 'yes'}

    def waits(self, label, family, number):
        eventually(lambda: self.held(label).get(family, {}).get('waiting') == str(number),
                   '%d connections wait' % number)


class Waiting(HoldTest):
    def test_the_first_connections_wait(self):
        clients = [self.client('192.0.2.%d' % i, 8000 + i) for i in range(5)]
        self.waits('web', 'ipv4', 5)
        ready, _, _ = select.select(clients, [], [], 0)
        self.assertEqual(ready, [], 'nobody has answered, or hung up')
        self.service('web')
        for client in clients:
            self.assertEqual(self.answer(client), 'served hello')
        # and later ones are served without waiting
        self.assertEqual(self.answer(self.client('192.0.2.99')), 'served hello')

    def test_explained(self):
        told = self.broker.json('explain', 'tcp', '192.0.2.1', '80')
        self.assertEqual((told['verdict'], told['agrees']), ('hold', True), told)
        self.client('192.0.2.1')
        self.waits('web', 'ipv4', 1)
        text = self.broker.command('status', 'web').stdout
        self.assertRegex(text, r'\(the broker\)')
        self.assertRegex(text, r'yes, 1 waiting, \d+ s left')
        record = self.held('web')['ipv4']
        self.assertLessEqual(abs(int(record['waiting_since']) - time.time()), 5)
        self.assertEqual(self.group('web')['holds'], '1')
        self.assertEqual(self.group('web')['misses'], '0')

    def test_ipv6(self):
        client = self.client('2001:db8::7')
        self.waits('web', 'ipv6', 1)
        with self.broker.client() as broker:
            reply = broker.ask('take', LABEL='web')
        self.assertTrue(reply.ok, reply)
        four, six = sorted(reply.sockets, key=lambda s: s.family)
        connection, peer = six.accept()
        self.assertEqual(connection.getsockname()[:2], ('2001:db8::7', 80))
        self.assertEqual(peer[:2], client.getsockname()[:2])
        self.assertEqual(connection.recv(16), b'hello')
        for sock in (four, six, connection):
            sock.close()

    def test_datagrams_wait(self):
        clients = [self.udp_client('192.0.2.%d' % i, 53) for i in range(3)]
        for i, client in enumerate(clients):
            client.send(b'question %d' % i)
        self.waits('dns', 'ipv4', 1)  # for UDP: whether
        with self.broker.client() as broker:
            taken, = broker.ask('take', LABEL='dns').sockets
        taken.settimeout(TIMEOUT)
        for i in range(3):
            data, control, _, _ = taken.recvmsg(64, 256)
            self.assertEqual(data, b'question %d' % i)
            # where it was sent to, although nobody had asked for that then
            (level, kind, info), = control
            self.assertEqual((level, kind), (socket.IPPROTO_IP, 8))  # IP_PKTINFO
            self.assertEqual(socket.inet_ntoa(info[8:12]), '192.0.2.%d' % i)
        taken.close()

    def test_time_is_up(self):
        clients = [self.client('198.51.100.%d' % i) for i in range(3)]
        self.waits('short', 'ipv4', 3)
        for client in clients:
            with self.assertRaises(ConnectionResetError):
                client.recv(1)
        # the label is empty again, and the next ones wait anew
        self.client('198.51.100.9')
        self.waits('short', 'ipv4', 1)
        self.assertEqual(self.group('short')['misses'], '0')

    def test_registered_instead(self):
        """A service that has its own socket cannot get what waits in another."""
        client = self.client('192.0.2.1')
        self.waits('web', 'ipv4', 1)
        self.tcp('a')
        reply = self.register('web', 'a')
        self.assertEqual(len(reply.warnings), 1, reply)
        self.assertIn('1 connections that waited', reply.warnings[0])
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')

    def test_address_is_free_again(self):
        """The broker has closed what it held when `unregister` has its OK."""
        listener = self.tcp('a')
        address = listener.getsockname()
        self.register('web', 'a')
        self.close('a')
        self.ask('unregister', LABEL='web')
        self.socket(socket.AF_INET, socket.SOCK_STREAM).bind(address)

    def test_rules_made_later(self):
        self.assertEqual(self.tcp_reaches('203.0.113.1', 80), REFUSED)
        self.rule('dns', 'tcp', '203.0.113.0/24', '80')
        client = self.client('203.0.113.1')
        self.unrule('dns', 'tcp', '203.0.113.0/24', '80')
        with self.assertRaises(ConnectionResetError):
            client.recv(1)

    def test_who_may_take(self):
        with self.broker.client(sandbox.OTHER_UID) as client:
            reply = client.ask('take', LABEL='web')
        self.assertEqual(reply.error, 'EPERM')
        self.assertIn(str(sandbox.WEB_UID), reply.message)
        self.service('web', uid=sandbox.WEB_UID)
        self.assertEqual(self.answer(self.client('192.0.2.1')), 'served hello')
        served = next(s for s in self.sockets('web') if s['family'] == 'ipv4')
        self.assertEqual(served['uid'], str(sandbox.WEB_UID))

    def test_messages(self):
        for arguments, word in ((('run', 'none', '--', 'true'), 'no label none'),
                                (('run', 'web', 'plain', '--', 'true'), 'plain'),
                                (('run', 'web', '--', '/no/such/program'), '/no/such/program')):
            self.broker.ask('bind', LABEL='plain', PROTOCOL='tcp', PREFIX='203.0.113.9', PORTS='1')
            done = self.broker.command(*arguments)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn(word, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_unload_lets_go(self):
        client = self.client('192.0.2.1')
        self.assertTrue(self.broker.ask('unload').ok)
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        self.broker.process.wait(TIMEOUT)


class Restart(HoldTest):
    """The service goes and comes back; the new instance takes the very same socket."""

    def test_killed_service(self):
        first = self.service('web', name='first')
        self.assertEqual(self.answer(self.client('192.0.2.1')), 'first hello')
        cookie = next(s['cookie'] for s in self.sockets('web') if s['family'] == 'ipv4')
        first.kill()
        first.wait()
        eventually(lambda: self.held('web').get('ipv4'), 'the socket is held')
        clients = [self.client('192.0.2.%d' % i) for i in range(7)]
        self.waits('web', 'ipv4', 7)
        self.assertEqual(self.held('web')['ipv4']['cookie'], cookie)
        self.service('web', name='second')
        for client in clients:
            self.assertEqual(self.answer(client), 'second hello')
        self.assertEqual(self.held('web'), {})

    def test_nobody_comes_back(self):
        self.tcp('a')
        listener = self.servers.pop('a')
        child = load.serve(listener, b'a')  # closes ours
        self.addCleanup(child.destroy)
        pidfd = os.pidfd_open(child.pid)
        # registered by us, for the child
        self.addCleanup(os.close, pidfd)
        done = self.broker.command('register', 'short', '--pid', str(child.pid))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(load.connect_once('198.51.100.1', 80), 'a')
        self.assertEqual(self.sockets('short')[0]['served_by'], str(child.pid))
        child.kill()
        client = self.client('198.51.100.1')
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        eventually(lambda: [s.get('own') for s in self.sockets('short')] == ['yes'],
                   'the label is empty again')

    def test_registered_by_a_helper(self):
        """ExecStartPost=sockbroker register --main-pid: the helper ends, the service is watched."""
        for uid in (None, sandbox.WEB_UID):  # whose files a porter has
            self.tcp('a')
            fd = self.servers['a'].fileno()
            done = self.broker.command('register', 'web', '--fd', str(fd), '--main-pid',
                                       str(os.getpid()), pass_fds=[fd], uid=uid)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
            record = next(s for s in self.sockets('web') if s.get('own') != 'yes')
            self.assertEqual((record['held'], record['served_by'], record['uid']),
                             ('no', str(os.getpid()), str(uid or 0)))

    def test_service_of_a_user_is_killed(self):
        """The broker has been passed the socket that it holds."""
        child = load.serve(self.tcp('a'), b'a')  # closes ours
        self.servers.clear()
        self.addCleanup(child.destroy)
        with self.broker.client(sandbox.WEB_UID) as client:
            pidfd = os.pidfd_open(child.pid)
            libc = sandbox.libc
            listener = sandbox.check(libc.syscall(438, pidfd, self.listener_of(child.pid), 0))
            reply = client.ask('register', LABEL='web', PIDFD='yes', fds=[listener, pidfd])
            os.close(listener)
            os.close(pidfd)
        self.assertTrue(reply.ok, reply)
        self.assertEqual(load.connect_once('192.0.2.1', 80), 'a')
        child.kill()
        eventually(lambda: self.held('web').get('ipv4'), 'the socket is held')
        client = self.client('192.0.2.1')
        self.waits('web', 'ipv4', 1)
        again = taker(self.broker, 'web', b'c')
        self.addCleanup(again.destroy)
        self.assertEqual(again.hear(), 'ready')
        self.assertEqual(client.recv(16), b'c')

    def test_no_pidfd(self):
        """Nobody else is watched instead: not by the broker, to which a porter passes no such file."""
        for uid in (None, sandbox.WEB_UID):
            listener, junk = self.tcp('a' + str(uid)), os.memfd_create('x')
            with self.broker.client(uid) as client:
                reply = client.ask('register', LABEL='web', PIDFD='yes', fds=[listener, junk])
            os.close(junk)
            self.assertEqual(reply.error, 'EBADF')
            self.assertIn('the last file descriptor of the request is no pidfd', reply.message)

    def listener_of(self, pid):
        """The number of its only socket."""
        directory = '/proc/%d/fd' % pid
        return next(int(fd) for fd in os.listdir(directory)
                    if os.readlink(directory + '/' + fd).startswith('socket:'))

    def test_one_of_a_pool(self):
        """What waits in the socket of one that was killed is kept, and nothing new goes there."""
        for name in 'ab':
            self.tcp(name)
        children = {n: load.serve(self.servers[n], n.encode()) for n in 'ab'}
        self.servers.clear()
        for name, child in children.items():
            self.addCleanup(child.destroy)
            done = self.broker.command('register', 'web', '--pid', str(child.pid), '--add')
            self.assertEqual(done.returncode, 0, done.stderr)
        os.kill(children['a'].pid, signal.SIGSTOP)  # accepts no more, so that some wait
        clients = [self.client('192.0.2.%d' % i) for i in range(16)]
        waiting = [c for c in clients if not select.select([c], [], [], 0.2)[0]]
        self.assertTrue(0 < len(waiting) < 16)
        children['a'].kill()
        eventually(lambda: self.held('web').get('ipv4'), 'the socket is held')
        self.assertEqual({load.connect_once('192.0.2.%d' % i, 80) for i in range(16)}, {'b'})
        self.waits('web', 'ipv4', len(waiting))
        again = taker(self.broker, 'web', b'c')
        self.addCleanup(again.destroy)
        self.assertEqual(again.hear(), 'ready')
        for client in waiting:
            self.assertEqual(client.recv(16), b'c')

    def restarts_under_load(self, end):
        service = taker(self.broker, 'web', b'0')
        self.assertEqual(service.hear(), 'ready')
        clients = [load.connect('192.0.2.', 80, CONNECTIONS // CLIENTS) for _ in range(CLIENTS)]
        for child in clients:
            self.addCleanup(child.destroy)
            self.assertEqual(child.hear(), 'ready')
        served, rounds = 0, 0
        while any(not select.select([c.lines], [], [], 0)[0] for c in clients):
            time.sleep(0.05)
            service.stop()
            served += service.hear()
            end(service)
            rounds += 1
            service = taker(self.broker, 'web', b'%d' % (rounds % 10))
            self.addCleanup(service.destroy)
            self.assertEqual(service.hear(), 'ready')
        answers = load.total([child.hear() for child in clients])
        print('%d restarts, %s' % (rounds, answers))
        self.assertEqual(sum(answers.values()), CONNECTIONS)
        self.assertEqual(set(answers) - set('0123456789'), set(), answers)
        self.assertGreater(rounds, 5)

    def test_restarted_under_load(self):
        self.restarts_under_load(lambda service: service.wait())

    def test_restarted_with_a_pause_under_load(self):
        """For some time nobody serves at all."""
        def end(service):
            service.wait()
            time.sleep(0.1)
        self.restarts_under_load(end)

    def test_the_broker_restarts_too(self):
        """What the broker held goes with it; what the service has stays, and is not lost."""
        service = taker(self.broker, 'web', b's')
        self.addCleanup(service.destroy)
        self.assertEqual(service.hear(), 'ready')
        for end in (self.broker.kill, self.broker.stop):
            end()
            self.assertEqual(load.connect_once('192.0.2.1', 80), 's')
            self.broker.start()
            self.assertEqual(load.connect_once('192.0.2.1', 80), 's')
        # it ends while the broker has no copy: its packets find where to wait all the same
        service.kill()
        client = self.client('192.0.2.1')
        again = taker(self.broker, 'web', b't')
        self.addCleanup(again.destroy)
        self.assertEqual(again.hear(), 'ready')
        self.assertEqual(client.recv(16), b't')


if __name__ == '__main__':
    harness.main()
