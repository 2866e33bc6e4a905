#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tree.py finds nothing wrong with this tree, and something with each of these made-up ones."""

import os
import tempfile
import unittest

import tree

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPDX = '/* %s */\n' % tree.LICENCE
BPF_SPDX = '/* %s */\n' % tree.BPF_LICENCE

HEADERS = ('protocol/wire.h', 'broker/base/log.h', 'broker/model/rule.h', 'broker/core/port.h',
           'broker/core/core.h', 'broker/core/request.h', 'broker/io/loop.h',
           'broker/dataplane/dataplane.h', 'broker/systemd/notify.h', 'broker/config/config.h',
           'client/sockbroker.h', 'bpf/sockbroker-abi.h', 'tests/fake/fake.h')

WRONG_WAY = (
    ('protocol/wire.c', '"broker/base/log.h"'),
    ('protocol/wire.c', '"client/sockbroker.h"'),
    ('broker/base/log.c', '"broker/model/rule.h"'),
    ('broker/model/rule.c', '"broker/core/core.h"'),
    ('broker/model/rule.c', '"broker/dataplane/dataplane.h"'),
    ('broker/core/core.c', '"broker/dataplane/dataplane.h"'),
    ('broker/core/core.c', '"broker/io/loop.h"'),
    ('broker/base/log.c', '"bpf/sockbroker-abi.h"'),
    ('protocol/wire.c', '"bpf/sockbroker-abi.h"'),
    ('broker/io/loop.c', '"broker/core/core.h"'),
    ('broker/io/loop.c', '"broker/systemd/notify.h"'),
    ('broker/dataplane/load.c', '"broker/core/request.h"'),
    ('broker/dataplane/load.c', '"broker/config/config.h"'),
    ('broker/systemd/notify.c', '"broker/model/rule.h"'),
    ('broker/config/config.c', '"broker/io/loop.h"'),
    ('broker/broker.c', '"client/sockbroker.h"'),
    ('broker/broker.c', '"tests/fake/fake.h"'),
    ('client/call.c', '"broker/base/log.h"'),
    ('bpf/walk.bpf.h', '"broker/model/rule.h"'),
    ('broker/core/core.c', '<event2/event.h>'),
    ('broker/core/core.c', '<systemd/sd-daemon.h>'),
    ('broker/io/loop.c', '<bpf/libbpf.h>'),
    ('broker/model/rule.c', '<ini.h>'),
    ('client/call.c', '<jansson.h>'),
    ('protocol/wire.c', '<cmocka.h>'),
    ('broker/core/core.c', '"port.h"'),
    ('broker/core/core.c', '"../model/rule.h"'),
)

RIGHT_WAY = (
    ('broker/model/rule.c', '"bpf/sockbroker-abi.h"'),
    ('broker/core/core.c', '"broker/model/rule.h"'),
    ('broker/io/loop.c', '"broker/core/request.h"'),
    ('broker/io/loop.c', '<event2/event.h>'),
    ('broker/dataplane/load.c', '"bpf/sockbroker.skel.h"'),
    ('broker/dataplane/load.c', '<bpf/libbpf.h>'),
    ('broker/broker.c', '"broker/config/config.h"'),
    ('client/cli/main.c', '<jansson.h>'),
    ('tests/unit/core/test-core.c', '"tests/fake/fake.h"'),
    ('tests/unit/core/test-core.c', '<cmocka.h>'),
)


class Tree(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = directory.name
        for header in HEADERS:
            self.write(header, '')

    def write(self, path, text, licence=None):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w', encoding='utf-8') as file:
            bpf = path.startswith('bpf/')
            file.write((licence if licence is not None else BPF_SPDX if bpf else SPDX) + text)

    def found(self):
        return list(tree.complaints(self.root))

    def test_this_tree(self):
        self.assertEqual(['%s:%d: %s' % c for c in tree.complaints(TOP)], [])

    def test_nothing_wrong_with_the_frame(self):
        self.assertEqual(self.found(), [])

    def test_wrong_way_includes(self):
        for path, target in WRONG_WAY:
            with self.subTest(path=path, target=target):
                self.write(path, '#include %s\n' % target)
                self.assertEqual([(p, n) for p, n, _ in self.found()], [(path, 2)])
                os.unlink(os.path.join(self.root, path))

    def test_right_way_includes(self):
        for path, target in RIGHT_WAY:
            with self.subTest(path=path, target=target):
                self.write(path, '#  include %s\n' % target)
                self.assertEqual(self.found(), [])

    def test_file_in_no_layer(self):
        self.write('misc/x.c', '')
        self.assertEqual([p for p, _, _ in self.found()], ['misc/x.c'])

    def test_long_file(self):
        self.write('broker/core/core.c', '\n' * (tree.FILE_MAX - 1))
        self.assertEqual(self.found(), [])
        self.write('broker/core/core.c', '\n' * tree.FILE_MAX)
        self.assertEqual(len(self.found()), 1)

    def test_long_function(self):
        for body, wrong in ((tree.FUNCTION_MAX - 2, 0), (tree.FUNCTION_MAX - 1, 1)):
            self.write('client/call.c', 'int f(void)\n{\n' + '\tx();\n' * body + '}\n')
            self.assertEqual(len(self.found()), wrong)

    def test_licence(self):
        self.write('protocol/wire.c', 'int x;\n', licence='')
        self.write('bpf/walk.bpf.h', 'int x;\n', licence=SPDX)
        self.write('tests/check/x.py', '', licence='#!/usr/bin/python3\n')
        self.assertEqual(len(self.found()), 3)

    def test_build_directories_are_left_out(self):
        self.write('build-x/build.ninja', '', licence='')
        self.write('build-x/junk.c', '', licence='')
        self.assertEqual(self.found(), [])


if __name__ == '__main__':
    unittest.main(verbosity=2)
