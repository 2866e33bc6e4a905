# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kills a process right before its n-th system call that changes what others can see: a BPF object that
is pinned, a link that is made or updated, a name that is given, taken or removed.

A seccomp filter lets only those calls stop the process, for ptrace, so that it is as fast as ever.
"""

import ctypes
import os
import platform
import signal
import struct
import time

import sandbox
from sandbox import check, libc

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
RET_ALLOW, RET_TRACE = 0x7fff0000, 0x7ff00000
PTRACE_TRACEME, PTRACE_CONT, PTRACE_SETOPTIONS = 0, 7, 0x4200
PTRACE_O_TRACESECCOMP, PTRACE_O_EXITKILL = 1 << 7, 1 << 20
PTRACE_EVENT_SECCOMP = 7

CALLS = {
    'x86_64': {'bpf': 321, 'rename': 82, 'renameat': 264, 'renameat2': 316, 'unlink': 87,
               'unlinkat': 263},
    'aarch64': {'bpf': 280, 'renameat': 38, 'renameat2': 276, 'unlinkat': 35},
}[platform.machine()]
BPF = CALLS.pop('bpf')
OBJ_PIN, LINK_CREATE, LINK_UPDATE = 6, 28, 29


def _filter():
    """Of classic BPF: `bpf` with one of three commands, and all other CALLS, are traced."""
    def load(offset):
        return struct.pack('HBBI', 0x20, 0, 0, offset)

    def equal(value, yes, no):
        return struct.pack('HBBI', 0x15, yes, no, value)

    def give(value):
        return struct.pack('HBBI', 0x06, 0, 0, value)

    names = list(CALLS.values())
    commands = (OBJ_PIN, LINK_CREATE, LINK_UPDATE)
    code = load(0)  # seccomp_data.nr
    for i, number in enumerate(names):
        code += equal(number, len(names) - i + len(commands) + 2, 0)
    code += equal(BPF, 0, len(commands) + 1)
    code += load(16)  # the low half of seccomp_data.args[0]
    for i, command in enumerate(commands):
        code += equal(command, len(commands) - i, 0)
    return code + give(RET_ALLOW) + give(RET_TRACE)


def traced():
    """For preexec_fn: from the exec on, the parent is asked about those calls."""
    sandbox.die_with_parent()
    code = _filter()
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack('HxxxxxxP', len(code) // 8, ctypes.addressof(buffer))
    check(libc.ptrace(PTRACE_TRACEME, 0, 0, 0))
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0))


def _resume(pid, number=0):
    check(libc.ptrace(PTRACE_CONT, pid, None, ctypes.c_void_p(number)))


def before_call(process, n, is_done, timeout):
    """
    Lets PROCESS, started with traced(), run up to its N-th call (from 1) and kills it there: True. Or
    until is_done() says that it has got through its start, and kills it then: False.
    """
    pid, end, calls = process.pid, time.monotonic() + timeout, 0
    _, status = os.waitpid(pid, 0)  # its exec
    check(libc.ptrace(PTRACE_SETOPTIONS, pid, None,
                      ctypes.c_void_p(PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL)))
    _resume(pid)
    while time.monotonic() < end:
        stopped, status = os.waitpid(pid, os.WNOHANG)
        if not stopped:
            if is_done():
                break
            time.sleep(0.001)
        elif not os.WIFSTOPPED(status):
            raise AssertionError('it ended by itself, wait status %#x' % status)
        elif status >> 16 == PTRACE_EVENT_SECCOMP:
            calls += 1
            if calls == n:
                break
            _resume(pid)
        else:
            _resume(pid, os.WSTOPSIG(status))
    else:
        raise AssertionError('neither call %d nor the end of the start' % n)
    os.kill(pid, signal.SIGKILL)
    process.wait(timeout)
    return calls == n
