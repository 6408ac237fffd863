# SPDX-License-Identifier: GPL-2.0
"""Test vectors of the drafts for gue_peer, and round trips through its two directions."""

import dataclasses
import os
import random
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from testing.lib import gue_peer
from testing.lib.checksum import add_up
from testing.lib.gue_draw import combinations, draw
from testing.lib.gue_peer import Refused, build, check, crc32c, parse
from testing.lib.gue_values import Agreement, Fragment, Header, Hmac, Outer, Transform

INNER = bytes.fromhex("4500001c00014000400124dc0a0101010a0101020800e5ca12340001")
KEY = b"rfou-test-key"
V4 = Outer("192.0.2.1", "192.0.2.2", sport=0xC006)
V6 = Outer("2001:db8::1", "2001:db8::2", sport=0xC006)
SEED = int(os.environ.get("RFOU_SEED") or time.strftime("%Y%m%d", time.gmtime()))
COMBINATIONS = list(combinations())


@pytest.fixture
def rng():
    """Random numbers. A failed test shows their seed."""
    print(f"RFOU_SEED={SEED}")
    return random.Random(SEED)


def group_hmac_checksum_crc():
    return Header(group=7, hmac=Hmac(1), checksum=0, crc=0)


# The header's bytes, its values, and the payload. Computed values are part of the bytes.
VECTORS = {
    "4, plain": ("00040000", Header(), INNER),
    "6, group and cookie": (
        "03049000 00abcdef 01234567 89abcdef",
        Header(group=0xABCDEF, cookie=bytes.fromhex("0123456789abcdef")),
        INNER,
    ),
    "7, Linux's remote checksum": (
        "02040001 80000000 00140024",
        Header(linux=(20, 36)),
        bytes.fromhex(
            "45000028 00024000 400624ca 0a010101 0a010102"
            "9c400050 00000001 00000000 50022000 161f0000"
        ),
    ),
    "8, remote checksum": (
        "01290200 00280038",
        Header(proto=41, remcsum=(40, 56)),
        bytes.fromhex(
            "60000000 00170640 fd000000 00000000 00000000 00000001"
            "fd000000 00000000 00000000 00000002"
            "9c4001bb 00000007 00000000 50182000 fa210000 414243"
        ),
    ),
    "9, checksum": ("02048100 00000007 21290000", Header(group=7, checksum=0), INNER),
    "9, coverage 3": ("02048100 00000007 dc250003", Header(group=7, checksum=3), INNER),
    "9, coverage 28": ("02048100 00000007 210d001c", Header(group=7, checksum=28), INNER),
    "10, CRC": ("02040040 00000000 56165ece", Header(crc=0), INNER),
    "10, coverage 5": ("02040040 00000005 4666b9a8", Header(crc=5), INNER),
    "11, first fragment": (
        "02040800 00010401 02030405",
        Header(fragment=Fragment(0, True, 4, 0x0102030405)),
        bytes(range(8)),
    ),
    "11, middle": (
        "023b0800 00090401 02030405",
        Header(proto=59, fragment=Fragment(8, True, 4, 0x0102030405)),
        bytes(range(8, 16)),
    ),
    "11, last": (
        "023b0800 00100401 02030405",
        Header(proto=59, fragment=Fragment(16, False, 4, 0x0102030405)),
        bytes(range(16, 20)),
    ),
    "12, keyed hash": (
        "0b04c000 00000007 00000001 00000014"
        "ab319581 790a8164 7e22019f 6efa78c9 ffc1196d fda8637a da73d59d c2ec9eda",
        Header(group=7, hmac=Hmac(1, 0, 20)),
        INNER,
    ),
    "13, transform": ("013b0400 01040000", Header(proto=59, transform=Transform(1, 4)), bytes(40)),
    "14, order": (
        "0e04c140 00000007 00000001 00000000"
        "77e1a62b 579a7644 aa2a9568 4a4b728f fe01cb62 7799ad6b e40d15d1 2f7a16dd"
        "d0d20000 00000000 a45c48be",
        group_hmac_checksum_crc(),
        INNER,
    ),
    "16, NAT checksum": ("01060080 84040000", Header(proto=6, nat=True), bytes(20)),
    "17, experimental message": (
        "20ff0000",
        Header(proto=255, control=True),
        bytes.fromhex("52464f5570696e67"),
    ),
    "18, surplus": (
        "02040000 deadbeef cafef00d",
        Header(surplus=bytes.fromhex("deadbeefcafef00d")),
        INNER,
    ),
}


def agreement(header):
    """Returns the agreement that a receiver of a vector needs."""
    return Agreement(
        cookies=(header.cookie,) if header.cookie else (),
        keys={header.hmac.key_id: KEY} if header.hmac else {},
    )


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_vectors_are_built_and_accepted(vector):
    head, header, payload = vector
    data = bytes.fromhex(head) + payload
    assert build(header, payload, V4, KEY) == data
    assert parse(data) == (header, payload)
    assert check(data, V4, agreement(header))[0] == header


def test_remote_checksums_become_the_vectors_checksums():
    for name, at, value in (
        ("7, Linux's remote checksum", 36, "dd4c"),
        ("8, remote checksum", 56, "7380"),
    ):
        head, _, payload = VECTORS[name]
        _, adjusted = check(bytes.fromhex(head) + payload, V4)
        assert adjusted[at : at + 2].hex() == value
        assert adjusted[:at] + adjusted[at + 2 :] == payload[:at] + payload[at + 2 :]


def test_crc32c_of_the_check_string():
    assert crc32c(b"123456789") == 0xE3069283


def test_largest_header():
    fields = {
        "fragment": Fragment(0, False, 4, 0),
        "transform": Transform(1, 4),
        "remcsum": (0, 0),
        "checksum": 0,
        "nat": True,
        "crc": 0,
    }
    for security, first, flags, places in (
        ({"hmac": Hmac(0)}, 0x13, 0xCFC0, [4, 8, 48, 56, 60, 64, 68, 72]),
        ({"cookie": bytes(32)}, 0x11, 0xBFC0, [4, 8, 40, 48, 52, 56, 60, 64]),
    ):
        header = Header(proto=59, group=0, **security, **fields)
        data = build(header, INNER, V4)
        assert (data[0], int.from_bytes(data[2:4], "big")) == (first, flags)
        found, end = gue_peer.layout(flags)
        assert [place.start for place in found.values()] == places
        assert len(data) == end + len(INNER) == 4 + 4 * first + len(INNER)


def test_nat_checksum_corrects_the_inner_checksum():
    received = Outer("198.51.100.7", "192.0.2.2")
    tcp = bytes.fromhex("03e807d0 00000001 00000000 50022000 00260000")
    nat = add_up(V4.addresses())
    difference = add_up(nat.to_bytes(2) + (add_up(received.addresses()) ^ 0xFFFF).to_bytes(2))
    assert difference == 0x97C6
    total = add_up(received.addresses() + bytes([0, 6, 0, 20]) + tcp)
    assert add_up(total.to_bytes(2) + difference.to_bytes(2)) == 0xFFFF


# Bytes before INNER that a receiver without any agreement refuses, and a word of the reason.
REFUSED = {
    "variant 2": ("80040000", "variant"),
    "variant 3": ("c0040000", "variant"),
    "flag 0x0020": ("00040020", "unknown flag"),
    "security 101": ("05045000" + "00" * 20, "reserved method"),
    "no room for the group": ("00048000", "no room"),
    "no room for the CRC": ("01040040 00000000", "no room"),
    "no private word": ("00040001", "no room"),
    "no private field": ("01040001 80000000", "no room"),
    "unknown private flag": ("02040001 40000000 00000000", "private flag"),
    "remcsum: offset before start": ("01040200 00240014", "before start"),
    "remcsum past the payload": ("01040200 0014001b", "past the payload"),
    "remcsum in both forms": ("03040201 00140018 80000000 00140018", "both forms"),
    "checksum past the payload": ("01040100 0000001d", "coverage past"),
    "wrong checksum": ("02048100 00000007 21280000", "checksum is wrong"),
    "CRC past the payload": ("02040040 0000001d 00000000", "coverage past"),
    "wrong CRC": ("02040040 00000000 56165ecf", "CRC is wrong"),
    "unexpected cookie": ("02041000 00000000 00000000", "without a context"),
    "unexpected hash": ("0a044000" + "00" * 40, "without a context"),
    "fragment: reserved": ("02040800 00030401 02030405", "reserved bits"),
    "fragment: first with 59": ("023b0800 00010401 02030405", "place demands"),
    "fragment: later with 4": ("02040800 00080401 02030405", "place demands"),
    "fragment of 28 bytes": ("02040800 00010401 02030405", "multiple of 8"),
    "fragment too long": ("023b0800 fff80401 02030405", "too long"),
    "transform of type 0": ("013b0400 00040000", "reserved type"),
    "transform with protocol 4": ("01040400 01040000", "visible"),
    "protocol 0": ("00000000", "protocol 0"),
    "no next header": ("003b0000", "no next header"),
    "control message 0": ("20000000", "unknown control"),
    "control message 254": ("20fe0000", "unknown control"),
}


@pytest.mark.parametrize(("head", "reason"), REFUSED.values(), ids=REFUSED)
def test_packet_that_a_receiver_must_drop_is_refused(head, reason):
    with pytest.raises(Refused, match=reason):
        check(bytes.fromhex(head) + INNER, V4)


def test_short_packets_and_nat_without_udp_checksum_are_refused():
    for data in (b"", b"\0\4\0", bytes.fromhex("01040000 000000")):
        with pytest.raises(Refused):
            check(data, V4)
    with pytest.raises(Refused, match="empty"):
        check(bytes.fromhex("02040800 00010401 02030405"), V4)
    with pytest.raises(Refused, match="experiment"):
        check(bytes.fromhex("20ff0000 5246"), V4)
    with pytest.raises(Refused, match="UDP checksum"):
        check(build(Header(proto=6, nat=True), bytes(20), V4), V4, udp_checksum=False)


def test_missing_and_wrong_demanded_fields_are_refused():
    plain = build(Header(), INNER, V4)
    for demanded, reason in (
        (Agreement(cookies=(bytes(8),)), "cookie is missing"),
        (Agreement(keys={1: KEY}), "keyed hash is missing"),
        (Agreement(checksum=True), "checksum is missing"),
        (Agreement(crc=True), "CRC is missing"),
    ):
        with pytest.raises(Refused, match=reason):
            check(plain, V4, demanded)
    covered = build(Header(hmac=Hmac(1, 0, 20)), INNER, V4, KEY)
    for demanded, reason in (
        (Agreement(keys={2: KEY}), "unknown key"),
        (Agreement(keys={1: KEY}, coverage=0), "other coverage"),
        (Agreement(keys={1: KEY + b"!"}), "keyed hash is wrong"),
    ):
        with pytest.raises(Refused, match=reason):
            check(covered, V4, demanded)
    with pytest.raises(Refused, match="cookie is wrong"):
        check(build(Header(cookie=bytes(8)), INNER, V4), V4, Agreement(cookies=(bytes(16),)))


def test_every_combination_of_fields_is_built_and_accepted(rng):
    assert len(COMBINATIONS) == 960
    for choice in COMBINATIONS:
        outer = rng.choice([V4, V6])
        payload = rng.randbytes(rng.choice([8, 9, 64, rng.randrange(2, 200)]))
        header, key, agreed = draw(rng, payload, **choice)
        data = build(header, payload, outer, key)
        assert parse(data) == (header, payload), choice
        assert check(data, outer, agreed)[0] == header, choice


def covered_bytes(header, data, payload):
    """Returns the indices of the bytes whose change a receiver must detect."""
    head = len(data) - len(payload)
    covered = set()
    if header.hmac or header.checksum is not None or header.crc is not None:
        # Without the first byte and the flags: a change can make another valid header of the bytes.
        # Without the checksum's coverage: with a changed one the sum can be the same.
        covered |= {1, *range(4, head)}
        if header.checksum is not None:
            start = gue_peer.layout(gue_peer.flags_of(header))[0]["checksum"].start
            covered -= {start + 2, start + 3}
    for length in (header.checksum, header.crc, header.hmac and header.hmac.length):
        covered |= set(range(head, head + (length or 0)))
    return sorted(covered)


def test_a_changed_bit_is_seen_where_it_is_covered(rng):
    seen = 0
    for choice in COMBINATIONS:
        outer = rng.choice([V4, V6])
        payload = rng.randbytes(64)
        header, key, agreed = draw(rng, payload, **choice)
        data = bytearray(build(header, payload, outer, key))
        places = covered_bytes(header, data, payload)
        if not places:
            continue
        place, bit = rng.choice(places), rng.randrange(8)
        data[place] ^= 1 << bit
        with pytest.raises(Refused):
            check(bytes(data), outer, agreed)
            pytest.fail(f"{choice}: bit {bit} of byte {place} is not seen")
        seen += 1
    # All but those without a field that covers others.
    assert seen == 768


def test_other_outer_headers_are_seen(rng):
    payload = rng.randbytes(40)
    moved = dataclasses.replace(V4, source="192.0.2.9")
    other_port = dataclasses.replace(V4, sport=V4.sport + 1)
    hashed = build(Header(hmac=Hmac(1)), payload, V4, KEY)
    with pytest.raises(Refused, match="keyed hash is wrong"):
        check(hashed, moved, Agreement(keys={1: KEY}))
    # Ports are not part of the hash.
    check(hashed, other_port, Agreement(keys={1: KEY}))
    summed = build(Header(checksum=0), payload, V4)
    for outer in (moved, other_port):
        with pytest.raises(Refused, match="checksum is wrong"):
            check(summed, outer)


def test_fragments_are_cut_and_joined(rng):
    payload = rng.randbytes(1000)
    header = Header(group=7, hmac=Hmac(1), checksum=0)
    agreed = Agreement(keys={1: KEY}, checksum=True)
    packets = gue_peer.fragments(header, payload, 300, V4, KEY, ident=rng.getrandbits(40))
    assert len(packets) == 4
    received = [check(packet, V4, agreed) for packet in packets]
    assert [found.proto for found, _ in received] == [4, 59, 59, 59]
    rng.shuffle(received)
    assert gue_peer.reassemble(received) == payload
    for missing in range(4):
        assert gue_peer.reassemble(received[:missing] + received[missing + 1 :]) is None
    with pytest.raises(Refused, match="overlap"):
        gue_peer.reassemble([*received, received[0]])


def test_echoes_have_their_form():
    assert gue_peer.echo(1, 7, 0x0102).hex() == "52464f550100000000000000000000070000000000000102"
    data = build(Header(proto=255, control=True), gue_peer.echo(2, 1, 1), V4)
    assert check(data, V4)[0].control


@pytest.mark.parametrize(("outer", "ip"), [(V4, IP), (V6, IPv6)], ids=["IPv4", "IPv6"])
def test_packets_have_the_outer_headers(outer, ip):
    data = build(Header(), INNER, outer)
    packet = ip(bytes(outer.packet(data)))
    assert (packet.src, packet.dst) == (outer.source, outer.destination)
    assert (packet[UDP].sport, packet[UDP].dport) == (0xC006, 6080)
    assert bytes(packet[UDP].payload) == data
    assert packet[UDP].chksum != 0
    assert ip(bytes(outer.packet(data, udp_checksum=False)))[UDP].chksum == 0
