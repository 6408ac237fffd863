# SPDX-License-Identifier: GPL-2.0
"""GUE fragments that a device sends, checked by an independent implementation of the drafts.

h1 (the wire's end): eth0 192.0.2.1 ===== eth0 192.0.2.2, gue0 :h2
"""

import dataclasses
import random

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

from testing.lib import gue_peer
from testing.lib.checksum import seed
from testing.lib.gue_ends import ETHER_TYPE, Ends
from testing.lib.gue_link import ALL, COOKIE8, HMAC
from testing.lib.gue_values import Agreement, Hmac, Outer
from testing.lib.hosts import Capture, is_udp_to
from testing.lib.tunnels import segment_in_software

PORT = 6080
PROTOCOL = {4: 4, 6: 41}
IP_HEADER = {4: 20, 6: 40}
SIZE = 1280
KEY = b"rfou-test-key"
COOKIE = b"12345678"


@pytest.fixture
def ends(hosts, request):
    """The device's host and the wire's end, over an outer IP version: 4 if none is chosen."""
    made = Ends(hosts, getattr(request, "param", 4))
    yield made
    made.close()


over_both = pytest.mark.parametrize("ends", [4, 6], indirect=True, ids=["outer 4", "outer 6"])


def inner(version, number, length):
    """Returns a packet of a length, with a number in it."""
    if version == 4:
        packet = IP(src="10.1.1.1", dst="10.1.1.2") / ICMP()
    else:
        packet = IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest()
    data = random.Random(number).randbytes(length - len(packet))
    return bytes(packet / data)


@dataclasses.dataclass
class Datagram:
    """A datagram on the wire: the IP packet's length, the outer values, and the UDP payload."""

    length: int
    outer: Outer
    data: bytes


def datagram(frame):
    """Reads a frame; fails if IP may fragment its packet, or has done so."""
    ip = Ether(frame).payload
    if isinstance(ip, IP):
        assert (int(ip.flags), ip.frag) == (2, 0), "DF is set, and it is no fragment"
    else:
        assert ip.nh == 17, "an extension header"
    udp = ip.payload
    assert isinstance(udp, UDP)
    return Datagram(len(ip), Outer(ip.src, ip.dst, udp.sport, udp.dport), bytes(udp.payload))


def send(ends, packets, protocol):
    """Sends packets into the device; returns the datagrams on the wire in their order."""
    into = ends.h2.packet_socket("gue0", 0)
    with into, Capture(ends.h1, "eth0") as capture:
        for packet in packets:
            into.sendto(packet, ("gue0", protocol))
        # veth delivers during the sender's call, so nearly always all datagrams have come.
        frames = capture.frames(lambda frame: is_udp_to(frame, PORT), 10**6, 0.1)
    return [datagram(frame) for frame in frames]


def joined(datagrams, agreement=None):
    """Checks datagrams; returns the fragments of each packet: (datagram, header, bytes)."""
    packets = []
    for one in datagrams:
        header, payload = gue_peer.check(one.data, one.outer, agreement)
        if header.fragment is None or header.fragment.offset == 0:
            packets.append([])
        packets[-1].append((one, header, payload))
    return packets


MODES = {
    "plain": ({}, b"", Agreement()),
    "id and UDP checksum": ({"id": 7, "udp_csum": 1}, b"", Agreement()),
    "cookie": ({"auth": COOKIE8}, COOKIE, Agreement(cookies=(COOKIE,))),
    "hmac": ({"auth": HMAC, "cover": 0}, KEY, Agreement(keys={1: KEY}, coverage=0)),
    "all of all": (
        {
            "id": 9,
            "auth": HMAC,
            "cover": ALL,
            "headercsum": 1,
            "headercsum_cover": ALL,
            "crc": 1,
            "crc_cover": ALL,
        },
        KEY,
        Agreement(keys={1: KEY}, coverage=ALL, checksum=True, crc=True),
    ),
}


@over_both
@pytest.mark.parametrize("mode", MODES)
def test_peer_joins_what_the_device_sends(ends, mode):
    """A packet has few fragments of similar size, from one port, each with its own header."""
    options, key, agreement = MODES[mode]
    ends.add(key, fragment=1, fragment_size=SIZE, mtu=4000, **options)
    packets = [
        inner(version, number, length)
        for number, (version, length) in enumerate(
            (version, length)
            for version in (4, 6)
            for length in (100, 1000, 1300, 1400, 1500, 2000, 2400, 2500, 3999, 4000)
        )
    ]
    idents, lengths = set(), set()
    for packet in packets:
        version = packet[0] >> 4
        came = joined(send(ends, [packet], ETHER_TYPE[version]), agreement)
        assert len(came) == 1, f"{len(packet)} bytes"
        [pieces] = came
        sizes = [len(payload) for _, _, payload in pieces]
        lengths |= {one.length for one, _, _ in pieces}
        assert b"".join(payload for _, _, payload in pieces) == packet
        assert len({(one.outer, header.group) for one, header, _ in pieces}) == 1
        headers = [header for _, header, _ in pieces]
        if len(pieces) == 1:
            assert headers[0].fragment is None, "a packet that fits is whole"
            continue
        received = [(header, payload) for _, header, payload in pieces]
        assert gue_peer.reassemble(received) == packet
        assert {header.fragment.proto for header in headers} == {PROTOCOL[version]}
        [ident] = {header.fragment.ident for header in headers}
        assert ident not in idents, "the identification of another packet"
        idents.add(ident)
        room = SIZE - (pieces[0][0].length - sizes[0])
        # Each fragment but the last is a multiple of 8 bytes.
        assert len(sizes) <= -(-len(packet) // (room - room % 8)), f"too many fragments: {sizes}"
        assert max(sizes) - min(sizes) <= 8 * len(sizes), f"not of similar size: {sizes}"
        assert sizes[0] >= 60, "the inner transport header is in the first fragment"
    assert max(lengths) <= SIZE
    assert len(idents) > 10
    assert ends.h2.traffic("gue0")["tx"]["errors"] == 0


@over_both
def test_packet_is_cut_only_if_it_does_not_fit(ends):
    """The longest packet that fits a datagram is sent whole. One byte more makes two fragments."""
    ends.add(fragment=1, fragment_size=SIZE, mtu=2000)
    fits = SIZE - IP_HEADER[ends.outer] - 8 - 4
    sent = send(ends, [inner(4, 1, fits), inner(4, 2, fits + 1)], ETHER_TYPE[4])
    whole, pieces = joined(sent)
    assert len(whole) == 1 and whole[0][1].fragment is None and whole[0][0].length == SIZE
    assert len(pieces) == 2


def test_path_gives_the_size(ends):
    """Without SIZE, the route's MTU decides."""
    ends.add(fragment=1, mtu=1500)
    [whole] = joined(send(ends, [inner(4, 1, 1468)], ETHER_TYPE[4]))
    assert len(whole) == 1
    [pieces] = joined(send(ends, [inner(4, 2, 1469)], ETHER_TYPE[4]))
    assert len(pieces) == 2
    ends.h2.ip("route", "replace", "192.0.2.1/32", "dev", "eth0", "mtu", "700")
    [pieces] = joined(send(ends, [inner(4, 3, 1400)], ETHER_TYPE[4]))
    assert len(pieces) == 3 and max(one.length for one, _, _ in pieces) <= 700


def test_vector_header(ends):
    """The headers have the reference's bytes, but for the identification and the offset."""
    ends.add(fragment=1, fragment_size=SIZE, mtu=4000)
    [pieces] = joined(send(ends, [inner(4, 1, 3000)], ETHER_TYPE[4]))
    heads = [one.data[:12] for one, _, _ in pieces]
    assert [head[:4].hex() for head in heads] == ["02040800", "023b0800", "023b0800"]
    size = len(pieces[0][2])
    for number, head in enumerate(heads):
        word = number * size // 8 << 3 | (number < 2)
        assert head[4:7] == word.to_bytes(2, "big") + b"\4"
    assert len({head[7:] for head in heads}) == 1


def test_frame_is_cut(ends):
    """Mode ethernet: EtherIP's two bytes are in the first fragment alone."""
    ends.links.add("gue0", remote=ends.there, mode=1, up=True, fragment=1, fragment_size=SIZE)
    ends.h2.sysctl("net.ipv6.conf.gue0.disable_ipv6", 1)
    ends.h2.ip("link", "set", "gue0", "mtu", "3000")
    frame = bytes(Ether(src="02:00:00:00:00:07", dst="02:00:00:00:00:08", type=0x0800))
    frame += inner(4, 1, 3000)
    [pieces] = joined(send(ends, [frame], 0))
    assert gue_peer.reassemble([(h, p) for _, h, p in pieces]) == b"\x30\0" + frame
    assert {header.fragment.proto for _, header, _ in pieces} == {97}


def test_remote_checksum_is_not_left_to_the_receiver_of_pieces(ends):
    """The checksum spans all fragments, so the sender completes it. A whole packet has field R."""
    ends.add(fragment=1, fragment_size=SIZE, remcsum=1, udp_csum=1, mtu=2000)
    segment_in_software(ends.h2)
    virtio = bytes.fromhex("01000000000014000600")
    packets = []
    for number, length in enumerate((500, 1500)):
        packet = IP(src="10.1.1.1", dst="10.1.1.2") / UDP(sport=7, dport=9)
        packet /= random.Random(number).randbytes(length)
        whole = bytes(packet)
        packets.append((whole, virtio + whole[:26] + seed(whole) + whole[28:]))
    into = ends.h2.packet_socket("gue0", 0)
    into.setsockopt(263, 15, 1)
    with into, Capture(ends.h1, "eth0") as capture:
        for _, shot in packets:
            into.sendto(shot, ("gue0", ETHER_TYPE[4]))
        frames = capture.frames(lambda frame: is_udp_to(frame, PORT), 10**6, 0.1)
    short, long = joined([datagram(frame) for frame in frames])
    assert short[0][1].remcsum is not None and short[0][2] == packets[0][0]
    assert all(header.remcsum is None for _, header, _ in long)
    assert gue_peer.reassemble([(h, p) for _, h, p in long]) == packets[1][0]


def test_hmac_of_each_piece_covers_that_piece(ends):
    """The covered length is the fragment's own."""
    ends.add(KEY, auth=HMAC, cover=ALL, fragment=1, fragment_size=SIZE, mtu=2000)
    agreement = Agreement(keys={1: KEY}, coverage=ALL)
    [pieces] = joined(send(ends, [inner(4, 1, 1999)], ETHER_TYPE[4]), agreement)
    assert [header.hmac for _, header, _ in pieces] == [Hmac(1, 0, len(p)) for _, _, p in pieces]
