# SPDX-License-Identifier: GPL-2.0
"""A second implementation of the GUE drafts, as a peer for the module's tests.

Written from draft-ietf-intarea-gue-09 and draft-ietf-intarea-gue-extensions-06 alone. It shares no
code with the module. `build` writes a GUE header before a payload. `check` does all that a receiver
must do with a packet, and raises `Refused` for a packet that a receiver must drop.
"""

import dataclasses
import hashlib
import hmac
import struct

from testing.lib.checksum import add_up, checksum
from testing.lib.gue_values import Agreement, Fragment, Header, Hmac, Transform

NO_NEXT_HEADER = 59
RFOU = 0x52464F55
# Names, flags and sizes in flag order. The method of security sets its size.
FIELDS = (
    ("group", 0x8000, 4),
    ("security", 0x7000, None),
    ("fragment", 0x0800, 8),
    ("transform", 0x0400, 4),
    ("remcsum", 0x0200, 4),
    ("checksum", 0x0100, 4),
    ("nat", 0x0080, 4),
    ("crc", 0x0040, 8),
)
SECURITY_SIZE = (0, 8, 16, 32, 40)
LINUX_FLAG = 0x0001
LINUX_REMCSUM = 0x80000000
DIGEST = slice(8, 40)


class Refused(Exception):
    """A packet that a receiver drops, and the rule."""


def refuse_if(condition, rule):
    """Raises Refused if a condition holds."""
    if condition:
        raise Refused(rule)


def _table():
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()


def crc32c(data):
    """Returns the CRC-32C of bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def flags_of(header):
    """Returns the flags of a header."""
    methods = {8: 1, 16: 2, 32: 3}
    method = 4 if header.hmac else methods[len(header.cookie)] if header.cookie else 0
    present = {
        "group": header.group is not None,
        "fragment": header.fragment is not None,
        "transform": header.transform is not None,
        "remcsum": header.remcsum is not None,
        "checksum": header.checksum is not None,
        "nat": header.nat,
        "crc": header.crc is not None,
    }
    flags = sum(flag for name, flag, _ in FIELDS if present.get(name))
    return flags | method << 12 | (LINUX_FLAG if header.linux is not None else 0)


def layout(flags):
    """Returns the place of each field, from the header's first byte, and the end of the last."""
    places, at = {}, 4
    method = flags >> 12 & 7
    refuse_if(method >= len(SECURITY_SIZE), "reserved method of security")
    for name, flag, size in FIELDS:
        if flags & flag:
            end = at + (size or SECURITY_SIZE[method])
            places[name] = slice(at, end)
            at = end
    return places, at


def _constant_fields(header, outer):
    """Yields each field with its computed values as zero, in flag order."""
    if header.group is not None:
        yield struct.pack("!I", header.group)
    if header.cookie is not None:
        yield header.cookie
    if header.hmac is not None:
        yield struct.pack("!IHH32x", header.hmac.key_id, header.hmac.offset, header.hmac.length)
    if header.fragment is not None:
        place = header.fragment
        first = place.offset // 8 << 3 | place.more
        yield struct.pack("!HB", first, place.proto) + place.ident.to_bytes(5, "big")
    if header.transform is not None:
        yield struct.pack("!BBH", *dataclasses.astuple(header.transform))
    if header.remcsum is not None:
        yield struct.pack("!HH", *header.remcsum)
    if header.checksum is not None:
        yield struct.pack("!HH", 0, header.checksum)
    if header.nat:
        yield struct.pack("!HH", add_up(outer.addresses()), 0)
    if header.crc is not None:
        yield struct.pack("!HHI", 0, header.crc, 0)
    if header.linux is not None:
        yield struct.pack("!I", LINUX_REMCSUM if header.linux else 0)
        yield struct.pack(f"!{len(header.linux)}H", *header.linux)


def _with_zeros(head, places, *names):
    """Returns a header with some of its computed values as zero."""
    head = bytearray(head)
    values = {"security": DIGEST, "checksum": slice(0, 2), "crc": slice(4, 8)}
    for name in names:
        if name in places:
            start = places[name].start
            value = values[name]
            head[start + value.start : start + value.stop] = bytes(value.stop - value.start)
    return bytes(head)


def _digest(head, places, outer, key, covered):
    zeroed = _with_zeros(head, places, "security", "checksum", "crc")
    return hmac.new(key, outer.addresses() + zeroed + covered, hashlib.sha256).digest()


def _crc(head, places, covered):
    text = _with_zeros(head, places, "checksum", "crc") + covered
    return crc32c(text + bytes(-len(text) % 4))


def _checksum(head, places, outer, covered):
    return checksum(outer.pseudo_header() + _with_zeros(head, places, "checksum") + covered)


def build(header, payload, outer, key=b""):
    """Returns a header, with `key` for its keyed hash, and its payload."""
    fields = b"".join(_constant_fields(header, outer)) + header.surplus
    assert len(fields) % 4 == 0 and len(fields) <= 124, "header of an impossible length"
    flags = flags_of(header)
    places, _ = layout(flags)
    first = header.control << 5 | len(fields) // 4
    head = bytearray(struct.pack("!BBH", first, header.proto, flags) + fields)
    if header.hmac is not None:
        start, length = header.hmac.offset, header.hmac.length
        digest = _digest(head, places, outer, key, payload[start : start + length])
        at = places["security"].start
        head[at + 8 : at + 40] = digest
    if header.crc is not None:
        value = _crc(head, places, payload[: header.crc])
        head[places["crc"].start + 4 : places["crc"].stop] = value.to_bytes(4, "little")
    if header.checksum is not None:
        value = _checksum(head, places, outer, payload[: header.checksum])
        head[places["checksum"].start : places["checksum"].start + 2] = value.to_bytes(2, "big")
    return bytes(head) + payload


def _linux(head, at):
    """Reads Linux's private word at an offset. Returns the remote checksum and the end."""
    refuse_if(at + 4 > len(head), "Hlen leaves no room for a field")
    (word,) = struct.unpack_from("!I", head, at)
    refuse_if(word & ~LINUX_REMCSUM, "unknown private flag")
    if not word:
        return (), at + 4
    refuse_if(at + 8 > len(head), "Hlen leaves no room for a field")
    return struct.unpack_from("!HH", head, at + 4), at + 8


def split(data):
    """Returns the header's bytes, the places of its fields and the payload of variant 0."""
    refuse_if(len(data) < 4, "shorter than a header")
    refuse_if(data[0] >> 6, "not variant 0")
    end = 4 + 4 * (data[0] & 0x1F)
    refuse_if(end > len(data), "Hlen past the end")
    flags = int.from_bytes(data[2:4], "big")
    refuse_if(flags & 0x003E, "unknown flag")
    places, used = layout(flags)
    refuse_if(used > end, "Hlen leaves no room for a field")
    return data[:end], places, data[end:]


def parse(data):
    """Returns the header of a packet of variant 0, and the payload."""
    head, places, payload = split(data)
    flags = int.from_bytes(head[2:4], "big")
    _, used = layout(flags)
    values = {}
    read = {name: head[place] for name, place in places.items()}
    if "group" in read:
        values["group"] = int.from_bytes(read["group"], "big")
    if "security" in read:
        if flags >> 12 & 7 == 4:
            values["hmac"] = Hmac(*struct.unpack("!IHH", read["security"][:8]))
        else:
            values["cookie"] = read["security"]
    if "fragment" in read:
        first, proto = struct.unpack("!HB", read["fragment"][:3])
        refuse_if(first & 6, "fragment: reserved bits")
        ident = int.from_bytes(read["fragment"][3:], "big")
        values["fragment"] = Fragment(first >> 3 << 3, bool(first & 1), proto, ident)
    if "transform" in read:
        values["transform"] = Transform(*struct.unpack("!BBH", read["transform"]))
    if "remcsum" in read:
        values["remcsum"] = struct.unpack("!HH", read["remcsum"])
    for name, at in (("checksum", 2), ("crc", 2)):
        if name in read:
            values[name] = int.from_bytes(read[name][at : at + 2], "big")
    if flags & LINUX_FLAG:
        values["linux"], used = _linux(head, used)
    header = Header(
        proto=head[1],
        control=bool(head[0] & 0x20),
        nat="nat" in read,
        surplus=head[used:],
        **values,
    )
    return header, payload


def _check_values(head, places, header, payload, outer):
    """Checks the checksums."""
    if header.checksum is not None:
        refuse_if(header.checksum > len(payload), "checksum: coverage past the payload")
        sent = int.from_bytes(head[places["checksum"]][:2], "big")
        value = _checksum(head, places, outer, payload[: header.checksum])
        refuse_if(value % 0xFFFF != sent % 0xFFFF, "checksum is wrong")
    if header.crc is not None:
        refuse_if(header.crc > len(payload), "CRC: coverage past the payload")
        sent = int.from_bytes(head[places["crc"]][4:], "little")
        refuse_if(_crc(head, places, payload[: header.crc]) != sent, "CRC is wrong")


def _check_security(head, places, header, payload, outer, agreement):
    """Checks that demanded cookies and keyed hashes are there and right, and others are not."""
    if header.cookie is not None:
        refuse_if(not agreement.cookies, "cookie without a context")
        found = [hmac.compare_digest(header.cookie, cookie) for cookie in agreement.cookies]
        refuse_if(not any(found), "cookie is wrong")
    else:
        refuse_if(agreement.cookies, "cookie is missing")
    if header.hmac is None:
        refuse_if(agreement.keys, "keyed hash is missing")
        return
    refuse_if(not agreement.keys, "keyed hash without a context")
    field = header.hmac
    refuse_if(field.key_id not in agreement.keys, "unknown key")
    if agreement.coverage is not None:
        demanded = (0, min(agreement.coverage, len(payload)))
        refuse_if((field.offset, field.length) != demanded, "keyed hash: other coverage")
    end = field.offset + field.length
    refuse_if(end > len(payload), "keyed hash: coverage past the payload")
    covered = payload[field.offset : end]
    digest = _digest(head, places, outer, agreement.keys[field.key_id], covered)
    sent = head[places["security"]][DIGEST]
    refuse_if(not hmac.compare_digest(digest, sent), "keyed hash is wrong")


def _check_content(header, payload):
    """Checks that protocol, fragment and transform agree."""
    opaque = 0 if header.control else NO_NEXT_HEADER
    proto = header.proto
    if header.transform is not None:
        refuse_if(proto != opaque, "transform: protocol is visible")
        refuse_if(header.transform.kind == 0, "transform: reserved type")
        proto = header.transform.proto
    if header.fragment is not None:
        place = header.fragment
        expected = opaque if place.offset else place.proto
        refuse_if(proto != expected, "fragment: other protocol than its place demands")
        refuse_if(place.more and not payload, "fragment: empty")
        refuse_if(place.more and len(payload) % 8, "fragment: not a multiple of 8 bytes")
        refuse_if(place.offset + len(payload) > 0xFFFF, "fragment: too long a packet")
    if header.transform is not None or header.fragment is not None:
        return
    if header.control:
        refuse_if(proto != 255, "unknown control message")
        refuse_if(len(payload) < 4, "control message without its experiment")
    else:
        refuse_if(proto == 0, "protocol 0")
        refuse_if(proto == NO_NEXT_HEADER, "no next header")


def adjust(payload, start, offset):
    """Returns a payload with the checksum that its sender left to the receiver."""
    refuse_if(offset < start, "remote checksum: offset before start")
    refuse_if(offset + 2 > len(payload), "remote checksum past the payload")
    value = checksum(payload[start:])
    return payload[:offset] + value.to_bytes(2, "big") + payload[offset + 2 :]


def check(data, outer, agreement=None, udp_checksum=True):
    """Receives a UDP payload. Returns the header, and the payload with its checksum.

    Raises Refused if a receiver must drop the packet.
    """
    agreement = agreement or Agreement()
    head, places, payload = split(data)
    header, _ = parse(data)
    refuse_if(agreement.checksum and header.checksum is None, "checksum is missing")
    refuse_if(agreement.crc and header.crc is None, "CRC is missing")
    _check_values(head, places, header, payload, outer)
    _check_security(head, places, header, payload, outer, agreement)
    refuse_if(header.nat and not udp_checksum, "NAT checksum without a UDP checksum")
    refuse_if(header.remcsum and header.linux, "remote checksums in both forms")
    _check_content(header, payload)
    remote = header.remcsum or header.linux
    if remote:
        payload = adjust(payload, *remote)
    return header, payload


def piece(header, payload, offset, end, outer, key=b"", ident=1):
    """Returns a packet with the payload's bytes from `offset` to `end`, as a fragment."""
    place = Fragment(offset, end < len(payload), header.proto, ident)
    opaque = 0 if header.control else NO_NEXT_HEADER
    placed = dataclasses.replace(header, fragment=place, proto=opaque if offset else header.proto)
    return build(placed, payload[offset:end], outer, key)


def fragments(header, payload, size, outer, key=b"", ident=1):
    """Cuts a payload. Returns a packet with its own header for each piece of up to `size` bytes."""
    size -= size % 8
    starts = range(0, max(len(payload), 1), size)
    ends = (min(start + size, len(payload)) for start in starts)
    return [
        piece(header, payload, start, end, outer, key, ident)
        for start, end in zip(starts, ends, strict=True)
    ]


def reassemble(received):
    """Joins fragments (header, payload) of one packet, in any order; None if some are missing."""
    pieces = sorted(received, key=lambda piece: piece[0].fragment.offset)
    joined = b""
    for header, payload in pieces:
        refuse_if(header.fragment.offset < len(joined), "fragment: overlap")
        if header.fragment.offset > len(joined):
            return None
        joined += payload
    return None if pieces[-1][0].fragment.more else joined


def echo(kind, sequence, token):
    """Returns the payload of one of rfou's control messages: kind 1 asks, kind 2 answers."""
    return struct.pack("!IBBHQQ", RFOU, kind, 0, 0, sequence, token)


def parse_echo(payload):
    """Returns kind, sequence and token of one of rfou's control messages."""
    refuse_if(len(payload) < 24, "control message: truncated")
    experiment, kind, flags, _, sequence, token = struct.unpack_from("!IBBHQQ", payload)
    refuse_if(experiment != RFOU, "control message of another experiment")
    refuse_if(kind not in (1, 2), "control message of an unknown kind")
    refuse_if(flags, "control message: unknown flag")
    return kind, sequence, token
