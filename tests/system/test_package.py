#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The package is installed, upgraded, downgraded and removed by dpkg while every way in is in use: a
.deb of this version, and one of the made-up next version (tests/next), in which every map but the one
of the sockets has another shape. No connection fails, reaches the wrong server or is forgotten."""

import json
import os
import shutil
import socket
import subprocess

import machine

SERVICE, SOCKET = 'sockbroker.service', 'sockbroker.socket'
CONNECTIONS = 4000     # in each step
WAITING = 30           # connections that nobody serves until the step is over
ADDRESS = '192.0.2.77'  # which nobody bound

CONTROL = '''Package: sockbroker
Version: %s
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: made up by a test
'''
# After units/post-install, which makes the user and the directories and has units read again.
POSTINST = '[ -z "$2" ] || systemctl try-restart sockbroker.service sockbroker-activate.service || true\n'
PRERM = '''#!/bin/sh
[ "$1" = remove ] || exit 0
sockbroker unload --yes
systemctl stop sockbroker.socket sockbroker.service sockbroker-activate.socket \\
    sockbroker-activate.service
systemctl --quiet disable sockbroker.socket
'''
POSTRM = '#!/bin/sh\nsystemctl daemon-reload\n'

ADDRESSES = machine.addresses('192.0.2.0/24')
# Serves the sockets that it is passed, and says what it is.
PROGRAM = '''import os, select, socket, sys
sockets = [socket.socket(fileno=3 + i) for i in range(int(os.environ['LISTEN_FDS']))]
while True:
    for sock in select.select(sockets, [], [])[0]:
        connection, _ = sock.accept()
        connection.recv(4096)
        connection.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n' + sys.argv[1].encode())
        connection.close()
'''
NGINX_SITE = 'server { listen 127.0.0.1:7001; return 200 "pid"; }\n'
REGISTERS = '''[Unit]
Wants=sockbroker.socket
After=sockbroker.socket
'''
APP = '''[Service]
DynamicUser=yes
ExecStart=/usr/bin/python3 /usr/local/bin/app %s
'''
TAKER = APP.replace('=/usr', '=sockbroker run %s -- /usr')

# {label: (lines of its file, {unit or drop-in: text}, unit that is started)}: all ways in, and a label
# of which nothing is there but what the broker holds.
WAYS = {
    'inherited': ('AllowUnit=inherited-app.service\nWhenEmpty=hold\nActivate=inherited-app.service\n', {
        'inherited.socket': '[Socket]\nListenStream=127.0.0.1:7002\nFileDescriptorName=inherited\n'
                            'Service=sockbroker.service\n',
        'inherited-app.service': TAKER % (('inherited',) * 2),
    }, 'inherited.socket'),
    'passed': ('AllowUnit=passed.socket\n', {
        'passed.socket': REGISTERS + '[Socket]\nListenStream=127.0.0.1:7003\nFileDescriptorName=passed\n'
                         'PassFileDescriptorsToExec=yes\n'
                         'ExecStartPost=sockbroker register --listen-fds\n',
        'passed.service': APP % 'passed',
    }, 'passed.socket'),
    'oneshot': ('AllowUnit=oneshot-register.service\n', {
        'oneshot.socket': '[Socket]\nListenStream=127.0.0.1:7004\nFileDescriptorName=oneshot\n',
        'oneshot.service': APP % 'oneshot',
        'oneshot-register.service': '[Unit]\nRequires=oneshot.socket sockbroker.socket\n'
                                    'After=oneshot.socket sockbroker.socket\n'
                                    '[Service]\nType=oneshot\nSockets=oneshot.socket\n'
                                    'ExecStart=sockbroker register --listen-fds\n',
    }, 'oneshot-register.service'),
    'pid': ('AllowUnit=nginx.service\n', {
        'nginx.service.d/sockbroker.conf':
            REGISTERS + '[Service]\nExecStartPost=+sockbroker register pid --pid $MAINPID\n',
    }, 'nginx.service'),
    'run': ('AllowUnit=run.service\nWhenEmpty=hold\nActivate=run.service\n', {
        'run.service': TAKER % (('run',) * 2),
    }, None),
    'held': ('AllowUnit=held.service\nWhenEmpty=hold\n', {
        'held.service': TAKER % (('held',) * 2),
    }, None),
}
PORTS = {label: 8000 + 100 * i for i, label in enumerate(WAYS)}


class Package(machine.SystemTest):
    @classmethod
    def furnish(cls, system):
        system.write('/etc/nginx/sites-available/default', NGINX_SITE)
        system.write('/etc/systemd/system/addresses.service', ADDRESSES)
        system.write('/usr/local/bin/app', PROGRAM)
        cls.make_tree(system, 'this')
        cls.make_tree(system, 'next')

    @staticmethod
    def make_tree(system, name):
        """/NAME, of which dpkg-deb makes /NAME.deb."""
        tree = '%s/%s/' % (system.root, name)
        subprocess.run(('meson', 'install', '-C', machine.BUILD, '--no-rebuild', '--quiet',
                        '--destdir', tree), check=True, stdout=subprocess.DEVNULL)
        if name == 'next':
            for directory, _, files in os.walk(tree):
                if 'sockbrokerd' in files:
                    shutil.copy(machine.BUILD + '/tests/next/sockbrokerd-next',
                                directory + '/sockbrokerd')
                if SERVICE in files:
                    text = machine.read(directory + '/' + SERVICE)
                    with open(directory + '/' + SERVICE, 'w', encoding='utf-8') as file:
                        file.write(text.replace('Description=', 'Description=Next '))
        version = '1' if name == 'this' else '2'
        post_install = machine.read(machine.BUILD + '/units/post-install')
        for script, text in (('control', CONTROL % version), ('postinst', post_install + POSTINST),
                             ('prerm', PRERM), ('postrm', POSTRM)):
            system.write('/%s/DEBIAN/%s' % (name, script), text, 0o755)

    # What the steps have in common.

    def ways(self):
        """Those that this systemd has."""
        return [label for label in WAYS if self.suite != 'bookworm' or label != 'passed']

    def dpkg(self, *arguments):
        self.system.run('dpkg', *arguments)

    def state(self, unit):
        return self.system.property(unit, 'ActiveState')

    def version(self):
        return json.loads(self.system.out('sockbroker', '--json', 'status'))['broker']['version']

    def cookies(self):
        """{label: what the kernel calls its sockets}"""
        status = json.loads(self.system.out('sockbroker', '--json', 'status'))
        return {label['label']: sorted(s['cookie'] for s in label['sockets'])
                for label in status['labels']}

    def warnings(self):
        return [r['MESSAGE'] for r in self.system.journal('--priority=warning')
                if 'sockbroker' in json.dumps(r)]

    def curl(self, label):
        return self.system.run('curl', '--silent', '--max-time', '20', 'http://%s:%d/' % (
            ADDRESS, PORTS[label]), check=False).stdout

    def assertServes(self):
        for label in self.ways():
            if label != 'held':
                self.assertEqual(self.curl(label), label)

    def dial(self):
        """A connection to the label that nobody serves."""
        with self.system.network():
            client = socket.create_connection((ADDRESS, PORTS['held']), machine.TIMEOUT)
        self.addCleanup(client.close)
        client.sendall(b'GET / HTTP/1.0\r\n\r\n')
        return client

    def under_way(self, change):
        """Runs CHANGE() with connections to all labels under way and others waiting. None may fail,
        and the broker has to know the sockets that it knew before."""
        cookies = self.cookies()
        traffic = [self.traffic(ADDRESS, PORTS[label], label) for label in self.ways()
                   if label != 'held']
        waiting = [self.dial() for _ in range(WAITING)]
        change()
        for t in traffic:
            t.more(CONNECTIONS // len(traffic))
        for t in traffic:
            t.finish()
        self.assertEqual([t.failures for t in traffic], [[]] * len(traffic))
        self.assertEqual(self.cookies(), cookies)
        waiting += [self.dial() for _ in range(WAITING)]
        self.system.run('systemctl', 'start', 'held.service')
        for client in waiting:
            self.assertEqual(client.makefile().read().rpartition('\n')[2], 'held')
        self.system.run('systemctl', 'stop', 'held.service')
        print('%d connections, and %d that waited' % (sum(t.answered for t in traffic),
                                                      len(waiting)))

    # The steps.

    def test_01_install(self):
        for name in ('this', 'next'):
            self.system.run('dpkg-deb', '--root-owner-group', '-Znone', '--build', '/' + name)
        self.dpkg('--install', '/this.deb')
        self.assertEqual(self.state(SERVICE), 'inactive')
        self.system.run('systemctl', 'enable', '--now', SOCKET)
        machine.eventually(lambda: self.state(SERVICE) == 'active', 'the broker is ready')

    def test_02_every_way(self):
        for label in self.ways():
            lines, units, _ = WAYS[label]
            self.system.write('/etc/sockbroker/labels.d/%s.label' % label,
                              '[Label]\nListenStream=192.0.2.0/24:%d-%d\n%s' % (
                                  PORTS[label], PORTS[label] + 99, lines))
            for unit, text in units.items():
                self.system.write('/etc/systemd/system/' + unit, text)
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'stop', SOCKET, SERVICE)
        self.system.run('systemctl', 'start', 'inherited.socket', 'addresses.service', SOCKET)
        self.system.run('systemctl', 'start', *(WAYS[label][2] for label in self.ways()
                                                if WAYS[label][2]))
        self.assertServes()
        self.assertEqual({label: len(c) for label, c in self.cookies().items()},
                         {label: 1 for label in self.ways()})

    def test_03_upgrade(self):
        def upgrade():
            self.dpkg('--install', '/next.deb')
            self.assertRegex(self.version(), '-next$')
            self.assertEqual(self.system.property(SERVICE, 'Description'), 'Next Socket Broker')
        self.assertNotIn('next', self.version())
        self.under_way(upgrade)
        self.assertEqual(self.warnings(), [])

    def test_04_every_way_again(self):
        """The next version takes what comes anew, too."""
        self.system.run('systemctl', 'restart', 'nginx.service', 'inherited-app.service',
                        'run.service', 'oneshot-register.service')
        if 'passed' in self.ways():
            self.system.run('systemctl', 'stop', 'passed.socket', 'passed.service')
            self.system.run('systemctl', 'start', 'passed.socket')
        self.assertServes()
        self.assertEqual(self.warnings(), [])

    def test_05_downgrade(self):
        """Refused, for this version does not know the maps. All goes on, and the right one finds it."""
        def downgrade():
            self.dpkg('--install', '/this.deb')
            machine.eventually(lambda: [w for w in self.warnings() if 'newer sockbroker' in w],
                               'it says why')
            self.assertNotEqual(self.state(SERVICE), 'active')
            self.assertServes()
            self.dpkg('--install', '/next.deb')
            machine.eventually(lambda: self.state(SERVICE) == 'active', 'the broker is back')
        self.under_way(downgrade)
        said = [r['MESSAGE'] for r in self.system.journal('--unit', SERVICE)
                if 'newer sockbroker' in r['MESSAGE']]
        self.assertRegex(said[0], 'nothing was touched and traffic goes on; start the newer sockbrokerd')

    def test_06_remove(self):
        self.dpkg('--purge', 'sockbroker')
        for label in self.ways():
            self.assertEqual(self.curl(label), '')
        self.assertEqual(self.system.out('ls', '/sys/fs/bpf/sockbroker'), '')
        self.assertEqual(self.state(SERVICE), 'inactive')
        self.assertEqual(self.system.property(SOCKET, 'LoadState'), 'not-found')
        # What only handed its socket in goes on where it listens.
        self.assertEqual(self.state('nginx.service'), 'active')


if __name__ == '__main__':
    machine.main()
