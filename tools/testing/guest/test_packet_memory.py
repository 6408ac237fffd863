"""Where a packet's bytes lie while it is worked on, and who else points at them."""

import contextlib
import os
import pathlib
import random
import socket
import struct
import sys

import pytest
from hosts import Capture
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import HBHOptUnknown, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Ether

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "hostile"))

from target import GUE_PORT, HOST_MAC, NOPARTIAL_PORT, PEER_MAC, target  # noqa: E402

# Remote checksum of a TCP header behind IPv4.
REMCSUM = bytes.fromhex("020400018000000000140024")


# Linux's fou stops the kernel.
@pytest.mark.rfou_only
@pytest.mark.parametrize("kind", ["ipip", "gre"])
def test_headers_that_do_not_fit_the_headroom(hosts, kind):
    """A packet that comes in by a device that leaves little room goes out by a tunnel.

    The tunnel device has a pointer to its IP header, and reads it when rfou is done.
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
    # In any order, as several CPUs may have a part in it.
    assert sorted(frame[frame.index(b"packet") :] for frame in seen) == sorted(payloads)


def test_segments_that_gro_merged_are_unchanged():
    """GRO writes the remote checksum for a while, and takes the bytes before the payload off."""
    payloads = [random.Random(number).randbytes(300) for number in range(8)]
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    frames, sequence = [], 7
    for number, payload in enumerate(payloads):
        inner = IP(src="10.9.9.9", dst="10.0.0.1", id=number, flags="DF")
        flags = "PA" if number == len(payloads) - 1 else "A"
        inner = inner / TCP(sport=1000, dport=5, seq=sequence, ack=1, flags=flags) / payload
        packet = bytearray(bytes(inner))
        pseudo = sum(struct.unpack("!4H", packet[12:20])) + 6 + len(packet) - 20
        packet[36:38] = ((pseudo & 0xFFFF) + (pseudo >> 16)).to_bytes(2, "big")
        udp = UDP(sport=40000, dport=NOPARTIAL_PORT)
        frames.append(bytes(outer / udp / REMCSUM / bytes(packet)))
        sequence += len(payload)
    with target("gro") as (host, tap), Capture(host, "tun4") as capture:
        for frame in frames:
            os.writev(tap, [bytes(10), frame])
        seen = capture.frames(lambda frame: b"\x03\xe8\x00\x05" in frame, len(frames), timeout=2)
    assert len(seen) < len(frames), "some have been merged"
    assert b"".join(frame[40:] for frame in seen) == b"".join(payloads)


def test_tcp_directly_behind_the_header_is_not_merged():
    """TCP's GRO would take a held packet's UDP header for TCP's, as no IP header is between.

    These two are such that it would find them to be of one flow; a checksum would be written where
    it is not, from addresses that are read at a place that nobody has set.
    """
    length = 300
    # What it would read as the TCP header of the first: its UDP header, GUE's, its ports.
    sport, window = 0x5010, GUE_PORT
    sequence = (8 + 4 + 20 + length << 16) + length
    link = Ether(src=PEER_MAC, dst=HOST_MAC)
    frames = []
    # What it would read as the IP header of the second: the outer addresses and the UDP header.
    for number, seq in ((0xBFFF, 1), (0xC000, sequence)):
        outer = IP(src="192.0.2.2", dst="192.0.2.1", ttl=sport >> 8, id=number)
        inner = TCP(sport=sport, dport=GUE_PORT, seq=seq, ack=0x00060000, flags="A", window=window)
        # Its checksum is to be right, over the outer addresses.
        tcp = bytes(IP(src=outer.src, dst=outer.dst) / inner / bytes(length))[20:]
        gue = bytes.fromhex("00060000")
        frames.append(bytes(link / outer / UDP(sport=sport, dport=GUE_PORT, chksum=0) / gue / tcp))
    # A tick may come between the two.
    frames *= 20
    with target("gro") as (host, tap), Capture(host, "tap0") as capture:
        for frame in frames:
            os.writev(tap, [bytes(10), frame])
        seen = capture.frames(lambda f: f[:14] == frames[0][:14], len(frames))
    assert seen == frames


@contextlib.contextmanager
def receiving_fragments():
    """A tap device whose packets lie in fragments, and the socket that packets within are for."""
    with target("fragments") as (host, tap):
        with host.inside():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver:
            receiver.bind(("10.0.0.1", 9999))
            receiver.settimeout(5)
            yield tap, receiver


def test_inner_headers_in_fragments_that_the_head_has_no_room_for():
    """GRO of the tunnel device, whoever sends to it, looks where the head was before it grew.

    What is read there the debug kernel sees.
    """
    # Options keep the first GRO from making more of the packet linear; the rest fills the head, of
    # whose 256 bytes few or none are left.
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
    """GRO has the checksum made linear, in a head that is another one then.

    Where the layers within look for their headers the debug kernel sees.
    """
    inner = IP(src="10.9.9.9", dst="10.0.0.1") / UDP(sport=1000, dport=9999) / bytes(range(200))
    inner = bytearray(bytes(inner))
    pseudo = sum(struct.unpack("!4H", inner[12:20])) + 17 + len(inner) - 20
    inner[26:28] = ((pseudo & 0xFFFF) + (pseudo >> 16)).to_bytes(2, "big")
    remcsum = bytes.fromhex("0204000180000000") + struct.pack("!HH", 20, 26)
    with receiving_fragments() as (tap, receiver):
        # Of the head's 256 bytes few or none are left. The option is to be skipped by who does
        # not know it.
        for length in range(98, 182, 4):
            front = Ether(src=PEER_MAC, dst=HOST_MAC) / IPv6(src="2001:db8::2", dst="2001:db8::1")
            front /= IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=bytes(length))])
            packet = bytes(front / UDP(dport=NOPARTIAL_PORT) / remcsum / bytes(inner))
            linear = len(packet) - len(inner) + 20
            os.writev(tap, [bytes(10) + packet[:linear], packet[linear:]])
            assert receiver.recv(1000) == bytes(range(200))
