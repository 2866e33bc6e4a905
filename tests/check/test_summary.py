#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/summary.py counts what the runners said, and never more good news than there is."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import summary  # noqa: E402


def record(result, stdout='', stderr=''):
    return {'name': 'x', 'result': result, 'stdout': stdout, 'stderr': stderr}


class Count(unittest.TestCase):
    def check(self, counts, *arguments):
        self.assertEqual(summary.count(record(*arguments)), counts)

    def test_cmocka(self):
        self.check((3, 0, 0), 'OK', '[==========] Running 3 test(s).\n',
                   '[  PASSED  ] 3 test(s).\n')
        self.check((5, 0, 0), 'OK', '', '[  PASSED  ] 3 test(s).\n[  PASSED  ] 2 test(s).\n')
        self.check((1, 2, 0), 'FAIL', '', '[  PASSED  ] 1 test(s).\n'
                   '[  FAILED  ] 2 test(s), listed below:\n[  FAILED  ] test_a\n')
        self.check((1, 0, 1), 'OK', '', '[  PASSED  ] 1 test(s).\n'
                   '[  SKIPPED ] 1 test(s), listed below:\n[  SKIPPED ] test_a\n')

    def test_unittest(self):
        self.check((4, 0, 0), 'OK', '', 'Ran 4 tests in 0.1s\n\nOK\n')
        self.check((3, 0, 1), 'OK', '', 'Ran 4 tests in 0.1s\n\nOK (skipped=1)\n')
        self.check((1, 2, 1), 'FAIL', '',
                   'Ran 4 tests in 0.1s\n\nFAILED (failures=1, errors=1, skipped=1)\n')

    def test_plain(self):
        self.check((1, 0, 0), 'OK')
        self.check((0, 1, 0), 'FAIL')
        self.check((0, 0, 1), 'SKIP')

    def test_crash_and_timeout(self):
        self.check((0, 1, 0), 'TIMEOUT', '[==========] Running 3 test(s).\n')
        self.check((3, 1, 0), 'FAIL', '', '[  PASSED  ] 3 test(s).\n')  # died after its tests
        self.check((2, 1, 0), 'ERROR', '', 'Ran 2 tests in 0.1s\n\nOK\n')

    def test_no_test_is_no_success(self):
        self.assertEqual(summary.main([]), 1)
        self.assertEqual(summary.main(['/nonexistent']), 1)


if __name__ == '__main__':
    unittest.main(verbosity=2)
