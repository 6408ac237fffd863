# SPDX-License-Identifier: GPL-2.0
"""GUE fragments that a device receives and reassembles.

h1 (the wire's end): eth0 192.0.2.1 ===== eth0 192.0.2.2, gue0 :h2
"""

import dataclasses
import itertools
import os
import random
import struct

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

from testing.lib import gue_peer
from testing.lib.fragment_memory import Reassembly
from testing.lib.gue_ends import Ends
from testing.lib.gue_link import ALL, COOKIE8, HMAC
from testing.lib.gue_values import Fragment, Header, Hmac, Outer
from testing.lib.hosts import Capture, wait_until

SEED = int(os.environ.get("RFOU_SEED", "1"))
# The reference's vector: the bytes from 0 to 19 in three fragments.
VECTOR = (
    "02040800 00010401 02030405 0001020304050607",
    "023b0800 00090401 02030405 08090a0b0c0d0e0f",
    "023b0800 00100401 02030405 10111213",
)
PROTOCOL = {4: 4, 6: 41}
KEY = b"rfou-test-key"
COOKIE = b"12345678"


@pytest.fixture
def ends(hosts, request):
    """The device's host and the wire's end, over an outer IP version: 4 if none is chosen."""
    made = Ends(hosts, getattr(request, "param", 4))
    yield made
    made.close()


over_both = pytest.mark.parametrize("ends", [4, 6], indirect=True, ids=["outer 4", "outer 6"])


def inner(version, number, length=96):
    """Returns a packet of a length, with a number in it."""
    if version == 4:
        packet = IP(src="10.1.1.1", dst="10.1.1.2", tos=2) / ICMP()
    else:
        packet = IPv6(src="fd00::1", dst="fd00::2", tc=2) / ICMPv6EchoRequest()
    data = random.Random(number).randbytes(length - len(packet))
    return bytes(packet / data)


def between(ends, **ports):
    """Returns the outer addresses from the wire's end to the device."""
    return Outer(ends.there, ends.here, **ports)


def joined(ends, send, count, timeout=2.0, device="gue0"):
    """Returns the packets that come from the device because of `send()`."""
    with Capture(ends.h2, device) as capture:
        send()
        return capture.frames(lambda _: True, count, timeout)


def errors(ends):
    """Returns the errors that the device counts on receive."""
    return ends.h2.traffic("gue0")["rx"]["errors"]


def test_vector_is_joined(ends):
    """The fragments come in every order. The stack drops the result, which is no IP packet."""
    ends.add()

    def send():
        for order in itertools.permutations(VECTOR):
            for data in order:
                ends.send(bytes.fromhex(data), between(ends))

    assert joined(ends, send, 6) == [bytes(range(20))] * 6
    assert errors(ends) == 0
    assert Reassembly(ends.h2).memory() == 0


@over_both
@pytest.mark.parametrize("udp_checksum", [True, False])
def test_pieces_come_in_every_order(ends, udp_checksum):
    ends.add(udp_zero_csum6_rx=1)
    packets = []

    def send():
        for number, order in enumerate(itertools.permutations(range(4))):
            version = (4, 6)[number % 2]
            packet = inner(version, number, 150 + number)
            packets.append(packet)
            outer = between(ends)
            pieces = gue_peer.fragments(Header(PROTOCOL[version]), packet, 48, outer, ident=number)
            for at in order:
                ends.send(pieces[at], outer, udp_checksum)

    came = joined(ends, send, 24)
    assert came == packets
    assert errors(ends) == 0
    assert Reassembly(ends.h2).memory() == 0


def piece(packet, start, end, more, outer, ident, header=Header(), key=b""):  # noqa: B008
    """Returns a fragment with any place and any flag M: bytes past the packet are 0xee."""
    place = Fragment(start, more, header.proto, ident)
    proto = header.proto if start == 0 else gue_peer.NO_NEXT_HEADER
    placed = dataclasses.replace(header, fragment=place, proto=proto)
    return gue_peer.build(placed, packet[start:end].ljust(end - start, b"\xee"), outer, key)


GOOD = ((0, 32, True), (32, 64, True), (64, 96, False))
# Fragments that overlap stored ones or lie past the end: start, end, flag M.
WRONG = (
    *GOOD,
    (0, 16, True),
    (56, 64, True),
    (16, 48, True),
    (40, 72, True),
    (32, 96, False),
    # As if the packet ended here.
    (24, 41, False),
    (16, 33, False),
    (64, 90, False),
    # As if the packet went on.
    (64, 96, True),
    (88, 104, True),
)


@over_both
def test_overlapping_piece_is_dropped_and_the_packet_completes(ends):
    """The overlapping fragment has other bytes, and comes after one or two of three right ones."""
    ends.add()
    outer, packets, dropped = between(ends), [], 0
    cases = []
    for wrong, number in itertools.product(WRONG, (1, 2)):
        for stored in itertools.combinations(GOOD, number):
            if any(wrong[0] < end and start < wrong[1] for start, end, _ in stored):
                cases.append((wrong, stored))
    assert len(cases) > 40

    def send():
        for ident, (wrong, stored) in enumerate(cases):
            packet = inner(4, ident)
            packets.append(packet)
            rest = [place for place in GOOD if place not in stored]
            for place in stored:
                ends.send(piece(packet, *place, outer, ident), outer)
            ends.send(piece(b"", *wrong, outer, ident), outer)
            for place in rest:
                ends.send(piece(packet, *place, outer, ident), outer)

    came = joined(ends, send, len(cases), 3.0)
    for case, packet in zip(cases, packets, strict=True):
        assert packet in came, case
    assert came == packets
    dropped = len(cases)
    assert errors(ends) == dropped
    assert Reassembly(ends.h2).memory() == 0


@over_both
def test_atomic_fragment_is_not_joined_with_a_pending_packet(ends):
    """A fragment that is a whole packet (RFC 6946) has the identification of a pending packet."""
    ends.add()
    outer, packet, whole = between(ends), inner(4, 1), inner(4, 2)

    def send():
        ends.send(piece(packet, *GOOD[0], outer, 1), outer)
        ends.send(piece(whole, 0, 96, False, outer, 1), outer)
        for place in GOOD[1:]:
            ends.send(piece(packet, *place, outer, 1), outer)

    assert joined(ends, send, 2) == [whole, packet]
    assert errors(ends) == 0
    assert Reassembly(ends.h2).memory() == 0


def test_queues_are_told_apart(ends):
    """Fragments of packets that differ in few parts of the queue's key arrive interleaved."""
    ends.add()
    ends.links.add("grp0", remote=ends.there, id=7, up=True)
    ends.h2.sysctl("net.ipv6.conf.grp0.disable_ipv6", 1)
    rng = random.Random(f"{SEED} queues")
    sets = {"gue0": [], "grp0": []}
    shots = []
    for number in range(60):
        version = rng.choice((4, 6))
        packet = inner(version, number, rng.randrange(64, 1200))
        device = rng.choice(("gue0", "grp0"))
        # Identifications and ports repeat, so protocol or group alone tells some packets apart.
        ident, port = rng.choice((1, 2**40 - 1)), 50000 + number // 2
        outer = between(ends, sport=port)
        header = Header(PROTOCOL[version], group=7 if device == "grp0" else None)
        key = (device, port, version, ident)
        if key in (shot[0] for shot in shots):
            continue
        sets[device].append(packet)
        size = 8 * rng.randrange(1 + len(packet) // 64, 1 + len(packet) // 8)
        pieces = gue_peer.fragments(header, packet, size, outer, ident=ident)
        shots += [(key, data, outer) for data in pieces]
    rng.shuffle(shots)
    with Capture(ends.h2, "grp0") as other:
        came = joined(
            ends,
            lambda: [ends.send(data, outer) for _, data, outer in shots],
            len(sets["gue0"]),
        )
        came_there = other.frames(lambda _: True, len(sets["grp0"]))
    assert sorted(came) == sorted(sets["gue0"]), f"seed {SEED}"
    assert sorted(came_there) == sorted(sets["grp0"]), f"seed {SEED}"
    assert errors(ends) == 0


HEADS = {
    "cookie": (Header(cookie=COOKIE), COOKIE, {"auth": COOKIE8}),
    "hmac": (Header(hmac=Hmac(1)), KEY, {"auth": HMAC, "cover": 0}),
    "hmac of all": (Header(hmac=Hmac(1, 0, 40)), KEY, {"auth": HMAC, "cover": ALL}),
    "group and sums": (
        Header(group=7, checksum=0, crc=0),
        b"",
        {"id": 7, "headercsum": 1, "crc": 1},
    ),
    "all of all": (
        Header(group=7, hmac=Hmac(1, 0, 40), checksum=40, crc=40),
        KEY,
        {
            "id": 7,
            "auth": HMAC,
            "cover": ALL,
            "headercsum": 1,
            "headercsum_cover": ALL,
            "crc": 1,
            "crc_cover": ALL,
        },
    ),
}


@over_both
@pytest.mark.parametrize("name", HEADS)
def test_pieces_are_checked_before_they_take_memory(ends, name):
    """Each fragment has its own cookie, hash or sums. A forged fragment changes nothing."""
    header, key, options = HEADS[name]
    ends.add(key, **options)
    outer, memory = between(ends), Reassembly(ends.h2)
    packet = inner(4, 1, 120)
    pieces = gue_peer.fragments(header, packet, 40, outer, key)
    # Changes each byte of the fields, but for the group, which names a device, and for the fragment
    # field.
    forged = 0
    at = gue_peer.layout(int.from_bytes(pieces[0][2:4], "big"))[0]["fragment"]
    for number in range(4 if header.group is None else 8, len(pieces[0]) - 40):
        if at.start <= number < at.stop:
            continue
        data = pieces[0]
        ends.send(data[:number] + bytes([data[number] ^ 1]) + data[number + 1 :], outer)
        forged += 1
    if header.hmac or header.crc is not None:
        # Changes the fragment's offset, which the hash and the CRC cover, too.
        number, data = at.start + 1, pieces[1]
        ends.send(data[:number] + bytes([data[number] ^ 8]) + data[number + 1 :], outer)
        forged += 1
    assert forged >= 8
    wait_until(lambda: errors(ends) == forged, f"{forged} fragments are dropped")
    assert memory.memory() == 0, "a forged fragment takes memory"
    assert joined(ends, lambda: [ends.send(data, outer) for data in pieces], 1) == [packet]
    # The first fragment of another packet does take memory.
    other = gue_peer.fragments(header, packet, 40, outer, key, ident=2)
    ends.send(other[0], outer)
    wait_until(lambda: memory.memory() > 0, "a stored fragment takes memory")
    assert joined(ends, lambda: [ends.send(data, outer) for data in other[1:]], 1) == [packet]
    assert memory.memory() == 0


def test_incomplete_packet_is_dropped_after_the_timeout(ends):
    """The timeout frees the memory, and the late fragment begins another queue."""
    ends.add()
    memory, outer = Reassembly(ends.h2), between(ends)
    memory.set_timeout(1)
    packet = inner(4, 1)
    pieces = gue_peer.fragments(Header(), packet, 32, outer)
    assert len(pieces) == 3
    for hole in range(3):
        stored = [data for at, data in enumerate(pieces) if at != hole]
        for data in stored:
            ends.send(data, outer)
        wait_until(lambda: memory.memory() > 0, "fragments are stored")
        wait_until(lambda: memory.memory() == 0, "the queue times out", 5)
        assert joined(ends, lambda late=pieces[hole]: ends.send(late, outer), 1, 0.2) == []
        assert joined(ends, lambda rest=stored: [ends.send(x, outer) for x in rest], 1) == [packet]
    assert memory.timeouts() == 3
    assert memory.memory() == 0


NOT_ECT, ECT_1, ECT_0, CE = range(4)


@over_both
def test_congestion_marks_of_pieces_are_combined(ends):
    """The outer fields are combined by RFC 3168 5.3, then with the inner ECT(0) by RFC 6040."""
    ends.add()
    outer, packet = between(ends), inner(4, 1)
    for first, second in itertools.product(range(4), repeat=2):
        marks = {first, second}
        if NOT_ECT in marks and len(marks) > 1:
            expected = None
        elif CE in marks:
            expected = CE
        else:
            # With both of ECT(0) and ECT(1), the packet's first fragment decides.
            expected = ECT_1 if first == ECT_1 else ECT_0

        def send(marks=(first, second)):
            pieces = gue_peer.fragments(Header(), packet, 48, outer)
            for data, mark in zip(pieces, marks, strict=True):
                shot = outer.packet(data)
                setattr(shot, "tos" if ends.outer == 4 else "tc", mark)
                ends.wire.send(bytes(ends.ether / shot))

        came = joined(ends, send, 1, 0.3 if expected is None else 2.0)
        wanted = [] if expected is None else [expected]
        assert [IP(data).tos & 3 for data in came] == wanted, (first, second)
    assert Reassembly(ends.h2).memory() == 0


def test_remote_checksum_belongs_to_its_piece(ends):
    """Field R applies to the bytes of its fragment: the drafts' order of fields demands this."""
    ends.add()
    outer, packet = between(ends), inner(4, 1, 120)
    cut = 48
    header = Header(remcsum=(28, 30))
    first = piece(packet, 0, cut, True, outer, 1, header)
    second = piece(packet, cut, len(packet), False, outer, 1)
    adjusted = gue_peer.adjust(packet[:cut], 28, 30) + packet[cut:]
    assert adjusted != packet
    for order in ((first, second), (second, first)):
        assert joined(ends, lambda both=order: [ends.send(x, outer) for x in both], 1) == [adjusted]


def test_frame_is_joined(ends):
    """Mode ethernet: the fragmented payload begins with EtherIP's two bytes."""
    ends.links.add("gue0", remote=ends.there, mode=1, up=True)
    ends.h2.sysctl("net.ipv6.conf.gue0.disable_ipv6", 1)
    outer = between(ends)
    frame = bytes(Ether(src="02:00:00:00:00:07", dst=ends.h2.mac("gue0"), type=0x0800))
    frame += inner(4, 1, 300)
    pieces = gue_peer.fragments(Header(97), b"\x30\0" + frame, 104, outer)
    assert len(pieces) == 4
    for order in (pieces, pieces[::-1]):
        assert joined(ends, lambda some=order: [ends.send(x, outer) for x in some], 1) == [frame]
    assert errors(ends) == 0


def test_longest_packet(ends):
    """A packet of 65,535 bytes is reassembled."""
    ends.add()
    outer, packet = between(ends), inner(4, 1, 65535)
    pieces = gue_peer.fragments(Header(), packet, 1400, outer)
    came = joined(ends, lambda: [ends.send(data, outer) for data in pieces], 1, 5.0)
    assert [len(data) for data in came] == [65535]
    assert came == [packet]


def test_piece_that_is_the_whole_packet_needs_no_queue(ends):
    """Offset 0 without M is legal."""
    ends.add()
    outer, packet = between(ends), inner(4, 1)
    data = piece(packet, 0, len(packet), False, outer, 1)
    assert joined(ends, lambda: ends.send(data, outer), 1) == [packet]
    assert struct.unpack("!H", data[2:4]) == (0x0800,)
