# SPDX-License-Identifier: GPL-2.0
"""GUE receive: accepted and dropped headers, reasons, remote checksums."""

import os
import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.hostile.target import GUE_PORT, HOST_MAC, PEER_MAC, target
from testing.lib.checksum import checksum
from testing.lib.hosts import Capture, add_nopartial

PORT = 6080
# The inner packet of gue-reference's vectors: an ICMP echo request.
INNER = bytes.fromhex("4500001c00014000400124dc0a0101010a0101020800e5ca12340001")
TAKEN = "delivered"
# The port writes a remote checksum that is not TCP's or UDP's. Here the field is the last two bytes
# of the payload. The payload adds up to 0 already, so the port writes ffff.
COMPUTED = "delivered with its checksum"

# The bytes after the UDP header, and the verdict: delivery, or the drop reason.
VERDICTS = {
    "variant 0": ("00040000", TAKEN),
    "variant 1, IPv4": ("", TAKEN),
    "surplus space": ("02040000deadbeefcafef00d", TAKEN),
    "longest header": ("1f040000" + "aa" * 124, TAKEN),
    "private word, no private flag": ("0104000100000000", TAKEN),
    "variant 2": ("80040000", "RFOU_GUE_BAD_VARIANT"),
    "variant 3": ("c0040000", "RFOU_GUE_BAD_VARIANT"),
    "variant 1, IP version 5": ("50000000", "RFOU_GUE_BAD_IP_VERSION"),
    "variant 1, IP version 7": ("70000000", "RFOU_GUE_BAD_IP_VERSION"),
    "three bytes": (b"\x00\x04\x00", "RFOU_TRUNCATED"),
    "nothing": (b"", "RFOU_TRUNCATED"),
    "Hlen past the end": (bytes.fromhex("1f040000") + bytes(96), "RFOU_GUE_BAD_HLEN"),
    "private word missing": ("00040001", "RFOU_GUE_FIELD_PAST_HEADER"),
    "remcsum field missing": ("0104000180000000", "RFOU_GUE_FIELD_PAST_HEADER"),
    "unknown private flag": ("020400014000000000000000", "RFOU_GUE_UNKNOWN_PRIVATE_FLAG"),
    "remcsum offset before start": ("020400018000000000240014", "RFOU_GUE_BAD_REMCSUM"),
    "remcsum past the payload": ("02040001800000000014001b", "RFOU_GUE_BAD_REMCSUM"),
    "remcsum at the payload's end": ("02040001800000000014001a", COMPUTED),
    "remcsum of the drafts": ("0104020000140024", "RFOU_GUE_UNKNOWN_FLAG"),
    "group identifier": ("0104800000000007", "RFOU_GUE_UNKNOWN_FLAG"),
    "reserved flag": ("00040020", "RFOU_GUE_UNKNOWN_FLAG"),
    "reserved security": ("05045000" + "00" * 20, "RFOU_GUE_UNKNOWN_FLAG"),
    "fragment": ("020408000003040102030405", "RFOU_GUE_UNKNOWN_FLAG"),
    "first fragment without its protocol": ("023b08000001040102030405", "RFOU_GUE_UNKNOWN_FLAG"),
    "protocol 0": ("00000000", "RFOU_GUE_PROTOCOL_ZERO"),
    "control message": ("20000000", "RFOU_GUE_CONTROL"),
    "experimental control message": ("20ff000052464f55", "RFOU_GUE_CONTROL"),
}


def receiver(hosts, version=4):
    """Has the second host receive GUE on tun1; returns the link header for frames to it."""
    h1, h2 = hosts
    tunnel = "type ipip local 192.0.2.2 remote 192.0.2.1"
    if version == 6:
        tunnel = "type ip6tnl mode any local 2001:db8::2 remote 2001:db8::1"
    h2.batch(
        f"fou add port {PORT} gue" + (" -6" if version == 6 else ""),
        f"link add tun1 {tunnel}",
        "link set tun1 up",
    )
    return Ether(src=h1.mac("eth0"), dst=h2.mac("eth0"))


def around(payload, csum=True, version=4):
    """Returns a datagram to the port."""
    udp = UDP(sport=49155, dport=PORT) if csum else UDP(sport=49155, dport=PORT, chksum=0)
    if version == 6:
        return IPv6(src="2001:db8::1", dst="2001:db8::2") / udp / payload
    return IP(src="192.0.2.1", dst="192.0.2.2") / udp / payload


# IPv6 runs the same code: one case for each kind of result.
OVER_IPV6 = (
    "variant 0",
    "variant 1, IPv4",
    "variant 2",
    "nothing",
    "Hlen past the end",
    "private word missing",
    "remcsum at the payload's end",
    "control message",
)


@pytest.mark.soak_on_debug
@pytest.mark.rfou_only
@pytest.mark.usefixtures("own_drop_reasons")
@pytest.mark.parametrize(
    ("version", "name"), [*((4, name) for name in VERDICTS), *((6, name) for name in OVER_IPV6)]
)
def test_header_is_accepted_or_dropped_for_its_reason(hosts, drop_monitor, version, name):
    head, verdict = VERDICTS[name]
    payload = head if isinstance(head, bytes) else bytes.fromhex(head) + INNER
    link = receiver(hosts, version)
    with Capture(hosts[0], "eth0") as wire, Capture(hosts[1], "tun1") as tunnel:
        wire.socket.send(bytes(link / around(payload, version=version)))
        if verdict in (TAKEN, COMPUTED):
            [seen] = tunnel.frames(lambda f: True)
            assert seen == (INNER if verdict == TAKEN else INNER[:-2] + b"\xff\xff")
        else:
            mark = struct.pack("!HH", 49155, PORT)
            assert drop_monitor.reason_for(lambda packet: mark in packet) == verdict
            assert not tunnel.frames(lambda f: True, timeout=0.1)


def test_no_next_header_is_answered_as_unknown_protocol(hosts):
    link = receiver(hosts)
    with Capture(hosts[0], "eth0") as wire:
        wire.socket.send(bytes(link / around(bytes.fromhex("003b0000") + INNER)))
        [answer] = wire.frames(lambda f: ICMP in Ether(f))
    assert (Ether(answer)[ICMP].type, Ether(answer)[ICMP].code) == (3, 2)


@pytest.mark.parametrize("csum", [False, True], ids=["zero checksum", "checksum"])
def test_nopartial_port_writes_the_remote_checksum(hosts, fou, csum):
    """The SYN of gue-reference's vector 7, whose checksum is dd4c."""
    tcp = bytes.fromhex(
        "4500002800024000400624ca0a0101010a0101029c400050000000010000000050022000161f0000"
    )
    link = receiver(hosts)
    hosts[1].ip("fou", "del", "port", PORT)
    add_nopartial(hosts[1], PORT)
    payload = bytes.fromhex("020400018000000000140024") + tcp
    with Capture(hosts[0], "eth0") as wire, Capture(hosts[1], "tun1") as tunnel:
        wire.socket.send(bytes(link / around(payload, csum)))
        [seen] = tunnel.frames(lambda f: True)
    assert seen[36:38].hex() == "dd4c"
    assert seen[:36] + seen[38:] == tcp[:36] + tcp[38:], "another byte changed"


@pytest.mark.shows_both
def test_remote_checksum_from_an_odd_byte_on_or_of_zero_is_right(hosts, fou, module):
    """Linux's fou sums from an odd start as from an even one, and writes a checksum of 0 as 0."""
    link = receiver(hosts)
    hosts[1].ip("fou", "del", "port", PORT)
    add_nopartial(hosts[1], PORT)
    head = INNER[:20]
    for start, field, data, of_linux in (
        (21, 23, b"\x77\x12\x34\x00\x00\x56", expected_checksum(b"\0\x12\x34\x00\x00\x56")),
        (20, 22, b"\xff\xff\x00\x00", b"\0\0"),
    ):
        payload = struct.pack("!IIHH", 0x02040001, 0x80000000, start, field) + head + data
        with Capture(hosts[0], "eth0") as wire, Capture(hosts[1], "tun1") as tunnel:
            wire.socket.send(bytes(link / around(payload)))
            [seen] = tunnel.frames(lambda f: True)
        right = expected_checksum(data[start - 20 :])
        assert right != of_linux
        assert seen[field : field + 2] == (of_linux if module == "fou" else right)


def both_sums(link, version, protocol, start, pseudo=b""):
    """Yields two GUE packets whose payload has a wrong checksum, then a right one.

    The payload is `start`, two bytes that make the checksum wrong or right, a word that says which,
    and a field for a remote checksum. With the field filled in, everything from byte 12 on adds up
    to 0.
    """
    for wrong in (1, 0):
        check = int.from_bytes(expected_checksum(pseudo + start), "big")
        first = start + ((check + wrong) % 0xFFFF).to_bytes(2, "big")
        inner = first + b"wrong" * wrong + b"right" * (1 - wrong) + bytes(31)
        header = struct.pack("!BBHIHH", 2, protocol, 1, 0x80000000, 12, len(inner) - 2)
        yield bytes(link / around(header + inner, version=version))


def sums_seen(capture, wanted):
    """Returns which packets of both_sums() came, in order, up to the right one."""
    seen = []

    def is_right(frame):
        seen.extend(word for word in (b"wrong", b"right") if wanted(frame) and word in frame)
        return seen[-1:] == [b"right"]

    capture.frames(is_right)
    return seen


@pytest.mark.shows_both
@pytest.mark.parametrize("version", [4, 6])
def test_udp_after_a_remote_checksum_is_verified(hosts, module, version):
    """Linux's fou leaves the remote checksum to compute (CHECKSUM_PARTIAL).

    UDP then does not verify its own checksum, and answers the wrong packet with an ICMP error.
    """
    link = receiver(hosts, version)
    ip = bytes(around(b"", version=version))
    pseudo = (ip[12:20] if version == 4 else ip[8:40]) + struct.pack("!HH", 17, 48)
    start = struct.pack("!HHHHH", 7, 9, 48, 0x1234, 0)
    with Capture(hosts[0], "eth0") as wire:
        for frame in both_sums(link, version, 17, start, pseudo):
            wire.socket.send(frame)
        seen = sums_seen(wire, lambda f: f[23 if version == 4 else 20] in (1, 58))
    assert seen == ([b"wrong", b"right"] if module == "fou" else [b"right"])


@pytest.mark.shows_both
@pytest.mark.parametrize("version", [4, 6])
def test_gre_after_a_remote_checksum_is_verified(hosts, module, version):
    """The same with GRE's checksum and a gre tunnel."""
    link = receiver(hosts, version)
    ends = "type gre local 192.0.2.2 remote 192.0.2.1"
    if version == 6:
        ends = "type ip6gre local 2001:db8::2 remote 2001:db8::1 encaplimit none"
    hosts[1].batch(f"link add tun2 {ends} icsum", "link set tun2 up")
    # Checksum flag, IPv4, a checksum of 0, and the first two bytes of the payload.
    start = bytes.fromhex("8000080000000000") + b"gr"
    with Capture(hosts[1], "tun2") as tunnel:
        wire = hosts[0].packet_socket("eth0")
        for frame in both_sums(link, version, 47, start):
            wire.send(frame)
        wire.close()
        seen = sums_seen(tunnel, lambda f: True)
    assert seen == ([b"wrong", b"right"] if module == "fou" else [b"right"])


def expected_checksum(covered):
    """Returns the checksum of bytes that include the field's value as the seed; never 0."""
    return (checksum(covered) or 0xFFFF).to_bytes(2, "big")


@pytest.mark.soak_on_debug
@pytest.mark.parametrize(
    ("headers", "merged"),
    [
        (["02040000deadbeefcafef00d"], True),
        (["02040000deadbeefcafef00d", "02040000deadbeefcafef00e"], False),
        ([f"1f040000{bytes(124).hex()}"], True),
        ([f"1f040000{bytes(124).hex()}", f"1f040000{(bytes(60) + b'a' + bytes(63)).hex()}"], False),
        ([f"07040000{bytes(28).hex()}", f"07040000{b'a'.hex()}{bytes(27).hex()}"], False),
        ([""], True),
        (["", "00040000"], False),
    ],
    ids=[
        "one header",
        "the last byte differs",
        "a long header",
        "a byte in the middle differs",
        "the first byte of the rest differs",
        "variant 1",
        "variants 0 and 1",
    ],
)
def test_only_packets_with_the_same_header_are_merged(headers, merged):
    """Segments of one TCP flow have these headers in turn."""
    headers = [bytes.fromhex(header) for header in headers]
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1", flags="DF")
    frames = []
    for number in range(50):
        inner = IP(src="10.1.1.1", dst="10.0.0.1", flags="DF") / TCP(seq=100 * number, flags="A")
        payload = headers[number % len(headers)] + bytes(inner / bytes(100))
        frames.append(bytes(outer / UDP(sport=40000, dport=GUE_PORT) / payload))
    with target("gro") as (host, tap), Capture(host, "tap0") as capture:
        for frame in frames:
            os.writev(tap, [bytes(10), frame])

        def is_ours(frame):
            """Returns whether a frame is not from the host's own tunnels."""
            return frame[:14] == frames[0][:14]

        if not merged:
            assert sorted(capture.frames(is_ours, len(frames))) == sorted(frames)
            return
        before, left, number = len(frames[0]) - 100, 100 * len(frames), 0
        while left > 0:
            seen = capture.frames(is_ours)
            assert seen, f"{left} bytes are lost"
            left -= len(seen[0]) - before
            number += 1
    assert left == 0 and number < len(frames)
