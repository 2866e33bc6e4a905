#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the broker's requests cost with a million rules: time, and memory.

A real broker in a scratch network namespace. Whole commands are measured from the start of their
process to its end, requests over one connection by bench-client. Nothing is asserted.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'integration'))

import harness  # noqa: E402
import sandbox  # noqa: E402
import wire     # noqa: E402

LABEL = 'l7'       # one of the 256 labels of bench-client's rules
SMALL = 'small'    # a label with three rules
SOCKETS = 1000     # that other services have registered


def spread(values):
    """In milliseconds; VALUES are seconds."""
    values = sorted(v * 1000 for v in values)
    return {'n': len(values), 'median': values[len(values) // 2],
            'p99': values[min(len(values) - 1, len(values) * 99 // 100)],
            'min': values[0], 'max': values[-1]}


def tool(*arguments):
    return subprocess.run((harness.scratch + '/build/tests/bench/bench-client',) + arguments,
                          check=True, stdout=subprocess.PIPE, text=True).stdout


def times(*arguments):
    """What bench-client says, in seconds."""
    return [float(line) / 1e6 for line in tool(*arguments).split()]


def write(path, lines):
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(lines)
    return path


def go_first():
    """Other work on the machine waits, for whatever is started from here on too."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError as error:
        print('no real-time priority (%s): other work will show' % error.strerror)


class Measured(harness.Broker):
    """Its state is on a tmpfs, as in /run, where it is by default."""

    def __init__(self):
        super().__init__()
        self.state = tempfile.mkdtemp(dir='/run')

    def destroy(self):
        super().destroy()
        shutil.rmtree(self.state)

    def run(self, *arguments):
        """Seconds that the command takes, from its start to its end."""
        command = (harness.scratch + '/build/client/sockbroker', '--socket', self.socket) + arguments
        errors = self.directory + '/errors'
        files = [(os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0),
                 (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
        start = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=files)
        status = os.waitpid(pid, 0)[1]
        seconds = time.perf_counter() - start
        if status:
            with open(errors, encoding='utf-8') as file:
                raise RuntimeError('%s: status %d\n%s' % (' '.join(command), status, file.read()))
        return seconds

    def restart(self, with_signal):
        """Seconds from the start of the broker's process to its first answer."""
        self.stop(with_signal)
        start = time.perf_counter()
        self.process = subprocess.Popen(self.command_line(), stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL,
                                        preexec_fn=sandbox.die_with_parent)
        while True:
            try:
                with wire.Client(self.socket) as client:
                    client.ask('version')
                return time.perf_counter() - start
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError('the broker ended')
                time.sleep(0.0005)

    def memory(self):
        """MiB of the broker's process."""
        found = {}
        with open('/proc/%d/status' % self.process.pid, encoding='utf-8') as file:
            for line in file:
                if line.startswith(('VmRSS', 'VmHWM', 'RssAnon', 'RssFile', 'RssShmem')):
                    key, value = line.split(':')
                    found[key] = int(value.split()[0]) / 1024
        return found

    def forget_peak(self):
        with open('/proc/%d/clear_refs' % self.process.pid, 'w', encoding='utf-8') as file:
            file.write('5')

    def maps(self):
        """Bytes of each BPF map that the broker has open, as the kernel counts them."""
        directory = '/proc/%d' % self.process.pid
        found = {}
        for fd in os.listdir(directory + '/fd'):
            try:
                with open('%s/fdinfo/%s' % (directory, fd), encoding='utf-8') as file:
                    fields = dict(line.split(':', 1) for line in file if ':' in line)
            except FileNotFoundError:
                continue
            if 'map_id' in fields and 'memlock' in fields:
                found[int(fields['map_id'])] = int(fields['memlock'])
        return found

    @contextlib.contextmanager
    def serving(self, n, n_labels):
        """Within it, N sockets are registered, under the labels of bench-client's rules."""
        with contextlib.ExitStack() as stack, wire.Client(self.socket) as client:
            for i in range(n):
                listener = stack.enter_context(socket.create_server(('127.0.0.1', 0)))
                reply = client.ask('register', LABEL='l%d' % (i % n_labels), MODE='add',
                                   fds=[listener])
                assert reply.ok, reply
            yield

    def asked(self, n, request, **fields):
        """Seconds of each of N requests over one connection."""
        found = []
        with wire.Client(self.socket) as client:
            for _ in range(n):
                start = time.perf_counter()
                reply = client.ask(request, **fields)
                found.append(time.perf_counter() - start)
                assert reply.ok, reply
        return found


class Bench:
    def __init__(self, options):
        self.quick = options.quick
        self.n = options.rules
        self.operations = 500 if self.quick else 2000
        self.repeat = 3 if self.quick else 5
        self.results = {}

    def note(self, what, values, unit='ms'):
        self.current[what] = values
        if isinstance(values, dict):
            print('  %-36s %9.3f ms  p99 %9.3f  (%.3f..%.3f, n=%d)' % (
                what, values['median'], values['p99'], values['min'], values['max'], values['n']))
        else:
            print('  %-36s %9.3f %s' % (what, values, unit))
        sys.stdout.flush()

    def prepare(self, broker, shape, family):
        """Files: the rules, the same with a tenth moved, more rules to bind, none at all."""
        extra = self.operations if self.quick else 20000
        lines = tool('rules', shape, str(self.n + extra), family).splitlines(keepends=True)
        n = len(lines) - extra
        directory = broker.directory
        small = ['tcp 192.0.2.%d/32 443 %s\n' % (i, SMALL) for i in range(3)]
        self.rules = write(directory + '/rules', lines[:n] + small)
        moved = [line.rsplit(' ', 1)[0] + ' elsewhere\n' if i % 10 == 0 else line
                 for i, line in enumerate(lines[:n])]
        self.moved = write(directory + '/moved', moved + small)
        self.more = write(directory + '/more', lines[n:n + self.operations])
        self.many = write(directory + '/many', lines[n:])
        self.some = write(directory + '/some', random.sample(lines[:n], self.operations))
        self.more_lines = lines[n:]
        self.empty = write(directory + '/empty', [])
        self.current['rules'] = n + len(small)
        print('%s IPv%s, %d rules' % (shape, family, n + len(small)))

    def applies(self, broker):
        note, repeat = self.note, self.repeat
        fresh = []
        for _ in range(repeat):
            fresh.append(broker.run('apply', self.rules))
            broker.run('apply', self.empty)
        note('apply', spread(fresh))
        broker.run('apply', self.rules)
        note('apply unchanged', spread([broker.run('apply', self.rules) for _ in range(repeat)]))
        note('apply moving 10 %', spread([broker.run('apply', path) for _ in range(repeat)
                                          for path in (self.moved, self.rules)]))
        note('apply --dry-run moving 10 %',
             spread([broker.run('apply', '--dry-run', self.moved) for _ in range(repeat)]))

    def memory(self, broker):
        """Of a broker that has just been given the rules; its peak includes doing so twice."""
        for key, value in sorted(broker.memory().items()):
            self.note(key, value, 'MiB')

    def kernel_memory(self, broker):
        with broker.client() as client:
            record = client.ask('status', LABEL=SMALL).records('broker')[0]
        rules_bytes = int(record['rules_bytes'])
        largest = max(broker.maps().values())
        n = self.current['rules']
        self.note('kernel bytes a rule (status)', rules_bytes / n, 'B')
        self.note('kernel bytes a rule (memlock)', largest / n, 'B')

    def binds(self, broker):
        self.note('bind', spread(times('bind', broker.socket, self.more)))
        self.note('unbind', spread(times('unbind', broker.socket, self.more)))
        commands = []
        for line in self.more_lines[:50 if self.quick else 200]:
            protocol, prefix, ports, label = line.split()
            commands.append(broker.run('bind', label, protocol, prefix, ports))
        self.note('bind, whole command', spread(commands))
        broker.run('apply', self.rules)
        if not self.quick:
            self.note('bind, 20,000 times', spread(times('bind', broker.socket, self.many)))
            self.note('unbind, 20,000 times', spread(times('unbind', broker.socket, self.many)))

    def questions(self, broker):
        n, some = 10 if self.quick else 30, self.operations
        with open(self.some, encoding='utf-8') as file:
            protocol, prefix, ports, _ = file.readline().split()
        packet = (protocol, prefix.split('/')[0], ports if ports.isdigit() else '443')
        note = self.note
        note('explain', spread(times('explain', broker.socket, self.some)[:some]))
        note('explain, whole command',
             spread([broker.run('explain', *packet) for _ in range(n)]))
        for what, fields in (('status', {}), ('status LABEL', {'LABEL': LABEL}),
                             ('rules LABEL', {'LABEL': LABEL}),
                             ('rules LABEL (of 3 rules)', {'LABEL': SMALL})):
            verb = what.split()[0]
            note(what, spread(broker.asked(n, verb, **fields)))
            note(what + ', whole command',
                 spread([broker.run(verb, *fields.values()) for _ in range(n)]))

    def registrations(self, broker, among=''):
        """Of the label `served`, one client after another."""
        found = times('register', broker.socket, '2000' if self.quick else '20000', 'served')
        self.note('register' + among, spread(found))
        self.note('registrations a second' + among, len(found) / sum(found), '')

    def registrations_among(self, n_labels):
        """The same beside labels with a rule each, and sockets."""
        broker = Measured()
        try:
            broker.start()
            lines = ['tcp 10.%d.%d.0/24 80 l%d\n' % (i >> 8, i & 255, i) for i in range(n_labels)]
            broker.run('apply', write(broker.directory + '/rules', lines))
            with broker.serving(SOCKETS, n_labels):
                self.registrations(broker, ' among %d labels' % n_labels)
        finally:
            broker.destroy()

    def restarts(self, broker):
        with broker.serving(SOCKETS, 256):
            self.measure_restarts(broker)

    def measure_restarts(self, broker):
        self.note('start after SIGTERM',
                  spread([broker.restart(signal.SIGTERM) for _ in range(self.repeat)]))
        self.note('start after SIGKILL',
                  spread([broker.restart(signal.SIGKILL) for _ in range(self.repeat)]))
        self.note('VmRSS after a start', broker.memory()['VmRSS'], 'MiB')

    def measure(self, shape, family, all_of_it):
        self.current = self.results['%s IPv%s' % (shape, family)] = {}
        broker = Measured()
        try:
            broker.start()
            self.prepare(broker, shape, family)
            broker.run('apply', self.rules)
            self.note('VmHWM of the first apply', broker.memory()['VmHWM'], 'MiB')
            broker.forget_peak()
            self.applies(broker)
            self.memory(broker)
            self.kernel_memory(broker)
            self.binds(broker)
            if all_of_it:
                self.questions(broker)
                self.registrations(broker)
                self.restarts(broker)
        finally:
            broker.destroy()

    def measure_small(self):
        """What depends on the rules as little as may be."""
        self.current = self.results['no rules'] = {}
        print('no rules')
        broker = Measured()
        try:
            broker.start()
            self.registrations(broker)
            self.note('VmRSS', broker.memory()['VmRSS'], 'MiB')
            self.note('version, whole command',
                      spread([broker.run('version') for _ in range(30)]))
            self.note('start after SIGKILL',
                      spread([broker.restart(signal.SIGKILL) for _ in range(self.repeat)]))
        finally:
            broker.destroy()
        # One label is the one that is registered.
        for n_labels in (256, 4095):
            self.registrations_among(n_labels)

    def measure_all(self):
        self.measure_small()
        self.measure('scattered', '4', True)
        if not self.quick:
            self.measure('crowded', '4', False)
            self.measure('scattered', '6', True)
            self.measure('nested', '4', False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--rules', type=int, default=1000000)
    parser.add_argument('--output', help='file for JSON')
    options = parser.parse_args()
    output = os.path.abspath(options.output) if options.output else None
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * SOCKETS, 4 * SOCKETS))
    go_first()
    harness.scratch = sandbox.isolate(os.path.abspath(harness.BUILD))
    bench = Bench(options)
    bench.measure_all()
    if output:
        with open(output, 'w', encoding='utf-8') as file:
            json.dump({'quick': options.quick, 'results': bench.results}, file, indent=1)


if __name__ == '__main__':
    main()
