#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small web server that says which address and port were dialled."""

import http.server
import socket


class Handler(http.server.BaseHTTPRequestHandler):
    def version_string(self):
        return 'every-port'

    def do_GET(self):
        body = b'You dialled %s port %d.' % (self.connection.getsockname()[0].encode(),
                                             self.connection.getsockname()[1])
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.3', 9000), Handler)
broker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
broker.connect('/run/sockbroker/sockbroker.sock')
socket.send_fds(broker, [b'every-port#'], [server.fileno()])
answer = broker.recv(4096)
assert answer == b'OK', answer
server.serve_forever()
