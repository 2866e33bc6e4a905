#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Services that run only when they are needed, restart without losing a connection, and are found
waiting connections of an earlier broker; units that cannot be started; and sockets of socket units."""

import json
import socket
import time

import machine

SERVICE = 'sockbroker.service'
NOBODYS = ('192.0.2.77', 8443)  # an address and port that nobody bound
CONNECTIONS = 1000
RESTARTS = 20

ADDRESSES = machine.addresses('192.0.2.0/24')
LABEL = '''[Label]
ListenStream=192.0.2.0/24:8000-8999
ListenDatagram=192.0.2.0/24:53
AllowUnit=app.service
WhenEmpty=hold
Activate=app.service
'''
# Restarted over and over below, more often than systemd would allow.
APP = '''[Unit]
StartLimitIntervalSec=0
[Service]
User=www-data
ExecStart=sockbroker run app -- /usr/bin/python3 /usr/local/bin/app
'''
# Takes what it is passed, and knows nothing of brokers. Ends with what it has accepted.
PROGRAM = '''import os, select, signal, socket
stopping = False
def stop(*_):
    global stopping
    stopping = True
signal.signal(signal.SIGTERM, stop)
assert int(os.environ['LISTEN_PID']) == os.getpid()
sockets = [socket.socket(fileno=3 + i) for i in range(int(os.environ['LISTEN_FDS']))]
while not stopping:
    try:
        ready = select.select(sockets, [], [], 0.2)[0]
    except InterruptedError:
        continue
    for sock in ready:
        sock.setblocking(False)
        try:
            if sock.type == socket.SOCK_DGRAM:
                data, _, _, peer = sock.recvmsg(64, 256)
                with open('/tmp/datagrams', 'ab') as file:
                    file.write(data)
                continue
            connection, _ = sock.accept()
        except BlockingIOError:
            continue
        connection.setblocking(True)
        connection.recv(4096)
        connection.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nserved by %d' % os.getpid())
        connection.close()
'''
BROKEN_LABEL = '''[Label]
ListenStream=192.0.2.1:81
AllowUnit=broken.service
WhenEmpty=hold
Activate=broken.service
'''
BROKEN = '''[Service]
ExecStart=/usr/bin/false
'''
UNITS_SOCKET = '''[Socket]
ListenStream=127.0.0.1:%d
FileDescriptorName=%s
Service=sockbroker.service
'''
UNITS_LABEL = '''[Label]
ListenStream=192.0.2.2:82
WhenEmpty=hold
Activate=units-app.service
AllowUnit=units-app.service
'''
BROKEN_UNITS_LABEL = BROKEN_LABEL.replace('.1:81', '.2:83') + 'HoldTimeout=20s\n'
STALE_LABEL = '''[Label]
ListenStream=192.0.2.2:84
WhenEmpty=hold
HoldTimeout=5s
'''


class Activation(machine.SystemTest):
    @classmethod
    def furnish(cls, system):
        system.install()
        system.write('/etc/systemd/system/addresses.service', ADDRESSES)
        system.write('/etc/systemd/system/app.service', APP)
        system.write('/usr/local/bin/app', PROGRAM)
        system.write('/etc/sockbroker/labels.d/app.label', LABEL)

    # What the steps have in common.

    def dial(self, address, port):
        with self.system.network():
            client = socket.create_connection((address, port), machine.TIMEOUT)
        self.addCleanup(client.close)
        client.sendall(b'GET / HTTP/1.0\r\n\r\n')
        return client

    def answer(self, client):
        found = b''
        while True:
            data = client.recv(4096)
            if not data:
                return found.decode().rpartition('\r\n')[2]
            found += data

    def curl(self, address, port, seconds=20):
        return self.system.run('curl', '--silent', '--max-time', str(seconds),
                               'http://%s:%d/' % (address, port), check=False)

    def status(self, label):
        return json.loads(self.system.out('sockbroker', '--json', 'status', label))['labels'][0]

    def state(self, unit):
        return self.system.property(unit, 'ActiveState')

    def main_pid(self, unit):
        return int(self.system.property(unit, 'MainPID'))

    def ask_activate(self, unit, *user):
        """What sockbroker-activate says to a request for UNIT, asked as USER."""
        program = ('import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); '
                   's.settimeout(20); s.connect("/run/sockbroker/activate.sock"); '
                   's.send(b"REQUEST=start\\nUNIT=%s\\n"); print(s.recv(4096).decode())' % unit)
        return self.system.run('setpriv', *user, 'python3', '-c', program, check=False)

    # The steps.

    def test_01_install(self):
        done = self.system.run('systemd-analyze', 'verify', '--man=no', SERVICE,
                               'sockbroker-activate.service', 'sockbroker-activate.socket')
        self.assertEqual(done.stdout + done.stderr, '')
        self.system.run('sh', '-s', input=machine.read(machine.BUILD + '/units/post-install'))
        self.system.run('systemctl', 'start', 'addresses.service')
        self.system.run('systemctl', 'enable', '--now', 'sockbroker.socket')
        machine.eventually(lambda: self.state(SERVICE) == 'active', 'the broker is ready')

    def test_02_first_connection_starts_the_unit(self):
        self.assertEqual(self.state('app.service'), 'inactive')
        self.assertEqual(self.status('app')['activation'], 'ready')
        done = self.curl(*NOBODYS)
        self.assertEqual(self.state('app.service'), 'active')
        self.assertEqual(done.stdout, 'served by %d' % self.main_pid('app.service'))
        socks = self.status('app')['sockets']
        self.assertEqual({s['unit'] for s in socks}, {'app.service'})
        self.assertEqual({s['held'] for s in socks}, {False})

    def test_03_armed_again(self):
        self.system.run('systemctl', 'stop', 'app.service')
        self.assertEqual({s['held'] for s in self.status('app')['sockets']}, {True})
        self.assertRegex(self.curl('192.0.2.3', 8000).stdout, 'served by')
        self.system.run('kill', '-KILL', str(self.main_pid('app.service')))
        self.assertRegex(self.curl('192.0.2.3', 8999).stdout, 'served by')

    def test_04_datagram(self):
        self.system.run('systemctl', 'stop', 'app.service')
        with self.system.network(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b'hello', ('192.0.2.200', 53))
        machine.eventually(lambda: self.system.run('cat', '/tmp/datagrams', check=False).stdout
                           == 'hello', 'the datagram is served')

    def test_05_restarts_lose_nothing(self):
        traffic = [self.traffic(*NOBODYS) for _ in range(3)]
        pids = set()
        for _ in range(RESTARTS):
            self.system.run('systemctl', 'restart', 'app.service')
            pids.add(self.main_pid('app.service'))
            time.sleep(0.12)  # no more starts than TriggerLimitBurst= allows
        for t in traffic:
            t.more(20)
        answered = sum(t.answered for t in traffic)
        print('%d restarts, %d answers' % (len(pids), answered))
        self.assertEqual(len(pids), RESTARTS)
        self.assertGreater(answered, CONNECTIONS)

    def test_06_broker_restarts_too(self):
        """Also when it is the broker that goes."""
        traffic = self.traffic(*NOBODYS)
        for command in (('systemctl', 'restart', SERVICE),
                        ('systemctl', 'kill', '--signal=KILL', '--kill-who=main', SERVICE)):
            self.system.run(*command)
            machine.eventually(lambda: self.state(SERVICE) == 'active', 'the broker is back')
            self.system.run('systemctl', 'restart', 'app.service')
            traffic.more()

    def hold_connections(self):
        """30 connections that wait, for a service that is started but does not come."""
        self.system.write('/etc/systemd/system/app.service.d/slow.conf',
                          '[Service]\nExecStartPre=/bin/sh -c "while [ ! -e /var/lib/go ]; do '
                          'sleep 0.05; done"\n')
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'stop', 'app.service')
        clients = [self.dial('192.0.2.%d' % i, 8000 + i) for i in range(30)]
        machine.eventually(lambda: self.status('app')['activation'] == 'starting', 'it is started')
        return clients

    def serve_connections(self, clients):
        """They wait still, and others; then the service comes, and all are answered."""
        waiting = machine.eventually(lambda: [s for s in self.status('app')['sockets']
                                              if s.get('waiting') == 30], 'all 30 wait')
        self.assertEqual(len(waiting), 1)
        clients += [self.dial('192.0.2.%d' % i, 8000 + i) for i in range(30)]
        self.system.write('/var/lib/go', '')
        for client in clients:
            self.assertRegex(self.answer(client), 'served by')
        self.system.remove('/var/lib/go')
        self.system.remove('/etc/systemd/system/app.service.d/slow.conf')
        self.system.run('systemctl', 'daemon-reload')

    def test_07_held_connections_outlive_the_broker(self):
        """kill -9 of the broker with connections waiting: they are answered by what it starts
        when it is back."""
        clients = self.hold_connections()
        before = self.main_pid(SERVICE)
        self.system.run('kill', '-KILL', str(before))
        machine.eventually(lambda: self.main_pid(SERVICE) not in (0, before), 'a new broker')
        self.serve_connections(clients)

    def test_07_held_connections_outlive_a_stop(self):
        if self.suite == 'bookworm':
            self.skipTest('systemd 252 has no FileDescriptorStorePreserve=')
        # Part of the unit, if it is built for such a systemd.
        self.system.write('/etc/systemd/system/sockbroker.service.d/preserve.conf',
                          '[Service]\nFileDescriptorStorePreserve=yes\n')
        self.system.run('systemctl', 'daemon-reload')
        clients = self.hold_connections()
        self.system.run('systemctl', 'stop', 'sockbroker.socket', SERVICE)
        self.assertEqual(self.state(SERVICE), 'inactive')
        self.system.run('systemctl', 'start', 'sockbroker.socket')
        self.serve_connections(clients)

    def test_08_given_up(self):
        self.system.write('/etc/systemd/system/broken.service', BROKEN)
        self.system.write('/etc/sockbroker/labels.d/broken.label', BROKEN_LABEL)
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'reload', SERVICE)
        self.assertEqual(self.curl('192.0.2.1', 81).returncode, 56)  # reset
        status = self.status('broken')
        self.assertEqual(status['activation'], 'failed')
        said = self.system.run('sockbroker', 'status', 'broken').stderr
        self.assertIn('until a reload', said)
        self.assertEqual(self.curl('192.0.2.1', 81).returncode, 7)  # refused, at once
        # Repaired, and read anew.
        self.system.write('/etc/systemd/system/broken.service', APP.replace('run app', 'run broken'))
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'reset-failed', 'broken.service')
        self.system.run('systemctl', 'reload', SERVICE)
        self.assertRegex(self.curl('192.0.2.1', 81).stdout, 'served by')

    def breaks(self, command, reason):
        """A unit with that ExecStart= fails until the label is given up; how often it started."""
        self.system.write('/etc/systemd/system/broken.service',
                          '[Service]\nExecStart=%s\n' % command)
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'stop', 'broken.service')
        self.system.run('systemctl', 'reset-failed', 'broken.service', check=False)
        self.system.run('systemctl', 'reload', SERVICE)
        before = self.starts('broken.service')
        self.assertEqual(self.curl('192.0.2.1', 81, 60).returncode, 56)  # reset
        self.assertEqual(self.status('broken')['activation'], 'failed')
        self.assertIn(reason, self.system.run('sockbroker', 'status', 'broken').stderr)
        self.assertEqual(self.curl('192.0.2.1', 81).returncode, 7)  # refused, at once
        return self.starts('broken.service') - before

    def starts(self, unit):
        return len({r['INVOCATION_ID'] for r in self.system.journal('--unit', unit)
                    if 'INVOCATION_ID' in r and r['MESSAGE'].startswith('Started ')})

    def test_08_takes_nothing(self):
        """It runs for a while, but does not take the sockets."""
        self.assertIn(self.breaks('/bin/sleep 2.5', 'without taking the sockets'), (5, 6))

    def test_08_takes_and_crashes(self):
        """It takes the sockets, and crashes before it accepts."""
        self.assertEqual(self.breaks('sockbroker run broken -- sh -c "sleep 3; exit 1"',
                                     'without accepting'), 5)

    def test_09_only_what_label_files_name(self):
        sockbroker = ('--reuid=sockbroker', '--regid=sockbroker', '--clear-groups')
        self.assertIn('OK=1', self.ask_activate('app.service', *sockbroker).stdout)
        for unit in ('poweroff.target', 'debug-shell.service', 'nginx.service', 'app.service.d', ''):
            self.assertIn('ERROR=', self.ask_activate(unit, *sockbroker).stdout)
        nobody = ('--reuid=nobody', '--regid=nogroup', '--clear-groups')
        self.assertIn('PermissionError', self.ask_activate('app.service', *nobody).stderr)
        self.assertEqual(self.state('debug-shell.service'), 'inactive')

    def test_10_socket_unit_of_the_broker(self):
        """A socket unit whose service is the broker: inherited at every start."""
        self.system.write('/etc/systemd/system/units.socket', UNITS_SOCKET % (7001, 'units'))
        self.system.write('/etc/systemd/system/units-app.service',
                          APP.replace('run app', 'run units'))
        self.system.write('/etc/sockbroker/labels.d/units.label', UNITS_LABEL)
        self.system.run('systemctl', 'daemon-reload')
        self.start_with('units.socket')
        sock, = self.status('units')['sockets']
        self.assertEqual((sock['address'], sock['held'], sock['pid']), ('127.0.0.1:7001', True, 1))
        self.assertRegex(self.curl('192.0.2.2', 82).stdout, 'served by')
        for _ in range(2):
            self.system.run('systemctl', 'restart', SERVICE)
            self.assertRegex(self.curl('192.0.2.2', 82).stdout, 'served by')
            again, = self.status('units')['sockets']
            self.assertEqual(again['cookie'], sock['cookie'])

    def start_with(self, *units):
        """Sockets of socket units are passed with the next start of the broker."""
        self.system.run('systemctl', 'stop', 'sockbroker.socket', SERVICE)
        self.system.run('systemctl', 'start', *units, 'sockbroker.socket')
        machine.eventually(lambda: self.state(SERVICE) == 'active', 'the broker is ready')

    def test_10_socket_unit_given_up(self):
        """Its service fails: what waits in it is reset, although systemd keeps it."""
        self.system.write('/etc/systemd/system/broken.socket', UNITS_SOCKET % (7002, 'broken'))
        self.system.write('/etc/systemd/system/broken.service', BROKEN)
        self.system.write('/etc/sockbroker/labels.d/broken.label', BROKEN_UNITS_LABEL)
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'stop', 'broken.service')
        self.system.run('systemctl', 'reset-failed', 'broken.service', check=False)
        self.start_with('broken.socket')
        self.assertEqual(self.curl('192.0.2.2', 83).returncode, 56)  # reset
        self.assertEqual(self.status('broken')['activation'], 'failed')
        self.assertEqual(self.curl('192.0.2.2', 83).returncode, 7)  # refused, at once
        sock, = self.status('broken')['sockets']
        self.assertEqual((sock['held'], sock['waiting']), (True, 0))
        explained = json.loads(self.system.out('sockbroker', '--json', 'explain', 'tcp',
                                               '192.0.2.2', '83'))
        self.assertEqual((explained['verdict'], explained['agrees']), ('drop', True))
        # Repaired, and read anew.
        self.system.write('/etc/systemd/system/broken.service',
                          APP.replace('run app', 'run broken'))
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'reset-failed', 'broken.service')
        self.system.run('systemctl', 'reload', SERVICE)
        self.assertRegex(self.curl('192.0.2.2', 83).stdout, 'served by')
        again, = self.status('broken')['sockets']
        self.assertEqual(again['cookie'], sock['cookie'])

    def test_10_socket_unit_stopped(self):
        """What waits in its socket does so no longer than elsewhere."""
        self.system.write('/etc/systemd/system/stale.socket', UNITS_SOCKET % (7003, 'stale'))
        self.system.write('/etc/sockbroker/labels.d/stale.label', STALE_LABEL)
        self.system.run('systemctl', 'daemon-reload')
        self.start_with('stale.socket')
        client = self.dial('192.0.2.2', 84)
        self.system.run('systemctl', 'stop', 'stale.socket')
        sock, = self.status('stale')['sockets']
        self.assertEqual((sock['held'], sock['waiting']), (True, 1))
        with self.assertRaises(ConnectionResetError):
            client.recv(1)

    def test_11_no_complaints(self):
        bad = [r['MESSAGE'] for unit in (SERVICE, 'sockbroker-activate.service')
               for r in self.system.journal('--unit', unit, '--priority', 'warning')
               if r.get('_COMM', '').startswith('sockbroker')]
        expected = ('broken', 'the service of', 'label stale: ')
        self.assertEqual([m for m in bad if not any(e in m for e in expected)], [])


if __name__ == '__main__':
    machine.main()
