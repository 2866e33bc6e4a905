#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""AllowUnit= goes by the unit that the client really runs in, which is decided from its cgroup, and
by nothing that the client says, does to itself, or once was."""

import os

import machine

LAST_PID = '/proc/sys/kernel/ns_last_pid'

LABEL = '''[Label]
AllowUnit=%s
'''
VISITOR = 4711  # a user with a manager
USER_UNIT = '''[Service]
Type=oneshot
ExecStart=python3 /opt/register %s
StandardOutput=truncate:%%t/%%n
'''

# Registers a socket of its own under LABEL, and prints the broker's answer.
REGISTER = '''
import socket, sys
label, broker = sys.argv[1], socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
broker.connect("/run/sockbroker/sockbroker.sock")
listener = socket.create_server(("127.0.0.1", 0))
socket.send_fds(broker, [label.encode() + b"#"], [listener.fileno()])
print(broker.recv(4096).decode())
'''

# The same, after it has put itself into a cgroup that is called like a unit, and says that it is one.
LIE = '''
import os, sys
own = "/sys/fs/cgroup" + open("/proc/self/cgroup").read().rpartition("0::")[2].strip()
lie = own + "/" + sys.argv[2]
os.makedirs(lie)
open(lie + "/cgroup.procs", "w").write("0")
assert open("/proc/self/cgroup").read().strip().endswith(sys.argv[2])
open("/proc/self/comm", "w").write("good.service")
os.environ.update(SYSTEMD_UNIT="good.service", SYSTEMD_EXEC_PID=str(os.getpid()))
os.execvp("python3", ["good.service", "/opt/register", sys.argv[1]])
'''

# Connects to the broker, gives the connection away, prints its pid, and ends.
GIVE = '''
import os, socket
broker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
broker.connect("/run/sockbroker/sockbroker.sock")
with socket.socket(socket.AF_UNIX) as friend:
    friend.connect("/run/meet/socket")
    socket.send_fds(friend, [b"x"], [broker.fileno()])
print(os.getpid())
'''

# Takes such a connection, and registers over it once a line of standard input says so.
TAKE = '''
import os, socket, sys
listener, meet = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
meet.bind("/run/meet/socket")
meet.listen()
print("waiting", flush=True)
friend = meet.accept()[0]
fd = socket.recv_fds(friend, 1, 1)[1][0]
sys.stdin.readline()
broker = socket.socket(fileno=fd)
socket.send_fds(broker, [sys.argv[1].encode() + b"#"], [listener.fileno()])
print(broker.recv(4096).decode())
'''


class AllowUnit(machine.SystemTest):
    @classmethod
    def furnish(cls, system):
        system.install()
        for label, unit in (('good', 'good.service'), ('manager', 'user@%d.service' % VISITOR)):
            system.write('/etc/sockbroker/labels.d/%s.label' % label, LABEL % unit)
        for name, text in (('register', REGISTER), ('lie', LIE), ('give', GIVE), ('take', TAKE)):
            system.write('/opt/' + name, text)
        system.write('/etc/sysusers.d/visitor.conf', 'u visitor %d\n' % VISITOR)
        for unit, label in (('good', 'good'), ('other', 'manager')):
            system.write('/etc/systemd/user/%s.service' % unit, USER_UNIT % label)

    def words(self, unit, script, *arguments, properties=()):
        return self.system.in_unit(unit, 'python3', '/opt/' + script, *arguments,
                                   properties=['User=nobody', *properties])

    def answer(self, unit, script, *arguments, **options):
        """Runs SCRIPT as nobody in a service of that name; returns what the broker said to it."""
        return self.system.out(*self.words(unit, script, *arguments, **options))

    def assertRefused(self, answer):
        self.assertRegex(answer, r'^ERR EPERM uid \d+ may not register under label')

    def test_1_unit(self):
        self.system.run('systemctl', 'enable', '--now', 'sockbroker.socket')
        self.assertEqual(self.answer('good.service', 'register', 'good'), 'OK')

    def test_2_another_unit(self):
        for unit in ('evil.service', 'good@1.service', 'good.service.service'):
            self.assertRefused(self.answer(unit, 'register', 'good'))

    def test_3_liar(self):
        for name in ('good.service', 'system.slice/good.service', '_good.service'):
            self.assertRefused(self.answer('evil.service', 'lie', 'good', name,
                                           properties=['Delegate=yes']))

    def test_4_user_manager(self):
        """A unit of a user manager is called as its user likes: it is the manager that counts."""
        self.system.run('systemd-sysusers')
        self.system.run('systemctl', 'start', 'user@%d.service' % VISITOR)

        def answer(unit):
            self.system.run('setpriv', '--reuid', str(VISITOR), '--regid', str(VISITOR),
                            '--clear-groups', 'env', 'XDG_RUNTIME_DIR=/run/user/%d' % VISITOR,
                            'systemctl', '--user', 'start', unit)
            return self.system.out('cat', '/run/user/%d/%s' % (VISITOR, unit))
        self.assertRefused(answer('good.service'))
        self.assertEqual(answer('other.service'), 'OK')

    def test_5_ended_unit(self):
        """What was a process of the unit, and is none any more, opens nothing."""
        self.assertRefused(self.answer_later('good.service', lambda pid: None))

    def test_6_reused_pid(self):
        """Nor does its pid, when a process of the unit gets it later."""
        if not os.access(LAST_PID, os.W_OK):
            self.skipTest('cannot choose the pid of a process here')
        self.assertRefused(self.answer_later('evil.service', self.reuse))

    def answer_later(self, giver, then):
        """A connection made in unit GIVER is used in another one, when its maker has ended and
        THEN(its pid) has happened: what the broker says to that."""
        taker = self.system.start(*self.words('taker.service', 'take', 'good', properties=[
            'RuntimeDirectory=meet', 'RuntimeDirectoryMode=0777']))
        try:
            self.assertEqual(taker.stdout.readline(), 'waiting\n')
            then(int(self.answer(giver, 'give')))
            return taker.communicate('go on\n', timeout=machine.TIMEOUT)[0].strip()
        finally:
            taker.kill()
            taker.wait()

    def reuse(self, pid):
        """A process of good.service gets PID."""
        self.system.run('systemd-run', '--unit=good.service', 'sleep', 'infinity')
        self.addCleanup(self.system.run, 'systemctl', 'stop', 'good.service')

        fork = 'echo %d >%s; sleep infinity >/dev/null 2>&1 & [ $! = %d ] || { kill $!; exit 1; }' \
            % (pid - 1, LAST_PID, pid)
        machine.eventually(lambda: self.system.run('sh', '-c', fork, check=False,
                                                   namespaces=('pid',)).returncode == 0,
                           'the pid comes again')
        self.system.run('sh', '-c', 'echo %d >/sys/fs/cgroup/system.slice/good.service/cgroup.procs'
                        % pid)
        self.assertRegex(self.system.out('cat', '/proc/%d/cgroup' % pid),
                         '(?m)^0::/system.slice/good.service$')


if __name__ == '__main__':
    machine.main()
