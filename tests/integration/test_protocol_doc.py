#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The client that docs/PROTOCOL.md shows, run as it stands in the page."""

import os
import re
import subprocess
import sys

import harness
import sandbox
from harness import BrokerTest

PAGE = os.path.join(harness.TOP, 'docs', 'PROTOCOL.md')
FENCE = re.compile(r'^```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)
DEFAULT_SOCKET = '/run/sockbroker/sockbroker.sock'


def programs():
    with open(PAGE, encoding='utf-8') as file:
        return FENCE.findall(file.read())


class ProtocolPage(BrokerTest):
    """
    The page's programs speak to the default socket, so that is where this broker's is put, in the
    mount namespace of the test. Each registers a TCP listener or a UDP socket under some label,
    prints what the broker answered, and ends or goes on serving.
    """

    def prepare(self):
        os.makedirs(os.path.dirname(DEFAULT_SOCKET), exist_ok=True)
        self.broker.socket = DEFAULT_SOCKET

    def test_the_page_has_a_client_of_ten_lines(self):
        lengths = [len([line for line in program.splitlines() if line.strip()])
                   for program in programs()]
        self.assertTrue(lengths)
        self.assertLessEqual(min(lengths), 10)

    def test_every_program_registers(self):
        for number, program in enumerate(programs()):
            with self.subTest(number=number):
                self.run_program(program)

    def run_program(self, program):
        process = subprocess.Popen((sys.executable, '-u', '-c', program), text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT,
                                   preexec_fn=sandbox.die_with_parent)
        try:
            harness.eventually(lambda: process.poll() is not None or self.sockets(),
                               'the program registers')
            found = self.sockets()
            if process.poll() is not None:
                output = process.stdout.read()
                self.assertEqual(process.returncode, 0, output)
                self.assertIn('OK', output)
            else:
                self.assertEqual(int(found[0]['pid']), process.pid)
                self.assertEqual(found[0]['state'], 'alive')
        finally:
            process.kill()
            process.communicate()
        for label in {s['label'] for s in self.sockets()}:
            self.ask('unregister', LABEL=label)


if __name__ == '__main__':
    harness.main()
