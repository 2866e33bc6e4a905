# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whole Debian systems with systemd as their init, booted by systemd-nspawn, and a base class for
the tests that run in them. `python3 test_NAME.py SUITE` runs one test in one of them.

isolate() moves the test process into a mount namespace of its own, with a cgroup2 file system and a
/run of its own: what a system mounts and writes is gone when the process is, and the machine's own
init need not be systemd. A system is a throw-away copy (overlayfs in memory) of a tree that
make-trees made, with a network and a bpffs of its own. What it starts dies with the test, however
that ends; the one thing that would stay, its cgroup, is removed by a process that waits for that.
"""

import contextlib
import errno
import json
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'tests', 'integration'))
import sandbox  # noqa: E402

BUILD = os.path.abspath(os.environ.get('BUILD_ROOT', TOP + '/build'))
SUITES = ('bookworm', 'trixie')

TIMEOUT = 30           # for what must happen; nothing is expected to take this long
SCRATCH = '/run/sockbroker-systems'
CGROUPS = '/sys/fs/cgroup'
ENVIRONMENT = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin', 'HOME': '/root',
               'LANG': 'C.UTF-8', 'SYSTEMD_PAGER': '', 'SYSTEMD_COLORS': '0'}
NAMESPACES = ('mount', 'uts', 'ipc', 'net', 'pid', 'cgroup', 'root', 'wd')  # for nsenter

cgroup = None  # set by isolate()


# The sites of test_unit.py, test_ways.py and the manual: what each server says, and where.
NGINX_SITE = 'server { listen 127.0.0.1:8081; return 200 "This is nginx."; }\n'
APACHE_PORTS = 'ServerName localhost\nListen 127.0.0.1:8082\n'
APACHE_SITE = '<VirtualHost *:8082>\n\tDocumentRoot /var/www/html\n</VirtualHost>\n'


def addresses(*prefixes):
    """
    A unit that makes prefixes local, whole, at every boot where it is enabled. A machine that they are
    routed to needs no more than this.
    """
    return """[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
%s[Install]
WantedBy=basic.target
""" % ''.join('ExecStart=ip route add local %s dev lo\n' % prefix for prefix in prefixes)


def eventually(condition, what, timeout=TIMEOUT):
    """Waits until CONDITION() is true and returns what it returned."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError('never happened: ' + what)
        time.sleep(0.02)


def read(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read()


def mount(kind, target, options='', source=None):
    os.makedirs(target, exist_ok=True)
    sandbox.check(sandbox.libc.mount((source or kind).encode(), target.encode(), kind.encode(), 0,
                                     options.encode()))


def unmount(target):
    sandbox.check(sandbox.libc.umount2(target.encode(), sandbox.MNT_DETACH))


# -- the test process -----------------------------------------------------------------------------

def isolate():
    global cgroup
    if os.geteuid() != 0:
        print('needs root', file=sys.stderr)
        sys.exit(sandbox.SKIP)
    sandbox.check(sandbox.libc.unshare(sandbox.CLONE_NEWNS))
    sandbox.check(sandbox.libc.mount(b'none', b'/', None, sandbox.MS_REC | sandbox.MS_PRIVATE, None))
    try:
        mount('cgroup2', CGROUPS)
    except OSError as error:
        if error.errno != errno.EBUSY:  # it is that already
            raise
    mount('tmpfs', '/run', 'mode=755')
    os.mkdir(SCRATCH)
    own = re.search(r'(?m)^0::(.*)$', read('/proc/self/cgroup')).group(1)
    cgroup = '%s%s/sockbroker-test.%d' % (CGROUPS, own.rstrip('/'), os.getpid())
    os.mkdir(cgroup)
    start_janitor()


def start_janitor():
    """A process that removes the cgroup when this one is gone, even by SIGKILL."""
    alive, ours = os.pipe2(os.O_CLOEXEC)
    if os.fork() > 0:
        os.close(alive)  # the other end stays open for as long as this process lives
        return
    os.setsid()
    null = os.open('/dev/null', os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(ours)
    os.read(alive, 1)
    with contextlib.suppress(OSError):
        kill_cgroup(cgroup)
    os._exit(0)


def kill_cgroup(path):
    """Kills what runs in it, and removes it. A cgroup is busy until its last zombie is reaped."""
    with contextlib.suppress(FileNotFoundError), open(path + '/cgroup.kill', 'w') as file:
        file.write('1')

    def remove():
        for directory, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        return not os.path.exists(path)
    eventually(remove, 'the cgroup of the system empties')


def tree(suite):
    return subprocess.run((HERE + '/make-trees', suite), check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


# -- a system -------------------------------------------------------------------------------------

class System:
    """One machine. It may be booted many times; what is written to it stays until destroy()."""

    def __init__(self, suite):
        self.suite = suite
        self.name = '%s-%d' % (suite, os.getpid())
        self.directory = SCRATCH + '/' + self.name
        self.root = self.directory + '/root'
        self.bpffs = self.directory + '/bpf'
        self.process = self.leader = None
        mount('tmpfs', self.directory, 'mode=755')
        for name in ('upper', 'work'):
            os.mkdir(self.directory + '/' + name)
        mount('overlay', self.root, 'lowerdir=%s,upperdir=%s/upper,workdir=%s/work' % (
            tree(suite), self.directory, self.directory))

    # Files, running or not.

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        with open(self.root + path, 'w', encoding='utf-8') as file:
            file.write(text)
        os.chmod(self.root + path, mode)

    def remove(self, path):
        os.unlink(self.root + path)

    def install(self):
        """`meson install`, of the build directory BUILD_ROOT."""
        subprocess.run(('meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir',
                        self.root), check=True, stdout=subprocess.DEVNULL)
        if self.process is not None:  # on a running system it ends with this
            self.run('sh', '-s', input=read(BUILD + '/units/post-install'))

    # Up and down.

    def boot(self):
        """Returns when systemd says that it is done with starting (of whatever failed, too)."""
        mount('bpf', self.bpffs, 'mode=0700')  # as empty as after any boot
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, \
                open(self.directory + '/console', 'ab') as console:
            notify.bind('\0sockbroker-test.' + self.name)
            self.process = subprocess.Popen(
                ('systemd-nspawn', '--quiet', '--boot', '--directory', self.root,
                 '--machine', self.name, '--register=no', '--keep-unit', '--notify-ready=yes',
                 '--private-network', '--bind', self.bpffs + ':/sys/fs/bpf',
                 '--capability=all', '--system-call-filter=bpf pidfd_getfd'),
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env={**os.environ, 'NOTIFY_SOCKET': '@sockbroker-test.' + self.name},
                preexec_fn=self._enter_cgroup)
            self._wait_for_boot(notify)
        return self

    def _enter_cgroup(self):
        sandbox.die_with_parent()
        path = '%s/%s' % (cgroup, self.name)
        os.makedirs(path, exist_ok=True)
        with open(path + '/cgroup.procs', 'w', encoding='utf-8') as file:
            file.write('0')

    def _wait_for_boot(self, notify):
        end = time.monotonic() + TIMEOUT
        ready = False
        while not ready:
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError('%s does not boot:\n%s' % (self.suite, self.console()))
            if select.select([notify], [], [], 0.5)[0]:
                lines = notify.recv(4096).decode().splitlines()
                ready = ready or 'READY=1' in lines
                for line in lines:
                    if line.startswith('X_NSPAWN_LEADER_PID='):
                        self.leader = int(line.partition('=')[2])

    def console(self):
        return read(self.directory + '/console')

    def poweroff(self):
        """What was written stays, what was pinned does not."""
        if self.process is None:
            return
        os.kill(self.leader, signal.SIGRTMIN + 4)
        self.process.wait(TIMEOUT)
        self._put_away()

    def _put_away(self):
        self.process = self.leader = None
        kill_cgroup('%s/%s' % (cgroup, self.name))
        unmount(self.bpffs)

    def reboot(self):
        self.poweroff()
        return self.boot()

    def destroy(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(TIMEOUT)
            self._put_away()
        unmount(self.root)
        unmount(self.directory)

    # What happens inside.

    def _inside(self, command, namespaces=NAMESPACES):
        return ('nsenter', '--target', str(self.leader), *('--' + n for n in namespaces),
                '--') + command

    def run(self, *command, check=True, timeout=TIMEOUT, namespaces=NAMESPACES, **options):
        """Runs COMMAND as root and returns its CompletedProcess, with text output."""
        options.setdefault('stdin', None if 'input' in options else subprocess.DEVNULL)
        done = subprocess.run(self._inside(command, namespaces), capture_output=True,
                              text=True, timeout=timeout, env=ENVIRONMENT,
                              preexec_fn=sandbox.die_with_parent, **options)
        if check and done.returncode != 0:
            raise AssertionError('%s: status %d\n%s%s' % (shlex.join(command), done.returncode,
                                                          done.stdout, done.stderr))
        return done

    def out(self, *command, **options):
        return self.run(*command, **options).stdout.strip()

    def start(self, *command):
        """The Popen of COMMAND, with pipes for standard input and output."""
        return subprocess.Popen(self._inside(command), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
                                preexec_fn=sandbox.die_with_parent)

    @staticmethod
    def in_unit(name, *command, properties=()):
        """COMMAND as the words that run it in a transient service NAME."""
        return ('systemd-run', '--quiet', '--wait', '--pipe', '--collect', '--unit=' + name,
                *('--property=' + p for p in properties), *command)

    def property(self, unit, name):
        return self.out('systemctl', 'show', '--value', '--property', name, unit)

    def journal(self, *arguments):
        """The records of this boot, as dictionaries."""
        text = self.out('journalctl', '--boot', '--output=json', *arguments)
        return [json.loads(line) for line in text.splitlines()]

    def write_sites(self):
        """For Debian's nginx and Apache."""
        self.write('/etc/nginx/sites-available/default', NGINX_SITE)
        self.write('/etc/apache2/ports.conf', APACHE_PORTS)
        self.write('/etc/apache2/sites-available/000-default.conf', APACHE_SITE)
        self.write('/var/www/html/index.html', 'This is Apache.')

    def network(self):
        """Within it, new sockets of this thread belong to the system's network."""
        return sandbox.other_netns('/proc/%d/ns/net' % self.leader)


class Traffic(threading.Thread):
    """GETs http://ADDRESS:PORT/ again and again, a new connection each time, until finish(). An
    answer that does not end with TEXT is a failure."""

    def __init__(self, system, address, port, text=''):
        super().__init__()
        self.system, self.address, self.port = system, address, port
        self.text = text.encode()
        self.answered, self.failures = 0, []
        self.over = threading.Event()

    def run(self):
        with self.system.network():
            while not self.over.is_set():
                try:
                    self._get()
                    self.answered += 1
                except OSError as error:
                    self.failures.append(error)

    def _get(self):
        with socket.create_connection((self.address, self.port), TIMEOUT) as client:
            client.sendall(b'GET / HTTP/1.0\r\n\r\n')
            answer = client.makefile('rb').read()
            if not (answer.startswith(b'HTTP/1.') and answer.endswith(self.text)):
                raise OSError('answered with %r' % answer)

    def more(self, n=100):
        """Waits until N more requests were answered (or one failed)."""
        until = self.answered + n
        eventually(lambda: self.failures or self.answered >= until, '%d more answers' % n)

    def finish(self):
        self.over.set()
        self.join()


class SystemTest(unittest.TestCase):
    """
    One system for all tests of the class, which are its steps: they run in the order of their
    names, and go on from where the one before ended. furnish() is what it has before it boots.
    """

    suite = None  # set by main()
    answered = 0

    @classmethod
    def setUpClass(cls):
        cls.system = System(cls.suite)
        cls.addClassCleanup(cls.system.destroy)
        cls.furnish(cls.system)
        cls.system.boot()

    @classmethod
    def furnish(cls, system):
        system.install()

    @classmethod
    def tearDownClass(cls):
        if cls.answered:
            print('%d connections served' % cls.answered)

    def run(self, result=None):
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and self.system.leader:
            print('---- the journal of %s:\n%s' % (self.suite, self.system.out(
                'journalctl', '--boot', '--no-hostname', '--lines=160')), file=sys.stderr)

    def traffic(self, address, port, text=''):
        """Traffic that is running; its failures are this test's."""
        traffic = Traffic(self.system, address, port, text)

        def finish():
            traffic.finish()
            self.assertEqual(traffic.failures, [])
            type(self).answered += traffic.answered
        traffic.start()
        self.addCleanup(finish)
        traffic.more(1)
        return traffic


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in SUITES:
        sys.exit('usage: %s %s [TEST...]' % (sys.argv[0], '|'.join(SUITES)))
    if not os.path.exists(BUILD + '/broker/sockbrokerd'):
        sys.exit('no broker in %s (BUILD_ROOT says where to look)' % BUILD)
    SystemTest.suite = sys.argv.pop(1)
    isolate()
    unittest.main(verbosity=2, failfast=True)  # a step stands on those before it
