# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real broker in a scratch network namespace, real sockets, and a base class for the tests.

The programs under test are those of the build directory BUILD_ROOT (meson sets it).
Each test has its own broker: its own socket, configuration, state and pins.
"""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import sandbox
import wire

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get('BUILD_ROOT', TOP + '/build')

TIMEOUT = 10           # for what must happen; nothing is expected to take this long
REFUSED = 'refused'

IP_FREEBIND, IPV6_FREEBIND = 15, 78
SANITIZER = re.compile(r'ERROR: (Address|Leak|UndefinedBehavior)Sanitizer|runtime error:')
SANITIZER_ENV = {
    'ASAN_OPTIONS': 'exitcode=99:detect_leaks=1',
    'UBSAN_OPTIONS': 'print_stacktrace=1',
}

scratch = None  # set by main()


def eventually(condition, what, timeout=TIMEOUT):
    """Waits until CONDITION() is true and returns what it returned."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError('never happened: ' + what)
        time.sleep(0.01)


class Broker:
    """One broker and the directory it lives in. It may be started and ended many times."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(dir=scratch)
        os.chmod(self.directory, 0o755)
        self.program = scratch + '/build/broker/sockbrokerd'
        self.socket = self.directory + '/sock'
        self.config = self.directory + '/etc'
        self.state = self.directory + '/state'
        self.log_path = self.directory + '/log'
        self.bpffs = tempfile.mkdtemp(dir=scratch + '/bpf') + '/sockbroker'
        os.makedirs(self.config + '/labels.d')
        os.mkdir(self.state)
        self.process = None
        self.at_start = None, None, None  # by start(): the process, its fds, and its children

    def prepare_process(self):
        """In the broker's process, before it is the broker."""
        sandbox.die_with_parent()

    def label(self, name, text):
        """Writes NAME.label; None removes it."""
        path = '%s/labels.d/%s.label' % (self.config, name)
        if text is None:
            os.unlink(path)
            return
        with open(path, 'w', encoding='utf-8') as file:
            file.write('[Label]\n' + text)

    def conf(self, text):
        with open(self.config + '/sockbroker.conf', 'w', encoding='utf-8') as file:
            file.write('[Broker]\n' + text)

    def command_line(self, *arguments):
        return (self.program, '--socket', self.socket, '--config', self.config,
                '--state', self.state, '--bpffs', self.bpffs) + arguments

    def spawn(self, *arguments, preexec_fn=None):
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self.process = subprocess.Popen(
                self.command_line(*arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **SANITIZER_ENV},
                preexec_fn=preexec_fn or self.prepare_process)
        finally:
            os.close(log)
        return self.process

    def start(self, *arguments):
        self.spawn(*arguments)
        try:
            eventually(self._answers, 'the broker answers')
        except BaseException:
            self.process = None if self.process.poll() is not None else self.process
            raise
        self.at_start = self.process, self.quiet_fds(), self.processes()
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError('the broker ended with status %d:\n%s'
                                 % (self.process.returncode, self.log()))
        try:
            with wire.Client(self.socket) as client:
                return client.ask('version').ok
        except OSError:
            return False

    def log(self):
        if not os.path.exists(self.log_path):
            return ''  # never started
        with open(self.log_path, encoding='utf-8', errors='replace') as file:
            return file.read()

    def refused(self, *arguments):
        """Starts a broker that must refuse to; what it says."""
        done = subprocess.run(self.command_line(*arguments), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=TIMEOUT * 3, check=False,
                              env={**os.environ, **SANITIZER_ENV})
        if done.returncode != 1:
            raise AssertionError('status %d: %s' % (done.returncode, done.stderr))
        return done.stderr

    def stop(self, with_signal=signal.SIGTERM):
        """Ends the broker. What is pinned stays."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(with_signal)
        status = process.wait(TIMEOUT)
        log = self.log()
        if SANITIZER.search(log):
            raise AssertionError('sanitizer report:\n' + log)
        if status != (-signal.SIGKILL if with_signal == signal.SIGKILL else 0):
            raise AssertionError('the broker ended with status %d:\n%s' % (status, log))

    def kill(self):
        self.stop(signal.SIGKILL)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def destroy(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(os.path.dirname(self.bpffs), ignore_errors=True)
            shutil.rmtree(self.directory, ignore_errors=True)

    def fds(self):
        """What the broker has open, as a sorted list of link targets."""
        directory = '/proc/%d/fd' % self.process.pid
        found = []
        for name in os.listdir(directory):
            try:
                found.append(re.sub(r'\[\d+\]', '', os.readlink(directory + '/' + name)))
            except FileNotFoundError:
                pass
        return sorted(found)

    def quiet_fds(self):
        """fds(), once earlier connections have been put away."""
        def same():
            first = self.fds()
            time.sleep(0.03)
            return first if first == self.fds() else None
        return eventually(same, 'the broker is at rest')

    def processes(self):
        """Names of the processes that the broker has made, and those have."""
        def children(pid):
            try:
                with open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii') as file:
                    return [int(word) for word in file.read().split()]
            except (FileNotFoundError, ProcessLookupError):
                return []

        found, left = [], children(self.process.pid)
        while left:
            pid = left.pop()
            left += children(pid)
            try:
                with open('/proc/%d/comm' % pid, encoding='utf-8') as file:
                    found.append(file.read().strip())
            except (FileNotFoundError, ProcessLookupError):
                pass
        return sorted(found)

    def check_leftovers(self):
        """Once everybody is gone, the broker has what it had when it had started, and no more."""
        if self.process is None or self.process.poll() is not None:
            return
        started, *before = self.at_start
        if self.process is not started:  # not by start()
            return
        # where WhenEmpty=hold says so, copies of sockets and pidfds of services are kept on purpose
        for label in {record['label'] for record in self.ask('status').records('socket')}:
            self.ask('unregister', LABEL=label)
        try:
            eventually(lambda: [self.fds(), self.processes()] == before, 'nothing is left')
        except AssertionError:
            now = self.fds(), self.processes()
            raise AssertionError('left in the broker: %r, not %r' % (now, before)) from None

    def client(self, uid=None, groups=()):
        with sandbox.as_user(uid, groups):
            return wire.Client(self.socket)

    def ask(self, request, *pairs, uid=None, **fields):
        with self.client(uid) as client:
            return client.ask(request, *pairs, **fields)

    def command(self, *arguments, uid=None, **options):
        """Runs the command; returns its CompletedProcess, with text output."""
        identity = {} if uid is None else {'user': uid, 'group': uid, 'extra_groups': []}
        environment = {**os.environ, **SANITIZER_ENV, 'SOCKBROKER_SOCKET': self.socket,
                       **options.pop('env', {})}
        if 'input' not in options:
            options.setdefault('stdin', subprocess.DEVNULL)
        done = subprocess.run((scratch + '/build/client/sockbroker',) + arguments, capture_output=True, text=True,
                              timeout=TIMEOUT * 3, env=environment, **identity, **options)
        if SANITIZER.search(done.stderr):
            raise AssertionError('sanitizer report of %r:\n%s' % (arguments, done.stderr))
        return done

    def json(self, *arguments, **options):
        done = self.command('--json', *arguments, **options)
        if done.returncode != 0:
            raise AssertionError('%r: %s' % (arguments, done.stderr))
        return json.loads(done.stdout)


class BrokerTest(unittest.TestCase):
    """Starts a broker (with the label files of `labels`) and keeps track of sockets."""

    labels = {}

    def setUp(self):
        self.servers = {}
        self.broker = Broker()
        self.addCleanup(self.broker.destroy)
        for name, text in self.labels.items():
            self.broker.label(name, text)
        self.prepare()
        self.addCleanup(self.broker.check_leftovers)  # when all that a test has opened is closed
        self.broker.start()

    def prepare(self):
        """What has to be there before the broker starts."""

    def run(self, result=None):
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and self.kept_log:
            print('---- the broker said:\n' + self.kept_log, file=sys.stderr)

    kept_log = ''

    def tearDown(self):
        self.kept_log = self.broker.log()

    # Sockets, closed at the end of the test. A NAME makes one a possible answer of reaches().

    def socket(self, family, kind, protocol=0):
        sock = socket.socket(family, kind, protocol)
        self.addCleanup(sock.close)
        sock.settimeout(TIMEOUT)
        return sock

    def bound(self, kind, address, port, options=(), protocol=0):
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        sock = self.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        for option in options:
            sock.setsockopt(*option)
        sock.bind((address, port))
        return sock

    def tcp(self, name, address='127.0.0.1', port=0, options=()):
        sock = self.bound(socket.SOCK_STREAM, address, port, options)
        sock.listen(128)
        self.servers[name] = sock
        return sock

    def udp(self, name, address='127.0.0.1', port=0, options=()):
        sock = self.bound(socket.SOCK_DGRAM, address, port, options)
        self.servers[name] = sock
        return sock

    def close(self, name):
        self.servers.pop(name).close()

    # Requests that must succeed.

    def ask(self, request, *pairs, **fields):
        reply = self.broker.ask(request, *pairs, **fields)
        self.assertTrue(reply.ok, reply)
        return reply

    def register(self, label, *names, mode=None):
        fields = {'MODE': mode} if mode else {}
        return self.ask('register', LABEL=label, fds=[self.servers[n] for n in names], **fields)

    def rule(self, label, protocol, prefix, ports):
        return self.ask('bind', LABEL=label, PROTOCOL=protocol, PREFIX=prefix, PORTS=ports)

    def unrule(self, label, protocol, prefix, ports):
        return self.ask('unbind', LABEL=label, PROTOCOL=protocol, PREFIX=prefix, PORTS=ports)

    def rules_text(self):
        return self.ask('rules', FORMAT='text').table.decode()

    def snapshot(self):
        """Rules and sockets, for tests that nothing changed."""
        status = self.ask('status').records()
        return (self.rules_text(),
                [r for r in status if r['type'] == 'socket'],
                [(r['label'], r['rules'], r['sockets']) for r in status if r['type'] == 'label'])

    def sockets(self, label=None):
        return [r for r in self.ask('status').records('socket') if label in (None, r['label'])]

    def group(self, label, protocol='tcp', family='ipv4'):
        for record in self.ask('status').records('group'):
            if (record['label'], record['protocol'], record['family']) == (label, protocol, family):
                return record
        raise AssertionError('status has no group %s %s %s' % (label, protocol, family))

    # Real packets.

    def _names(self, kind):
        return {sock: name for name, sock in self.servers.items() if sock.type == kind}

    def dial(self, address, port):
        """A TCP connection and where it ended: (client, server's end, NAME)."""
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        client = self.socket(family, socket.SOCK_STREAM)
        client.connect((address, port))
        names = self._names(socket.SOCK_STREAM)
        ready = select.select(list(names), [], [], TIMEOUT)[0]
        self.assertEqual(len(ready), 1, 'connected to %s port %d, but to none of %s'
                         % (address, port, sorted(names.values())))
        server = ready[0].accept()[0]
        self.addCleanup(server.close)
        server.settimeout(TIMEOUT)
        self.assertEqual(server.getpeername()[1], client.getsockname()[1])
        self.assertEqual(server.getsockname()[1], port, 'the server sees the port dialled')
        return client, server, names[ready[0]]

    def assertEcho(self, client, server):
        for source, sink in ((client, server), (server, client)):
            source.sendall(b'x')
            self.assertEqual(sink.recv(1), b'x')

    def assertOwner(self):
        """It is the owner of what it took over (of label web, under 192.0.2.0/24:80,8000-8999)."""
        self.tcp('d')
        self.register('web', 'd')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'd')
        self.unrule('web', 'tcp', '192.0.2.0/24', '80')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 8000), 'd')

    def tcp_reaches(self, address, port):
        """The name of the listener that a connection ends at, or REFUSED."""
        try:
            client, server, name = self.dial(address, port)
        except ConnectionRefusedError:
            return REFUSED
        self.assertEcho(client, server)
        client.close()
        server.close()
        return name

    def udp_client(self, address, port):
        client = self.socket(socket.AF_INET6 if ':' in address else socket.AF_INET,
                             socket.SOCK_DGRAM)
        client.connect((address, port))
        return client

    def udp_reaches(self, address, port, client=None):
        """The name of the socket that a datagram ends at, or REFUSED. An answer comes back too."""
        client = client or self.udp_client(address, port)
        names = self._names(socket.SOCK_DGRAM)
        payload = os.urandom(8)
        client.send(payload)
        ready = select.select(list(names) + [client], [], [], TIMEOUT)[0]
        self.assertEqual(len(ready), 1, 'datagram to %s port %d reached none of %s'
                         % (address, port, sorted(names.values())))
        if ready[0] is client:
            with self.assertRaises(ConnectionRefusedError):
                client.recv(16)
            return REFUSED
        data, peer = ready[0].recvfrom(16)
        self.assertEqual(data, payload)
        self.udp_answer(ready[0], address, port, peer)
        self.assertEqual(client.recv(16), b'answer')
        return names[ready[0]]

    def udp_answer(self, server, address, port, peer):
        """Answers from the address dialled, as a server of many addresses has to."""
        source = address
        if server.family == socket.AF_INET6 and ':' not in address:
            source = '::ffff:' + address
        if server.getsockname()[:2] == (source, port):
            server.sendto(b'answer', peer)
            return
        with socket.socket(server.family, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sender.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            if server.family == socket.AF_INET6:
                sender.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            sender.bind((source, port))
            sender.sendto(b'answer', peer)

    def reaches(self, protocol, address, port):
        return {'tcp': self.tcp_reaches, 'udp': self.udp_reaches}[protocol](address, port)

    def server(self, protocol, name, address='127.0.0.1', port=0, options=()):
        return {'tcp': self.tcp, 'udp': self.udp}[protocol](name, address, port, options)


def main():
    global scratch
    if not os.path.exists(BUILD + '/broker/sockbrokerd'):
        sys.exit('no broker in %s (BUILD_ROOT says where to look)' % BUILD)
    scratch = sandbox.isolate(os.path.abspath(BUILD))
    unittest.main(verbosity=2)
