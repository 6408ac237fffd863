# SPDX-License-Identifier: GPL-2.0
"""Headers in headers: GRO, receive, ICMP errors and transmit do not recurse without bound."""

import os
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether

from testing.hostile.target import GUE_PORT, HOST_MAC, PEER_MAC, target
from testing.lib.hosts import Capture

PORT = 6080
ECHO = bytes.fromhex("4500001c00014000400124dc0a0101010a0101020800e5ca12340001")
FOU_UDP = 5554


def through(depth, kind, packet):
    """Returns a packet within `depth` headers of UDP and FOU or GUE."""
    for level in range(depth):
        inner = 4 if level == 0 else 17
        head, port = bytes((0, inner, 0, 0)), GUE_PORT
        if kind == "FOU" and level > 0:
            head, port = b"", FOU_UDP
        packet = struct.pack("!HHHH", 1, port, 8 + len(head) + len(packet), 0) + head + packet
    return packet


@pytest.mark.parametrize("kind", ["FOU", "GUE"])
def test_gro_merges_through_one_header_only(kind):
    """rfou passes an inner packet to GRO only through one header of its own.

    Linux's GRO recursed without bound (CVE-2016-7039, CVE-2016-8666); it now allows 15 callbacks.
    """
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1", proto=17)
    with target("gro") as (host, tap), Capture(host, "tap0") as capture:
        for depth, merged in ((1, True), (2, False), (10, False), (40, False)):
            sent = []
            for number in range(8):
                inner = IP(src="10.0.9.2", dst="10.0.0.1", id=number)
                inner = inner / TCP(sport=depth, dport=5, seq=1 + 300 * number, flags="A")
                packet = bytes(inner / (b"x" * 300))
                sent.append(bytes(outer / through(depth, kind, packet)))
            for frame in sent:
                os.writev(tap, [bytes(10), frame])
            # Without the frames that the host itself sends.
            link, before, left = sent[0][:12], len(sent[0]) - 300, 8 * 300
            seen = []
            while left > 0:
                frames = capture.frames(lambda f, link=link: f[:12] == link)
                assert frames, f"{depth} headers: {left} bytes are missing"
                seen += frames
                left -= sum(len(f) - before for f in frames)
            assert left == 0
            if merged:
                assert len(seen) < len(sent), f"{depth} headers: {len(seen)} packets"
            else:
                assert seen == sent, f"{depth} headers: {len(seen)} packets"


def nested(depth, protocol=17):
    """Returns an echo request within `depth` headers of UDP and GUE."""
    packet = ECHO
    for level in range(depth):
        inner = 4 if level == 0 else protocol
        packet = (
            struct.pack("!HHHH", 1, PORT, 12 + len(packet), 0) + bytes((0, inner, 0, 0)) + packet
        )
    return packet


@pytest.mark.parametrize(
    "protocol",
    [
        pytest.param(17, id="UDP"),
        pytest.param(136, id="UDP-Lite", marks=pytest.mark.soak_on_debug),
    ],
)
@pytest.mark.parametrize("version", [4, 6])
def test_icmp_error_about_nested_gue_does_not_recurse(hosts, version, protocol):
    """Linux's error handlers called themselves for UDP in GUE (2019, syzbot), then for UDP-Lite."""
    h1, h2 = hosts
    for family in ("-4", "-6"):
        h1.ip(family, "fou", "add", "port", PORT, "gue")
    raw = h2.packet_socket("eth0")
    link = Ether(src=h2.mac("eth0"), dst=h1.mac("eth0"))
    for depth in (1, 2, 3, 8, 40, 100):
        quoted = nested(depth, protocol)
        if version == 4:
            about = IP(src="192.0.2.1", dst="192.0.2.2", proto=17) / quoted
            error = IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, code=4, nexthopmtu=1300)
        else:
            about = IPv6(src="2001:db8::1", dst="2001:db8::2", nh=17) / quoted
            error = IPv6(src="2001:db8::2", dst="2001:db8::1")
            error = error / ICMPv6DestUnreach(type=2, unused=1300)
        for _ in range(5):
            raw.send(bytes(link / error / bytes(about)[:1200]))
    raw.close()
    h2.run("ping", "-n", "-c", 1, "-W", 5, "192.0.2.1")


def test_tunnel_routed_into_itself(hosts):
    """The outer packet's route leads into the tunnel: transmit ends the recursion."""
    h1 = hosts[0]
    h1.batch(
        f"link add tun1 type ipip local 192.0.2.1 remote 203.0.113.9 encap gue encap-dport {PORT}",
        "addr add 10.1.1.1/24 dev tun1",
        "link set tun1 up",
        "route add 203.0.113.9/32 dev tun1",
    )
    with h1.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(50):
        # The tunnel may refuse or drop the packet.
        try:
            sender.sendto(bytes(100), ("10.1.1.2", 9))
        except OSError as error:
            assert error.errno in (40, 105, 113, 101), str(error)
    sender.close()
    stats = h1.traffic("tun1")["tx"]
    assert stats["errors"] + stats["dropped"] + stats["collisions"] > 0, (
        "the tunnel has not seen the loop"
    )
    h1.run("ping", "-n", "-c", 1, "-W", 5, "192.0.2.2")


def test_nested_headers_pass_gro_and_receive(hosts):
    """40 headers of GUE within each other, with and without IP headers between them."""
    h1, h2 = hosts
    h2.batch(
        f"fou add port {PORT} gue",
        "link add tun1 type ipip local 192.0.2.2 remote 192.0.2.1",
        "link set tun1 up",
    )
    # With TSO, veth would pass packets on without GRO.
    h1.run("ethtool", "-K", "eth0", "tso", "off")
    h2.run("ethtool", "-K", "eth0", "gro", "on")
    link = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0"))
    outer = IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=49155, dport=PORT)
    nested = ECHO
    packet = ECHO
    for _ in range(40):
        packet = bytes((0, 17, 0, 0)) + bytes(UDP(sport=1, dport=PORT, chksum=0) / packet)
        nested = bytes((0, 4, 0, 0)) + bytes(
            IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=PORT, chksum=0) / nested
        )
    raw = h1.packet_socket("eth0")
    for _ in range(3):
        raw.send(bytes(link / outer / packet))
        raw.send(bytes(link / outer / nested[:1472]))
    raw.close()
    h1.run("ping", "-n", "-c", 1, "-W", 2, "192.0.2.2")
