# SPDX-License-Identifier: GPL-2.0
"""Checksums left to compute: bounds, starts within headers, and sums over too many bytes."""

import contextlib
import os
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, IPv6
from scapy.layers.l2 import Ether

from testing.hostile.target import GUE_PORT, HOST_MAC, PEER_MAC, outstanding, target
from testing.lib import netlink as nl
from testing.lib.checksum import add_up, fold
from testing.lib.hosts import Capture, add_nopartial, run, wait_until

PORT = 6080
ECHO = bytes.fromhex("4500001c00014000400124dc0a0101010a0101020800e5ca12340001")
SOL_PACKET, PACKET_VNET_HDR = 263, 15
# The SYN of gue-reference's vector 7 without its checksum, which is dd4c.
UNFINISHED = bytes.fromhex(
    "4500002800024000400624ca0a0101010a0101029c400050000000010000000050022000161f0000"
)
REMCSUM = bytes.fromhex("020400018000000000140024")


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("port", ["partial", "nopartial"])
def test_remote_checksum_bounds(hosts, port):
    h1, h2 = hosts
    if port == "partial":
        h2.ip("fou", "add", "port", PORT, "gue")
    else:
        add_nopartial(h2, PORT)
    h2.batch(
        "link add tun1 type ipip local 192.0.2.2 remote 192.0.2.1",
        "link set tun1 up",
    )
    length = len(ECHO)
    raw = h1.packet_socket("eth0")
    link = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0")) / IP(src="192.0.2.1", dst="192.0.2.2")
    for start, offset, taken in (
        (0, length - 2, True),
        (0, length - 1, False),
        (0, length, False),
        (length - 2, length - 2, True),
        (length - 1, length - 1, False),
        (20, 19, False),
        (20, 20, True),
        (0, 0xFFFF, False),
        (0xFFFF, 0xFFFF, False),
        (0xFFFE, 0xFFFE, False),
    ):
        header = struct.pack("!IIHH", 0x02040001, 0x80000000, start, offset)
        with Capture(h2, "tun1") as tunnel:
            raw.send(bytes(link / UDP(sport=1, dport=PORT) / header / ECHO))
            seen = tunnel.frames(lambda f: len(f) == length, timeout=2 if taken else 0.2)
        assert bool(seen) == taken, f"start {start}, offset {offset}"
    raw.close()


def nested_in_udp(source, start, wrong):
    """Returns GUE with a remote checksum over an IP packet with FOU.

    The field of the remote checksum is at the end. Its seed makes the inner UDP checksum right or
    wrong once the remote checksum is computed.
    """
    innermost = IP(src="10.9.9.1", dst="10.9.9.2", proto=253) / (bytes([wrong]) * 120)
    # Not 0, which would mean that UDP has no checksum.
    udp = UDP(sport=7, dport=5555, chksum=0x1234) / innermost / bytes(2)
    inner = bytearray(bytes(IP(src=source, dst="10.1.1.2") / udp))
    pseudo = add_up(inner[12:20]) + 17 + len(inner) - 20
    total = pseudo + add_up(inner[:start]) + wrong
    inner[-2:] = (total % 0xFFFF).to_bytes(2, "big")
    header = struct.pack("!IIHH", 0x02040001, 0x80000000, start, len(inner) - 2)
    return UDP(sport=1, dport=PORT) / header / bytes(inner)


def test_checksum_of_an_inner_tunnel_is_verified(hosts):
    """A remote checksum starts in a header that the stack pulls next.

    Linux's fou leaves such a checksum to compute. The stack overwrites `csum_start`, and accepts
    the inner tunnel's checksum without verifying it.
    """
    h1, h2 = hosts
    h2.ip("fou", "add", "port", PORT, "gue")
    h2.ip("fou", "add", "port", 5555, "ipproto", 4)
    h2.batch(
        "link add tun1 type ipip local 192.0.2.2 remote 192.0.2.1",
        "addr add 10.1.1.2/16 dev tun1",
        "link set tun1 up",
    )
    sources = [f"10.1.{number}.{255 - number}" for number in range(2, 250, 31)]
    for number, source in enumerate(sources):
        h2.batch(
            f"link add in{number} type ipip local 10.1.1.2 remote {source}",
            f"link set in{number} up",
        )
    raw = h1.packet_socket("eth0")
    link = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0")) / IP(src="192.0.2.1", dst="192.0.2.2")
    with contextlib.ExitStack() as stack:
        # Opened once, because each close waits for an RCU grace period.
        captures = [stack.enter_context(Capture(h2, f"in{n}")) for n in range(len(sources))]
        for start in (0, 8, 20, 28, 44, 60):
            for source, tunnel in zip(sources, captures, strict=True):
                failed = h2.snmp("UdpInCsumErrors")
                raw.send(bytes(link / nested_in_udp(source, start, 1)))
                raw.send(bytes(link / nested_in_udp(source, start, 0)))
                [seen] = tunnel.frames(lambda f: f[9] == 253)
                what = f"start {start}, from {source}"
                assert seen[20] == 0, f"{what}: the packet with a wrong checksum came too"
                assert h2.snmp("UdpInCsumErrors") == failed + 1, what
    raw.close()


def test_overwritten_checksum_start_is_not_used(hosts):
    """A packet socket sets `csum_start` within the outer IP header. The stack overwrites it."""
    h1, h2 = hosts
    run("modprobe", "vxlan")
    h2.ip("fou", "add", "port", PORT, "ipproto", 4)
    h2.batch(
        "link add vx0 type vxlan id 1 dstport 4789 local 192.0.2.2",
        "link set vx0 up",
        "addr add 10.1.1.2/24 dev vx0",
        "link add tun1 type ipip local 192.0.2.2 remote 192.0.2.1"
        f" encap fou encap-dport {PORT} encap-csum",
        "link set tun1 up",
        "route add 10.9.0.0/16 dev tun1",
    )
    h2.sysctl("net.ipv4.ip_forward", 1)
    inner = Ether(src="02:00:00:00:00:07", dst=h2.mac("vx0"))
    inner = inner / IP(src="10.1.1.7", dst="10.9.9.2", proto=253) / bytes(200)
    link = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0")) / IP(src="192.0.2.1", dst="192.0.2.2")
    vxlan = bytes(link / UDP(sport=1, dport=4789) / bytes.fromhex("0800000000000100") / inner)
    fou = bytes(link / UDP(sport=1, dport=PORT) / IP(src="10.9.9.1", dst="10.9.9.2") / bytes(200))
    with h1.inside():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sender.bind(("eth0", 0))
    with Capture(h1, "eth0") as wire, Capture(h2, "tun1") as tunnel:
        for port in range(1000, 1050):
            for frame in (vxlan, fou):
                lost = struct.pack("<BBHHHH", 1, 0, 0, 0, 24, 8)
                sender.send(lost + frame[:34] + struct.pack("!H", port) + frame[36:])

        def forwarded(frame):
            return frame[6:12] == vxlan[:6] and frame[23] == 17 and frame[36:38] == b"\x17\xc0"

        def received(packet):
            return packet[12:20] == fou[42:][12:20]

        # No packet was sent or delivered with a checksum from an overwritten start.
        assert not wire.frames(forwarded, timeout=0.3)
        assert not tunnel.frames(received, timeout=0.3)
        # Without the checksum start, both packets arrive.
        for frame in (vxlan, fou):
            sender.send(bytes(10) + frame)
        assert wire.frames(forwarded)
        assert tunnel.frames(received)
    sender.close()


@pytest.mark.rfou_only
@pytest.mark.parametrize("version", [pytest.param(4, marks=pytest.mark.soak_on_debug), 6])
def test_checksum_beyond_the_udp_length_is_not_trusted(version):
    """The IP length is greater than the UDP length, and the checksum covers the IP length.

    If rfou trusted the checksum that GRO has verified, the core would log "hw csum failure".
    """
    if version == 4:
        outer = IP(src="192.0.2.2", dst="192.0.2.1", proto=17)
        message, port = bytes(ICMP(type=0) / bytes(range(47))), 5557
    else:
        outer = IPv6(src="2001:db8::2", dst="2001:db8::1", nh=17)
        message = bytes(outer / ICMPv6EchoReply(data=bytes(range(47))))[40:]
        port = 5558
    beyond = b"\0"
    # The checksum is right if UDP's length includes the bytes beyond.
    datagram = bytearray(bytes(outer / UDP(sport=40000, dport=port) / message / beyond))
    at = len(outer) + 4
    length = int.from_bytes(datagram[at : at + 2], "big") - len(beyond)
    datagram[at : at + 2] = length.to_bytes(2, "big")
    # Corrects the checksum for the changed length field, but not for the pseudo header's length.
    total = int.from_bytes(datagram[at + 2 : at + 4], "big") + len(beyond)
    datagram[at + 2 : at + 4] = fold(total).to_bytes(2, "big")
    with target("gro") as (host, tap), host.packet_socket("tap0"):

        def taken_in():
            icmp = "Icmp" if version == 4 else "Icmp6"
            return host.snmp(f"{icmp}InMsgs"), host.snmp(f"{icmp}InCsumErrors")

        before, wrong = taken_in()
        ethertype = 0x0800 if version == 4 else 0x86DD
        frame = bytes(Ether(src=PEER_MAC, dst=HOST_MAC, type=ethertype)) + datagram
        os.writev(tap, [bytes(10), bytes(frame)])
        wait_until(lambda: taken_in() == (before + 1, wrong), "ICMP receives the message", 5)
    assert "hw csum failure" not in run("dmesg").stdout


@pytest.mark.parametrize(
    ("device", "port", "front"),
    [
        pytest.param("tun4", GUE_PORT, b"", marks=pytest.mark.soak_on_debug),
        ("eth4", 5553, bytes(Ether(src=HOST_MAC, dst=PEER_MAC, type=0x0800))),
    ],
    ids=["with remcsum", "without"],
)
def test_checksum_start_anywhere_is_sent_or_refused(device, port, front):
    """A packet socket sets any checksum start: the tunnel sends right checksums, or refuses."""
    packet = front + UNFINISHED + bytes(100)
    sent = 0
    with target("transmit") as (host, _), contextlib.ExitStack() as stack:
        wire = stack.enter_context(Capture(host, "tap0"))
        with host.inside():
            sender = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
        sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sender.bind((device, 0))
        for start in (*range(0, 44), 60, 139, 140, 141, 0xFFFF):
            for field in (0, 1, 6, 16, 100, 0xFFFF):
                virtio = struct.pack("<BBHHHH", 1, 0, 0, 0, start, field)
                try:
                    sender.send(virtio + packet)
                except OSError as error:
                    assert error.errno in (22, 105), str(error)
        sender.send(struct.pack("<BBHHHH", 1, 0, 0, 0, len(front) + 20, 16) + packet)
        wait_until(lambda: outstanding(sender) == 0, "every packet is freed", 5)
        for frame in wire.frames(lambda f: f[36:38] == nl.be16(port), 10000, timeout=0):
            sent += 1
            addresses, datagram = frame[26:34], frame[34:]
            assert int.from_bytes(datagram[4:6], "big") == len(datagram)
            total = add_up(addresses + datagram) + 17 + len(datagram)
            assert total % 0xFFFF == 0, "the outer checksum is wrong"
            gue = datagram[8:]
            if port == GUE_PORT and gue[0] == 2:
                start, field = struct.unpack_from("!HH", gue, 8)
                assert start <= field <= len(gue) - 12 - 2
    assert sent > 30
