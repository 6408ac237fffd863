# SPDX-License-Identifier: GPL-2.0
"""GRO for devices of kind gue, which merges packets before UDP decapsulates them."""

import contextlib
import os
import struct

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.hostile.target import HOST_MAC, PEER_MAC, tap_host
from testing.lib.checksum import add_up, checksum
from testing.lib.gue_keys import GueKeys
from testing.lib.gue_link import COOKIE8, COOKIE16, COOKIE32, HMAC, GueLinks
from testing.lib.gue_peer import build
from testing.lib.gue_values import Header, Hmac, Outer
from testing.lib.hosts import Capture

PORT = 6080
SEGMENTS = 8
PAYLOAD = 1000
PROTOCOL = {4: 4, 6: 41}
LENGTH = {4: 20, 6: 40}


@contextlib.contextmanager
def receiver(**devices):
    """Makes a host with the given devices, and a tap device whose GRO holds packets."""
    lines = (
        "addr add 2001:db8::1/64 dev tap0 nodad",
        f"neigh replace 2001:db8::2 lladdr {PEER_MAC} nud permanent dev tap0",
    )
    with tap_host("gro", "gro", 20, *lines) as (host, tap):
        links = GueLinks(host)
        for name, options in devices.items():
            links.add(name, up=True, **options)
        yield host, tap
        links.close()


def tcp(number, within, mark):
    """Returns a TCP segment of a train, with a right checksum."""
    if within == 4:
        packet = IP(src="10.1.1.1", dst="10.1.1.2", id=number, flags="DF")
    else:
        packet = IPv6(src="fd00::1", dst="fd00::2")
    packet /= TCP(sport=1000, dport=5, seq=1 + PAYLOAD * number, ack=1, flags="A")
    return bytes(packet / (mark * (PAYLOAD // len(mark))))


def left_to_receiver(packet, within):
    """Returns the packet with the pseudo header's sum in the place of TCP's checksum."""
    at = LENGTH[within]
    addresses = packet[12:20] if within == 4 else packet[8:40]
    total = add_up(addresses + struct.pack("!HH", 6, len(packet) - at))
    return packet[: at + 16] + total.to_bytes(2, "big") + packet[at + 18 :]


def frame(outer, header, packet):
    """Returns a frame to the host."""
    ip = (
        IP(src="192.0.2.2", dst="192.0.2.1", flags="DF")
        if outer == 4
        else IPv6(src="2001:db8::2", dst="2001:db8::1")
    )
    udp = UDP(sport=50000, dport=PORT)
    return bytes(Ether(src=PEER_MAC, dst=HOST_MAC) / ip / udp / (header + packet))


def pass_through(host, tap, frames, *devices):
    """Sends frames; returns those that came from the tap device and the packets of each device."""
    with contextlib.ExitStack() as stack:
        came = stack.enter_context(Capture(host, "tap0"))
        out = [stack.enter_context(Capture(host, name)) for name in devices]
        for data in frames:
            os.writev(tap, [bytes(10), data])
        expected = len(frames)

        def is_data(data):
            return len(data) > PAYLOAD

        def is_all(found):
            # All that was sent, merged or not. Headers are shorter than a payload.
            return sum(len(data) // PAYLOAD for data in found) >= expected

        def arrived(capture, timeout):
            found = capture.frames(is_data, expected, timeout, enough=is_all)
            # A packet that comes twice would come within the time that GRO holds it.
            return found + capture.frames(is_data, expected, 0.05)

        return arrived(came, 1.0), [arrived(capture, 0.5) for capture in out]


def payload(packets, within):
    """Returns the TCP payloads of packets, together."""
    return b"".join(packet[LENGTH[within] + 20 :] for packet in packets)


HEADERS = {
    "plain": lambda v: struct.pack("!BBH", 0, PROTOCOL[v], 0),
    "variant 1": lambda v: b"",
    "surplus": lambda v: struct.pack("!BBHI", 1, PROTOCOL[v], 0, 0xDEADBEEF),
    "R": lambda v: struct.pack("!BBHHH", 1, PROTOCOL[v], 0x0200, LENGTH[v], LENGTH[v] + 16),
    "Linux": lambda v: struct.pack(
        "!BBHIHH", 2, PROTOCOL[v], 1, 1 << 31, LENGTH[v], LENGTH[v] + 16
    ),
}


@pytest.mark.parametrize("form", HEADERS)
@pytest.mark.parametrize(("outer", "within"), [(4, 4), (4, 6), (6, 4), (6, 6)])
def test_train_is_merged_before_it_is_decapsulated(outer, within, form):
    remote = "192.0.2.2" if outer == 4 else "2001:db8::2"
    segments = [tcp(number, within, bytes([65 + number])) for number in range(SEGMENTS)]
    expected = payload(segments, within)
    if form in ("R", "Linux"):
        segments = [left_to_receiver(segment, within) for segment in segments]
    header = HEADERS[form](within)
    with receiver(gue0={"remote": remote}) as (host, tap):
        frames = [frame(outer, header, segment) for segment in segments]
        came, [packets] = pass_through(host, tap, frames, "gue0")
        assert len(came) < SEGMENTS, "some were merged before UDP decapsulated them"
        assert payload(packets, within) == expected
        for packet in packets:
            if within == 4:
                assert checksum(packet[:20]) == 0
                assert int.from_bytes(packet[2:4], "big") == len(packet)
            else:
                assert int.from_bytes(packet[4:6], "big") == len(packet) - 40
        assert host.traffic("gue0")["rx"]["errors"] == 0


@pytest.mark.parametrize("outer", [4, 6])
def test_packets_of_different_headers_are_not_merged(outer):
    """Three trains of one flow come interleaved: in two groups, and in one of them with surplus."""
    remote = "192.0.2.2" if outer == 4 else "2001:db8::2"
    group = [struct.pack("!BBHI", 1, 4, 0x8000, number) for number in (1, 2)]
    surplus = struct.pack("!BBHII", 2, 4, 0x8000, 1, 0)
    with receiver(g1={"remote": remote, "id": 1}, g2={"remote": remote, "id": 2}) as (host, tap):
        frames = []
        for number in range(SEGMENTS):
            for header, mark in ((group[0], b"a"), (group[1], b"b"), (surplus, b"c")):
                frames.append(frame(outer, header, tcp(number, 4, mark)))
        came, (first, second) = pass_through(host, tap, frames, "g1", "g2")
        at = (14 + (20 if outer == 4 else 40) + 8) + 4 + 4
        for data in came:
            marks = set(data[at + 4 + 40 :]) & set(b"abc")
            assert len(marks) == 1, "a packet of several headers"
        assert set(payload(first, 4)) == set(b"ac")
        assert set(payload(second, 4)) == set(b"b")
        assert len(payload(first, 4)) == 2 * SEGMENTS * PAYLOAD
        assert len(payload(second, 4)) == SEGMENTS * PAYLOAD


KEY = bytes(range(32))

# By name: the options of a link, and the peer's header, for a number of covered bytes.
PROTECTED = {
    "cookie": lambda cover: ({"auth": COOKIE8}, Header(cookie=KEY[:8])),
    "cookie in a group": lambda cover: (
        {"auth": COOKIE8, "id": 7},
        Header(group=7, cookie=KEY[:8]),
    ),
    "cookie16": lambda cover: ({"auth": COOKIE16}, Header(cookie=KEY[:16])),
    "cookie32 in a group": lambda cover: ({"auth": COOKIE32, "id": 7}, Header(group=7, cookie=KEY)),
    "hmac": lambda cover: ({"auth": HMAC, "cover": cover}, Header(hmac=Hmac(1, 0, cover))),
    "hmac in a group": lambda cover: (
        {"auth": HMAC, "cover": cover, "id": 7},
        Header(group=7, hmac=Hmac(1, 0, cover)),
    ),
    "checksum": lambda cover: (
        {"headercsum": 1, "headercsum_cover": cover},
        Header(checksum=cover),
    ),
    "crc": lambda cover: ({"crc": 1, "crc_cover": cover}, Header(crc=cover)),
}


@pytest.mark.soak_on_debug
@pytest.mark.parametrize(
    ("form", "cover"),
    [(form, cover) for form in PROTECTED for cover in (0, 4) if "cookie" not in form or cover == 0],
)
def test_protected_train_is_merged_unless_its_bytes_are_covered(form, cover):
    """All headers are equal, also if they cover the first 4 bytes of the inner IP header."""
    options, header = PROTECTED[form](cover)
    segments = [tcp(number, 4, bytes([65 + number])) for number in range(SEGMENTS)]
    between = Outer("192.0.2.2", "192.0.2.1")
    with receiver(gue0={"remote": "192.0.2.2"} | options) as (host, tap):
        if "auth" in options:
            keys = GueKeys(host)
            keys.set("gue0", 1, header.cookie or KEY)
            keys.close()
        sent = [build(header, segment, between, KEY) for segment in segments]
        headers = {data[: -len(segments[0])] for data in sent}
        assert len(headers) == 1
        frames = [frame(4, headers.copy().pop(), segment) for segment in segments]
        came, [packets] = pass_through(host, tap, frames, "gue0")
        assert (len(came) == SEGMENTS) == (cover > 0)
        assert payload(packets, 4) == payload(segments, 4)
        assert host.traffic("gue0")["rx"]["errors"] == 0


# By name: the options of a link with mode ethernet, and the header for an inner IP version.
FRAME_HEADERS = {
    "plain": lambda v: ({}, struct.pack("!BBH", 0, 97, 0)),
    "group": lambda v: ({"id": 7}, struct.pack("!BBHI", 1, 97, 0x8000, 7)),
    "surplus": lambda v: ({}, struct.pack("!BBHI", 1, 97, 0, 0xDEADBEEF)),
    "R": lambda v: (
        {},
        struct.pack("!BBHHH", 1, 97, 0x0200, 16 + LENGTH[v], 16 + LENGTH[v] + 16),
    ),
}


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("form", FRAME_HEADERS)
@pytest.mark.parametrize(("outer", "within"), [(4, 4), (6, 6)])
def test_train_of_frames_is_merged_before_it_is_decapsulated(outer, within, form):
    """The Ethernet header is part of the flow: segments to different addresses are not merged."""
    remote = "192.0.2.2" if outer == 4 else "2001:db8::2"
    segments = [tcp(number, within, bytes([65 + number])) for number in range(SEGMENTS)]
    expected = payload(segments, within)
    options, header = FRAME_HEADERS[form](within)
    if form == "R":
        segments = [left_to_receiver(segment, within) for segment in segments]
    kind = 0x0800 if within == 4 else 0x86DD
    with receiver(gue0={"remote": remote, "mode": 1} | options) as (host, tap):
        mine = host.mac("gue0")
        for target, merged in ((mine, True), (None, False)):
            frames = []
            for number, segment in enumerate(segments):
                to = target or f"02:00:00:00:01:{number:02x}"
                link = bytes(Ether(src=PEER_MAC, dst=to, type=kind))
                frames.append(frame(outer, header, b"\x30\0" + link + segment))
            came, [packets] = pass_through(host, tap, frames, "gue0")
            assert (len(came) < SEGMENTS) == merged
            assert payload([packet[14:] for packet in packets], within) == expected
        assert host.traffic("gue0")["rx"]["errors"] == 0


@pytest.mark.parametrize("form", ["plain", "group"])
def test_train_without_etherip_is_not_merged(form):
    """GRO does not merge the frames, and receive drops each of them."""
    options, header = FRAME_HEADERS[form](4)
    with receiver(gue0={"remote": "192.0.2.2", "mode": 1} | options) as (host, tap):
        link = bytes(Ether(src=PEER_MAC, dst=host.mac("gue0"), type=0x0800))
        frames = [
            frame(4, header, b"\x31\0" + link + tcp(number, 4, b"a")) for number in range(SEGMENTS)
        ]
        came, [packets] = pass_through(host, tap, frames, "gue0")
        assert (len(came), packets) == (SEGMENTS, [])
        assert host.traffic("gue0")["rx"]["errors"] == SEGMENTS
