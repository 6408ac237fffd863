# SPDX-License-Identifier: GPL-2.0
"""Predicates for intended differences in remote checksums: see Documentation/differences.rst.

Each predicate takes an input's name and the observations of Linux's fou and rfou by receive.py, and
returns whether they differ in this one thing.
"""

import collections
import re
import struct

from testing.lib.checksum import add_up, fold

# By IP version: offset of the GUE header.
GUE_AT = {4: 28, 6: 48}
UDP, GRE = 17, 47
# By IP version: offsets of the length field and of the addresses, and the header's length.
IP_LENGTH = {4: 2, 6: 4}
ADDRESSES = {4: slice(12, 20), 6: slice(8, 40)}
IP_HEADER = {4: 20, 6: 40}
# "Port unreachable": the protocol in the IP header, and ICMP's type and code. Longest error.
PORT_UNREACHABLE = {4: (1, 3, 3), 6: (58, 1, 4)}
LONGEST_ERROR = {4: 576, 6: 1280}

RemoteChecksum = collections.namedtuple("RemoteChecksum", "number payload start offset")


def remote_checksum(packet):
    """Returns the remote checksum of a GUE packet, with its payload, or None."""
    at = GUE_AT[packet[0] >> 4]
    length = int.from_bytes(packet[at - 4 : at - 2], "big")
    gue = packet[at : at - 8 + length if length else None]
    if len(gue) < 12 or gue[2:8] != bytes.fromhex("000180000000"):
        return None
    start, offset = struct.unpack("!HH", gue[8:12])
    return RemoteChecksum(gue[1], gue[4 + 4 * (gue[0] & 31) :], start, offset)


def checksum(remote):
    """Returns the right value of a remote checksum's field."""
    return (add_up(remote.payload[remote.start :]) ^ 0xFFFF or 0xFFFF).to_bytes(2, "big")


def in_packet(remote):
    """Returns the value of a remote checksum's field as received."""
    return remote.payload[remote.offset : remote.offset + 2]


def has_good_icmp(frame):
    """Returns whether an answer's ICMP checksum is right."""
    if frame[12] == 0x08:
        return add_up(frame[34:]) == 0xFFFF
    return fold(add_up(frame[22:54]) + 58 + len(frame) - 54 + add_up(frame[54:])) == 0xFFFF


def differ_in_field(was, now, remote, old_field, new_field):
    """Returns whether both observations are the same but for the field's value."""
    if len(was) != len(now):
        return False
    for old, new in zip(was[1:], now[1:], strict=True):
        (where, data), (place, found) = old.split(": "), new.split(": ")
        if where != place:
            return False
        data, found = bytearray.fromhex(data), bytes.fromhex(found)
        # Headers may have been pulled; an answer quotes the whole packet.
        at = len(data) - len(remote.payload) + remote.offset
        if at >= 0:
            if data[at : at + 2] != old_field:
                return False
            data[at : at + 2] = new_field
        if where == "answer":
            icmp = {0x08: 36, 0x86: 56}[data[12]]
            data[icmp : icmp + 2] = found[icmp : icmp + 2]
            if not has_good_icmp(found):
                return False
        if data != found:
            return False
    return len(was) > 1


def without_status(seen):
    """Returns an observation without the state of its checksum."""
    return [re.sub(", status [0-9]+:", ":", line) for line in seen]


def odd_remote_checksum(name, was, now):
    """Linux sums from an odd start as from an even one, so the bytes of the sum are swapped."""
    remote = remote_checksum(bytes.fromhex(was[0]))
    if "nopartial" not in name or remote is None or remote.start % 2 == 0:
        return False
    field = checksum(remote)
    return differ_in_field(was, now, remote, field[::-1], field)


def zero_remote_checksum(name, was, now):
    """Linux writes a sum of 0 as 0, UDP's "no checksum"."""
    remote = remote_checksum(bytes.fromhex(was[0]))
    if "nopartial" not in name or remote is None or checksum(remote) != b"\xff\xff":
        return False
    # GRO of the tunnel device verifies rfou's checksum, and sees none in Linux's.
    was, now = without_status(was), without_status(now)
    return differ_in_field(was, now, remote, b"\0\0", b"\xff\xff")


def is_transport_checksum(number, payload, start, offset):
    """Returns whether this is the checksum of TCP or UDP after IP, or after IP in GRE."""
    # A short packet has no IP version.
    payload = payload.ljust(64, b"\0")
    ip = 0
    if number == GRE:
        ip, number = 4, {b"\0\0\x08\0": 4, b"\0\0\x86\xdd": 41}.get(payload[:4])
    if number == 4:
        header = 4 * (payload[ip] & 15)
        whole = payload[ip] >> 4 == 4 and payload[ip + 6 : ip + 8] in (b"\0\0", b"\x40\0")
        transport = payload[ip + 9]
    else:
        header = 40
        whole = number == 41 and payload[ip] >> 4 == 6
        transport = payload[ip + 6]
    field = {6: 16, 17: 6}.get(transport)
    return whole and start == ip + header and offset - start == field


def computed_remote_checksum(name, was, now):
    """Linux leaves any remote checksum to compute; rfou leaves only a transport header's."""
    remote = remote_checksum(bytes.fromhex(was[0]))
    if "nopartial" in name or remote is None or is_transport_checksum(*remote):
        return False
    if any("status 8:" in line for line in now[1:]):
        return False
    was, now = without_status(was), without_status(now)
    return differ_in_field(was, now, remote, in_packet(remote), checksum(remote))


def is_port_unreachable(answer, packet, quote):
    """Returns whether `answer` is "port unreachable" about `packet` and quotes `quote`."""
    frame = bytes.fromhex(answer.removeprefix("answer: "))
    version = packet[0] >> 4
    header = IP_HEADER[version]
    ip, icmp = frame[14 : 14 + header], frame[14 + header :]
    asked, answered = packet[ADDRESSES[version]], ip[ADDRESSES[version]]
    number, *kind = PORT_UNREACHABLE[version]
    return (
        frame[12:14] == {4: b"\x08\0", 6: b"\x86\xdd"}[version]
        and ip[{4: 9, 6: 6}[version]] == number
        and answered == asked[len(asked) // 2 :] + asked[: len(asked) // 2]
        and icmp[:2] == bytes(kind)
        and icmp[4:8] == bytes(4)
        and icmp[8:] == quote[: LONGEST_ERROR[version] - header - 8]
        and has_good_icmp(frame)
    )


def decapsulated(packet, remote):
    """Returns the packet with its outer IP length shortened by the UDP and GUE headers."""
    version = packet[0] >> 4
    at, headers = IP_LENGTH[version], len(packet) - IP_HEADER[version] - len(remote.payload)
    length = int.from_bytes(packet[at : at + 2], "big") - headers
    return packet[:at] + length.to_bytes(2, "big") + packet[at + 2 :]


def computed(remote):
    """Returns the payload with the remote checksum written."""
    payload = bytearray(remote.payload)
    payload[remote.offset : remote.offset + 2] = checksum(remote)
    return bytes(payload)


def unverified_udp(name, was, now):
    """Linux leaves the remote checksum, so UDP skips its own; with rfou, UDP finds a wrong one.

    Linux answers that the port is unreachable. With rfou UDP drops the packet.
    """
    packet = bytes.fromhex(was[0])
    remote = remote_checksum(packet)
    if "nopartial" in name or remote is None or remote.number != UDP:
        return False
    if now != was[:1] or len(was) != 2 or not was[1].startswith("answer: "):
        return False
    datagram, version = computed(remote), packet[0] >> 4
    length = int.from_bytes(datagram[4:6], "big")
    if not max(8, remote.offset + 2) <= length <= len(remote.payload):
        return False
    pseudo = add_up(packet[ADDRESSES[version]]) + UDP + length
    unchecked = version == 4 and datagram[6:8] == b"\0\0"
    if unchecked or fold(pseudo + add_up(datagram[:length])) == 0xFFFF:
        return False
    # UDP has trimmed the packet to the UDP length.
    quote = decapsulated(packet, remote)[: len(packet) - len(datagram) + length]
    return is_port_unreachable(was[1], packet, quote)


def unverified_gre(name, was, now):
    """Linux leaves the remote checksum, so GRE skips its own; with rfou, GRE finds a wrong one.

    Linux delivers the packet to a tunnel device, or answers that there is none. With rfou GRE drops
    the packet. IPv6 raw sockets get the packet before GRE verifies it.
    """
    packet = bytes.fromhex(was[0])
    remote = remote_checksum(packet)
    if "nopartial" in name or remote is None or remote.number != GRE:
        return False
    version = packet[0] >> 4
    raw = [line for line in was if line.startswith("protocol 47 of IPv6: ")]
    further = [line for line in was[1:] if line not in raw]
    if len(raw) != (1 if version == 6 else 0) or len(further) != 1 or len(now) != 1 + len(raw):
        return False
    old = [was[0], *raw]
    if raw and not differ_in_field(old, now, remote, in_packet(remote), checksum(remote)):
        return False
    flags = remote.payload[0]
    if not flags & 0x80 or add_up(computed(remote)) == 0xFFFF:
        return False
    if further[0].startswith("answer: "):
        return is_port_unreachable(further[0], packet, decapsulated(packet, remote))
    # Checksum, key and sequence number are 4 bytes each.
    header = 4 + sum(4 for flag in (0x80, 0x20, 0x10) if flags & flag)
    where, data = further[0].split(": ")
    device = {4: "device d47", 6: "device e47"}[version]
    return where.startswith(device) and bytes.fromhex(data) == remote.payload[header:]
