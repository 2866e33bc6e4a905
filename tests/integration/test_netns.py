#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network namespaces and the BPF filesystem come and go, under the broker and between two of its
runs: said plainly each time, and nothing is steered that should not be."""

import os
import subprocess

import harness
import sandbox
from harness import REFUSED, BrokerTest, eventually


def run(*command):
    subprocess.run(command, check=True)


class Named(BrokerTest):
    """A broker for a named network namespace, beside our own."""

    def setUp(self):
        self.name = 'sockbroker-test-%d' % os.getpid()
        self.path = '/run/netns/' + self.name
        self.servers = {}
        self.broker = harness.Broker()
        self.addCleanup(self.broker.destroy)
        self.add()
        self.addCleanup(lambda: os.path.exists(self.path) and self.delete())

    def add(self):
        run('ip', 'netns', 'add', self.name)
        with self.inside():
            sandbox.ip('link', 'set', 'lo', 'up')
            sandbox.ip('route', 'add', 'local', '192.0.2.0/24', 'dev', 'lo')

    def delete(self):
        run('ip', 'netns', 'del', self.name)

    def inside(self, path=None):
        """Within it, new sockets belong to the other namespace."""
        return sandbox.other_netns(path or self.path)

    def start(self):
        self.broker.start('--netns', self.path)

    def furnish(self):
        with self.inside():
            self.tcp('a')
        self.register('web', 'a')
        self.rule('web', 'tcp', '192.0.2.0/24', '80')

    def dials(self, path=None):
        with self.inside(path):
            return self.tcp_reaches('192.0.2.1', 80)

    def said(self, words):
        return eventually(lambda: words in self.broker.log(), 'the log says %r' % words)

    def warnings(self):
        return [r['text'] for r in self.ask('status').records('warning') if 'label' not in r]

    def test_deleted_while_running(self):
        self.start()
        self.furnish()
        self.assertEqual(self.dials(), 'a')
        self.assertEqual(self.warnings(), [])
        former = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self.delete()
        self.said('namespace %s was deleted: this broker goes on steering the former one' % self.path)
        self.assertIn('was deleted', self.warnings()[0])
        self.assertIn('was deleted', self.broker.command('status').stderr)
        self.assertEqual(self.dials('/proc/self/fd/%d' % former), 'a')
        os.close(former)
        # A new one of the same name is another one.
        self.add()
        self.said('was deleted and made anew')
        self.assertEqual(self.dials(), REFUSED)
        said = self.broker.log().count('was deleted')
        self.broker.stop()
        # As long as the service's socket lives, so does the former one, and what steers it.
        refusal = self.broker.refused('--netns', self.path)
        self.assertIn('steers another network namespace', refusal)
        self.assertIn('end what still runs in it', refusal)
        self.close('a')
        self.starts_afresh()
        self.assertEqual(said, 2)

    def starts_afresh(self):
        """In a new namespace, with the rules that are known; sockets there are none."""
        def attempt():
            try:
                self.start()
                return True
            except AssertionError:  # the kernel ends namespaces when it gets to it
                return False
        eventually(attempt, 'the former namespace is gone', timeout=60)
        self.assertIn('is gone, starting afresh', self.broker.log())
        self.assertIn('socket tcp 127.0.0.1', self.broker.log())
        self.assertEqual(self.sockets(), [])
        self.assertEqual(self.warnings(), [])
        self.assertEqual(self.dials(), REFUSED)
        with self.inside():
            self.tcp('b')
        self.register('web', 'b')
        self.assertEqual(self.dials(), 'b')

    def test_deleted_between_runs(self):
        self.start()
        self.furnish()
        self.broker.stop()
        self.close('a')
        self.delete()
        refusal = self.broker.refused('--netns', self.path)
        self.assertIn(self.path + ' cannot be entered: No such file or directory', refusal)
        self.add()
        self.starts_afresh()

    def test_no_namespace(self):
        for path, word in (('/run/netns/none', 'No such file'), ('/etc/passwd', 'Invalid argument')):
            self.assertIn(word, self.broker.refused('--netns', path))


class Pins(BrokerTest):
    """The pin directory and the filesystem under it."""

    def setUp(self):
        super().setUp()
        self.tcp('a')
        self.register('web', 'a')
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        self.pins = sorted(os.listdir(self.broker.bpffs))

    def prepare(self):
        """A BPF filesystem of its own, to be unmounted."""
        self.mount = self.broker.directory + '/bpf'
        os.mkdir(self.mount)
        run('mount', '-t', 'bpf', 'bpf', self.mount)
        self.addCleanup(subprocess.run, ('umount', '-q', '-l', self.mount))
        os.rmdir(os.path.dirname(self.broker.bpffs))
        self.broker.bpffs = self.mount + '/sockbroker'

    def said(self, words):
        return eventually(lambda: words in self.broker.log(), 'the log says %r' % words)

    def assertSurvives(self):
        self.assertEqual(sorted(os.listdir(self.broker.bpffs)), self.pins)
        before = self.snapshot()
        self.broker.kill()
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.broker.start()
        self.assertEqual(self.snapshot(), before)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')

    def test_directory_removed(self):
        for name in self.pins:
            os.unlink(self.broker.bpffs + '/' + name)
        os.rmdir(self.broker.bpffs)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        self.said('8 pins in %s were removed while this broker runs, and are there again'
                  % self.broker.bpffs)
        self.assertSurvives()

    def test_some_pins_removed(self):
        for name in ('link', 'sockmap'):
            os.unlink(self.broker.bpffs + '/' + name)
        self.said('2 pins in %s were removed' % self.broker.bpffs)
        self.assertSurvives()
        # and at the very last moment
        os.unlink(self.broker.bpffs + '/link')
        self.broker.stop()
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')

    def test_directory_of_another(self):
        """Somebody else pins under the same path by now: his pins stay."""
        os.rename(self.broker.bpffs, self.broker.bpffs + '-elsewhere')
        os.mkdir(self.broker.bpffs, 0o700)
        os.link(self.broker.bpffs + '-elsewhere/rules', self.broker.bpffs + '/rules')
        self.said('traffic goes on only as long as this broker runs: ')
        self.assertEqual(os.listdir(self.broker.bpffs), ['rules'])
        self.assertIn('are gone', self.broker.command('status').stderr)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        os.unlink(self.broker.bpffs + '/rules')
        self.said('as they should be again')
        self.assertSurvives()

    def test_unmounted_while_running(self):
        run('umount', '-l', self.mount)
        self.said('traffic goes on only as long as this broker runs: %s is not on a BPF filesystem; '
                  'mount one with: mount -t bpf bpf' % self.mount)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        run('mount', '-t', 'bpf', 'bpf', self.mount)
        self.said('8 pins in %s were removed' % self.broker.bpffs)
        self.said('as they should be again')
        self.assertSurvives()

    def test_unmounted_between_runs(self):
        """All that was pinned went with it, and traffic too."""
        self.broker.stop()
        run('umount', self.mount)
        eventually(lambda: self.tcp_reaches('192.0.2.1', 80) == REFUSED, 'the pins are gone')
        self.assertIn('%s is not on a BPF filesystem; mount one with: mount -t bpf bpf' % self.mount,
                      self.broker.refused())
        os.rmdir(self.mount)
        self.assertIn('the BPF filesystem at %s: No such file or directory' % self.mount,
                      self.broker.refused())
        os.mkdir(self.mount)
        run('mount', '-t', 'bpf', 'bpf', self.mount)
        self.broker.start()
        self.assertEqual(self.sockets(), [])
        self.register('web', 'a')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')


if __name__ == '__main__':
    harness.main()
