# SPDX-License-Identifier: LGPL-2.1-or-later
"""A filesystem that does not answer: FUSE, spoken raw over /dev/fuse (linux/fuse.h, fuse(4)).

It has one file, `file`, which anybody may open. Of the operations of NEVER it takes note, and that is
all: whoever asked for one waits, in the kernel, where not even SIGKILL reaches him, until abort().
"""

import os
import select
import stat
import struct
import tempfile

import load
import sandbox

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, RELEASE, FLUSH, INIT = (
    1, 2, 3, 4, 14, 15, 16, 18, 25, 26)
INTERRUPT, BATCH_FORGET = 36, 42
SILENT = (FORGET, INTERRUPT, BATCH_FORGET)  # operations without an answer
WRITEBACK_CACHE = 1 << 16

ROOT, FILE = 1, 2
FOREVER = 3600
TIMEOUT = 10  # for what must happen
SIZE = 1 << 20


def _attributes(node):
    mode = stat.S_IFDIR | 0o777 if node == ROOT else stat.S_IFREG | 0o666
    return struct.pack('<QQQQQQIIIIIIIIII', node, SIZE, SIZE // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0,
                       4096, 0)


def _answer(operation, node, request, flags):
    """The answer's body, or None for "not implemented"."""
    if operation == INIT:
        return struct.pack('<IIIIHHIIHHI28x', 7, 31, 65536, flags, 12, 10, 65536, 1, 32, 0, 0)
    if operation == LOOKUP:
        return struct.pack('<QQQQII', FILE, 0, FOREVER, FOREVER, 0, 0) + _attributes(FILE)
    if operation in (GETATTR, SETATTR):
        return struct.pack('<QII', FOREVER, 0, 0) + _attributes(node)
    if operation == OPEN:
        return struct.pack('<QII', 1, 0, 0)
    if operation == READ:
        return bytes(struct.unpack_from('<I', request, 56)[0])
    if operation == WRITE:
        return request[56:60] + bytes(4)
    if operation in (FLUSH, RELEASE):
        return b''
    return None


class Filesystem:
    def __init__(self, never, flags=0):
        self.directory = tempfile.mkdtemp()
        device = os.open('/dev/fuse', os.O_RDWR | os.O_CLOEXEC)
        options = 'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % device
        sandbox.check(sandbox.libc.mount(b'test', self.directory.encode(), b'fuse', 0,
                                         options.encode()))
        self.path = self.directory + '/file'
        self.seen, seen = os.pipe2(os.O_CLOEXEC)

        def work(_):
            while True:
                request = os.read(device, 1 << 20)
                _, operation, unique, node = struct.unpack_from('<IIQQ', request)
                if operation in never:
                    os.write(seen, bytes([operation]))
                if operation in never or operation in SILENT:
                    continue
                body = _answer(operation, node, request, flags)
                error = -38 if body is None else 0
                os.write(device, struct.pack('<IiQ', 16 + len(body or b''), error, unique)
                         + (body or b''))

        self.daemon = load.Child(work, [device, seen])
        os.close(device)
        os.close(seen)

    def open(self, flags=os.O_RDWR):
        return os.open(self.path, flags | os.O_CLOEXEC)

    def wait_for(self, operation):
        """Until the kernel has asked for it, so that somebody waits now."""
        asked = None
        while asked != operation:
            assert select.select([self.seen], [], [], TIMEOUT)[0], 'nobody waits'
            asked = os.read(self.seen, 1)[0]

    def abort(self):
        """Whoever waits gets an error."""
        self.daemon.kill()

    def destroy(self):
        self.daemon.destroy()
        os.close(self.seen)
        sandbox.libc.umount2(self.directory.encode(), sandbox.MNT_DETACH)
        os.rmdir(self.directory)
