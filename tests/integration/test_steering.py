#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real packets through real rules: the cases of the kernel's own sk_lookup selftest, and more.

The tests of Common run twice, for TCP and for UDP.
"""

import os
import pathlib
import select
import socket

import harness
import rawbpf
from harness import REFUSED, BrokerTest

REUSEPORT = (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
V6ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
DUAL = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


class Common:
    """Mixed into a BrokerTest that sets `protocol`."""

    protocol = None
    labels = {
        'drops': 'WhenEmpty=drop\nListenStream=203.0.113.60:80\nListenDatagram=203.0.113.60:80\n'
                 'ListenStream=[2001:db8::60]:80\nListenDatagram=[2001:db8::60]:80\n',
        'passes': 'WhenEmpty=pass\nListenStream=203.0.113.61:80\nListenDatagram=203.0.113.61:80\n'
                  'ListenStream=[2001:db8::61]:80\nListenDatagram=[2001:db8::61]:80\n',
    }

    def serve(self, name, address='127.0.0.1', port=0, options=()):
        """A server NAME, registered under a label of that name."""
        sock = self.server(self.protocol, name, address, port, options)
        self.register(name, name)
        return sock

    def steer(self, label, prefix, ports):
        self.rule(label, self.protocol, prefix, ports)

    def assertReaches(self, name, address, port):
        self.assertEqual(self.reaches(self.protocol, address, port), name,
                         '%s %s port %d' % (self.protocol, address, port))

    # Redirection: another port, another address, another family.

    def test_redirect_port_ipv4(self):
        self.serve('a', '127.0.0.1', 8008)
        self.steer('a', '127.0.0.1', '7007')
        self.assertReaches('a', '127.0.0.1', 7007)
        self.assertReaches('a', '127.0.0.1', 8008)

    def test_redirect_address_ipv4(self):
        self.serve('a', '127.0.0.2', 7007)
        self.steer('a', '127.0.0.1', '7007')
        self.assertReaches('a', '127.0.0.1', 7007)

    def test_redirect_port_ipv6(self):
        self.serve('a', '2001:db8::1', 8008)
        self.steer('a', '2001:db8::1', '7007')
        self.assertReaches('a', '2001:db8::1', 7007)

    def test_redirect_address_ipv6(self):
        self.serve('a', '::1', 7007)
        self.steer('a', '2001:db8::1', '7007')
        self.assertReaches('a', '2001:db8::1', 7007)

    def test_ipv4_to_mapped_ipv6(self):
        self.serve('a', '::ffff:127.0.0.2', 8008, [DUAL])
        self.steer('a', '192.0.2.0/24', '7007')
        self.assertReaches('a', '192.0.2.1', 7007)

    def test_both_families_to_dual_stack(self):
        self.serve('a', '::', 8008, [DUAL])
        self.steer('a', '192.0.2.0/24', '7007')
        self.steer('a', '2001:db8:1::/48', '7007')
        self.assertReaches('a', '192.0.2.1', 7007)
        self.assertReaches('a', '2001:db8:1::1', 7007)

    def test_own_family_is_preferred_to_dual_stack(self):
        self.server(self.protocol, 'four', '127.0.0.1')
        self.server(self.protocol, 'dual', '::', 8008, [DUAL])
        self.register('a', 'four', 'dual')
        self.steer('a', '192.0.2.0/24', '80')
        for i in range(8):
            self.assertReaches('four', '192.0.2.%d' % i, 80)
        self.close('four')
        self.assertReaches('dual', '192.0.2.1', 80)

    def test_v6only_takes_no_ipv4(self):
        self.serve('a', '::', 8008, [V6ONLY])
        self.steer('a', '192.0.2.0/24', '80')
        self.steer('a', '2001:db8::/32', '80')
        self.assertReaches(REFUSED, '192.0.2.1', 80)
        self.assertReaches('a', '2001:db8::1', 80)

    def test_ipv6_bound_to_one_address_takes_no_ipv4(self):
        self.serve('a', '::1', 8008, [DUAL])  # bind() itself makes it IPv6 only
        self.steer('a', '192.0.2.0/24', '80')
        self.assertReaches(REFUSED, '192.0.2.1', 80)

    def test_families_do_not_match_each_other(self):
        self.serve('a', '::', 8008, [DUAL])
        self.steer('a', '0.0.0.0/0', '80')
        self.assertReaches('a', '192.0.2.1', 80)
        self.assertReaches(REFUSED, '2001:db8::1', 80)
        self.unrule('a', self.protocol, '0.0.0.0/0', '80')
        self.steer('a', '::/0', '80')
        self.assertReaches('a', '2001:db8::1', 80)
        self.assertReaches(REFUSED, '192.0.2.1', 80)

    def test_protocols_do_not_match_each_other(self):
        other = {'tcp': 'udp', 'udp': 'tcp'}[self.protocol]
        self.serve('a')
        self.rule('a', other, '192.0.2.0/24', '80')
        self.assertReaches(REFUSED, '192.0.2.1', 80)
        self.assertEqual(self.reaches(other, '192.0.2.1', 80), REFUSED)

    def test_any_protocol(self):
        self.tcp('stream')
        self.udp('datagram')
        self.register('a', 'stream', 'datagram')
        self.rule('a', 'any', '192.0.2.0/24', '80')
        self.assertEqual(self.tcp_reaches('192.0.2.1', 80), 'stream')
        self.assertEqual(self.udp_reaches('192.0.2.1', 80), 'datagram')

    # Which rule.

    def test_port_range_and_its_ends(self):
        self.serve('a')
        self.steer('a', '192.0.2.1', '8000-8999')
        for port in (8000, 8001, 8500, 8998, 8999):
            self.assertReaches('a', '192.0.2.1', port)
        for port in (7999, 9000):
            self.assertReaches(REFUSED, '192.0.2.1', port)

    def test_port_list(self):
        self.serve('a')
        self.steer('a', '192.0.2.1', '80,443,8000-8001')
        for port in (80, 443, 8000, 8001):
            self.assertReaches('a', '192.0.2.1', port)
        for port in (79, 81, 442, 444, 7999, 8002):
            self.assertReaches(REFUSED, '192.0.2.1', port)

    def test_any_port(self):
        self.serve('a')
        self.steer('a', '203.0.113.1', 'any')
        for port in (1, 22, 80, 32768, 65535):
            self.assertReaches('a', '203.0.113.1', port)
        self.assertReaches(REFUSED, '203.0.113.2', 80)

    def test_prefix_and_its_ends(self):
        self.serve('a')
        self.steer('a', '192.0.2.64/26', '80')
        for last in (64, 65, 127):
            self.assertReaches('a', '192.0.2.%d' % last, 80)
        for last in (0, 63, 128, 255):
            self.assertReaches(REFUSED, '192.0.2.%d' % last, 80)

    def test_longest_prefix_ipv4(self):
        for name, prefix in (('a', '0.0.0.0/0'), ('b', '192.0.0.0/9'), ('c', '192.0.2.0/24'),
                             ('d', '192.0.2.128/25'), ('e', '192.0.2.200/32')):
            self.serve(name)
            self.steer(name, prefix, '80')
        for name, address in (('a', '203.0.113.1'), ('c', '192.0.2.127'), ('d', '192.0.2.128'),
                              ('d', '192.0.2.201'), ('e', '192.0.2.200')):
            self.assertReaches(name, address, 80)
        self.unrule('c', self.protocol, '192.0.2.0/24', '80')
        self.assertReaches('b', '192.0.2.127', 80)

    def test_longest_prefix_ipv6(self):
        for name, prefix in (('a', '::/0'), ('b', '2001:db8::/32'), ('c', '2001:db8:1::/48'),
                             ('d', '2001:db8:1:2::/64'), ('e', '2001:db8:1:2::3/128'),
                             ('f', '2001:db8:1:2:8000::/65')):
            self.serve(name, '::1')
            self.steer(name, prefix, '80')
        for name, address in (('a', '::1'), ('b', '2001:db8:2::1'), ('c', '2001:db8:1:3::1'),
                              ('d', '2001:db8:1:2::4'), ('e', '2001:db8:1:2::3'),
                              ('f', '2001:db8:1:2:ffff::')):
            self.assertReaches(name, address, 80)

    def test_narrowest_range(self):
        for name, ports in (('a', 'any'), ('b', '1-65535'), ('c', '8000-8999'), ('d', '8080-8089'),
                            ('e', '8085')):
            self.serve(name)
            self.steer(name, '192.0.2.1', ports)
        for name, port in (('b', 80), ('b', 7999), ('c', 8000), ('c', 8079), ('d', 8080),
                           ('d', 8084), ('e', 8085), ('d', 8086), ('d', 8089), ('c', 8090),
                           ('c', 8999), ('b', 9000), ('b', 65535)):
            self.assertReaches(name, '192.0.2.1', port)

    def test_longest_prefix_beats_narrowest_range(self):
        self.serve('narrow')
        self.serve('long')
        self.steer('narrow', '192.0.2.0/24', '80')
        self.steer('long', '192.0.2.1', 'any')
        self.assertReaches('long', '192.0.2.1', 80)
        self.assertReaches('narrow', '192.0.2.2', 80)

    def test_falls_outward_when_no_port_matches(self):
        self.serve('inner')
        self.serve('middle')
        self.serve('outer')
        self.steer('inner', '192.0.2.1', '443')
        self.steer('middle', '192.0.2.0/25', '8080')
        self.steer('outer', '192.0.0.0/8', '80-65535')
        self.assertReaches('inner', '192.0.2.1', 443)
        self.assertReaches('middle', '192.0.2.1', 8080)
        self.assertReaches('outer', '192.0.2.1', 80)
        self.assertReaches('outer', '192.0.2.129', 8080)
        self.assertReaches(REFUSED, '192.0.2.1', 79)

    def test_no_rule_is_the_ordinary_lookup(self):
        self.serve('steered')
        self.steer('steered', '192.0.2.0/24', '80')
        self.server(self.protocol, 'ordinary', '192.0.2.1', 81)
        self.assertReaches('ordinary', '192.0.2.1', 81)
        self.assertReaches(REFUSED, '192.0.2.2', 81)

    def test_a_rule_beats_a_local_server(self):
        self.serve('steered')
        self.server(self.protocol, 'ordinary', '192.0.2.1', 80)
        self.assertReaches('ordinary', '192.0.2.1', 80)
        self.steer('steered', '192.0.2.0/24', '80')
        self.assertReaches('steered', '192.0.2.1', 80)
        self.unrule('steered', self.protocol, '192.0.2.0/24', '80')
        self.assertReaches('ordinary', '192.0.2.1', 80)

    # Groups.

    def test_spread_over_registered_sockets(self):
        for name in 'abcd':
            self.server(self.protocol, name)
        self.register('pool', *'abcd')
        self.steer('pool', '192.0.2.0/24', '80')
        met = {self.reaches(self.protocol, '192.0.2.%d' % i, 80) for i in range(64)}
        self.assertEqual(met, set('abcd'))

    def test_closed_socket_is_stepped_over(self):
        for name in 'abcd':
            self.server(self.protocol, name)
        self.register('pool', *'abcd')
        self.steer('pool', '192.0.2.0/24', '80')
        for name in 'dab':
            self.close(name)
            left = set(self.servers)
            met = {self.reaches(self.protocol, '192.0.2.%d' % i, 80) for i in range(48)}
            self.assertEqual(met, left)
        self.close('c')
        self.assertReaches(REFUSED, '192.0.2.1', 80)

    def test_replace_and_add(self):
        for name in 'abc':
            self.server(self.protocol, name)
        self.register('pool', 'a')
        self.steer('pool', '192.0.2.0/24', '80')
        self.assertReaches('a', '192.0.2.1', 80)
        self.register('pool', 'b', mode='replace')
        for i in range(16):
            self.assertReaches('b', '192.0.2.%d' % i, 80)
        self.register('pool', 'c', mode='add')
        met = {self.reaches(self.protocol, '192.0.2.%d' % i, 80) for i in range(32)}
        self.assertEqual(met, {'b', 'c'})

    def reuseport_pair(self, address='127.0.0.1'):
        first = self.server(self.protocol, 'a', address, 8008, [REUSEPORT])
        self.server(self.protocol, 'b', address, 8008, [REUSEPORT])
        self.register('pair', 'a', 'b')
        self.steer('pair', '2001:db8::/32' if ':' in address else '192.0.2.0/24', '80')
        return first

    def test_reuseport_without_selector(self):
        self.reuseport_pair()
        met = {self.reaches(self.protocol, '192.0.2.%d' % i, 80) for i in range(48)}
        self.assertEqual(met, {'a', 'b'})

    def test_reuseport_selector_ipv4(self):
        rawbpf.constant_selector(self.reuseport_pair(), 1)
        for i in range(24):
            self.assertReaches('b', '192.0.2.%d' % i, 80)

    def test_reuseport_selector_ipv6(self):
        rawbpf.constant_selector(self.reuseport_pair('2001:db8::1'), 1)
        for i in range(24):
            self.assertReaches('b', '2001:db8::%d' % i, 80)

    def test_reuseport_selector_that_drops(self):
        first = self.reuseport_pair()
        self.server(self.protocol, 'ordinary', '192.0.2.1', 80)
        program = rawbpf.reuseport_verdict(rawbpf.DROP)
        first.setsockopt(socket.SOL_SOCKET, rawbpf.SO_ATTACH_REUSEPORT_EBPF, program)
        os.close(program)
        self.assertReaches(REFUSED, '192.0.2.1', 80)

    # Labels without a socket.

    def test_drop_when_empty(self):
        for address in ('203.0.113.60', '2001:db8::60'):
            self.server(self.protocol, 'ordinary', address, 80)
            self.assertReaches(REFUSED, address, 80)
            self.close('ordinary')

    def test_drop_is_the_default(self):
        self.steer('fresh', '192.0.2.0/24', '80')
        self.server(self.protocol, 'ordinary', '192.0.2.1', 80)
        self.assertReaches(REFUSED, '192.0.2.1', 80)

    def test_pass_when_empty(self):
        for address in ('203.0.113.61', '2001:db8::61'):
            self.assertReaches(REFUSED, address, 80)
            self.server(self.protocol, 'ordinary', address, 80)
            self.assertReaches('ordinary', address, 80)
            self.close('ordinary')

    def test_when_empty_after_the_last_socket_closed(self):
        for label, address, expected in (('drops', '203.0.113.60', REFUSED),
                                         ('passes', '203.0.113.61', 'ordinary')):
            self.server(self.protocol, 'ordinary', address, 80)
            self.serve(label)
            self.assertReaches(label, address, 80)
            self.close(label)
            self.assertReaches(expected, address, 80)
            self.close('ordinary')

    def test_pass_does_not_fall_outward(self):
        self.serve('outer')
        self.steer('outer', '203.0.0.0/8', '80')
        self.server(self.protocol, 'ordinary', '203.0.113.61', 80)
        self.assertReaches('ordinary', '203.0.113.61', 80)

    # Next to other sk_lookup programs. They run in the order they were attached in.

    def other(self, program):
        link = rawbpf.attach(program)
        self.addCleanup(os.close, link)

    def redirected(self, name='theirs'):
        return rawbpf.redirect(self.server(self.protocol, name))

    def test_later_pass(self):
        self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        self.other(rawbpf.verdict(rawbpf.PASS))
        self.assertReaches('a', '192.0.2.1', 80)

    def test_later_drop(self):
        self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        self.server(self.protocol, 'ordinary', '198.51.100.1', 80)
        self.other(rawbpf.verdict(rawbpf.DROP))
        self.assertReaches('a', '192.0.2.1', 80)  # a selection beats any drop
        self.assertReaches(REFUSED, '198.51.100.1', 80)

    def test_later_redirect(self):
        self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        self.other(self.redirected())
        self.assertReaches('a', '192.0.2.1', 80)
        self.assertReaches('theirs', '198.51.100.1', 80)
        self.assertReaches('theirs', '203.0.113.60', 80)  # even our own drop

    def restart_behind(self, program):
        self.broker.stop()
        self.remove_pins()
        self.other(program)
        self.broker.start()

    def remove_pins(self):
        """The link goes with its last pin."""
        for directory, _, files in os.walk(self.broker.bpffs, topdown=False):
            for name in files:
                os.unlink(directory + '/' + name)

    def test_earlier_pass(self):
        self.restart_behind(rawbpf.verdict(rawbpf.PASS))
        self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        self.assertReaches('a', '192.0.2.1', 80)

    def test_earlier_drop(self):
        self.restart_behind(rawbpf.verdict(rawbpf.DROP))
        self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        self.assertReaches('a', '192.0.2.1', 80)

    def test_earlier_redirect_is_respected_and_counted(self):
        self.restart_behind(self.redirected())
        self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        self.assertReaches('theirs', '192.0.2.1', 80)
        self.assertEqual(self.group('a', self.protocol)['respected'], '1')
        self.assertReaches('theirs', '203.0.113.60', 80)  # not even for an empty label

    def test_status_names_other_programs(self):
        self.other(rawbpf.verdict(rawbpf.PASS))
        programs = self.ask('status').records('program')
        self.assertIn('other', [p['name'] for p in programs])

    # Counters.

    def test_counters(self):
        self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        for i in range(5):
            self.assertReaches('a', '192.0.2.%d' % i, 80)
        self.assertReaches(REFUSED, '192.0.2.1', 81)
        group = self.group('a', self.protocol)
        self.assertEqual((group['lookups'], group['misses']), ('5', '0'))
        self.close('a')
        self.assertReaches(REFUSED, '192.0.2.1', 80)
        group = self.group('a', self.protocol)
        self.assertEqual((group['lookups'], group['misses']), ('6', '1'))
        self.assertGreaterEqual(int(group['dead_slots']), 1)


class Tcp(Common, BrokerTest):
    protocol = 'tcp'

    def test_established_is_untouched(self):
        self.serve('a')
        self.serve('b')
        self.steer('a', '192.0.2.0/24', '80')
        client, server, name = self.dial('192.0.2.1', 80)
        self.assertEqual(name, 'a')
        self.assertEcho(client, server)
        self.ask('bind', LABEL='b', PROTOCOL='tcp', PREFIX='192.0.2.0/24', PORTS='80', MOVE='yes')
        self.assertReaches('b', '192.0.2.1', 80)
        self.assertEcho(client, server)
        self.unrule('b', 'tcp', '192.0.2.0/24', '80')
        self.assertReaches(REFUSED, '192.0.2.1', 80)
        self.assertEcho(client, server)

    def test_established_outlives_its_listeners_slot(self):
        self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        client, server, _ = self.dial('192.0.2.1', 80)
        self.tcp('b')
        self.register('a', 'b')
        self.assertReaches('b', '192.0.2.1', 80)
        self.assertEcho(client, server)
        self.ask('unregister', LABEL='a')
        self.assertReaches(REFUSED, '192.0.2.1', 80)
        self.assertEcho(client, server)
        self.close('a')
        self.assertEcho(client, server)

    def test_waiting_connections_stay_with_their_listener(self):
        listener = self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        client = self.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.connect(('192.0.2.1', 80))
        self.tcp('b')
        self.register('a', 'b')
        server = listener.accept()[0]
        self.addCleanup(server.close)
        self.assertEcho(client, server)

    def test_listener_that_stops_and_listens_again(self):
        listener = self.serve('a')
        self.steer('a', '192.0.2.0/24', '80')
        listener.shutdown(socket.SHUT_RDWR)
        self.assertReaches(REFUSED, '192.0.2.1', 80)
        self.assertGreaterEqual(int(self.group('a')['err_state']), 1)
        listener.listen(8)
        self.assertReaches('a', '192.0.2.1', 80)

    def test_syn_cookies(self):
        """The program runs for the SYN and again for the ACK: it has to choose alike."""
        setting = pathlib.Path('/proc/sys/net/ipv4/tcp_syncookies')  # of this network namespace
        self.addCleanup(setting.write_text, setting.read_text('ascii'), 'ascii')
        setting.write_text('2', 'ascii')
        for name in 'abcd':
            self.tcp(name)
        self.register('pool', *'abcd')
        self.steer('pool', '192.0.2.0/24', '80')
        met = {self.tcp_reaches('192.0.2.%d' % i, 80) for i in range(64)}
        self.assertEqual(met, set('abcd'))
        self.assertGreaterEqual(int(self.group('pool')['lookups']), 2 * 64)

    def test_shut_down_socket_is_stepped_over(self):
        first = self.tcp('a')
        self.tcp('b')
        self.register('pool', 'a', 'b')
        self.steer('pool', '192.0.2.0/24', '80')
        first.shutdown(socket.SHUT_RDWR)
        self.servers.pop('a')
        for i in range(24):
            self.assertReaches('b', '192.0.2.%d' % i, 80)


class Udp(Common, BrokerTest):
    protocol = 'udp'

    def test_connected_socket_is_untouched(self):
        self.serve('a')
        server = self.udp('session', '192.0.2.1', 53)
        client = self.udp_client('192.0.2.1', 53)
        server.connect(client.getsockname())
        self.steer('a', '192.0.2.0/24', '53')
        client.send(b'x')
        self.assertEqual(server.recv(8), b'x')
        server.send(b'y')
        self.assertEqual(client.recv(8), b'y')
        self.assertReaches('a', '192.0.2.1', 53)  # another client is not part of the session
        self.unrule('a', 'udp', '192.0.2.0/24', '53')
        client.send(b'z')
        self.assertEqual(server.recv(8), b'z')

    def test_client_sees_answers_from_the_address_it_asked(self):
        server = self.serve('a', '0.0.0.0', 9000)
        self.steer('a', '192.0.2.0/24', '53')
        client = self.bound(socket.SOCK_DGRAM, '127.0.0.1', 0)
        client.sendto(b'q', ('192.0.2.7', 53))
        _, peer = server.recvfrom(8)
        self.udp_answer(server, '192.0.2.7', 53, peer)
        self.assertEqual(client.recvfrom(16), (b'answer', ('192.0.2.7', 53)))

    def test_reply_socket_steals_nothing(self):
        self.serve('a')
        self.steer('a', '192.0.2.0/24', '53')
        reply = self.bound(socket.SOCK_DGRAM, '192.0.2.7', 53)
        self.assertReaches('a', '192.0.2.7', 53)
        self.assertEqual(select.select([reply], [], [], 0)[0], [])

    def test_reuseport_with_connected_member(self):
        first = self.reuseport_pair()
        third = self.bound(socket.SOCK_DGRAM, '127.0.0.1', 8008, [REUSEPORT])
        third.connect(third.getsockname())
        for i in range(24):
            self.assertIn(self.udp_reaches('192.0.2.%d' % i, 80), ('a', 'b'))
        rawbpf.constant_selector(first, 1)
        for i in range(24):
            self.assertReaches('b', '192.0.2.%d' % i, 80)

    def test_socket_that_connects_is_stepped_over(self):
        first = self.serve('a')
        self.steer('a', '192.0.2.0/24', '53')
        self.udp('b')
        self.register('a', 'b', mode='add')
        first.connect(('127.0.0.1', 9))
        for i in range(24):
            self.assertReaches('b', '192.0.2.%d' % i, 53)


if __name__ == '__main__':
    harness.main()
