#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The broker as a unit, from its installation on: what it serves, what it survives, and what it may
do. nginx and Apache run as their own Debian units do; all that they know of the broker is a drop-in
that hands their sockets in."""

import json
import re

import machine

NOBODYS = 'http://192.0.2.77/'         # an address and port that nobody bound
NOBODYS_RANGE = 'http://198.51.100.9:8123/'

NGINX_LABEL = '''[Label]
Description=the site of nginx
ListenStream=192.0.2.0/24:80
AllowUnit=nginx.service
'''
APACHE_LABEL = '''[Label]
Description=the site of Apache
ListenStream=198.51.100.0/24:80,8000-8999
AllowUnit=apache2.service
'''
DROP_IN = '[Service]\nExecStartPost=+sockbroker register %s --pid $MAINPID\n'

ADDRESSES = machine.addresses('192.0.2.0/24', '198.51.100.0/24')

SERVICE, SOCKET = 'sockbroker.service', 'sockbroker.socket'
BOTH = {'nginx': 'nginx.service', 'apache': 'apache2.service'}
PINS = '/sys/fs/bpf/sockbroker'
MANUAL = machine.read(machine.TOP + '/docs/SYSTEMD.md')


class Unit(machine.SystemTest):
    @classmethod
    def furnish(cls, system):
        system.write_sites()

    # What the steps have in common.

    def curl(self, url):
        return self.system.run('curl', '--silent', '--max-time', '10', url, check=False).stdout

    def assertServes(self):
        self.assertEqual(self.curl(NOBODYS), 'This is nginx.')
        self.assertEqual(self.curl(NOBODYS_RANGE), 'This is Apache.')

    def broker_pid(self):
        pid = int(self.system.property(SERVICE, 'MainPID'))
        self.assertNotEqual(pid, 0, 'the broker does not run')
        return pid

    def restarts(self):
        return int(self.system.property(SERVICE, 'NRestarts'))

    def reloads(self):
        return sum(r['MESSAGE'].startswith('configuration reloaded')
                   for r in self.system.journal('--unit', SERVICE))

    def active(self):
        return self.system.property(SERVICE, 'ActiveState') == 'active'

    def said(self, words):
        """The first line of the broker's log with WORDS in it."""
        return machine.eventually(lambda: [
            r['MESSAGE'] for r in self.system.journal('--unit', SERVICE) if words in r['MESSAGE']],
            'the journal has: ' + words)[0]

    def units(self):
        """{label: the unit that handed its sockets in}"""
        status = json.loads(self.system.out('sockbroker', '--json', 'status'))
        return {label['label']: sock['unit'] for label in status['labels']
                for sock in label['sockets']}

    def rules(self):
        return self.system.out('sockbroker', 'rules', '--text')

    # The steps.

    def test_01_install(self):
        self.system.install()
        done = self.system.run('systemd-analyze', 'verify', '--man=no', SERVICE, SOCKET)
        self.assertEqual(done.stdout + done.stderr, '')
        self.assertFalse(self.active())
        self.system.run('systemctl', 'enable', '--now', SOCKET)
        machine.eventually(self.active, 'the broker is ready')
        self.assertIn('0 rules, 0 labels', self.system.property(SERVICE, 'StatusText'))

    def test_02_labels_and_services(self):
        self.system.write('/etc/systemd/system/addresses.service', ADDRESSES)
        self.system.write('/etc/sockbroker/labels.d/nginx.label', NGINX_LABEL)
        self.system.write('/etc/sockbroker/labels.d/apache.label', APACHE_LABEL)
        for unit, label in (('nginx', 'nginx'), ('apache2', 'apache')):
            self.system.write('/etc/systemd/system/%s.service.d/sockbroker.conf' % unit,
                              DROP_IN % label)
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'enable', '--now', 'addresses.service')
        self.system.run('systemctl', 'reload', SERVICE)
        self.system.run('systemctl', 'enable', '--now', 'nginx', 'apache2')
        self.assertServes()
        self.assertEqual(self.units(), BOTH)

    def test_03_refused_reload(self):
        before = self.rules()
        self.system.write('/etc/sockbroker/labels.d/wrong.label', '[Label]\nListenStream=nonsense\n')
        done = self.system.run('systemctl', 'reload', SERVICE, check=False)
        self.assertEqual(done.returncode, 1)
        machine.eventually(lambda: any('wrong.label:2' in r['MESSAGE'] and r['PRIORITY'] == '3'
                                       for r in self.system.journal('--unit', SERVICE)),
                           'the journal names file and line')
        self.assertTrue(self.active())
        self.assertEqual(self.rules(), before)
        self.assertServes()
        self.system.remove('/etc/sockbroker/labels.d/wrong.label')
        # By a signal it is not known how it went, but the manager sees that it is over.
        self.system.run('systemctl', 'kill', '--signal=HUP', '--kill-who=main', SERVICE)
        machine.eventually(lambda: self.reloads() > 1, 'the configuration is reloaded')
        self.assertTrue(self.active())

    def test_04_restart(self):
        traffic = self.traffic('192.0.2.77', 80)
        before = self.broker_pid()
        self.system.run('systemctl', 'restart', SERVICE)
        self.assertNotEqual(self.broker_pid(), before)
        traffic.more()
        self.assertServes()
        self.assertEqual(self.units(), BOTH)

    def test_05_crash(self):
        traffic = self.traffic('192.0.2.77', 80)
        restarts, before = self.restarts(), self.broker_pid()
        self.system.run('kill', '-KILL', str(before))
        traffic.more()
        machine.eventually(lambda: self.restarts() > restarts and self.active(), 'it is back')
        self.assertNotEqual(self.broker_pid(), before)
        traffic.more()
        self.assertEqual(self.units(), BOTH)

    def test_06_stop_and_start(self):
        traffic = self.traffic('192.0.2.77', 80)
        self.system.run('systemctl', 'stop', SERVICE)
        self.assertEqual(self.system.property(SERVICE, 'Result'), 'success')
        traffic.more()
        self.system.run('systemctl', 'start', SERVICE)
        traffic.more()
        self.assertEqual(self.units(), BOTH)

    def test_07_activation(self):
        """A client of a broker that does not run waits for it, and is answered."""
        self.system.run('systemctl', 'stop', SERVICE)
        self.assertFalse(self.active())
        self.assertEqual(self.units(), BOTH)
        self.assertTrue(self.active())

    def test_08_watchdog(self):
        """The broker answers it: the time of its last sign of life goes on."""
        self.system.write('/etc/systemd/system/sockbroker.service.d/watchdog.conf',
                          '[Service]\nWatchdogSec=1\n')
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'restart', SERVICE)
        pid, restarts, seen = self.broker_pid(), self.restarts(), set()

        def pats():
            seen.add(self.system.property(SERVICE, 'WatchdogTimestampMonotonic'))
            return len(seen) > 3
        machine.eventually(pats, 'three signs of life')
        self.assertEqual((self.broker_pid(), self.restarts()), (pid, restarts))
        self.system.remove('/etc/systemd/system/sockbroker.service.d/watchdog.conf')
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'restart', SERVICE)

    def test_09_privilege(self):
        status = self.system.out('cat', '/proc/%d/status' % self.broker_pid())
        self.assertNotRegex(status, r'(?m)^Uid:.*\b0\b')
        self.assertRegex(status, r'(?m)^NoNewPrivs:\s+1$')
        capabilities = re.compile(r'(?m)^Cap\w+:\s+[0-9a-f]+$')
        self.assertEqual(capabilities.findall(status), capabilities.findall(MANUAL))
        security = self.system.out('systemd-analyze', 'security', '--no-pager', SERVICE)
        exposure = re.search(r'Overall exposure level for \S+: ([0-9.]+)', security).group(1)
        self.assertLessEqual(float(exposure), 2.0)
        self.assertEqual(re.search(r'gives it ([0-9.]+) of 10', MANUAL).group(1), exposure)

    def test_10_new_generation(self):
        """Capabilities that were given up are not missed: rules are loaded anew, and sockets."""
        rules = ''.join('tcp 203.0.113.%d 80 apache\n' % i for i in range(256))
        self.system.run('sockbroker', 'apply', '-', input=rules)
        self.system.run('systemctl', 'restart', 'apache2')
        self.assertServes()
        self.system.run('sockbroker', 'apply', '-', input='')
        self.assertServes()

    def test_11_private_pins(self):
        """Only the broker, and root, come near them."""
        self.assertEqual(self.system.out('stat', '--format', '%U %a', PINS), 'sockbroker 700')
        for path in (PINS, PINS + '/link'):
            done = self.system.run(*self.system.in_unit('nosy.service', 'test', '-e', path,
                                                        properties=['User=nobody']), check=False)
            self.assertEqual(done.returncode, 1, path)
        inside = '/proc/%d/root/sys/fs/bpf' % self.broker_pid()
        self.assertEqual(self.system.out('ls', inside), 'sockbroker')
        self.assertEqual(self.system.out('ls', inside + '/sockbroker'),
                         self.system.out('ls', PINS))
        self.assertIn('sockmap', self.system.out('ls', PINS).split())

    def test_12_unload(self):
        self.system.run('sockbroker', 'unload', '--yes')
        machine.eventually(lambda: self.system.property(SERVICE, 'ActiveState') == 'inactive',
                           'the broker has ended')
        self.assertEqual(self.system.property(SERVICE, 'Result'), 'success')
        self.assertEqual(self.system.out('ls', PINS), '')
        self.assertEqual(self.curl(NOBODYS), '')
        # What the label files say comes back with the next client; sockets are handed in anew.
        self.system.run('systemctl', 'restart', 'nginx', 'apache2')
        self.assertServes()

    def test_13_afresh(self):
        """The directory of pins is removed: it is there again before the service is shut in."""
        self.system.run('rm', '-r', PINS)
        self.said('only as long as this broker runs')
        self.assertServes()
        self.system.run('systemctl', 'stop', SERVICE)
        self.assertEqual(self.curl(NOBODYS), '')
        self.system.run('systemctl', 'start', SERVICE)
        self.assertEqual(self.restarts(), 0)
        self.assertEqual(self.system.out('stat', '--format', '%U %a', PINS), 'sockbroker 700')
        self.system.run('systemctl', 'restart', 'nginx', 'apache2')
        self.assertServes()

    def test_14_afresh_by_hand(self):
        """Where the unit does not make it, the log says who does."""
        drop_in = '/etc/systemd/system/sockbroker.service.d/pins.conf'
        self.system.write(drop_in, '[Service]\nExecStartPre=\n')
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'stop', SERVICE)
        self.system.run('rm', '-r', PINS)
        self.system.run('systemctl', 'start', SERVICE, check=False)
        message = self.said('is not on a BPF filesystem')
        self.system.run(*re.search('systemd-tmpfiles .*', message)[0].split())
        machine.eventually(self.active, 'the broker is ready')
        self.system.remove(drop_in)
        self.system.run('systemctl', 'daemon-reload')
        self.system.run('systemctl', 'restart', SERVICE, 'nginx', 'apache2')
        self.assertServes()

    def test_15_boot(self):
        self.system.reboot()
        self.system.run('systemctl', 'is-active', SERVICE, SOCKET, 'nginx', 'apache2')
        self.assertServes()
        warnings = [r['MESSAGE'] for r in self.system.journal('--priority=warning')
                    if 'sockbroker' in json.dumps(r)]
        self.assertEqual(warnings, [])


if __name__ == '__main__':
    machine.main()
