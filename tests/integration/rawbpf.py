# SPDX-License-Identifier: LGPL-2.1-or-later
"""Just enough of bpf(2) to attach a second sk_lookup program next to the broker's.

Everything is an fd of the test process: closing it detaches.
"""

import ctypes
import os
import platform
import struct

from sandbox import check, libc

SYS_BPF = {'x86_64': 321, 'aarch64': 280}[platform.machine()]
MAP_CREATE, MAP_UPDATE_ELEM, PROG_LOAD, LINK_CREATE = 0, 2, 5, 28
MAP_TYPE_SOCKMAP = 15
PROG_TYPE_SK_REUSEPORT, PROG_TYPE_SK_LOOKUP = 21, 30
ATTACH_SK_LOOKUP, ATTACH_SK_REUSEPORT_SELECT = 36, 39
MAP_LOOKUP_ELEM_ID, SK_RELEASE_ID, SK_ASSIGN_ID = 1, 86, 124

SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF = 51, 52

DROP, PASS = 0, 1


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return check(libc.syscall(SYS_BPF, command, buffer, len(attributes)))


def insn(code, dst=0, src=0, off=0, imm=0):
    return struct.pack('<BBhi', code, src << 4 | dst, off, imm)


def mov_imm(dst, imm):
    return insn(0xb7, dst, imm=imm)


def mov(dst, src):
    return insn(0xbf, dst, src)


def call(helper):
    return insn(0x85, imm=helper)


EXIT = insn(0x95)


def load(program_type, attach_type, code):
    text = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b'Dual BSD/GPL')
    log = ctypes.create_string_buffer(16384)
    attributes = struct.pack('<IIQQIIQII16sII', program_type, len(code) // 8,
                             ctypes.addressof(text), ctypes.addressof(licence), 1, len(log),
                             ctypes.addressof(log), 0, 0, b'other', 0, attach_type)
    try:
        return bpf(PROG_LOAD, attributes)
    except OSError as error:
        raise OSError(error.errno, log.value.decode()) from error


def verdict(value):
    return load(PROG_TYPE_SK_LOOKUP, ATTACH_SK_LOOKUP, mov_imm(0, value) + EXIT)


def reuseport_verdict(value):
    return load(PROG_TYPE_SK_REUSEPORT, ATTACH_SK_REUSEPORT_SELECT, mov_imm(0, value) + EXIT)


def redirect(sock):
    """A program that gives every packet it can to SOCK. Returns its fd."""
    table = bpf(MAP_CREATE, struct.pack('<IIII', MAP_TYPE_SOCKMAP, 4, 8, 1) + bytes(60))
    try:
        key = ctypes.c_uint32(0)
        value = ctypes.c_uint64(sock.fileno())
        bpf(MAP_UPDATE_ELEM, struct.pack('<IIQQQ', table, 0, ctypes.addressof(key),
                                         ctypes.addressof(value), 0))
        assign = mov(1, 6) + mov(2, 7) + mov_imm(3, 0) + call(SK_ASSIGN_ID) \
            + mov(1, 7) + call(SK_RELEASE_ID)
        return load(PROG_TYPE_SK_LOOKUP, ATTACH_SK_LOOKUP, (
            mov(6, 1)
            + insn(0x62, 10, off=-4, imm=0)          # key on the stack
            + mov(2, 10) + insn(0x07, 2, imm=-4)
            + insn(0x18, 1, 1, imm=table) + insn(0)  # r1 = map
            + call(MAP_LOOKUP_ELEM_ID)
            + insn(0x15, 0, off=1 + len(assign) // 8)  # no socket: past the assign
            + mov(7, 0)
            + assign
            + mov_imm(0, PASS) + EXIT))
    finally:
        os.close(table)


def attach(program):
    """Attaches behind what is attached to this network namespace. Returns the link's fd."""
    namespace = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
    try:
        return bpf(LINK_CREATE, struct.pack('<IIII', program, namespace, ATTACH_SK_LOOKUP, 0)
                   + bytes(16))
    finally:
        os.close(namespace)
        os.close(program)


def constant_selector(sock, index):
    """SO_ATTACH_REUSEPORT_CBPF: the group's member number INDEX takes everything."""
    code = ctypes.create_string_buffer(struct.pack('<HBBI', 0x06, 0, 0, index))
    program = struct.pack('HxxxxxxP', 1, ctypes.addressof(code))
    sock.setsockopt(1, SO_ATTACH_REUSEPORT_CBPF, program)
