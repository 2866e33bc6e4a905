#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A start that is refused has touched nothing of the kernel."""
import os
import signal
import subprocess

import harness
from harness import REFUSED, BrokerTest


class RefusedStart(BrokerTest):
    def attempt(self, *arguments):
        done = subprocess.run(self.broker.command_line(*arguments), capture_output=True, text=True,
                              timeout=harness.TIMEOUT, check=False,
                              env={**os.environ, **harness.SANITIZER_ENV})
        self.assertEqual(done.returncode, 1)
        return done.stderr

    def refuse(self, sentence, *arguments):
        pins = self.broker.bpffs + '-two'
        before = len(self.ask('status').records('program'))
        said = self.attempt('--state', self.broker.directory + '/two', '--bpffs', pins, *arguments)
        self.assertIn(sentence, said)
        self.assertFalse(os.path.exists(pins))
        self.assertEqual(len(self.ask('status').records('program')), before)

    def test_socket_in_use(self):
        self.refuse('another broker listens')

    def test_no_directory_for_the_socket(self):
        self.refuse('its directory is missing', '--socket', self.broker.directory + '/none/sock')

    def test_units_without_systemd(self):
        """Nothing could start them (there is no systemd in this mount namespace)."""
        self.broker.label('app', 'ListenStream=192.0.2.1:80\nWhenEmpty=hold\n'
                          'Activate=app.service\n')
        reply = self.broker.ask('reload')
        self.assertFalse(reply.ok)
        self.assertIn('/app.label:4: Activate= needs systemd', reply.message)
        self.assertEqual(self.rules_text(), '')
        self.refuse('/app.label:4: Activate= needs systemd')

    def test_hangup_while_starting(self):
        """A reload sent too early is none, and no death either."""
        self.broker.stop()
        text = ''.join('tcp 10.%d.%d.%d 80 x\n' % (i >> 16, i >> 8 & 255, i & 255)
                       for i in range(60000))
        self.broker.start()
        self.assertEqual(self.broker.command('apply', '-', input=text).returncode, 0)
        self.broker.kill()
        former = os.stat(self.broker.socket).st_ctime_ns
        process = subprocess.Popen(self.broker.command_line(), stderr=subprocess.DEVNULL)
        self.broker.process = process
        # The new socket is there before the rules are.
        harness.eventually(lambda: os.path.exists(self.broker.socket) and
                           os.stat(self.broker.socket).st_ctime_ns != former, 'a new socket')
        for _ in range(20):
            process.send_signal(signal.SIGHUP)
        harness.eventually(self.broker._answers, 'the broker answers')
        self.assertEqual(self.broker.ask('version').ok, True)


class Unload(BrokerTest):
    def test_refused_unload_has_unloaded_nothing(self):
        self.tcp('a')
        self.register('web', 'a')
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        mount = os.path.dirname(os.path.dirname(self.broker.bpffs))
        while not os.path.ismount(mount):
            mount = os.path.dirname(mount)
        subprocess.run(['mount', '-o', 'remount,ro', mount], check=True)
        try:
            done = self.broker.command('unload', '--yes')
        finally:
            subprocess.run(['mount', '-o', 'remount,rw', mount], check=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn('Read-only file system', done.stderr)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.assertEqual(self.broker.command('unload', '--yes').returncode, 0)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)
        self.assertEqual(self.broker.process.wait(harness.TIMEOUT), 0)


if __name__ == '__main__':
    harness.main()
