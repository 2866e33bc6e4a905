#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every way for a service under systemd to get its sockets to the broker: the units of
units/examples, as they are, with Debian's nginx and Apache, now and after a boot, and through
restarts of all that takes part."""

import glob
import json
import os
import re

import machine

EXAMPLES = machine.TOP + '/units/examples/'
SERVICE, SOCKET = 'sockbroker.service', 'sockbroker.socket'
NOBODYS = ('192.0.2.77', 80)  # an address and port that nobody bound
ADDRESSES = machine.addresses('192.0.2.0/24')


class Ways(machine.SystemTest):
    @classmethod
    def furnish(cls, system):
        system.install()
        system.write_sites()
        system.write('/etc/systemd/system/addresses.service', ADDRESSES)

    # What the steps have in common.

    def curl(self, address, port):
        return self.system.run('curl', '--silent', '--max-time', '20',
                               'http://%s:%d/' % (address, port), check=False).stdout

    def active(self, unit):
        return self.system.property(unit, 'ActiveState') == 'active'

    def sockets(self, label='web'):
        status = json.loads(self.system.out('sockbroker', '--json', 'status', label))
        return status['labels'][0]['sockets']

    def copies(self, way):
        """{file of the example: where it belongs}"""
        for path in glob.glob(EXAMPLES + way + '/**/*.*', recursive=True):
            if os.path.isfile(path):
                directory = ('/etc/sockbroker/labels.d/' if path.endswith('.label') else
                             '/etc/systemd/system/')
                yield path, directory + os.path.relpath(path, EXAMPLES + way)

    def use(self, way):
        """Puts the files of an example where they belong, until the test is over."""
        self.assertTrue(glob.glob('%s/usr/**/share/doc/sockbroker/examples/%s' % (
            self.system.root, way), recursive=True))

        def put_away():
            for unit in ('web.socket', 'nginx-register.service', 'nginx.socket', 'nginx.service',
                         'apache2.service', 'web.service'):
                self.system.run('systemctl', 'disable', '--now', unit, check=False)
            for _, target in self.copies(way):
                self.system.remove(target)
            self.system.run('systemctl', 'daemon-reload')
            self.system.run('systemctl', 'restart', SERVICE)
        self.addCleanup(put_away)
        for path, target in self.copies(way):
            self.system.write(target, machine.read(path))
        self.system.run('systemctl', 'daemon-reload')
        units = {unit.group(1) for _, target in self.copies(way)  # also of drop-ins
                 if (unit := re.search(r'system/([^/]*\.(?:socket|service))(\.d/|$)', target))}
        self.assertTrue(units)
        done = self.system.run('systemd-analyze', 'verify', '--man=no', *units)
        self.assertEqual(done.stdout + done.stderr, '')
        self.system.run('systemctl', 'reload', SERVICE)

    def no_warnings(self):
        """Since the boot, of units of ours and of the examples."""
        units = ('sockbroker', 'nginx', 'apache2', 'web')
        self.assertEqual([r['MESSAGE'] for r in self.system.journal('--priority=warning')
                          if any(u in json.dumps(r) for u in units)], [])

    def assertServes(self, text='This is nginx.', address=NOBODYS):
        self.assertEqual(self.curl(*address), text)

    def restarts(self, *units):
        """One after another, with connections made all the while."""
        traffic = self.traffic(*NOBODYS)
        for unit in units:
            self.system.run('systemctl', 'restart', unit)
            traffic.more()
        traffic.finish()

    # The steps.

    def test_00_manual(self):
        """docs/SYSTEMD.md shows what the examples have, but for comments and descriptions."""
        manual = machine.read(machine.TOP + '/docs/SYSTEMD.md')
        self.assertIn(ADDRESSES, manual)
        ways = re.search(r'(?ms)^## Ways in$(.*?)^## ', manual).group(1)
        shown = re.findall(r'(?ms)^```ini\n# (\S+)\n(.*?)^```$', ways)
        self.assertGreater(len(shown), 10)
        for name, text in shown:
            examples = [re.sub(r'(?m)^(#.*|Description=.*|)\n', '', machine.read(path))
                        .replace('[Unit]\n[', '[')
                        for path in glob.glob(EXAMPLES + '*/' + name)]
            self.assertIn(text, examples, name)

    def test_01_install(self):
        self.system.run('sh', '-s', input=machine.read(machine.BUILD + '/units/post-install'))
        self.system.run('systemctl', 'enable', '--now', 'addresses.service', SOCKET)
        machine.eventually(lambda: self.active(SERVICE), 'the broker is ready')

    def test_02_inherited(self):
        self.use('inherited')
        # Sockets are passed to a service when it starts.
        self.system.run('systemctl', 'stop', SOCKET, SERVICE)
        self.system.run('systemctl', 'enable', '--now', 'web.socket')
        self.system.run('systemctl', 'start', SOCKET, SERVICE)
        self.assertFalse(self.active('nginx.service'))
        self.assertServes()
        self.assertTrue(self.active('nginx.service'))
        traffic = self.traffic(*NOBODYS)
        for unit in ('nginx.service', SERVICE, SOCKET, 'nginx.service'):
            self.system.run('systemctl', 'restart', unit)
            traffic.more()
        self.system.run('systemctl', 'kill', '--signal=KILL', '--kill-who=main', SERVICE)
        traffic.more()
        traffic.finish()
        self.system.reboot()
        self.assertFalse(self.active('nginx.service'))
        self.assertServes()
        self.assertEqual([s['address'] for s in self.sockets()], ['127.0.0.1:8081'])
        self.no_warnings()

    def test_03_socket_unit(self):
        if self.suite == 'bookworm':
            self.skipTest('systemd 252 has no PassFileDescriptorsToExec=')
        self.use('socket-unit')
        self.system.run('systemctl', 'enable', '--now', 'nginx.socket')
        self.serves_from_a_socket_unit('nginx.socket')

    def test_04_oneshot(self):
        self.use('oneshot')
        self.system.run('systemctl', 'enable', 'nginx-register.service')
        self.system.run('systemctl', 'enable', '--now', 'nginx.socket')
        self.serves_from_a_socket_unit('nginx-register.service')

    def serves_from_a_socket_unit(self, unit):
        """UNIT is who registered."""
        machine.eventually(self.sockets, 'it is registered')
        self.assertFalse(self.active('nginx.service'))
        self.assertServes()
        self.assertTrue(self.active('nginx.service'))
        self.assertEqual([(s['address'], s['unit']) for s in self.sockets()],
                         [('127.0.0.1:8081', unit)])
        self.restarts('nginx.service', SERVICE, SOCKET, 'nginx.service')
        # Another socket, registered anew.
        self.system.run('systemctl', 'stop', 'nginx.socket', 'nginx.service')
        self.assertServes('')
        self.system.run('systemctl', 'start', 'nginx.socket')
        machine.eventually(lambda: [s for s in self.sockets() if s['state'] == 'alive'],
                           'it is registered again')
        self.assertServes()
        self.system.reboot()
        machine.eventually(self.sockets, 'it is registered')
        self.assertServes()
        self.no_warnings()

    def test_05_pid(self):
        self.use('pid')
        self.system.run('systemctl', 'enable', '--now', 'apache2.service')
        self.assertServes('This is Apache.')
        self.system.run('systemctl', 'restart', 'apache2.service')
        self.assertServes('This is Apache.')
        self.restarts(SERVICE, SOCKET)
        self.system.reboot()
        self.assertServes('This is Apache.')
        self.assertEqual([(s['address'], s['unit']) for s in self.sockets()],
                         [('127.0.0.1:8082', 'apache2.service')])
        self.no_warnings()

    def test_06_run(self):
        self.use('run')
        waiting = self.system.start('curl', '--silent', '--max-time', '20', 'http://%s:%d/' % NOBODYS)
        machine.eventually(lambda: [s for s in self.sockets() if s.get('waiting')], 'it waits')
        self.system.run('systemctl', 'enable', '--now', 'web.service')
        self.assertEqual(waiting.communicate()[0], 'This is Apache.')
        self.assertServes('This is Apache.')
        # Not the proxy: it ends in the middle of what it passes on.
        self.restarts(SERVICE, SOCKET)
        self.system.reboot()
        self.assertServes('This is Apache.')
        self.no_warnings()

    def test_07_on_demand(self):
        self.use('on-demand')
        anywhere = ('192.0.2.77', 8443)
        self.assertFalse(self.active('apache2.service'))
        self.assertServes('This is Apache.', anywhere)
        self.assertTrue(self.active('apache2.service'))
        self.system.run('systemctl', 'stop', 'web.service', 'apache2.service')
        self.assertServes('This is Apache.', ('192.0.2.3', 8000))
        traffic = self.traffic(*anywhere)
        self.system.run('systemctl', 'restart', SERVICE)
        traffic.more()
        traffic.finish()
        self.system.reboot()
        self.assertFalse(self.active('apache2.service'))
        self.assertServes('This is Apache.', anywhere)
        self.no_warnings()


if __name__ == '__main__':
    machine.main()
