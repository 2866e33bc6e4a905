# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files that are no good to have: what each of these returns takes long to close, or to look at. For
the tests, and for tests/soak/latency."""

import contextlib
import ctypes
import mmap
import os
import select
import socket
import struct
import threading

SO_ATTACH_FILTER = 26
ETH_P_ALL = 0x300  # in network order
LONG = 3600        # seconds
FULL = 0.1         # seconds without room, after which there will be none


def fill(clients):
    """Until they stay full: what a peer's buffer has room for is acknowledged a little later."""
    while writable := select.select([], clients, [], FULL)[1]:
        for client in writable:
            with contextlib.suppress(BlockingIOError):
                client.send(bytes(1 << 16))


def linger(*clients):
    """Connections to a peer that does not read: the close of each waits for that."""
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, LONG))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        client.setblocking(False)
    fill(clients)


def lingering(n, keep):
    """N connections with something left to send, whose close waits for that. KEEP gets their peers."""
    server = socket.create_server(('127.0.0.1', 0), backlog=n)
    keep.append(server)
    clients = [socket.create_connection(server.getsockname()) for _ in range(n)]
    linger(*clients)
    return [client.detach() for client in clients]


def within_a_socket(fds):
    """A Unix socket with FDS in its queue, which are closed."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    socket.send_fds(left, [b'x'], fds)
    left.close()
    for fd in fds:
        os.close(fd)
    return right.detach()


def packet_sockets(n):
    """Each is closed after a while that all processors have to take part in."""
    return [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ETH_P_ALL).detach() for _ in range(n)]


def large_memfds(n, size):
    fds = []
    for _ in range(n):
        fds.append(os.memfd_create('large', os.MFD_CLOEXEC))
        os.posix_fallocate(fds[-1], 0, size)
    return fds


def queued_listener(n, keep):
    """A listener that nobody accepts from, with N connections waiting, whose ends KEEP gets."""
    listener = socket.create_server(('127.0.0.1', 0), backlog=4096)
    keep += [socket.create_connection(listener.getsockname()) for _ in range(n)]
    return listener.detach()


def dirty(filesystem, hide):
    """
    HIDE(fd) puts a file where no process has it open. It has been written to: whoever lets go of it last
    waits until FILESYSTEM (fuse.py, WRITEBACK_CACHE) has taken that. Returns what HIDE returned.
    """
    keep, sent = filesystem.open(), filesystem.open()
    hidden = hide(sent)
    os.close(sent)
    os.write(keep, b'dirty' * 1000)
    return keep, hidden


def lock(filesystem, sock):
    """
    Holds the kernel's lock of SOCK, in a thread: within a setsockopt() that reads memory of a file of
    FILESYSTEM, which does not answer. (No user may be changed any more: that waits for all threads.)
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, filesystem.open(), 0)
    program = struct.pack('HxxxxxxP', 1, address)
    threading.Thread(target=libc.setsockopt, daemon=True,
                     args=(sock.fileno(), socket.SOL_SOCKET, SO_ATTACH_FILTER, program,
                           len(program))).start()
