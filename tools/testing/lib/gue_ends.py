# SPDX-License-Identifier: GPL-2.0
"""A device of kind gue, and the wire's other end, where a test sends and captures bytes."""

import socket

from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether

from testing.lib.gue_keys import GueKeys
from testing.lib.gue_link import GueLinks
from testing.lib.gue_values import PORT, Outer
from testing.lib.hosts import Capture, is_udp_to

ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
ETHER_TYPE = {4: 0x0800, 6: 0x86DD}


class Ends:
    """A device in the second host, and a packet socket on the wire in the first."""

    def __init__(self, hosts, outer):
        self.h1, self.h2 = hosts
        self.outer = outer
        self.links, self.keys = GueLinks(self.h2), GueKeys(self.h2)
        self.wire = self.h1.packet_socket("eth0", 0)
        self.ether = Ether(src=self.h1.mac("eth0"), dst=self.h2.mac("eth0"))
        self.there, self.here = ENDS[outer]

    def add(self, key=b"", key_id=1, **options):
        """Makes the device, with a key."""
        self.links.add("gue0", remote=self.there, up=True, **options)
        self.h2.sysctl("net.ipv6.conf.gue0.disable_ipv6", 1)
        if key:
            self.keys.set("gue0", key_id, key)

    def send(self, data, outer, udp_checksum=True):
        """Sends a UDP payload to the second host."""
        self.wire.send(bytes(self.ether / outer.packet(data, udp_checksum)))

    def come_out(self, data, outer, count=1, timeout=2.0, **how):
        """Sends a UDP payload; returns what comes out of the device."""
        with Capture(self.h2, "gue0") as capture:
            self.send(data, outer, **how)
            return capture.frames(lambda _: True, count, timeout)

    def encapsulated(self, packet, version):
        """Sends a packet into the device; returns the outer values and the UDP payload."""
        with self.h2.inside():
            into = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with into, Capture(self.h1, "eth0") as capture:
            into.bind(("gue0", ETHER_TYPE[version]))
            into.send(packet)
            [frame] = capture.frames(lambda frame: is_udp_to(frame, PORT))
        ip = Ether(frame).payload
        udp = ip.payload
        assert isinstance(udp, UDP)
        return Outer(ip.src, ip.dst, udp.sport, udp.dport), bytes(udp.payload)

    def close(self):
        """Closes the sockets."""
        self.links.close()
        self.keys.close()
        self.wire.close()
