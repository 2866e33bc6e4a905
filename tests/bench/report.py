#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""One table out of what the benchmarks of a build directory measured, beside what is aimed at.

Prints it, writes it as benchmark.json next to theirs, and with --write FILE puts it between the two
marks in FILE (docs/PERFORMANCE.md) and the JSON beside that file as performance.json.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time

BEGIN, END = '<!-- measured: begin -->', '<!-- measured: end -->'
MILLION = 1000000
SCATTERED4, SCATTERED6, CROWDED4 = 'scattered IPv4', 'scattered IPv6', 'crowded IPv4'


def machine():
    model = 'unknown'
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        for line in file:
            if line.startswith('model name'):
                model = line.split(':')[1].strip()
    virtual = subprocess.run(('systemd-detect-virt',), capture_output=True, text=True).stdout.strip()
    return {'cpu': model, 'processors': os.cpu_count(), 'virtual': virtual or 'none',
            'kernel': platform.release(), 'date': time.strftime('%Y-%m-%d')}


class Lookup:
    """One rule set's times."""

    def __init__(self, result):
        self.result = result

    def ns(self, heat, program):
        return self.result[heat][program]['median']

    def alone(self, heat, program):
        """A lookup without what an empty program costs, and without the socket."""
        return self.ns(heat, program) - self.ns(heat, 'empty')

    def faster(self, heat):
        return self.ns(heat, 'lpm_program') / self.ns(heat, 'program')

    def floors(self, heat):
        return self.ns(heat, 'program') / self.ns(heat, 'fixed')

    def alone_faster(self, heat):
        return self.alone(heat, 'lpm_lookup') / self.alone(heat, 'lookup')

    def cells(self, heat):
        r = self.result
        return ('%s IPv%d' % (r['shape'], r['family']), '{:,}'.format(r['rules']), heat,
                '%.0f' % self.ns(heat, 'empty'), '%.0f' % self.ns(heat, 'fixed'),
                '%.0f' % self.ns(heat, 'lpm_program'), self.range(heat, 'program'),
                '%.1f ×' % self.faster(heat), '%.1f ×' % self.floors(heat),
                '%.0f' % self.alone(heat, 'lpm_lookup'), '%.0f' % self.alone(heat, 'lookup'),
                '%.1f ×' % self.alone_faster(heat))

    def range(self, heat, program):
        times = self.result[heat][program]
        return '**%.0f** (%.0f–%.0f)' % (times['median'], times['min'], times['max'])


class Lookups:
    HEAD = ('rules', 'number', '', 'empty', 'fixed slot', '2 LPM', 'sockbroker (min–max)',
            'to 2 LPM', 'to fixed', '2 LPM alone', 'lookup alone', 'alone')

    def __init__(self, results):
        self.all = [Lookup(r) for r in results]

    def find(self, shape, family, rules=None):
        for one in self.all:
            r = one.result
            if (r['shape'], r['family']) == (shape, family) and rules in (None, r['rules']):
                return one
        return None

    def table(self):
        return markdown(self.HEAD, [one.cells(heat) for one in self.all
                                    for heat in ('hot', 'cold')])

    def memory(self):
        rows = []
        for one in self.all:
            r = one.result
            rows.append(('%s IPv%d' % (r['shape'], r['family']), '{:,}'.format(r['rules']),
                         '%.1f' % (r['rules_bytes'] / r['rules']),
                         '%.1f' % (r['used_bytes'] / r['rules']),
                         '%.1f' % (r['lpm_bytes'] / r['rules']),
                         '%.3f' % r['publish_s'], '%.3f' % r['lpm_fill_s']))
        return markdown(('rules', 'number', 'bytes a rule', 'of them used', '2 LPM: bytes a rule',
                         'compile and publish, s', '2 LPM: fill, s'), rows)


def markdown(head, rows):
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    lines += ['| ' + ' | '.join(row) + ' |' for row in rows]
    return '\n'.join(lines) + '\n'


def control_table(results):
    """Requests down, rule sets across."""
    names = list(results)
    requests = []
    for result in results.values():
        requests += [key for key in result if key not in requests and key != 'rules']
    rows = []
    for request in requests:
        row = [request]
        for name in names:
            value = results[name].get(request)
            if isinstance(value, dict):
                row.append('%.2f / %.2f / %.2f' % (value['median'], value['p99'], value['max']))
            else:
                row.append('' if value is None else '{:,.1f}'.format(value))
        rows.append(row)
    return markdown([''] + names, rows)


def goals(lookups, control):
    """(what, aimed at, measured, reached) of each goal that was measured."""
    found = []

    def goal(what, bound, measured, unit='', least=False, digits=1):
        if measured is None:
            return
        reached = measured >= bound if least else measured <= bound
        found.append((what, '%s %s%s' % ('at least' if least else 'at most',
                                         '{:,}'.format(bound), unit),
                      '{:,.{}f}{}'.format(measured, digits, unit), reached))

    def of(name, request, key=None):
        value = control.get(name, {}).get(request)
        return value[key] if key and value else value

    shapes = ((4, 'IPv4', 10), (6, 'IPv6', 6))
    for shape in ('scattered', 'crowded', 'nested'):
        for family, name, _ in shapes:
            one = lookups.find(shape, family, MILLION)
            if one:
                goal('whole program, hot, 1M %s %s: to the fixed slot' % (shape, name), 2,
                     one.floors('hot'), ' ×', digits=2)
    for shape in ('scattered', 'crowded', 'nested'):
        for family, name, _ in shapes:
            one = lookups.find(shape, family, MILLION)
            if one:
                goal('whole program, cold, 1M %s %s: faster than 2 LPM' % (shape, name), 4,
                     one.faster('cold'), ' ×', least=True)
    for family, name, least in shapes:
        one, ten = (lookups.find('scattered', family, n) for n in (MILLION, 10))
        if one and ten:
            goal('lookup alone, hot, 1M random %s: faster than 2 LPM' % name, least,
                 one.alone_faster('hot'), ' ×', least=True)
            goal('lookup alone, hot, %s: 1M to 10 rules' % name, 2,
                 one.alone('hot', 'lookup') / ten.alone('hot', 'lookup'), ' ×', digits=2)
    for name in (SCATTERED4, CROWDED4, SCATTERED6):
        goal('`apply` of 1M rules, whole command, %s' % name, 1000, of(name, 'apply', 'median'),
             ' ms', digits=0)
    for name in (SCATTERED4, CROWDED4, SCATTERED6):
        goal('`bind` with 1M rules, p99, %s' % name, 5, of(name, 'bind', 'p99'), ' ms', digits=2)
    for request in ('explain', 'status LABEL'):
        goal('`%s` with 1M rules, whole command, p99' % request, 20,
             of(SCATTERED4, request + ', whole command', 'p99'), ' ms')
    goal('kernel memory a rule, random IPv4', 64, of(SCATTERED4, 'kernel bytes a rule (status)'),
         ' bytes')
    for name in (SCATTERED4, SCATTERED6):
        goal('broker\'s RSS at 1M rules, %s' % name, 150, of(name, 'VmRSS'), ' MiB', digits=0)
    for name in ('no rules', SCATTERED4):
        goal('registrations a second, one client after another, %s' % name, 10000,
             of(name, 'registrations a second'), least=True, digits=0)
    for family, published in ((4, 398), (6, 442)):
        one = lookups.find('edge', family)
        if one:
            goal('whole program, cold, edge prefixes IPv%d (tubular: %d ns, on its machine)'
                 % (family, published), published, one.ns('cold', 'program'), ' ns', digits=0)
    return found


def goals_table(found):
    return markdown(('what', 'aim', 'measured', ''),
                    [(what, aim, '**%s**' % measured, '' if reached else 'missed')
                     for what, aim, measured, reached in found])


def text_of(report, lookups):
    m = report['machine']
    return '\n'.join((
        'Measured %s on %s (%d processors, virtualisation: %s), Linux %s.%s\n' % (
            m['date'], m['cpu'], m['processors'], m['virtual'], m['kernel'],
            ' A quick run.' if report['quick'] else ''),
        '### Aims\n', goals_table(report['goals']),
        '### Lookup, ns a packet\n', lookups.table(),
        '### Tables\n', lookups.memory(),
        '### Control: ms as median / p99 / max, memory in MiB and bytes\n',
        control_table(report['control'])))


def load(path):
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except FileNotFoundError:
        return {'quick': False, 'results': {}}


def write_between(path, text):
    with open(path, encoding='utf-8') as file:
        before, rest = file.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(path, 'w', encoding='utf-8') as file:
        file.write(before + BEGIN + '\n' + text + END + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', default='build', help='build directory')
    parser.add_argument('--write', metavar='FILE', help='put the tables into docs/PERFORMANCE.md')
    parser.add_argument('--quick', action='store_true', help='ignored')
    options = parser.parse_args()
    directory = options.build + '/tests/bench/'
    lookup, control = load(directory + 'lookup.json'), load(directory + 'control.json')
    lookups = Lookups(lookup['results'])
    report = {'machine': machine(), 'quick': lookup['quick'] or control['quick'],
              'goals': goals(lookups, control['results']),
              'lookup': lookup['results'], 'control': control['results']}
    text = text_of(report, lookups)
    print(text)
    files = [directory + 'benchmark.json']
    if options.write:
        write_between(options.write, text)
        files.append(os.path.join(os.path.dirname(options.write), 'performance.json'))
    for name in files:
        with open(name, 'w', encoding='utf-8') as file:
            json.dump(report, file, indent=1)
            file.write('\n')


if __name__ == '__main__':
    sys.exit(main())
