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
import sys
import time

BEGIN, END = '<!-- measured: begin -->', '<!-- measured: end -->'
MILLION = 1000000
MARKS = {'root': '', 'unit': ' \\*', 'counted': ' +'}
SCATTERED4, SCATTERED6, CROWDED4 = 'scattered IPv4', 'scattered IPv6', 'crowded IPv4'


def machine():
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        facts = dict(line.strip().split('\t', 1) for line in file if '\t' in line)
    facts = {key: value.lstrip('\t: ') for key, value in facts.items()}
    return {'cpu': '%s (family %s, model %s)' % tuple(
                facts.get(key, '?') for key in ('model name', 'cpu family', 'model')),
            'processors': os.cpu_count(), 'virtual': 'hypervisor' in facts.get('flags', ''),
            'kernel': platform.release().split('-')[0], 'date': time.strftime('%Y-%m-%d')}


class Lookup:
    """One rule set's times."""

    def __init__(self, result):
        self.result = result

    def name(self):
        r = self.result
        return '%s IPv%d%s' % (r['shape'], r['family'], MARKS[r['mode']])

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
        return (self.name(), '{:,}'.format(r['rules']), heat,
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

    def find(self, shape, family, rules=None, mode='root'):
        for one in self.all:
            r = one.result
            if (r['shape'], r['family'], r['mode']) == (shape, family, mode) \
                    and rules in (None, r['rules']):
                return one
        return None

    def table(self):
        return markdown(self.HEAD, [one.cells(heat) for one in self.all
                                    for heat in ('hot', 'cold')])

    def memory(self):
        rows = []
        for one in self.all:
            r = one.result
            if r['mode'] == 'unit':
                continue  # the same tables
            rows.append((one.name(), '{:,}'.format(r['rules']),
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


class Goals:
    """Rows of: what, aimed at, measured as root, and with the capabilities of the unit."""

    def __init__(self):
        self.rows = []

    def add(self, what, bound, values, unit='', least=False, digits=1):
        """VALUES: measured as root, and (for programs) as the unit; None: not."""
        if values[0] is None:
            return
        cells = []
        for value in values:
            if value is None:
                cells.append('')
                continue
            reached = value >= bound if least else value <= bound
            cells.append('**{:,.{}f}{}**{}'.format(value, digits, unit,
                                                   '' if reached else ' (missed)'))
        self.rows.append([what, '%s %s%s' % ('at least' if least else 'at most',
                                             '{:,}'.format(bound), unit)] + cells)

    def table(self):
        return markdown(('what', 'aim', 'measured', 'with CAP_BPF and CAP_NET_ADMIN only'),
                        [row + [''] * (4 - len(row)) for row in self.rows])


def lookup_goals(goals, lookups):
    def each(value, shape, family, rules=MILLION):
        """VALUE of the rule set, as root and as the unit."""
        found = [lookups.find(shape, family, rules, mode) for mode in ('root', 'unit')]
        return [value(one) if one else None for one in found]

    families = ((4, 'IPv4', 10), (6, 'IPv6', 6))
    shapes = ('scattered', 'crowded', 'nested')
    for shape in shapes:
        for family, name, _ in families:
            goals.add('program, hot, 1M %s %s: to the fixed slot' % (shape, name), 2,
                      each(lambda one: one.floors('hot'), shape, family), ' ×', digits=2)
    for shape in shapes:
        for family, name, _ in families:
            goals.add('program, cold, 1M %s %s: faster than 2 LPM' % (shape, name), 4,
                      each(lambda one: one.faster('cold'), shape, family), ' ×', least=True)
    for family, name, least in families:
        goals.add('lookup alone, hot, 1M scattered %s: faster than 2 LPM' % name, least,
                  each(lambda one: one.alone_faster('hot'), 'scattered', family), ' ×',
                  least=True)
    for family, name, _ in families:
        million, ten = (each(lambda one: one.alone('hot', 'lookup'), 'scattered', family, n)
                        for n in (MILLION, 10))
        goals.add('lookup alone, hot, scattered %s: 1M to 10 rules' % name, 2,
                  [a and b and a / b for a, b in zip(million, ten)], ' ×', digits=2)
    for family, published in ((4, 398), (6, 442)):
        goals.add('program, cold, edge prefixes IPv%d (tubular, on its machine: %d ns)'
                  % (family, published), published,
                  each(lambda one: one.ns('cold', 'program'), 'edge', family, None), ' ns',
                  digits=0)


def control_goals(goals, control):
    def add(what, name, bound, request, key, *rest, **more):
        value = control.get(name, {}).get(request)
        goals.add('%s, %s' % (what, name), bound, [value[key] if key and value else value],
                  *rest, **more)

    for name in (SCATTERED4, CROWDED4, SCATTERED6):
        add('`apply` of 1M rules, whole command', name, 1000, 'apply', 'median', ' ms', digits=0)
    for name in (SCATTERED4, CROWDED4, SCATTERED6):
        add('`bind` with 1M rules, p99', name, 5, 'bind', 'p99', ' ms', digits=2)
    for request in ('explain', 'status LABEL'):
        add('`%s` with 1M rules, whole command, p99' % request, SCATTERED4, 20,
            request + ', whole command', 'p99', ' ms')
    add('kernel memory a rule', SCATTERED4, 64, 'kernel bytes a rule (status)', None, ' bytes')
    for name in (SCATTERED4, SCATTERED6):
        add('broker\'s RSS at 1M rules', name, 150, 'VmRSS', None, ' MiB', digits=0)
        add('broker\'s RSS at 1M rules, after a start', name, 150, 'VmRSS after a start', None,
            ' MiB', digits=0)
        add('broker\'s RSS at its peak, 1M rules replacing 1M', name, 150, 'VmHWM', None, ' MiB',
            digits=0)
    for name, among in (('no rules', ''), ('no rules', ' among 256 labels'),
                        ('no rules', ' among 4095 labels'), (SCATTERED4, '')):
        add('registrations a second, one client after another' + among, name, 10000,
            'registrations a second' + among, None, least=True, digits=0)
    for name in (SCATTERED4, SCATTERED6):
        add('start with 1M rules and 1,000 sockets, exec to answer', name, 2000,
            'start after SIGKILL', 'median', ' ms', digits=0)


def text_of(report, lookups, goals):
    m = report['machine']
    return '\n'.join((
        'Measured %s on %d processors %s%s, Linux %s.%s\n' % (
            m['date'], m['processors'], m['cpu'],
            ' of a virtual machine' if m['virtual'] else '', m['kernel'],
            ' A quick run.' if report['quick'] else ''),
        '### Aims\n', goals.table(),
        '### Lookup, ns a packet\n', lookups.table(),
        '\\* loaded with CAP_BPF and CAP_NET_ADMIN only; + with RuleCounters=yes\n',
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
    goals = Goals()
    lookup_goals(goals, lookups)
    control_goals(goals, control['results'])
    report = {'machine': machine(), 'quick': lookup['quick'] or control['quick'],
              'goals': goals.rows,
              'lookup': lookup['results'], 'control': control['results']}
    text = text_of(report, lookups, goals)
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
