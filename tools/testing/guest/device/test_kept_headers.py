# SPDX-License-Identifier: GPL-2.0
"""Caches of headers with a keyed hash: a header serves only its own addresses, keys and options.

h1 (the wire's end): eth0 192.0.2.1 ===== eth0 192.0.2.2, gue0 :h2
"""

import dataclasses
import pathlib
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testing.guest.device.test_external import add, on_the_wire, ping
from testing.guest.device.test_protected import INNER, KEY, Ends
from testing.lib import gue_peer
from testing.lib.bpf import attach, compiled, last_notes
from testing.lib.gue_keys import ACCEPT, GueKeys
from testing.lib.gue_link import ALL, COOKIE32, HMAC, REMCSUM_DRAFT
from testing.lib.gue_values import Agreement, Header, Hmac, Outer
from testing.lib.hosts import wait_until

LINK = {"auth": HMAC, "cover": 0}
COOKIE = bytes(range(32))
# Headers of 44, 48, 52 and 56 bytes, which are compared in different ways.
FORMS = {
    "plain": ({}, {}),
    "group": ({"id": 7}, {"group": 7}),
    "group and surplus": ({"id": 7}, {"group": 7, "surplus": b"1234"}),
    "checksum and CRC": ({"headercsum": 1, "crc": 1}, {"checksum": 0, "crc": 0}),
}


@pytest.fixture
def ends(hosts, request):
    """The device's host and the wire's end, over an outer IP version: 4 if none is chosen."""
    made = Ends(hosts, getattr(request, "param", 4))
    yield made
    made.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled program that compares sums."""
    source = pathlib.Path(__file__).with_name("checksum.bpf.c")
    return compiled(source, tmp_path_factory.mktemp("bpf"))


def rx_counts(ends, name="gue0"):
    """Returns the numbers of packets and errors that a device has received."""
    counts = ends.h2.traffic(name)["rx"]
    return counts["packets"], counts["errors"]


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ends", [4, 6], indirect=True, ids=["outer 4", "outer 6"])
def test_each_byte_of_a_known_header_is_compared(ends, form):
    options, values = FORMS[form]
    ends.add(KEY, **LINK, **options)
    between = Outer(ends.there, ends.here)
    right = gue_peer.build(Header(hmac=Hmac(1), **values), INNER, between, KEY)
    for _ in range(3):
        assert ends.come_out(right, between) == [INNER]
    # All but Hlen, the flags and the group, by which the device is found.
    places = [1, *range(8 if "group" in values else 4, len(right) - len(INNER))]
    for at in places:
        ends.send(right[:at] + bytes([right[at] ^ 37]) + right[at + 1 :], between)
    assert ends.come_out(right, between) == [INNER]
    assert rx_counts(ends) == (4, len(places))


# The debug kernel has no BTF.
@pytest.mark.stock_only
@pytest.mark.parametrize("cover", [0, ALL])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ends", [4, 6], indirect=True, ids=["outer 4", "outer 6"])
def test_sum_of_a_packet_with_a_keyed_hash_is_right(ends, form, cover, program):
    """The stack's sum is right for the first packet, and for later ones with a kept header."""
    options, values = FORMS[form]
    ends.add(KEY, **{**LINK, "cover": cover}, **options)
    attach(ends.h2, "ingress", program, "tc/compare")
    between = Outer(ends.there, ends.here)
    # The packet's sum is not zero, because its ICMP checksum is wrong. Nothing checks that.
    inner = INNER[:-1] + b"\2"
    hmac = Hmac(1, length=len(inner) if cover else 0)
    data = gue_peer.build(Header(hmac=hmac, **values), inner, between, KEY)
    for _ in range(4):
        assert ends.come_out(data, between) == [inner]
    assert struct.unpack_from("=III", last_notes()) == (0, 4, 0), "none, right, wrong"


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("ends", [4, 6], indirect=True, ids=["outer 4", "outer 6"])
def test_known_header_is_known_between_its_addresses_alone(ends):
    """A device with `remote any` compares all bytes of the source address."""
    anyone = "0.0.0.0" if ends.outer == 4 else "::"
    ends.links.add("gue0", remote=anyone, up=True, **LINK)
    ends.h2.sysctl("net.ipv6.conf.gue0.disable_ipv6", 1)
    ends.keys.set("gue0", 1, KEY)
    # Equal in the last byte, or in the bits of that byte which choose the slot of the cache.
    sources = {
        4: ["192.0.2.9", "192.0.2.73", "198.51.2.9", "192.1.2.9"],
        6: ["2001:db8::9", "2001:db8::49", "2001:db8:0:1::9", "2001:db8::1:9"],
    }[ends.outer]
    first = Outer(sources[0], ends.here)
    right = gue_peer.build(Header(hmac=Hmac(1)), INNER, first, KEY)
    for _ in range(2):
        assert ends.come_out(right, first) == [INNER]
    for source in sources[1:]:
        ends.send(right, Outer(source, ends.here))
    assert ends.come_out(right, first) == [INNER]
    assert rx_counts(ends) == (3, len(sources) - 1)
    for source in sources:
        own = Outer(source, ends.here)
        data = gue_peer.build(Header(hmac=Hmac(1)), INNER, own, KEY)
        for _ in range(2):
            assert ends.come_out(data, own) == [INNER]


@pytest.mark.parametrize("ends", [4, 6], indirect=True, ids=["outer 4", "outer 6"])
def test_known_header_of_another_length_is_another(ends):
    """The two headers differ only in Hlen and in zeros at the end."""
    ends.add(KEY, **LINK)
    between = Outer(ends.there, ends.here)
    zeros = bytes(4)
    short = gue_peer.build(Header(hmac=Hmac(1)), INNER, between, KEY)
    long = gue_peer.build(Header(hmac=Hmac(1), surplus=zeros), INNER, between, KEY)
    end = len(short) - len(INNER)

    def longer(data):
        return bytes([data[0] + 1]) + data[1:end] + zeros + INNER

    def shorter(data):
        return bytes([data[0] - 1]) + data[1:end] + INNER

    for right, wrong in ((short, longer(short)), (long, shorter(long))):
        # A change of keys empties the cache, which has the other header.
        ends.keys.set("gue0", 1, KEY)
        for _ in range(2):
            assert ends.come_out(right, between) == [INNER]
        ends.send(wrong, between)
        assert ends.come_out(right, between) == [INNER]
    assert rx_counts(ends) == (6, 2)


def test_known_header_is_unknown_without_its_key(ends):
    """Headers with other keys stay accepted, and a key that is set again is accepted again."""
    ends.add(KEY, **LINK)
    ends.keys.set("gue0", 2, b"another key")
    between = Outer(ends.there, ends.here)
    first = gue_peer.build(Header(hmac=Hmac(1)), INNER, between, KEY)
    second = gue_peer.build(Header(hmac=Hmac(2)), INNER, between, b"another key")
    for data in (first, second, first, second):
        assert ends.come_out(data, between) == [INNER]
    ends.keys.delete("gue0", 1)
    ends.send(first, between)
    assert ends.come_out(second, between) == [INNER]
    assert rx_counts(ends) == (5, 1)
    ends.keys.set("gue0", 1, b"a third key")
    ends.send(first, between)
    assert ends.come_out(second, between) == [INNER]
    assert rx_counts(ends) == (6, 2)
    ends.keys.set("gue0", 1, KEY)
    assert ends.come_out(first, between) == [INNER]


def test_known_header_is_refused_after_a_change_of_demands(ends):
    ends.add(KEY, **LINK)
    between = Outer(ends.there, ends.here)
    right = gue_peer.build(Header(hmac=Hmac(1)), INNER, between, KEY)
    for _ in range(2):
        assert ends.come_out(right, between) == [INNER]
    for demand in ({"cover": 1}, {"headercsum": 1}, {"crc": 1}):
        before = rx_counts(ends)
        ends.links.set("gue0", **demand)
        ends.send(right, between)
        wait_until(lambda: rx_counts(ends) == (before[0], before[1] + 1), str(demand))  # noqa: B023
        ends.links.set("gue0", **dict.fromkeys(demand, 0))
        assert ends.come_out(right, between) == [INNER], demand


@pytest.mark.parametrize("cover", [0, ALL])
def test_nat_peers_have_one_header(ends, cover):
    """The hash of a key with nat leaves out the addresses, also beside a key without nat."""
    anyone = dict(remote="0.0.0.0", up=True, **{**LINK, "cover": cover})
    length = len(INNER) if cover else 0
    ends.links.add("gue0", **anyone)
    ends.h2.sysctl("net.ipv6.conf.gue0.disable_ipv6", 1)
    ends.keys.set("gue0", 1, KEY, direction=ACCEPT, nat=True)
    nowhere = Outer("0.0.0.0", "0.0.0.0")
    shared = gue_peer.build(Header(hmac=Hmac(1, length=length)), INNER, nowhere, KEY)
    peers = [Outer(source, ends.here) for source in ("192.0.2.9", "192.0.2.10")]
    for peer in peers * 2:
        assert ends.come_out(shared, peer) == [INNER]
    ends.keys.set("gue0", 2, b"another key", direction=ACCEPT)
    hmac = Hmac(2, length=length)
    own = gue_peer.build(Header(hmac=hmac), INNER, peers[0], b"another key")
    for _ in range(2):
        for peer in peers:
            assert ends.come_out(shared, peer) == [INNER]
        assert ends.come_out(own, peers[0]) == [INNER]
        ends.send(own, peers[1])
    assert rx_counts(ends) == (10, 2)


def test_each_byte_of_a_cookie_is_compared(ends):
    ends.add(COOKIE, auth=COOKIE32)
    ends.keys.set("gue0", 2, COOKIE[::-1], direction=ACCEPT)
    between = Outer(ends.there, ends.here)
    for cookie in (COOKIE, COOKIE[::-1]):
        for at in range(len(cookie)):
            wrong = cookie[:at] + bytes([cookie[at] ^ 64]) + cookie[at + 1 :]
            ends.send(gue_peer.build(Header(cookie=wrong), INNER, between), between)
        data = gue_peer.build(Header(cookie=cookie), INNER, between)
        assert ends.come_out(data, between) == [INNER]
    assert rx_counts(ends) == (2, 64)


class Sending:
    """The packets that the second host's device sends."""

    def __init__(self, ends):
        self.ends = ends

    def expect(self, header, source, **agreement):
        """Sends two packets, and checks their headers."""
        agreed = Agreement(**{"keys": {1: KEY}, "coverage": 0} | agreement)
        for _ in range(2):
            outer, data = self.ends.encapsulated(INNER, 4)
            found, payload = gue_peer.check(data, outer, agreed)
            assert (outer.source, found, payload) == (source, header, INNER)


@pytest.mark.parametrize("ends", [4, 6], indirect=True, ids=["outer 4", "outer 6"])
def test_kept_header_follows_the_source_address(ends):
    ends.add(KEY, **LINK)
    sending = Sending(ends)
    sending.expect(Header(hmac=Hmac(1)), ends.here)
    length = 32 if ends.outer == 4 else 128
    other = "192.0.2.66" if ends.outer == 4 else "2001:db8::42"
    ends.h2.batch(
        f"addr add {other}/{length} dev eth0 {'' if ends.outer == 4 else 'nodad'}",
        f"route add {ends.there}/{length} dev eth0 src {other}",
    )
    sending.expect(Header(hmac=Hmac(1)), other)
    # Without the route, IPv6 would still choose this address: it has more bits of the destination.
    ends.h2.batch(
        f"route del {ends.there}/{length} dev eth0", f"addr del {other}/{length} dev eth0"
    )
    sending.expect(Header(hmac=Hmac(1)), ends.here)


def test_kept_header_follows_the_configuration(ends):
    ends.add(KEY, id=7, **LINK)
    sending = Sending(ends)
    plain = Header(group=7, hmac=Hmac(1))
    sending.expect(plain, ends.here)
    ends.links.set("gue0", headercsum=1)
    sending.expect(dataclasses.replace(plain, checksum=0), ends.here, checksum=True)
    ends.links.set("gue0", headercsum=0, crc=1)
    sending.expect(dataclasses.replace(plain, crc=0), ends.here, crc=True)
    ends.links.set("gue0", crc=0)
    sending.expect(plain, ends.here)
    ends.links.set("gue0", remcsum=REMCSUM_DRAFT)
    sending.expect(plain, ends.here)


def test_kept_header_follows_the_key(ends):
    ends.add(KEY, **LINK)
    sending = Sending(ends)
    sending.expect(Header(hmac=Hmac(1)), ends.here)
    ends.keys.set("gue0", 1, b"another key")
    sending.expect(Header(hmac=Hmac(1)), ends.here, keys={1: b"another key"})
    ends.keys.set("gue0", 2, b"a third key")
    sending.expect(Header(hmac=Hmac(2)), ends.here, keys={2: b"a third key"})


def test_external_packet_has_a_header_of_its_own(hosts):
    """The device does not reuse the header of a packet with another group or destination."""
    h1, h2 = hosts
    add(hosts, *["external auth hmac"] * 2)
    for host in hosts:
        keys = GueKeys(host)
        keys.set("gue0", 1, KEY)
        keys.close()
    h2.batch("addr add 192.0.2.77/24 dev eth0")
    agreed = Agreement(keys={1: KEY}, coverage=0)
    ways = [(group, to) for group in (7, 9) for to in ("192.0.2.2", "192.0.2.77")] * 2
    for group, to in ways:
        h1.ip(
            "route", "replace", "10.1.1.2/32", "encap", "ip", "id", group, "dst", to, "dev", "gue0"
        )
        frame = on_the_wire(hosts, lambda: ping(h1, "10.1.1.2", "-W", "0.1", count=1))
        packet = Ether(frame)[IP]
        outer = Outer(packet.src, packet.dst, packet[UDP].sport, packet[UDP].dport)
        found, _ = gue_peer.check(bytes(packet[UDP].payload), outer, agreed)
        assert (outer.destination, found) == (to, Header(group=group, hmac=Hmac(1)))
    wait_until(lambda: h2.traffic("gue0")["rx"]["packets"] == len(ways), "the host accepts all")
    assert h2.traffic("gue0")["rx"]["errors"] == 0
