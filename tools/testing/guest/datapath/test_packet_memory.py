# SPDX-License-Identifier: GPL-2.0
"""A packet's memory: reallocated heads, page fragments, pointers that other layers keep, leaks."""

import contextlib
import errno
import os
import pathlib
import random
import socket
import struct

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import HBHOptUnknown, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Ether

from testing.hostile.target import GUE_PORT, HOST_MAC, NOPARTIAL_PORT, PEER_MAC, target
from testing.lib import netlink as nl
from testing.lib.checksum import seed
from testing.lib.hosts import Capture, wait_until
from testing.lib.netlink import Fou

# A GUE header with the remote checksum of a TCP header after IPv4.
REMCSUM = bytes.fromhex("020400018000000000140024")
# The SYN of gue-reference's vector 7 without its checksum, which is dd4c, and with it.
UNFINISHED = bytes.fromhex(
    "4500002800024000400624ca0a0101010a0101029c400050000000010000000050022000161f0000"
)
FINISHED = UNFINISHED[:36] + b"\xdd\x4c" + UNFINISHED[38:]


# Linux's fou crashes the kernel.
@pytest.mark.rfou_only
@pytest.mark.parametrize("kind", ["ipip", "gre"])
def test_headers_that_do_not_fit_the_headroom(hosts, kind):
    """A packet from a device that leaves little headroom goes out by a tunnel.

    The tunnel device keeps a pointer to the IP header, and reads it after rfou's push.

      h1 eth0 -- UDP to 7777 --> h2 eth0: tc redirects to tun1 -- GUE --> h1 eth0, tun1
    """
    h1, h2 = hosts
    h2.batch(
        f"link add tun1 type {kind} local 192.0.2.2 remote 192.0.2.1 encap gue encap-sport auto"
        f" encap-dport {GUE_PORT} encap-csum encap-remcsum",
        "link set tun1 up",
    )
    h1.batch(
        f"fou add port {GUE_PORT} gue",
        f"link add tun1 type {kind} local 192.0.2.1 remote 192.0.2.2",
        "link set tun1 up",
    )
    h2.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    what = "protocol ip u32 match ip protocol 17 0xff match ip dport 7777 0xffff"
    then = "action mirred egress redirect dev tun1"
    h2.run("tc", "filter", "add", "dev", "eth0", "ingress", *what.split(), *then.split())
    with h1.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x28)
    with Capture(h1, "tun1") as capture, sender:
        payloads = [b"packet %d" % number + bytes(100) for number in range(100)]
        for payload in payloads:
            sender.sendto(payload, ("192.0.2.2", 7777))
        seen = capture.frames(lambda frame: b"packet" in frame, len(payloads))
    # In any order, because several CPUs may handle them.
    assert sorted(frame[frame.index(b"packet") :] for frame in seen) == sorted(payloads)


def test_segments_that_gro_merged_are_unchanged():
    """GRO writes the remote checksum while it holds a packet, and pulls the headers."""
    payloads = [random.Random(number).randbytes(300) for number in range(8)]
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    frames, sequence = [], 7
    for number, payload in enumerate(payloads):
        inner = IP(src="10.9.9.9", dst="10.0.0.1", id=number, flags="DF")
        flags = "PA" if number == len(payloads) - 1 else "A"
        inner = inner / TCP(sport=1000, dport=5, seq=sequence, ack=1, flags=flags) / payload
        packet = bytearray(bytes(inner))
        packet[36:38] = seed(packet)
        udp = UDP(sport=40000, dport=NOPARTIAL_PORT)
        frames.append(bytes(outer / udp / REMCSUM / bytes(packet)))
        sequence += len(payload)
    with target("gro") as (host, tap), Capture(host, "tun4") as capture:
        for frame in frames:
            os.writev(tap, [bytes(10), frame])
        seen = capture.frames(lambda frame: b"\x03\xe8\x00\x05" in frame, len(frames), timeout=2)
    assert len(seen) < len(frames), "no packet was merged"
    assert b"".join(frame[40:] for frame in seen) == b"".join(payloads)


def test_tcp_directly_after_the_header_is_not_merged():
    """Without an IP header between, TCP's GRO would read a held packet's UDP header as TCP's.

    GRO would find these two packets to be of one flow. It would write a checksum to a wrong place,
    over addresses at an offset that was never set.
    """
    length = 300
    # GRO would read as the TCP header of the first: the UDP header, the GUE header, TCP's ports.
    sport, window = 0x5010, GUE_PORT
    sequence = (8 + 4 + 20 + length << 16) + length
    link = Ether(src=PEER_MAC, dst=HOST_MAC)
    frames = []
    # GRO would read as the IP header of the second: the outer addresses and the UDP header.
    for number, seq in ((0xBFFF, 1), (0xC000, sequence)):
        outer = IP(src="192.0.2.2", dst="192.0.2.1", ttl=sport >> 8, id=number)
        inner = TCP(sport=sport, dport=GUE_PORT, seq=seq, ack=0x00060000, flags="A", window=window)
        # A right checksum, over the outer addresses.
        tcp = bytes(IP(src=outer.src, dst=outer.dst) / inner / bytes(length))[20:]
        gue = bytes.fromhex("00060000")
        frames.append(bytes(link / outer / UDP(sport=sport, dport=GUE_PORT, chksum=0) / gue / tcp))
    # Repeated, because a tick may come between the two.
    frames *= 20
    with target("gro") as (host, tap), Capture(host, "tap0") as capture:
        for frame in frames:
            os.writev(tap, [bytes(10), frame])
        seen = capture.frames(lambda f: f[:14] == frames[0][:14], len(frames))
    assert seen == frames


@contextlib.contextmanager
def receiving_fragments():
    """Yields a tap device whose packets lie in pages, and the socket of the inner packets."""
    with target("fragments") as (host, tap):
        with host.inside():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver:
            receiver.bind(("10.0.0.1", 9999))
            receiver.settimeout(5)
            yield tap, receiver


def test_inner_headers_in_fragments_that_the_head_has_no_room_for():
    """A pull reallocates the head. GRO of the tunnel device must not read the old head.

    The debug kernel's KASAN reports such a read.
    """
    # Options keep the first GRO from pulling more of the packet; the other headers fill the head,
    # whose 256 bytes are nearly used up.
    outer = IP(src="192.0.2.2", dst="192.0.2.1", options=[IPOption_NOP()] * 40)
    inner = IP(src="10.9.9.9", dst="10.0.0.1") / UDP(sport=1000, dport=9999) / bytes(range(200))
    with receiving_fragments() as (tap, receiver):
        for words in range(16, 32):
            packet = UDP(dport=5551, chksum=0) / inner
            gue = bytes([words, 17, 0, 0]) + bytes(4 * words)
            packet = UDP(dport=GUE_PORT, chksum=0) / gue / packet
            packet = UDP(dport=5554, chksum=0) / packet
            packet = UDP(dport=5554, chksum=0) / packet
            packet = bytes(Ether(src=PEER_MAC, dst=HOST_MAC) / outer / packet)
            linear = len(packet) - len(inner) + 20
            os.writev(tap, [bytes(10) + packet[:linear], packet[linear:]])
            assert receiver.recv(1000) == bytes(range(200))


def test_remote_checksum_in_a_fragment_that_the_head_has_no_room_for():
    """GRO pulls the remote checksum, which reallocates the head.

    The debug kernel's KASAN reports it if an inner layer reads the old head.
    """
    inner = IP(src="10.9.9.9", dst="10.0.0.1") / UDP(sport=1000, dport=9999) / bytes(range(200))
    inner = bytearray(bytes(inner))
    inner[26:28] = seed(inner)
    remcsum = bytes.fromhex("0204000180000000") + struct.pack("!HH", 20, 26)
    with receiving_fragments() as (tap, receiver):
        # The option fills the head's 256 bytes. A receiver skips it, because it is unknown.
        for length in range(98, 182, 4):
            front = Ether(src=PEER_MAC, dst=HOST_MAC) / IPv6(src="2001:db8::2", dst="2001:db8::1")
            front /= IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=bytes(length))])
            packet = bytes(front / UDP(dport=NOPARTIAL_PORT) / remcsum / bytes(inner))
            linear = len(packet) - len(inner) + 20
            os.writev(tap, [bytes(10) + packet[:linear], packet[linear:]])
            assert receiver.recv(1000) == bytes(range(200))


def free_packets():
    """Returns the kB of unreclaimable slabs, which hold packets."""
    for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("SUnreclaim:"):
            return int(line.split()[1])
    raise AssertionError("no SUnreclaim in /proc/meminfo")


# KASAN keeps freed memory for a while; on the debug kernel kmemleak reports leaks.
@pytest.mark.stock_only
def test_protocol_zero_leaks_no_packet(hosts):
    """A receive hook returns the inner protocol, negated.

    UDP takes 0 to mean that the hook consumed the packet, and does not free the packet.
    """
    h1, h2 = hosts
    with h2.inside():
        client = Fou()
    with pytest.raises(OSError) as refused:
        client.add((nl.PORT, nl.be16(5555)), (nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(0)))
    assert refused.value.errno == errno.ERANGE
    client.close()
    h2.ip("fou", "add", "port", GUE_PORT, "gue")
    number = 100_000
    with h1.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(("192.0.2.2", GUE_PORT))
    payload = bytes((0, 0, 0, 0)) + bytes(1000)
    for _ in range(1000):
        sender.send(payload)
    before, arrived = free_packets(), h2.snmp("IpInReceives")
    for _ in range(number):
        sender.send(payload)
    sender.close()
    wait_until(
        lambda: h2.snmp("IpInReceives") - arrived >= number * 9 // 10, "the packets arrive", 20
    )
    # Each leaked packet would hold more than a kilobyte.
    wait_until(lambda: free_packets() - before < number // 4, "the packets are freed", 20)


@pytest.mark.parametrize(
    ("gro", "port"),
    [
        ("off", NOPARTIAL_PORT),
        ("on", GUE_PORT),
        pytest.param("off", GUE_PORT, marks=pytest.mark.soak_on_debug),
        pytest.param("on", NOPARTIAL_PORT, marks=pytest.mark.soak_on_debug),
    ],
)
def test_header_split_at_any_byte_is_read(gro, port):
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    frame = bytes(outer / UDP(sport=40000, dport=port) / REMCSUM / UNFINISHED)
    headers = 14 + 20 + 8 + 12 + 40
    with target("fragments") as (host, tap), Capture(host, "tun4") as capture:
        # With GRO, GRO pulls the headers that it reads; without GRO, rfou does.
        host.run("ethtool", "-K", "tap0", "gro", gro)
        cuts = range(34, headers)
        for cut in cuts:
            tail = [frame[cut : cut + 1], frame[cut + 1 : cut + 3], frame[cut + 3 :]]
            os.writev(tap, [bytes(10), frame[:cut], *filter(None, tail)])
        seen = capture.frames(lambda f: f[9] == 6 and f[12] == 10, len(cuts), timeout=20)
    # A port that leaves the checksum to compute may deliver the packet without it.
    expected = {FINISHED} if port == NOPARTIAL_PORT else {UNFINISHED, FINISHED}
    assert len(seen) == len(cuts)
    assert set(seen) <= expected
