# SPDX-License-Identifier: GPL-2.0
"""Packets with cookies, keyed hashes, checksums and CRCs, received and sent as in the drafts.

h1 (the wire's end): eth0 192.0.2.1 ===== eth0 192.0.2.2, gue0 :h2
"""

import dataclasses
import itertools
import os
import random
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from testing.lib import gue_peer
from testing.lib.gue_ends import ENDS, ETHER_TYPE, Ends
from testing.lib.gue_link import ALL, COOKIE8, HMAC
from testing.lib.gue_values import Agreement, Header, Hmac, Outer
from testing.lib.hosts import Capture
from testing.lib.rgue_module import reload_rgue

SEED = int(os.environ.get("RFOU_SEED", "1"))
PROTOCOL = {4: 4, 6: 41}
KEY = b"rfou-test-key"
# The reference's inner packet: an ICMP echo request.
INNER = bytes.fromhex("4500001c00014000400124dc0a0101010a0101020800e5ca12340001")


@dataclasses.dataclass(frozen=True)
class Vector:
    """A header before INNER, from the drafts' reference, and the link that sends and accepts it."""

    header: str
    options: dict
    key: bytes = b""


VECTORS = {
    "group and cookie": Vector(
        "03049000 00abcdef 01234567 89abcdef",
        {"id": 0xABCDEF, "auth": COOKIE8},
        bytes.fromhex("0123456789abcdef"),
    ),
    "checksum": Vector("02048100 00000007 21290000", {"id": 7, "headercsum": 1}),
    "checksum of 3 bytes": Vector(
        "02048100 00000007 dc250003", {"id": 7, "headercsum": 1, "headercsum_cover": 3}
    ),
    "checksum of all": Vector(
        "02048100 00000007 210d001c", {"id": 7, "headercsum": 1, "headercsum_cover": ALL}
    ),
    "CRC": Vector("02040040 00000000 56165ece", {"crc": 1}),
    "CRC of 5 bytes": Vector("02040040 00000005 4666b9a8", {"crc": 1, "crc_cover": 5}),
    "keyed hash of 20 bytes": Vector(
        "0b04c000 00000007 00000001 00000014"
        "ab319581 790a8164 7e22019f 6efa78c9 ffc1196d fda8637a da73d59d c2ec9eda",
        {"id": 7, "auth": HMAC, "cover": 20},
        KEY,
    ),
    "all in order": Vector(
        "0e04c140 00000007 00000001 00000000 77e1a62b 579a7644"
        "aa2a9568 4a4b728f fe01cb62 7799ad6b e40d15d1 2f7a16dd d0d20000 00000000 a45c48be",
        {"id": 7, "auth": HMAC, "headercsum": 1, "crc": 1},
        KEY,
    ),
}


@pytest.fixture
def ends(hosts, request):
    """The device's host and the wire's end, over an outer IP version: 4 if none is chosen."""
    made = Ends(hosts, getattr(request, "param", 4))
    yield made
    made.close()


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_vector_is_taken(ends, vector):
    ends.add(vector.key, **vector.options)
    outer = Outer(*ENDS[4], sport=0xC006)
    data = bytes.fromhex(vector.header) + INNER
    assert ends.come_out(data, outer, udp_checksum=False) == [INNER]
    # Each byte of the header after Hlen, protocol and flags matters.
    for at in range(4, len(data) - len(INNER)):
        wrong = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        ends.send(wrong, outer, udp_checksum=False)
    assert ends.come_out(data, outer, udp_checksum=False) == [INNER]
    assert ends.h2.traffic("gue0")["rx"]["packets"] == 2


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_vector_is_sent(hosts, vector):
    """The vectors come from 192.0.2.1, so the first host has the device."""
    ends = Ends(tuple(reversed(hosts)), 4)
    ends.there, ends.here = ENDS[4][1], ENDS[4][0]
    ends.add(vector.key, sport=0xC006, **vector.options)
    outer, data = ends.encapsulated(INNER, 4)
    assert outer == Outer(*ENDS[4], sport=0xC006)
    assert data.hex() == (bytes.fromhex(vector.header) + INNER).hex()
    ends.close()


def inner_packet(rng, version):
    """Returns a random packet that fits into a tunnel."""
    data = rng.randbytes(rng.randrange(1, 300))
    if version == 4:
        packet = IP(src="10.1.1.1", dst="10.1.1.2") / ICMP() / data
    else:
        packet = IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest() / data
    return bytes(packet)


def combinations():
    """Yields every combination of fields that a device has."""
    choices = {
        "group": (False, True),
        "security": (None, 8, 16, 32, "hmac"),
        "checksum": (False, True),
        "crc": (False, True),
    }
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def draw(rng, length, *, group, security, checksum, crc):
    """Returns random options of a link, its key and the key's id; the peer's header and terms."""
    options, key, key_id, header = {}, b"", rng.getrandbits(32), {}
    cover = lambda: rng.choice([0, 0, rng.randrange(1, length), ALL])  # noqa: E731
    agreed = {"checksum": checksum, "crc": crc}
    if group:
        options["id"] = header["group"] = rng.getrandbits(32)
    if security == "hmac":
        key = rng.randbytes(rng.randrange(8, 129))
        options |= {"auth": HMAC, "cover": cover()}
        agreed |= {"keys": {key_id: key}, "coverage": options["cover"]}
        header["hmac"] = Hmac(key_id, 0, min(options["cover"], length))
    elif security:
        key = rng.randbytes(security)
        options["auth"] = (8, 16, 32).index(security) + 1
        agreed["cookies"] = (key,)
        header["cookie"] = key
    if checksum:
        options |= {"headercsum": 1, "headercsum_cover": cover()}
        header["checksum"] = min(options["headercsum_cover"], length)
    if crc:
        options |= {"crc": 1, "crc_cover": cover()}
        header["crc"] = min(options["crc_cover"], length)
    return options, key, key_id, header, Agreement(**agreed)


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("ends", [4, 6], indirect=True, ids=["outer 4", "outer 6"])
@pytest.mark.parametrize("within", [4, 6])
def test_independent_peer_agrees_on_every_combination(ends, within):
    """A second implementation of the drafts accepts the device's packets, and vice versa."""
    for number, combination in enumerate(combinations()):
        seed = f"{SEED} {ends.outer} {within} {number}"
        rng = random.Random(seed)
        packet = inner_packet(rng, within)
        options, key, key_id, values, agreement = draw(rng, len(packet), **combination)
        about = f"seed {seed}: {combination}, {options}"
        ends.add(key, key_id, udp_csum=rng.randrange(2), **options)
        outer, data = ends.encapsulated(packet, within)
        header, payload = gue_peer.check(data, outer, agreement)
        assert (payload, header.proto) == (packet, PROTOCOL[within]), about
        assert header == Header(PROTOCOL[within], **values), about
        surplus = rng.randbytes(4 * rng.randrange(4))
        header = dataclasses.replace(header, surplus=surplus)
        back = Outer(ends.there, ends.here, sport=rng.randrange(1, 65536))
        data = gue_peer.build(header, packet, back, key)
        assert ends.come_out(data, back) == [packet], about
        ends.links.delete("gue0")


HMAC_LINK = {"auth": HMAC, "cover": 0}
GOOD = Header(hmac=Hmac(1))
# By name: a link's options, the peer's header, its key, the change of its bytes, the reason.
DROPPED = {
    "no field": (HMAC_LINK, Header(), KEY, None, "RGUE_AUTH_MISSING"),
    "cookie": (HMAC_LINK, Header(cookie=bytes(8)), b"", None, "RGUE_AUTH_METHOD"),
    "wrong key": (HMAC_LINK, GOOD, b"another key", None, "RGUE_AUTH_WRONG"),
    "unknown id": (HMAC_LINK, Header(hmac=Hmac(2)), KEY, None, "RGUE_UNKNOWN_KEY"),
    "covers more": (HMAC_LINK, Header(hmac=Hmac(1, 0, 1)), KEY, None, "RGUE_AUTH_COVERAGE"),
    "covers less": (
        {"auth": HMAC, "cover": ALL},
        Header(hmac=Hmac(1, 0, 27)),
        KEY,
        None,
        "RGUE_AUTH_COVERAGE",
    ),
    "other part": (
        {"auth": HMAC, "cover": 8},
        Header(hmac=Hmac(1, 8, 8)),
        KEY,
        None,
        "RGUE_AUTH_COVERAGE",
    ),
    "no field, payload covered": (
        {"auth": HMAC, "cover": ALL},
        Header(),
        KEY,
        None,
        "RGUE_AUTH_MISSING",
    ),
    "unknown id, payload covered": (
        {"auth": HMAC, "cover": ALL},
        Header(hmac=Hmac(2, 0, 28)),
        KEY,
        None,
        "RGUE_UNKNOWN_KEY",
    ),
    "digest changed after a group, payload covered": (
        {"auth": HMAC, "cover": ALL, "id": 5},
        Header(group=5, hmac=Hmac(1, 0, 28)),
        KEY,
        lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
        "RGUE_AUTH_WRONG",
    ),
    "surplus changed, payload covered": (
        {"auth": HMAC, "cover": ALL},
        Header(hmac=Hmac(1, 0, 28), surplus=b"1234"),
        KEY,
        lambda data: data[:44] + b"4321" + data[48:],
        "RGUE_AUTH_WRONG",
    ),
    "payload changed": (
        {"auth": HMAC, "cover": ALL},
        Header(hmac=Hmac(1, 0, 28)),
        KEY,
        lambda data: data[:-1] + b"\7",
        "RGUE_AUTH_WRONG",
    ),
    "digest changed": (
        HMAC_LINK,
        GOOD,
        KEY,
        lambda data: data[:43] + bytes([data[43] ^ 0x80]) + data[44:],
        "RGUE_AUTH_WRONG",
    ),
    "surplus changed": (
        HMAC_LINK,
        dataclasses.replace(GOOD, surplus=b"1234"),
        KEY,
        lambda data: data[:44] + b"4321" + data[48:],
        "RGUE_AUTH_WRONG",
    ),
    "no cookie": ({"auth": COOKIE8}, Header(), b"", None, "RGUE_AUTH_MISSING"),
    "longer cookie": (
        {"auth": COOKIE8},
        Header(cookie=b"12345678" + bytes(8)),
        b"",
        None,
        "RGUE_AUTH_METHOD",
    ),
    "wrong cookie": ({"auth": COOKIE8}, Header(cookie=b"12345679"), b"", None, "RGUE_AUTH_WRONG"),
    "variant 1": ({"auth": COOKIE8}, None, b"", None, "RGUE_AUTH_MISSING"),
    "no checksum": ({"headercsum": 1}, Header(crc=0), b"", None, "RGUE_CSUM_MISSING"),
    "wrong checksum": (
        {"headercsum": 1},
        Header(checksum=28),
        b"",
        lambda data: data[:-1] + b"\7",
        "RGUE_BAD_CSUM",
    ),
    "checksum past the payload": (
        {"headercsum": 1},
        Header(checksum=29),
        b"",
        None,
        "RGUE_BAD_CSUM",
    ),
    "no CRC": ({"crc": 1}, Header(checksum=0), b"", None, "RGUE_CRC_MISSING"),
    "wrong CRC": (
        {"crc": 1},
        Header(crc=28),
        b"",
        lambda data: data[:-1] + b"\7",
        "RGUE_BAD_CRC",
    ),
    "CRC past the payload": ({"crc": 1}, Header(crc=29), b"", None, "RGUE_BAD_CRC"),
    "CRC not demanded": ({}, Header(crc=29), b"", None, "RGUE_BAD_CRC"),
}


@pytest.fixture
def reasons():
    """The module with its own drop reasons; the default is back afterwards."""
    reload_rgue("own_drop_reasons=1")
    yield
    reload_rgue()


@pytest.mark.stock_only
@pytest.mark.usefixtures("reasons")
@pytest.mark.parametrize("outer", [4, 6])
def test_each_drop_has_its_reason(hosts, drop_monitor, outer):
    ends = Ends(hosts, outer)
    between = Outer(*ENDS[outer])
    mark = struct.pack("!HH", between.sport, between.dport)
    for name, (options, header, key, change, reason) in DROPPED.items():
        secret = b"12345678" if options.get("auth") == COOKIE8 else KEY
        ends.add(secret if "auth" in options else b"", **options)
        data = INNER if header is None else gue_peer.build(header, INNER, between, key)
        ends.send(change(data) if change else data, between)
        assert drop_monitor.reason_for(lambda packet: mark in packet) == reason, name
        assert ends.h2.traffic("gue0")["rx"]["errors"] == 1, name
        ends.links.delete("gue0")
    ends.close()


@pytest.mark.stock_only
@pytest.mark.usefixtures("reasons")
@pytest.mark.parametrize("cover", [0, ALL])
def test_device_is_closed_until_it_has_a_key(hosts, drop_monitor, cover):
    ends = Ends(hosts, 4)
    between = Outer(*ENDS[4])
    mark = struct.pack("!HH", between.sport, between.dport)
    hmac = Hmac(1, length=len(INNER) if cover else 0)
    data = gue_peer.build(Header(hmac=hmac), INNER, between, KEY)
    ends.add(auth=HMAC, cover=cover)
    ends.send(data, between)
    assert drop_monitor.reason_for(lambda packet: mark in packet) == "RGUE_NO_KEY"
    with ends.h2.inside():
        into = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with into:
        into.bind(("gue0", ETHER_TYPE[4]))
        into.send(INNER)
    assert drop_monitor.reason_for(lambda packet: INNER in packet) == "RGUE_NO_KEY"
    traffic = ends.h2.traffic("gue0")
    assert (traffic["rx"]["packets"], traffic["tx"]["packets"]) == (0, 0)
    assert (traffic["rx"]["errors"], traffic["tx"]["errors"]) == (1, 1)
    ends.keys.set("gue0", 1, KEY)
    assert ends.come_out(data, between) == [INNER]
    ends.keys.delete("gue0", 1)
    ends.send(data, between)
    assert drop_monitor.reason_for(lambda packet: mark in packet) == "RGUE_NO_KEY"
    ends.close()


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("ends", [4, 6], indirect=True, ids=["outer 4", "outer 6"])
def test_digest_of_one_header_is_not_anothers(ends):
    """A cached header is right only with all of its bytes, and between its own addresses."""
    ends.add(KEY, **HMAC_LINK)
    ends.links.add("anyone", remote="0.0.0.0" if ends.outer == 4 else "::", up=True, **HMAC_LINK)
    ends.keys.set("anyone", 1, KEY)
    between = Outer(ends.there, ends.here)
    stranger = dataclasses.replace(
        between, source="192.0.2.9" if ends.outer == 4 else "2001:db8::9"
    )
    right = gue_peer.build(dataclasses.replace(GOOD, surplus=b"1234"), INNER, between, KEY)
    for _ in range(2):
        assert ends.come_out(right, between) == [INNER]
    # Protocol, digest, surplus. Each comes twice: the cache must not keep a wrong header.
    for at in (1, 20, *range(44, 48)):
        for _ in range(2):
            ends.send(right[:at] + bytes([right[at] ^ 37]) + right[at + 1 :], between)
    # With the digest of the other addresses; then with its own.
    ends.send(right, stranger)
    own = gue_peer.build(dataclasses.replace(GOOD, surplus=b"1234"), INNER, stranger, KEY)
    with Capture(ends.h2, "anyone") as capture:
        ends.send(own, stranger)
        assert capture.frames(lambda _: True) == [INNER]
    assert ends.come_out(right, between) == [INNER]
    counts = {name: ends.h2.traffic(name)["rx"] for name in ("gue0", "anyone")}
    assert (counts["gue0"]["packets"], counts["gue0"]["errors"]) == (3, 12)
    assert (counts["anyone"]["packets"], counts["anyone"]["errors"]) == (1, 1)
