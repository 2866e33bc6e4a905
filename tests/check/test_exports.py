#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""libsockbroker exports what sockbroker.h declares, and nothing else; sockbroker(3) has all of it.

test_exports.py LIBSOCKBROKER.SO
"""

import os
import re
import subprocess
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARY = sys.argv.pop(1)


def read(path):
    with open(os.path.join(TOP, path), encoding='utf-8') as file:
        return file.read()


def declared():
    code = re.sub(r'/\*.*?\*/', '', read('client/sockbroker.h'), flags=re.S)
    return set(re.findall(r'\b(sockbroker_\w+)\(', code))


def nm(*options):
    lines = subprocess.run(('nm', '-D', *options, LIBRARY), check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return {line.split()[-1].split('@')[0] for line in lines if ' A ' not in line}


class Exports(unittest.TestCase):
    def test_library(self):
        self.assertEqual(nm('--defined-only'), declared())

    def test_version_script(self):
        self.assertEqual(set(re.findall(r'(sockbroker_\w+);', read('client/libsockbroker.sym'))),
                         declared())

    def test_manual(self):
        self.assertEqual(set(re.findall(r'\.Fn (sockbroker_\w+) ', read('docs/man/sockbroker.3'))),
                         declared())

    def test_libc_only(self):
        needed = subprocess.run(('readelf', '-d', LIBRARY), check=True, capture_output=True,
                                text=True).stdout
        libraries = set(re.findall(r'NEEDED.*\[(.*?)\]', needed))
        sanitizers = {name for name in libraries if re.match(r'lib(a|ub)san\.', name)}
        self.assertEqual(libraries - sanitizers - {'libgcc_s.so.1', 'libm.so.6'}, {'libc.so.6'})


if __name__ == '__main__':
    unittest.main()
