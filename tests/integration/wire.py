# SPDX-License-Identifier: LGPL-2.1-or-later
"""The client side of docs/PROTOCOL.md, written anew so that the tests share no code with the broker."""

import fcntl
import os
import socket
import struct
import stat

PACKET_MAX = 4096
FDS_MAX = 253
TIMEOUT = 10

F_ADD_SEALS = 1033
SEALS = 0x1 | 0x2 | 0x4 | 0x8  # seal, shrink, grow, write


def sealed_memfd(data):
    fd = os.memfd_create('test', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, F_ADD_SEALS, SEALS)
    return fd


class Reply:
    """fields: key -> the values it came with. fds that are sockets are kept as `sockets`, the
    caller's; others are tables: they are read and closed."""

    def __init__(self, packet, fds):
        self.packet = packet
        self.fields = {}
        for line in packet.decode().splitlines():
            key, _, value = line.partition('=')
            self.fields.setdefault(key, []).append(value)
        self.table = b''
        self.sockets = []
        for fd in fds:
            status = os.fstat(fd)
            if stat.S_ISSOCK(status.st_mode):
                self.sockets.append(socket.socket(fileno=fd))
                continue
            self.table += os.pread(fd, status.st_size, 0)
            os.close(fd)

    def __repr__(self):
        return repr(self.packet.decode())

    def get(self, key):
        return self.fields.get(key, [None])[0]

    @property
    def ok(self):
        return self.get('OK') == '1'

    @property
    def error(self):
        return self.get('ERROR')

    @property
    def message(self):
        return self.get('MESSAGE') or ''

    @property
    def warnings(self):
        return self.fields.get('WARNING', [])

    def records(self, kind=None):
        """The table's records as dicts, `type` among the keys."""
        found = []
        for line in self.table.decode().splitlines():
            name, *pairs = line.split('\t')
            record = {'type': name}
            for pair in pairs:
                key, _, value = pair.partition('=')
                record[key] = _unescape(value)
            if kind in (None, name):
                found.append(record)
        return found


def _unescape(text):
    if '\\' not in text:
        return text
    return text.encode('latin-1', 'backslashreplace').decode('unicode_escape')


class Client:
    """One connection. A context manager; .socket is there for tests that misbehave."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        # poll() cannot wait for a place in the queue of a Unix socket
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', TIMEOUT, 0))
        try:
            self.socket.connect(path)
            self.socket.settimeout(TIMEOUT)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, packet, fds=()):
        if isinstance(packet, str):
            packet = packet.encode()
        fds = [f if isinstance(f, int) else f.fileno() for f in fds]
        socket.send_fds(self.socket, [packet], fds)

    def receive(self):
        """(packet, fds); an empty packet is the end."""
        packet, fds, flags, _ = socket.recv_fds(
            self.socket, PACKET_MAX + 1, FDS_MAX, socket.MSG_CMSG_CLOEXEC)
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), 'reply was cut'
        return packet, list(fds)

    def short(self, label, sockets):
        self.send(label + '#', sockets)
        packet, fds = self.receive()
        assert not fds
        return packet.decode()

    def ask(self, request, *pairs, fds=(), **fields):
        """ask('bind', LABEL='x', ...): pairs come first, for keys whose order or number matters."""
        lines = ['REQUEST=' + request]
        lines += ['%s=%s' % pair for pair in pairs]
        lines += ['%s=%s' % pair for pair in fields.items()]
        self.send('\n'.join(lines) + '\n', fds)
        packet, received = self.receive()
        assert packet, 'the broker closed the connection'
        return Reply(packet, received)
