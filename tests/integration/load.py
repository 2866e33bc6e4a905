# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes that make load: servers that answer with their name, clients that count who answered.

All talk to their parent over pipes in JSON; all end when it does.
"""

import contextlib
import json
import os
import random
import signal
import socket
import struct
import time
import traceback

import sandbox

LINGER_RESET = struct.pack('ii', 1, 0)  # the client's close leaves no TIME_WAIT behind


def close_all_but(keep):
    """A listener that a child inherits would live on in it."""
    for name in os.listdir('/proc/self/fd'):
        if int(name) > 2 and int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that listed the directory


class Child:
    """Runs FUNCTION(child) in a process that has no fds but KEEP of ours. child.tell() reaches the
    parent's hear()."""

    def __init__(self, function, keep=()):
        self.reader, self.writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                sandbox.die_with_parent()
                signal.signal(signal.SIGTERM, self._asked_to_stop)
                self.stopping = False
                close_all_but({self.writer, *keep})
                function(self)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(self.writer)
        self.lines = os.fdopen(self.reader, encoding='utf-8')

    def _asked_to_stop(self, *_):
        self.stopping = True

    def tell(self, value):
        os.write(self.writer, json.dumps(value).encode() + b'\n')

    def hear(self):
        line = self.lines.readline()
        if not line:
            raise AssertionError('a load process ended early')
        return json.loads(line)

    def stop(self):
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self):
        if self.pid:
            os.waitpid(self.pid, 0)
            self.pid = 0

    def destroy(self):
        if self.pid:
            self.kill()
        self.lines.close()


def serve(listener, name):
    """A process that answers every connection with NAME and closes; tells how many, when stopped."""
    def work(child):
        listener.settimeout(0.1)
        served = 0
        while not child.stopping:
            try:
                connection, _ = listener.accept()
            except (TimeoutError, InterruptedError):
                continue
            served += 1
            try:
                connection.settimeout(5)
                connection.sendall(name)
                connection.recv(1)
            except OSError:
                pass
            connection.close()
        child.tell(served)

    child = Child(work, [listener.fileno()])
    listener.close()
    return child


def connect_once(address, port):
    """The answer, or the name of what went wrong."""
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        client.settimeout(5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        client.connect((address, port))
        return client.recv(16).decode() or 'end of file'
    except OSError as error:
        return type(error).__name__
    finally:
        client.close()


def connect(network, port, count, at_least=0, expect=None):
    """
    A process that makes COUNT connections (or, if None, as many as it can until stopped, but
    AT_LEAST so many) to the addresses of NETWORK ('192.0.2.'). Tells 'ready', and at the end
    {'answers': {answer: number}, 'failed': [[answer, start]...], 'slowest': seconds}.
    EXPECT(last byte of the address): the names that may answer there; others are counted as wrong.
    """
    def work(child):
        child.tell('ready')
        dice = random.Random(os.getpid())
        answers, failed = {}, []
        done = slowest = 0
        while not (child.stopping and done >= at_least) and (count is None or done < count):
            start = time.monotonic()
            host = dice.randrange(256)
            answer = connect_once(network + str(host), port)
            if expect and answer not in expect(host):
                answer = '%s at %s%d' % (answer, network, host)
            slowest = max(slowest, time.monotonic() - start)
            answers[answer] = answers.get(answer, 0) + 1
            if len(answer) > 1:
                failed.append([answer, start])
            done += 1
        child.tell({'answers': answers, 'failed': failed, 'slowest': slowest})

    return Child(work)


def total(reports):
    answers = {}
    for report in reports:
        for answer, number in report['answers'].items():
            answers[answer] = answers.get(answer, 0) + number
    return answers


@contextlib.contextmanager
def under_way(network, port, at_least, processes=2, expect=None):
    """
    Connections to NETWORK:PORT are being made all the while, AT_LEAST so many in all, as connect()
    does. Yields a dictionary that afterwards says how many had which answer.
    """
    clients, answers = [], {}
    try:
        for _ in range(processes):
            clients.append(connect(network, port, None, -(-at_least // processes), expect))
        for client in clients:
            client.hear()
        yield answers
        for client in clients:
            client.stop()
        answers.update(total([client.hear() for client in clients]))
    finally:
        for client in clients:
            client.destroy()
