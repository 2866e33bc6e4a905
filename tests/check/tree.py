#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tree.py [ROOT]: holds the source tree to its rules; prints FILE:LINE: what is wrong.

- A folder is one layer, and includes go one way (docs/ARCHITECTURE.md has the map). Every quoted
  include is rooted at the repository.
- A file has at most FILE_MAX lines, a function at most FUNCTION_MAX.
- Every source says its licence.
"""

import os
import re
import sys

FILE_MAX = 500
FUNCTION_MAX = 120
SIZED = ('broker/', 'protocol/', 'bpf/', 'client/')

# What a layer may include: folders (with a final slash) and single headers.
PROTOCOL, BASE, MODEL, CORE = 'protocol/', 'broker/base/', 'broker/model/', 'broker/core/'
PORT, ABI = 'broker/core/port.h', 'bpf/sockbroker-abi.h'
LAYERS = {
    'protocol/': (PROTOCOL,),
    'bpf/': ('bpf/',),
    'broker/base/': (BASE, PROTOCOL),
    'broker/model/': (MODEL, BASE, PROTOCOL, ABI),
    'broker/core/': (CORE, MODEL, BASE, PROTOCOL, ABI),
    'broker/io/': ('broker/io/', 'broker/core/request.h', PORT, MODEL, BASE, PROTOCOL),
    'broker/state/': ('broker/state/', PORT, MODEL, BASE, PROTOCOL),
    'broker/dataplane/': ('broker/dataplane/', PORT, MODEL, BASE, PROTOCOL, 'bpf/'),
    'broker/host/': ('broker/host/', PORT, MODEL, BASE, PROTOCOL),
    'broker/systemd/': ('broker/systemd/', PORT, BASE, PROTOCOL),
    'broker/activate/': ('broker/activate/', 'broker/config/', BASE, PROTOCOL),
    'broker/config/': ('broker/config/', PORT, MODEL, BASE, PROTOCOL, ABI),
    'broker/': ('broker/', PROTOCOL),  # main.c, broker.c: they know all
    'client/': ('client/', PROTOCOL),
    'tests/': ('',),
}

# External libraries, and the folders that may know them.
LIBRARIES = {
    'event2/': ('broker/io/',),
    'systemd/': ('broker/systemd/', 'broker/activate/'),
    'ini.h': ('broker/config/',),
    'bpf/': ('broker/dataplane/', 'bpf/'),
    'jansson.h': ('client/cli/',),
    'cmocka.h': (),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
GENERATED = ('.skel.h', 'vmlinux.h')
SOURCES = ('.c', '.h', '.py', '.build', '.sh')
SCRIPTS = ('run-demo', 'run-tests', '.ci/run', '.ci/packages')
LICENCE = 'SPDX-License-Identifier: LGPL-2.1-or-later'
BPF_LICENCE = 'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause'


def layer_of(path):
    """The longest folder of LAYERS that PATH lies in, or None."""
    return max((f for f in LAYERS if path.startswith(f)), key=len, default=None)


def check_include(root, path, kind, target):
    """What is wrong with one include, or None."""
    layer = layer_of(path)
    if kind == '<':
        for library, folders in LIBRARIES.items():
            if (target == library or library.endswith('/') and target.startswith(library)) \
                    and not path.startswith(('tests/',) + folders):
                return '<%s> is not for %s' % (target, layer)
        return None
    if not target.endswith(GENERATED) and not os.path.exists(os.path.join(root, target)):
        return '"%s" is not rooted at the repository' % target
    if not any(target == a or a == '' or a.endswith('/') and target.startswith(a)
               for a in LAYERS[layer]):
        return '"%s" goes the wrong way: %s may include %s' % (target, layer,
                                                              ', '.join(LAYERS[layer]))
    return None


def check_includes(root, path, lines):
    if not path.endswith(('.c', '.h')):
        return
    if layer_of(path) is None:
        yield 1, 'belongs to no layer'
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        wrong = match and check_include(root, path, *match.groups())
        if wrong:
            yield number, wrong


def check_sizes(_root, path, lines):
    if not path.endswith(('.c', '.h')) or not path.startswith(SIZED):
        return
    if len(lines) > FILE_MAX:
        yield len(lines), '%d lines, over %d' % (len(lines), FILE_MAX)
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith('{'):
            start = number
        elif line.startswith('}') and start is not None:
            if number - start + 1 > FUNCTION_MAX:
                yield start, 'a function of %d lines, over %d' % (number - start + 1, FUNCTION_MAX)
            start = None


def check_licence(_root, path, lines):
    if not path.endswith(SOURCES) and path not in SCRIPTS:
        return
    wanted = BPF_LICENCE if path.startswith('bpf/') else LICENCE
    if not any(wanted in line for line in lines[:3]):
        yield 1, 'the first lines do not say ' + wanted


CHECKS = (check_includes, check_sizes, check_licence)


def sources(root):
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in ('.git', '__pycache__')
                            and not os.path.exists(os.path.join(directory, f, 'build.ninja')))
        for name in sorted(files):
            yield os.path.relpath(os.path.join(directory, name), root)


def complaints(root):
    """(path, line, what) of everything that is wrong."""
    for path in sources(root):
        if not path.endswith(SOURCES) and path not in SCRIPTS:
            continue
        with open(os.path.join(root, path), encoding='utf-8') as file:
            lines = file.read().splitlines()
        for check in CHECKS:
            for number, what in check(root, path, lines):
                yield path, number, what


def main(arguments):
    root = arguments[0] if arguments else '.'
    found = list(complaints(root))
    for complaint in found:
        print('%s:%d: %s' % complaint)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
