#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The documents say what the code says: errors, limits and requests of PROTOCOL.md, the options of
sockbrokerd(8), the layers of ARCHITECTURE.md, and links that lead somewhere."""
import os
import re
import subprocess
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as f:
        return f.read()


class Protocol(unittest.TestCase):
    page = read('docs/PROTOCOL.md')

    def test_errors(self):
        code = re.findall(r'X\((E[A-Z0-9]+), "(.*?)"\)', read('protocol/errors.h'))
        table = self.page.split('<!-- errors: begin')[1].split('<!-- errors: end')[0]
        self.assertEqual(re.findall(r'^\| `(E[A-Z0-9]+)` \| (.*) \|$', table, re.M), code)
        self.assertGreater(len(code), 20)

    def test_limits(self):
        for header, name, row in (
                ('wire.h', 'SB_WIRE_PACKET_MAX', 'bytes of a packet'),
                ('wire.h', 'SB_WIRE_FDS_MAX', 'file descriptors of a packet'),
                ('wire.h', 'SB_WIRE_FIELDS_MAX', 'fields of a packet'),
                ('label.h', 'SB_LABEL_MAX', 'length of a label')):
            value = re.search(r'#define %s (\d+)' % name, read('protocol/' + header)).group(1)
            self.assertRegex(self.page, r'(?m)^\| %s \| %s\b' % (row, value))

    def test_requests(self):
        rows = re.findall(r'^\t\{ "([a-z]+)", \d+, \w+, (MAY_\w+), op_\w+', read(
            'broker/core/request.c'), re.M)
        table = re.findall(r'^\| `([a-z]+)` \| ([^|]*) \|', 
                           self.page.split('### Requests')[1].split('### Bulk')[0], re.M)
        self.assertEqual(sorted(name for name, _ in rows), sorted(name for name, _ in table))
        who = dict(table)
        for name, permission in rows:
            if permission == 'MAY_ADMIN':
                self.assertEqual(who[name], 'admins', name)
            if permission == 'MAY_READ':
                self.assertEqual(who[name], 'readers', name)


class Daemon(unittest.TestCase):
    def test_options(self):
        program = os.path.join(os.environ['BUILD_ROOT'], 'broker', 'sockbrokerd')
        text = subprocess.run([program, '--help'], stdout=subprocess.PIPE, check=True,
                              encoding='utf-8').stdout
        options = set(re.findall(r'--([a-z-]+)', text)) - {'help'}
        manual = read('docs/man/sockbrokerd.8').replace('\\-', '-')
        for option in options:
            self.assertRegex(manual, r'%s\b' % re.escape(option), option)
        # and none that does not exist
        documented = set(re.findall(r'(?m)^\.It Fl Fl ([a-z-]+)', manual))
        self.assertEqual(documented - {'help'}, options)


class Pages(unittest.TestCase):
    pages = ['README.md', 'NEWS.md'] + sorted(
        'docs/' + name for name in os.listdir(os.path.join(ROOT, 'docs')) if name.endswith('.md'))

    def test_links(self):
        for page in self.pages:
            for target in re.findall(r'\]\(([^)#]+)[^)]*\)', read(page)):
                path = os.path.join(ROOT, os.path.dirname(page), target)
                self.assertTrue(os.path.exists(path), '%s leads to %s' % (page, target))

    def test_map(self):
        """Every layer that there is stands in the table of who may include whom."""
        text = read('docs/ARCHITECTURE.md')
        for name in os.listdir(os.path.join(ROOT, 'broker')):
            if os.path.isdir(os.path.join(ROOT, 'broker', name)):
                self.assertIn('| broker/%s |' % name, text)

    def test_files(self):
        """Files that a page names are there."""
        for page in self.pages:
            for path in re.findall(r'`((?:broker|bpf|protocol|client|tests|docs)/[\w./-]+\.\w+)`',
                                   read(page)):
                self.assertTrue(os.path.exists(os.path.join(ROOT, path)), path)


if __name__ == '__main__':
    unittest.main(verbosity=2)
