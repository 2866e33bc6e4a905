#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""summary.py BUILD...: prints the closing lines of every test of a meson run, and the sum of all.

The last line is "N passed, N failed", with ", N skipped" if any were. Exit status 1 if any failed,
or if a build ran no test.
"""

import json
import re
import sys

CMOCKA = {
    'passed': re.compile(r'^\[  PASSED  \] (\d+) test\(s\)', re.MULTILINE),
    'failed': re.compile(r'^\[  FAILED  \] (\d+) test\(s\)', re.MULTILINE),
    'skipped': re.compile(r'^\[  SKIPPED \] (\d+) test\(s\)', re.MULTILINE),
}
UNITTEST_RAN = re.compile(r'^Ran (\d+) tests? in ', re.MULTILINE)
UNITTEST_END = re.compile(r'^(OK|FAILED)(?: \(([^)]*)\))?$', re.MULTILINE)
CLOSING = re.compile(r'^(\[  (?:PASSED|FAILED|SKIPPED )\s*\] \d+ test\(s\).*'
                     r'|\[==========\] .*\d+ test\(s\) run\..*|Ran \d+ tests? in .*'
                     r'|(?:OK|FAILED)(?: \([^)]*\))?)$')


def count(test):
    """(passed, failed, skipped) of one record of testlog.json."""
    output = (test.get('stdout') or '') + '\n' + (test.get('stderr') or '')
    result = test['result']
    if CMOCKA['passed'].search(output):
        passed, failed, skipped = (sum(int(n) for n in CMOCKA[k].findall(output))
                                   for k in ('passed', 'failed', 'skipped'))
    elif UNITTEST_RAN.search(output):
        passed, failed, skipped = count_unittest(output)
    else:
        passed, failed, skipped = int(result == 'OK'), 0, int(result == 'SKIP')
    if result not in ('OK', 'SKIP', 'EXPECTEDFAIL') and failed == 0:
        failed = 1  # it crashed, timed out, or could not say what failed
    return passed, failed, skipped


def count_unittest(output):
    ran = sum(int(n) for n in UNITTEST_RAN.findall(output))
    failed = skipped = 0
    for _, details in UNITTEST_END.findall(output):
        numbers = dict(re.findall(r'(\w+)=(\d+)', details))
        failed += sum(int(numbers.get(k, 0)) for k in ('failures', 'errors'))
        skipped += int(numbers.get('skipped', 0))
    return max(ran - failed - skipped, 0), failed, skipped


def records(build):
    try:
        with open(build + '/meson-logs/testlog.json', encoding='utf-8') as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []


def main(builds):
    total = [0, 0, 0]
    complete = True
    for build in builds:
        tests = records(build)
        complete = complete and bool(tests)
        for test in tests:
            counts = count(test)
            total = [a + b for a, b in zip(total, counts)]
            print('%s: %s: %s' % (build, test['name'], test['result']))
            output = (test.get('stdout') or '') + '\n' + (test.get('stderr') or '')
            for line in output.splitlines():
                if CLOSING.match(line):
                    print('    ' + line)
    print()
    passed, failed, skipped = total
    print('%d passed, %d failed' % (passed, failed) + (', %d skipped' % skipped if skipped else ''))
    return 0 if complete and failed == 0 and passed > 0 else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
