#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever is found in place of the state, and whatever becomes of its file system: a sentence that
names the thing, traffic that goes on, and nothing forgotten."""

import contextlib
import os
import re
import shutil
import socket
import subprocess

import harness
import sandbox
from harness import BrokerTest, REFUSED, eventually

FILES = ('labels', 'labels.journal', 'rules', 'journal')


class StateTest(BrokerTest):
    """A broker with sockets and rules, some of them in the files and some in the journals."""

    def setUp(self):
        super().setUp()
        self.tcp('a')
        self.udp('c')
        self.register('web', 'a')
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        self.apply('tcp 192.0.2.0/24 80 web\ntcp 198.51.100.0/24 80 web\n')
        self.broker.stop()
        self.broker.start()
        self.tcp('b')
        self.register('web', 'b', mode='add')
        self.register('dns', 'c')
        self.rule('dns', 'udp', '192.0.2.0/25', '53')

    def apply(self, text):
        done = self.broker.command('apply', '-', input=text)
        self.assertEqual(done.returncode, 0, done.stderr)

    def assertTraffic(self):
        met = {self.tcp_reaches('192.0.2.%d' % i, 80) for i in range(24)}
        self.assertEqual(met, {'a', 'b'})
        self.assertIn(self.tcp_reaches('198.51.100.1', 80), 'ab')
        self.assertEqual(self.udp_reaches('192.0.2.1', 53), 'c')
        self.assertEqual(self.tcp_reaches('203.0.113.1', 80), REFUSED)

    def path(self, name):
        return os.path.join(self.broker.state, name)

    def files(self):
        """All that is in the directory but the lock: a start that is refused leaves it alone."""
        found = {}
        for name in sorted(os.listdir(self.broker.state)):
            stat = os.lstat(self.path(name))
            if name != 'lock':
                found[name] = (stat.st_mode, stat.st_uid, stat.st_ino, stat.st_size,
                               stat.st_mtime_ns)
        return found

    def assertStartRefused(self, *words):
        before = self.files()
        done = subprocess.run(self.broker.command_line(), capture_output=True, text=True,
                              timeout=harness.TIMEOUT, check=False,
                              env={**os.environ, **harness.SANITIZER_ENV})
        self.assertEqual(done.returncode, 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(self.files(), before)
        self.assertTraffic()


class Found(StateTest):
    """What a start finds."""

    def setUp(self):
        super().setUp()
        self.before = self.snapshot()
        self.broker.stop()
        self.kept = self.broker.directory + '/kept'
        shutil.copytree(self.broker.state, self.kept)

    def restore(self):
        path = self.broker.state
        if os.path.islink(path):
            os.unlink(path)
        else:
            shutil.rmtree(path)
        shutil.copytree(self.kept, path)

    def tearDown(self):
        """Restored, all of it is there again."""
        self.restore()
        self.broker.start()
        self.assertEqual(self.snapshot(), self.before)
        self.assertTraffic()
        super().tearDown()

    def write(self, name, data):
        with open(self.path(name), 'wb') as file:
            file.write(data)

    def read(self, name):
        with open(self.path(name), 'rb') as file:
            return file.read()

    @contextlib.contextmanager
    def damaging(self, what):
        with self.subTest(what):
            try:
                yield
            finally:
                self.restore()

    def test_missing_or_empty(self):
        for name in FILES:
            with self.damaging(name):
                os.unlink(self.path(name))
                self.assertStartRefused('missing' if name != 'rules' else 'not there any more')
                self.write(name, b'')
                self.assertStartRefused(self.path(name) if name != 'labels'
                                        else 'the file is empty')

    def test_cut(self):
        for name in ('labels', 'rules'):
            text = self.read(name)
            for n in (1, len(text) // 3, len(text) // 2, len(text) - 1):
                with self.damaging((name, n)):
                    self.write(name, text[:n])
                    self.assertStartRefused('damaged' if name == 'labels' else self.path(name))

    def test_foreign(self):
        for name in FILES:
            for data in (b'\0' * 4096, b'\x7fELF\x02\x01\x01\n', b'#!/bin/sh\nexit 0\n', b'\n'):
                with self.damaging((name, data[:4])):
                    self.write(name, data)
                    self.assertStartRefused('damaged' if name.startswith('labels')
                                            else self.path(name))

    def test_older_copy(self):
        """A file from before the last replacement, under the journal of after it."""
        for name, journal in (('labels', 'labels.journal'), ('rules', 'journal')):
            with self.damaging(name):
                self.write(name, re.sub(rb'epoch=(\d+)', lambda m: b'epoch=%d' % (int(m[1]) - 1),
                                        self.read(name), count=1))
                self.assertStartRefused(self.path(journal), 'not there any more')

    def test_newer_version(self):
        text = self.read('labels')
        self.write('labels', text.replace(b'version=2', b'version=3', 1))
        self.assertStartRefused('newer sockbroker', 'sockets are in use')

    def test_nonsense_in_changes(self):
        socket_line = [line for line in self.read('labels').splitlines()
                       if line.startswith(b'socket\t')][0]
        for change in (
                b'label\tname=web\tid=4000\n',                              # another number
                b'label\tname=other\tid=0\nlabel\tname=another\tid=1\n',    # numbers in use
                b'label\tname=other\tid=4096\n',
                b'socket\tlabel=nobody\tslot=3\n',
                b'label\tname=thief\tid=77\n' + socket_line.replace(b'label=web', b'label=thief')
                + b'\n',                                                    # web's slot
                b'label\tname=thief\tid=77\n' + socket_line.replace(b'label=web', b'label=thief')
                .replace(b'slot=', b'slot=9999') + b'\n',                   # out of bounds
                b'- nothing\n',
                b'\0\0\0\n'):
            with self.damaging(change):
                self.write('labels.journal', self.read('labels.journal') + change + b'.\n')
                self.assertStartRefused('damaged', 'labels.journal', 'sockets are in use')

    def test_rules_of_labels_that_are_not_there(self):
        """Lines that make no sense are said and left out; labels are made for rules."""
        self.write('journal', self.read('journal') +
                   b'+ tcp 203.0.113.9 80 unheard-of\n- tcp 203.0.113.10 80 -\n? what\n.\n')
        self.broker.start()
        self.assertIn('tcp 203.0.113.9/32 80 unheard-of\n', self.rules_text())
        self.assertIn('saved change left out', self.broker.log())
        self.assertTraffic()
        self.unrule('unheard-of', 'tcp', '203.0.113.9', '80')
        self.assertEqual(self.snapshot(), self.before)
        self.broker.stop()

    def test_half_written(self):
        """Left-overs of a broker that was killed while it wrote."""
        for name in FILES:
            self.write(name + '.new', b'half')
        for name in ('labels.journal', 'journal'):
            self.write(name, self.read(name) + b'label\tname=half\tid=9\n')
        self.broker.start()
        self.assertIn('did not happen', self.broker.log())
        self.assertEqual(self.snapshot(), self.before)
        self.assertTraffic()
        self.broker.stop()

    def test_other_kinds(self):
        def link(path):
            os.symlink('/etc/passwd', path)

        def listener(path):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(path)

        for name in FILES:
            for make in (os.mkfifo, os.mkdir, link, listener):
                with self.damaging((name, make.__name__)):
                    os.unlink(self.path(name))
                    make(self.path(name))
                    self.assertStartRefused(self.path(name), 'no ordinary file', 'remove it')

    def test_others_may_write(self):
        for name in FILES:
            with self.damaging(name):
                os.chmod(self.path(name), 0o666)
                self.assertStartRefused(self.path(name), 'mode 0666', 'chmod go-w')
                os.chmod(self.path(name), 0o600)
                os.chown(self.path(name), sandbox.OTHER_UID, 0)
                self.assertStartRefused(self.path(name), 'uid %d' % sandbox.OTHER_UID, 'chown')

    def test_huge(self):
        for name in FILES:
            with self.damaging(name):
                os.truncate(self.path(name), (1 << 30) + 1)
                self.assertStartRefused(self.path(name), '1073741825 bytes', 'restore it')

    def test_directory(self):
        state = self.broker.state
        for mode in (0o777, 0o1777, 0o775, 0o757):
            os.chmod(state, mode)
            self.assertStartRefused(state, 'mode %04o' % mode, 'chmod go-w')
        os.chmod(state, 0o755)
        os.chown(state, sandbox.OTHER_UID, 0)
        self.assertStartRefused(state, 'uid %d' % sandbox.OTHER_UID, '--state')
        os.chown(state, 0, 0)
        os.rename(state, state + '.real')
        os.symlink(state + '.real', state)
        self.assertStartRefused(state, 'symbolic link', '--state')
        os.unlink(state)
        os.rename(state + '.real', state)


class FirstRun(BrokerTest):
    """A broker that was never asked to apply, nor started again."""

    def setUp(self):
        super().setUp()
        self.tcp('a')
        self.register('web', 'a')
        self.rule('web', 'tcp', '192.0.2.0/24', '80')
        self.broker.stop()

    def remove(self, *names):
        for name in names:
            os.unlink(os.path.join(self.broker.state, name))

    def assertStartRefused(self, words):
        done = subprocess.run(self.broker.command_line(), capture_output=True, text=True,
                              timeout=harness.TIMEOUT, check=False,
                              env={**os.environ, **harness.SANITIZER_ENV})
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(words, done.stderr)
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'a')
        return done.stderr

    def test_journal_missing(self):
        self.remove('journal')
        self.assertStartRefused('journal is missing')

    def test_both_missing(self):
        """What the sentence says to write is taken."""
        self.remove('rules', 'journal')
        line = re.search('let journal have the line "(.*)" alone', self.assertStartRefused(
            'rules and journal in %s are missing' % self.broker.state))[1]
        with open(os.path.join(self.broker.state, 'journal'), 'w', encoding='utf-8') as file:
            file.write(line + '\n')
        self.broker.start()
        self.assertEqual(self.rules_text(), '')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), REFUSED)

    def test_damaged(self):
        with open(os.path.join(self.broker.state, 'rules'), 'a', encoding='utf-8') as file:
            file.write('tcp 192.0.2.0/24 443 web\n')
        line = re.search('remove it and let journal have the line "(.*)" alone',
                         self.assertStartRefused('longer than it was written'))[1]
        self.remove('rules')
        with open(os.path.join(self.broker.state, 'journal'), 'w', encoding='utf-8') as file:
            file.write(line + '\n')
        self.broker.start()
        self.assertEqual(self.rules_text(), '')

    def test_all_missing(self):
        """With nothing left that would miss them, rules go, but not without a word."""
        self.servers['a'].close()
        self.remove(*FILES)
        self.broker.start()
        self.assertIn('the saved rules are missing: 0 rules are in force, 1 were before',
                      self.broker.log())
        self.broker.stop()
        self.broker.start()
        self.assertNotIn('saved rules', self.broker.log().rpartition('ready')[0].rpartition(
            'ready')[2])


class FileSystem(StateTest):
    """The state is on a small file system of its own."""

    def prepare(self):
        subprocess.run(('mount', '-t', 'tmpfs', '-o', 'size=256k,mode=755', 'none',
                        self.broker.state), check=True)
        self.addCleanup(subprocess.run, ('umount', '-l', self.broker.state), check=True)

    def fill(self):
        """Until there is no room for one more page."""
        with open(self.path('filler'), 'wb', buffering=0) as file:
            try:
                while True:
                    file.write(b'x' * 4096)
            except OSError:
                pass

    def assertAllRefused(self, *words):
        """Each kind of change is refused, and nothing is changed by it."""
        self.tcp('new')
        before = self.snapshot()
        for request in (
                dict(request='register', LABEL='web', fds=[self.servers['new']]),
                dict(request='register', LABEL='fresh', fds=[self.servers['new']]),
                dict(request='unregister', LABEL='dns'),
                dict(request='bind', LABEL='web', PROTOCOL='tcp', PREFIX='203.0.113.0/24',
                     PORTS='80'),
                dict(request='bind', LABEL='fresh', PROTOCOL='tcp', PREFIX='203.0.113.0/24',
                     PORTS='80'),
                dict(request='unbind', PROTOCOL='tcp', PREFIX='192.0.2.0/24', PORTS='80')):
            reply = self.broker.ask(**request)
            self.assertEqual(reply.error, 'EIO', (request, reply))
            for word in words + (self.broker.state,):
                self.assertIn(word, reply.message)
        done = self.broker.command('apply', '-', input='tcp 203.0.113.0/24 80 web\n')
        self.assertEqual(done.returncode, 1)
        for word in words + (self.broker.state,):
            self.assertIn(word, done.stderr)
        self.assertEqual(self.snapshot(), before)
        self.assertTraffic()

    def assertWorksAgain(self):
        self.rule('web', 'tcp', '203.0.113.0/24', '81')
        self.register('fresh', 'new')
        self.rule('fresh', 'tcp', '203.0.113.0/24', '82')
        before = self.snapshot()
        self.broker.kill()
        self.assertEqual(self.tcp_reaches('203.0.113.1', 82), 'new')
        self.broker.start()
        self.assertEqual(self.snapshot(), before)
        self.assertTraffic()
        self.assertIn(self.tcp_reaches('203.0.113.1', 81), 'ab')
        self.assertEqual(self.tcp_reaches('203.0.113.1', 82), 'new')

    def use_up(self):
        """What fits into pages that are there already is taken, and must survive."""
        spare = 'efghijklmnopqrst'
        for name in spare:
            self.tcp(name)
            self.register(name, name)
        self.fill()
        requests = [dict(request='bind', LABEL='web', PROTOCOL='tcp', PREFIX='198.51.100.%d' %
                         (i % 250), PORTS=str(1000 + i)) for i in range(1000)]
        taken = [self.broker.ask(**request).ok for request in requests]
        self.assertIn(False, taken)
        taken = [self.broker.ask('register', LABEL='dns', fds=[self.servers['c']]).ok
                 for _ in range(100)]
        self.assertIn(False, taken)
        # Little is left, and a socket that goes needs the least.
        taken = [self.broker.ask('unregister', LABEL=name).ok for name in spare]
        self.assertIn(False, taken)

    def test_full_while_running(self):
        self.use_up()
        self.assertAllRefused('No space left on device')
        before = self.snapshot()
        self.broker.kill()
        self.assertTraffic()
        self.assertStartRefused(self.broker.state, 'No space left on device')
        os.unlink(self.path('filler'))
        self.broker.start()
        self.assertEqual(self.snapshot(), before)
        self.assertWorksAgain()

    def test_room_again_while_running(self):
        self.use_up()
        self.assertAllRefused('No space left on device')
        os.unlink(self.path('filler'))
        self.assertWorksAgain()

    def remount(self, how):
        subprocess.run(('mount', '-o', 'remount,' + how, self.broker.state), check=True)

    def test_read_only(self):
        self.broker.stop()
        self.remount('ro')
        self.assertStartRefused(self.broker.state, 'Read-only file system')
        self.remount('rw')
        self.broker.start()
        self.remount('ro')
        self.assertAllRefused('Read-only file system')
        self.remount('rw')
        self.assertWorksAgain()


class Removed(StateTest):
    """Somebody removes the state of a running broker, who still knows all of it."""

    def refused_until_there(self, name):
        """Asks for a change until it is done; how often it was refused."""
        def done():
            reply = self.broker.ask('bind', LABEL='web', PROTOCOL='tcp', PREFIX='203.0.113.0/24',
                                    PORTS='81')
            if not reply.ok:
                self.assertEqual(reply.error, 'EIO')
                self.assertIn(name, reply.message)
                self.assertIn('removed', reply.message)
            return reply.ok
        eventually(done, 'the state is written again')
        self.unrule('web', 'tcp', '203.0.113.0/24', '81')

    def assertWritten(self, before):
        self.assertEqual(self.snapshot(), before)
        self.broker.kill()
        self.assertTraffic()
        self.broker.start()
        self.assertEqual(self.snapshot(), before)
        self.assertTraffic()

    def test_directory(self):
        before = self.snapshot()
        shutil.rmtree(self.broker.state)
        self.refused_until_there(self.broker.state)
        self.assertIn('written again', self.broker.log())
        self.assertEqual(os.stat(self.broker.state).st_mode & 0o7777, 0o755)
        self.assertWritten(before)

    def test_files(self):
        before = self.snapshot()
        for name in FILES + ('lock',):
            os.unlink(self.path(name))
            eventually(lambda name=name: os.path.exists(self.path(name)), 'it is written again')
            self.assertWritten(before)
            self.rule('web', 'tcp', '203.0.113.0/24', '81')   # journals that there are
            self.register('dns', 'c')
            self.unrule('web', 'tcp', '203.0.113.0/24', '81')
            before = self.snapshot()

    def test_what_cannot_be_written_again(self):
        before = self.snapshot()
        shutil.rmtree(self.broker.state)
        with open(self.broker.state, 'w', encoding='utf-8'):
            pass
        eventually(lambda: 'until it can be written again' in self.broker.log(), 'a line in the log')
        reply = self.broker.ask('bind', LABEL='web', PROTOCOL='tcp', PREFIX='203.0.113.0/24',
                                PORTS='81')
        self.assertEqual(reply.error, 'EIO')
        self.assertEqual(self.snapshot(), before)
        self.assertTraffic()
        os.unlink(self.broker.state)
        self.refused_until_there(self.broker.state)
        self.assertEqual(self.broker.log().count('until it can be written again'), 1)
        self.assertWritten(before)


if __name__ == '__main__':
    harness.main()
