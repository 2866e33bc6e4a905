#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What had its OK is there after kill -9 at any moment, what was refused is not, and what had no
answer is there whole or not at all; each socket in its slot and under whoever registered it.

Threads ask for changes as fast as they can, each as a process and a user of its own, and keep book;
again and again the broker is killed at a random moment, also while it starts, and the next one is
held against the books.
SOCKBROKER_TEST_KILLS says how often (200), SOCKBROKER_TEST_SEED repeats the choices.
"""

import grp
import os
import random
import select
import signal
import socket
import subprocess
import threading
import time

import harness
import sandbox
import wire
from harness import BrokerTest

KILLS = int(os.environ.get('SOCKBROKER_TEST_KILLS', 200))
SEED = int(os.environ.get('SOCKBROKER_TEST_SEED', random.randrange(1 << 32)))

WORKERS = 4
LABELS = 6          # of each worker; the first one holds
RUN_MAX = 0.12      # seconds that a broker lives, mostly
LONG_RUN = 40       # every so many-th lives over a sweep, which comes every two seconds
START_MAX = 0.05    # seconds that one lives that is killed while it starts

ADMINS = 'daemon'   # AdminGroup=
SO_COOKIE = 57
PREFIXES = ['192.0.2.%d/32' % i for i in range(12)] + ['192.0.2.0/24', '198.51.100.0/24']
PORTS = ('80', '443', '8000-8099', '8100-8199')


class Killed(Exception):
    """The broker is gone."""


def cookie_of(sock):
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), 'little')


class Books:
    """The rules as they must be, shared; one change of them at a time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rules = {}         # (protocol, prefix, ports) -> label
        self.pending = None     # as they may be too: the change that had no answer
        self.counts = dict.fromkeys(('kills', 'starting', 'acknowledged', 'refused', 'happened',
                                     'did not'), 0)

    def count(self, what):
        with self.lock:
            self.counts[what] += 1


class Registrant:
    """A process that connects to the broker for a thread of this one: that is what the broker sees."""

    def __init__(self, path, uid):
        self.uid = uid
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid > 0:
            theirs.close()
            return
        sandbox.die_with_parent()
        os.setgroups([grp.getgrnam(ADMINS).gr_gid])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        self.ours.close()
        while theirs.recv(1):
            try:
                with wire.Client(path) as client:
                    socket.send_fds(theirs, [b'+'], [client.socket.fileno()])
            except OSError:
                theirs.send(b'-')
        os._exit(0)

    def connect(self):
        """A wire.Client."""
        self.ours.send(b'?')
        fds = socket.recv_fds(self.ours, 1, 1)[1]
        if not fds:
            raise Killed
        client = wire.Client.__new__(wire.Client)
        client.socket = socket.socket(fileno=fds[0])
        client.socket.settimeout(harness.TIMEOUT)
        return client

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.ours.close()


class Worker(threading.Thread):
    """Asks for changes of its own labels' sockets, and of everybody's rules."""

    def __init__(self, number, broker, books):
        super().__init__(daemon=True)
        self.broker, self.books = broker, books
        self.registrant = Registrant(broker.socket, 64100 + number if number % 2 else 0)
        self.dice = random.Random('%d %d' % (SEED, number))
        self.names = ['w%d-%d' % (number, i) for i in range(LABELS)]
        self.labels = {name: {} for name in self.names}     # label -> {cookie: socket}
        self.pending = None                                 # (label, its sockets) without an answer
        self.failure = None
        self.go, self.parked = threading.Event(), threading.Event()
        self.ended = False

    def run(self):
        while True:
            self.go.wait()
            if self.ended:
                return
            try:
                with self.registrant.connect() as client:
                    while True:
                        self.step(client)
            except (Killed, OSError):
                pass
            except BaseException as error:
                self.failure = error
            self.go.clear()
            self.parked.set()

    def ask(self, client, request, *pairs, fds=(), may=(), **fields):
        """Whether it was done; a refusal must be one of MAY."""
        lines = ['REQUEST=' + request] + ['%s=%s' % pair for pair in (*pairs, *fields.items())]
        client.send('\n'.join(lines) + '\n', fds)
        packet, received = client.receive()
        if not packet:
            raise Killed
        reply = wire.Reply(packet, received)
        if not reply.ok and reply.error not in may:
            raise AssertionError('%s: %r' % (lines, reply))
        return reply.ok

    def step(self, client):
        choice = self.dice.random()
        if choice < 0.55:
            self.change_sockets(client)
        elif choice < 0.6:
            self.close_some()
        else:
            with self.books.lock:
                if self.books.pending is not None:
                    raise Killed  # who had the lock before found out
                done = self.change_rules(client)
                self.books.pending = None
            self.books.count('acknowledged' if done else 'refused')

    # Sockets: each worker has its own labels.

    def new_sockets(self, n):
        found = {}
        for _ in range(n):
            kind = self.dice.choice((socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM))
            sock = socket.socket(socket.AF_INET, kind)
            sock.bind(('127.0.0.1', 0))
            if kind == socket.SOCK_STREAM:
                sock.listen(8)
            found[cookie_of(sock)] = sock
        return found

    def keep(self, name, after):
        """AFTER are the label's sockets; those that it had before and new ones are closed."""
        for sockets in (self.labels[name], self.pending[1]):
            for cookie, sock in sockets.items():
                if cookie not in after:
                    sock.close()
        self.labels[name], self.pending = after, None

    def change_sockets(self, client):
        name = self.dice.choice(self.names)
        if self.dice.random() < 0.25:
            self.pending = (name, {})
            done = self.ask(client, 'unregister', LABEL=name, may=('ENOENT',))
        else:
            done = self.register(client, name)
        self.keep(name, self.pending[1] if done else self.labels[name])
        self.books.count('acknowledged' if done else 'refused')

    def register(self, client, name):
        now, new = self.labels[name], self.new_sockets(self.dice.choice((1, 1, 1, 1, 2, 2, 3, 20)))
        add = self.dice.random() < 0.3 and len(now) < 30
        kinds = {sock.type for sock in new.values()}
        self.pending = (name, {**{cookie: sock for cookie, sock in now.items()
                                  if add or sock.type not in kinds}, **new})
        with socket.socket() as bad:
            # One that is not listening: none of them is taken.
            fds = [*new.values(), bad] if self.dice.random() < 0.1 else list(new.values())
            return self.ask(client, 'register', LABEL=name, fds=fds, may=('ENOTCONN',),
                            MODE='add' if add else 'replace')

    def close_some(self):
        """Services end too."""
        now = self.labels[self.dice.choice(self.names)]
        for cookie in [c for c in now if self.dice.random() < 0.5]:
            now.pop(cookie).close()

    # Rules: the caller has the lock.

    def change_rules(self, client):
        choice = self.dice.random()
        if choice < 0.08:
            return self.apply(client)
        protocol = self.dice.choice(('tcp', 'tcp', 'udp', 'any'))
        prefix, ports = self.dice.choice(PREFIXES), self.dice.sample(PORTS, self.dice.choice((1, 2)))
        keys = [(p, prefix, r) for p in (('tcp', 'udp') if protocol == 'any' else (protocol,))
                for r in ports]
        if choice < 0.4:
            return self.unbind(client, protocol, prefix, ports, keys)
        return self.bind(client, protocol, prefix, ports, keys)

    def bind(self, client, protocol, prefix, ports, keys):
        name, move = self.dice.choice(self.names), self.dice.random() < 0.5
        rules = self.books.rules
        self.books.pending = {**rules, **{key: name for key in keys}}
        done = self.ask(client, 'bind', LABEL=name, PROTOCOL=protocol, PREFIX=prefix,
                        PORTS=','.join(ports), MOVE='yes' if move else 'no', may=('EEXIST',))
        assert done == (move or all(rules.get(key, name) == name for key in keys))
        if done:
            self.books.rules = self.books.pending
        return done

    def unbind(self, client, protocol, prefix, ports, keys):
        rules = self.books.rules
        self.books.pending = {key: label for key, label in rules.items() if key not in keys}
        done = self.ask(client, 'unbind', PROTOCOL=protocol, PREFIX=prefix, PORTS=','.join(ports),
                        may=('ENOENT',))
        assert done == all(key in rules for key in keys)
        if done:
            self.books.rules = self.books.pending
        return done

    def apply(self, client):
        after = {key: label for key, label in self.books.rules.items() if self.dice.random() < 0.7}
        for _ in range(self.dice.randrange(20)):
            key = (self.dice.choice(('tcp', 'udp')), self.dice.choice(PREFIXES),
                   self.dice.choice(PORTS))
            after[key] = self.dice.choice(self.names)
        self.books.pending = after
        text = ''.join('%s %s %s %s\n' % (*key, label) for key, label in after.items())
        fd = wire.sealed_memfd(text.encode() or b'\n')
        try:
            self.ask(client, 'apply', fds=[fd])
        finally:
            os.close(fd)
        self.books.rules = after
        return True


class Durability(BrokerTest):
    labels = {'w%d-0' % i: 'WhenEmpty=hold\n' for i in range(WORKERS)}

    def prepare(self):
        self.broker.conf('AdminGroup=%s\n' % ADMINS)

    def setUp(self):
        super().setUp()
        self.dice = random.Random(SEED)
        self.books = Books()
        self.places = {}        # cookie -> its record, but for what may change
        self.workers = [Worker(i, self.broker, self.books) for i in range(WORKERS)]
        self.registrants = {name: worker.registrant for worker in self.workers
                            for name in worker.names}
        self.unit = self.own_unit()
        for worker in self.workers:
            worker.start()
        self.addCleanup(self.end_workers)

    def own_unit(self):
        """The systemd unit that all of this runs in, as the broker sees it."""
        with socket.socket() as sock:
            sock.bind(('127.0.0.1', 0))
            sock.listen()
            self.broker.ask('register', LABEL='probe', fds=[sock])
            unit = self.sockets('probe')[0].get('unit')
            self.broker.ask('unregister', LABEL='probe')
        return unit

    def end_workers(self):
        for worker in self.workers:
            worker.ended = True
            worker.go.set()
            worker.join(harness.TIMEOUT)
            worker.registrant.end()
            for sockets in worker.labels.values():
                for sock in sockets.values():
                    sock.close()

    def kill(self):
        self.broker.kill()
        self.books.counts['kills'] += 1

    def park(self):
        for worker in self.workers:
            self.assertTrue(worker.parked.wait(harness.TIMEOUT), 'a client hangs')
            worker.parked.clear()
            if worker.failure:
                raise worker.failure

    def killed_while_starting(self):
        """Starts one, and kills it before or after it answers."""
        self.broker.process = subprocess.Popen(
            self.broker.command_line(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=sandbox.die_with_parent)
        time.sleep(self.dice.uniform(0, START_MAX))
        self.assertIsNone(self.broker.process.poll(), 'it ended by itself')
        self.kill()
        self.books.counts['starting'] += 1

    def settle(self, happened):
        self.books.counts['happened' if happened else 'did not'] += 1

    @staticmethod
    def difference(a, b):
        return a.items() - b.items(), b.items() - a.items()

    def check_rules(self):
        found = {}
        for line in self.rules_text().splitlines():
            *key, label = line.split()
            found[tuple(key)] = label
        books = self.books
        if found not in (books.rules, books.pending):
            self.fail('%r are there, %r are not; a change without an answer would add %r and '
                      'remove %r' % (*self.difference(found, books.rules),
                                     *self.difference(books.pending or books.rules, books.rules)))
        if books.pending is not None:
            self.settle(found != books.rules)
        books.rules, books.pending = found, None

    def check_place(self, record):
        """Of a socket that was there before too: all that is known of it is as it was."""
        cookie, registrant = int(record['cookie']), self.registrants[record['label']]
        self.assertEqual((record['pid'], record['uid'], record['gid']),
                         (str(registrant.pid),) + (str(registrant.uid),) * 2, record)
        place = {key: record.get(key) for key in (
            'label', 'protocol', 'address', 'slot', 'pid', 'uid', 'gid', 'unit', 'since')}
        self.assertEqual(place, self.places.get(cookie, place))
        self.assertEqual(record.get('unit'), self.unit)
        return cookie, place

    def check_sockets(self):
        found, slots, places = {}, set(), {}
        for record in self.sockets():
            self.assertEqual(record['state'], 'alive')
            self.assertNotIn(record['slot'], slots)
            slots.add(record['slot'])
            if record.get('own') == 'yes':  # in which connections wait
                self.assertIn(record['label'], self.labels)
                continue
            cookie, place = self.check_place(record)
            places[cookie] = place
            found.setdefault(record['label'], set()).add(cookie)
        self.places = places
        for worker in self.workers:
            for name in worker.names:
                now, there = worker.labels[name], found.pop(name, set())
                if worker.pending and worker.pending[0] == name:
                    after = worker.pending[1]
                    self.assertIn(there, (set(now), set(after)), name)
                    self.settle(there != set(now))
                    worker.keep(name, after if there == set(after) else now)
                else:
                    self.assertEqual(there, set(now), name)
        self.assertEqual(found, {})

    def check_traffic(self):
        """A connection for some rule ends at a socket of its label."""
        labels = {name: sockets for worker in self.workers
                  for name, sockets in worker.labels.items()}
        keys = [key for key in self.books.rules if key[0] == 'tcp' and key[1].endswith('/32')]
        if not keys:
            return
        key = self.dice.choice(keys)
        listeners = [sock for sock in labels[self.books.rules[key]].values()
                     if sock.type == socket.SOCK_STREAM]
        if not listeners and self.books.rules[key] in self.labels:
            return  # it would wait
        with socket.socket() as client:
            client.settimeout(harness.TIMEOUT)
            try:
                client.connect((key[1][:-3], int(key[2].split('-')[0])))
            except ConnectionRefusedError:
                self.assertEqual(listeners, [])
                return
            ready = select.select(listeners, [], [], harness.TIMEOUT)[0]
            self.assertEqual(len(ready), 1, 'none of the label was met')
            ready[0].accept()[0].close()

    def test_killed_at_random_moments(self):
        print('seed %d, %d kills' % (SEED, KILLS), flush=True)
        counts, runs = self.books.counts, 0
        while counts['kills'] < KILLS:
            runs += 1
            for worker in self.workers:
                worker.go.set()
            time.sleep(self.dice.uniform(1.8, 2.3) if runs % LONG_RUN == 0
                       else self.dice.uniform(0, RUN_MAX))
            self.kill()
            self.park()
            while self.dice.random() < 0.25:
                self.killed_while_starting()
            self.broker.start()
            self.check_rules()
            self.check_sockets()
            self.check_traffic()
        self.assertGreater(counts['acknowledged'], KILLS)
        print('%(kills)d kills, %(starting)d of them while starting; %(acknowledged)d changes had '
              'their OK, 0 of them lost; %(refused)d refused, 0 of them there; of those without an '
              'answer %(happened)d happened and %(did not)d did not' % counts, flush=True)


if __name__ == '__main__':
    harness.main()
