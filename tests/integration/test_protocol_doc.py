#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The client that docs/PROTOCOL.md shows, run as it stands in the page."""

import os
import re
import subprocess
import unittest

import harness
import sandbox
from harness import BrokerTest

PAGE = os.path.join(harness.TOP, 'docs', 'PROTOCOL.md')
FENCE = re.compile(r'^```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)
DEFAULT_SOCKET = '/run/sockbroker/sockbroker.sock'


def programs():
    with open(PAGE, encoding='utf-8') as file:
        return FENCE.findall(file.read())


class Page(unittest.TestCase):
    def test_it_has_a_client_of_ten_lines(self):
        lengths = [len([line for line in program.splitlines() if line.strip()])
                   for program in programs()]
        self.assertTrue(lengths)
        self.assertLessEqual(min(lengths), 10)


class Programs(BrokerTest):
    """They speak to the default socket, so that is where this broker's is (the test has a /run of
    its own). Each registers a TCP listener under a label of its choice."""

    def prepare(self):
        os.makedirs(os.path.dirname(DEFAULT_SOCKET), exist_ok=True)
        self.broker.socket = DEFAULT_SOCKET

    def test_every_program_registers(self):
        for program in programs():
            with self.subTest(program=program):
                self.run_program(program)

    def run_program(self, program):
        # -i: when the program is through, its process stays, and so does its socket
        process = subprocess.Popen(('/usr/bin/python3', '-i', '-c', program), text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, cwd=self.broker.directory,
                                   env={'PATH': os.environ['PATH']},
                                   preexec_fn=sandbox.die_with_parent)
        try:
            record = harness.eventually(self.sockets, 'the program registers')[0]
            self.assertEqual(int(record['pid']), process.pid)
            self.assertEqual(record['state'], 'alive')
            self.rule(record['label'], 'tcp', '192.0.2.0/24', '80')
            with harness.socket.create_connection(('192.0.2.1', 80), harness.TIMEOUT):
                pass
        finally:
            output = process.communicate('\n')[0]
            print(output)
        self.assertEqual(process.returncode, 0, output)
        self.assertNotIn('Traceback', output)
        self.ask('unbind', PROTOCOL='tcp', PREFIX='192.0.2.0/24', PORTS='80')
        harness.eventually(lambda: not self.sockets(), 'dead sockets are swept')


if __name__ == '__main__':
    harness.main()
