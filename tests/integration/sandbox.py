# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network namespace, a mount namespace with a bpffs of its own, and other users to act as.

isolate() moves the test process itself there: whatever it starts lives there too, and all of it is
gone when the process is.
"""

import atexit
import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
SKIP = 77  # what meson counts as skipped

# Users that need no name: the broker sees numbers.
WEB_UID, OTHER_UID = 64001, 64002

IPV4_LOCAL = ('192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24')
IPV6_LOCAL = ('2001:db8::/32',)

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def isolate(build):
    """
    Returns a directory that every user may traverse, in which there are a bpffs, `bpf`, and
    `build`, the build directory BUILD, which itself may lie where only root can reach it.
    """
    if os.geteuid() != 0:
        print('needs root', file=sys.stderr)
        sys.exit(SKIP)
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET))
    check(libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None))
    directory = tempfile.mkdtemp(prefix='sockbroker-test.')
    os.chmod(directory, 0o755)
    atexit.register(_remove, os.getpid(), directory)
    for name in ('bpf', 'build'):
        os.mkdir(os.path.join(directory, name))
    check(libc.mount(b'bpf', (directory + '/bpf').encode(), b'bpf', 0, None))
    check(libc.mount(build.encode(), (directory + '/build').encode(), None, MS_BIND, None))
    check(libc.mount(b'tmpfs', b'/run', b'tmpfs', 0, b'mode=755'))  # the machine's stays as it is
    ip('link', 'set', 'lo', 'up')
    for prefix in IPV4_LOCAL + IPV6_LOCAL:
        ip('route', 'add', 'local', prefix, 'dev', 'lo')
    return directory


def _remove(owner, directory):
    if os.getpid() != owner:
        return
    for name in ('bpf', 'build'):
        libc.umount2(os.path.join(directory, name).encode(), MNT_DETACH)
        os.rmdir(os.path.join(directory, name))  # fails, rather than reach into what is mounted
    shutil.rmtree(directory, ignore_errors=True)


def ip(*arguments):
    family = ('-6',) if any(':' in a for a in arguments) else ()
    subprocess.run(('ip',) + family + arguments, check=True)


def die_with_parent():
    """For preexec_fn: nothing that a test starts outlives it, however it ends."""
    libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)


@contextlib.contextmanager
def other_netns(path=None):
    """Within it, new sockets of this thread belong to another network namespace: at PATH, or a new one."""
    home = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
    there = path and os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(libc.setns(there, CLONE_NEWNET) if path else libc.unshare(CLONE_NEWNET))
        try:
            yield
        finally:
            check(libc.setns(home, CLONE_NEWNET))
    finally:
        os.close(home)
        if path:
            os.close(there)


@contextlib.contextmanager
def as_user(uid, groups=()):
    """Within it, a connect() carries these credentials (SO_PEERCRED reads the effective ones)."""
    if uid is None:
        yield
        return
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)
