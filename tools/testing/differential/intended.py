"""What rfou does otherwise than Linux's fou on purpose: see Documentation/differences.rst."""

import collections
import re
import struct
import typing

from wire import add_up, fold

# Offsets in a packet of the IP versions: of the GUE header.
GUE_AT = {4: 28, 6: 48}
GRE = 47

# What Linux says with any error if the message is not a multiple of 4 bytes long, or the like.
LEFTOVER = b"bytes leftover after parsing attributes"
# How Linux's policy says that an attribute has a value which it does not allow.
OUT_OF_RANGE = b"integer out of range"
PROTOCOL_ZERO = re.compile("ipproto(=| again, | before, )00( |$)")

RemoteChecksum = collections.namedtuple("RemoteChecksum", "number payload start offset")


def remote_checksum(packet):
    """The remote checksum of a GUE packet, with the payload that it is of, or None."""
    at = GUE_AT[packet[0] >> 4]
    length = int.from_bytes(packet[at - 4 : at - 2], "big")
    gue = packet[at : at - 8 + length if length else None]
    if len(gue) < 12 or gue[2:8] != bytes.fromhex("000180000000"):
        return None
    start, offset = struct.unpack("!HH", gue[8:12])
    return RemoteChecksum(gue[1], gue[4 + 4 * (gue[0] & 31) :], start, offset)


def checksum(remote):
    """What is to be in the field of a remote checksum."""
    return (add_up(remote.payload[remote.start :]) ^ 0xFFFF or 0xFFFF).to_bytes(2, "big")


def in_packet(remote):
    """What is in the field of a remote checksum as it comes."""
    return remote.payload[remote.offset : remote.offset + 2]


def has_good_icmp(frame):
    """Whether the ICMP checksum of an answering frame is right."""
    if frame[12] == 0x08:
        return add_up(frame[34:]) == 0xFFFF
    return fold(add_up(frame[22:54]) + 58 + len(frame) - 54 + add_up(frame[54:])) == 0xFFFF


def differ_in_field(was, now, remote, old_field, new_field):
    """Whether both let the same be seen, with the one's field and with the other's."""
    if len(was) != len(now):
        return False
    for old, new in zip(was[1:], now[1:], strict=True):
        (where, data), (place, found) = old.split(": "), new.split(": ")
        if where != place:
            return False
        data, found = bytearray.fromhex(data), bytes.fromhex(found)
        # Something may have been taken off in front; an answer quotes the packet whole.
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
    """What was seen, but for whether its checksum is left, or was verified."""
    return [re.sub(", status [0-9]+:", ":", line) for line in seen]


def odd_remote_checksum(name, was, now):
    """Linux sums from an odd byte on as from an even one: the bytes of the sum change places."""
    remote = remote_checksum(bytes.fromhex(was[0]))
    if "nopartial" not in name or remote is None or remote.start % 2 == 0:
        return False
    field = checksum(remote)
    return differ_in_field(was, now, remote, field[::-1], field)


def zero_remote_checksum(name, was, now):
    """Linux writes a sum of 0 as 0, which UDP takes for none."""
    remote = remote_checksum(bytes.fromhex(was[0]))
    if "nopartial" not in name or remote is None or checksum(remote) != b"\xff\xff":
        return False
    # GRO of the tunnel device verifies the one, and takes the other for none.
    was, now = without_status(was), without_status(now)
    return differ_in_field(was, now, remote, b"\0\0", b"\xff\xff")


def is_transport_checksum(number, payload, start, offset):
    """Whether that is the checksum of TCP or UDP right behind IP, or behind IP in GRE."""
    # One that is cut short is of no version.
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
    """Linux leaves it to be computed, wherever it starts; rfou may not have left it."""
    remote = remote_checksum(bytes.fromhex(was[0]))
    if "nopartial" in name or remote is None or is_transport_checksum(*remote):
        return False
    if any("status 8:" in line for line in now[1:]):
        return False
    was, now = without_status(was), without_status(now)
    return differ_in_field(was, now, remote, in_packet(remote), checksum(remote))


def reason_given(_name, was, now):
    """Linux refuses without a word, or with one that has nothing to do with it."""
    return len(was) == len(now) and all(
        old == new or "because" in new and ("because" not in old or LEFTOVER.hex() in old)
        for old, new in zip(was, now, strict=True)
    )


def protocol_zero(name, was, now):
    """Linux's policy refuses protocol 0 wherever it stands; rfou unless the last type is GUE.

    Where the protocol stands twice, rfou reads the last.
    """
    if not PROTOCOL_ZERO.search(name):
        return False
    if name.startswith("reasons"):
        return all(OUT_OF_RANGE.hex() in line for line in was)
    asked = [line for line in was if not line.startswith("dump: ")]
    refused = all(": ERANGE: " in line for line in asked)
    accepted = not any(": ERANGE: " in line for line in now)
    return ("type=02" in name or " before, " in name) and refused and accepted


def whole_super_packets(name, was, now):
    """Linux has segments of remote checksums; rfou what the device is to segment, without."""
    *_, remcsum, offload = name.split(", ")
    if (remcsum, offload) != ("remcsum", "wire segmentation"):
        return False
    before = [line for line in was if "to be segmented" not in line]
    if before != [line for line in now if "to be segmented" not in line]:
        return False
    sizes = []
    for line in now:
        if found := re.match(
            "TCP of ([0-9]+) bytes to be segmented: .*: ([0-9a-f]+).* ([0-9]+) b", line
        ):
            frame = bytes.fromhex(found[2])
            udp = 34 if frame[12] == 0x08 else 54 + 8 * (frame[20] == 60)
            # No option; what is behind the header is IP, GRE, or of Ethernet in GRE.
            if frame[udp + 8] != 0 or frame[udp + 10 : udp + 12] != b"\0\0":
                return False
            sizes.append(int(found[1]))
            if int(found[3]) < sizes[-1] + udp + 12 + 40:
                return False
    return sizes == sorted(set(sizes)) and len(sizes) > 1


class Difference(typing.NamedTuple):
    """Something that Linux's fou does, and rfou does otherwise."""

    # In the table of Documentation/safety.rst.
    row: str
    what: str
    # The guest tests that show it.
    tests: list
    # Where inputs of a part show it here as well: how to tell.
    part: str = ""
    holds: typing.Callable = None


DIFFERENCES = (
    Difference(
        "19",
        "a super-packet's length, which is 0, shortened by the headers",
        ["test_row_19_tunnel_over_a_device_with_big_tcp"],
    ),
    Difference(
        "23",
        "remote checksums of segments made on the same machine taken for done",
        ["test_segments_of_a_flow_are_merged_on_receive"],
    ),
    Difference(
        "23",
        "super-packets of tunnels with remote checksums segmented in software",
        ["test_remote_checksums_leave_super_packets_whole_where_the_device_segments"],
        "transmit",
        whole_super_packets,
    ),
    Difference(
        "25",
        "a port lost from a dump at each message boundary",
        ["test_dump_of_many_ports_shows_each_once"],
    ),
    Difference(
        "26",
        "ICMP errors that do not reach gre tunnels",
        ["test_unreachable_from_the_way_reaches_the_tunnel"],
    ),
    Difference(
        "27",
        "an outer checksum over a source address that is not chosen yet",
        ["test_outer_checksum_is_right_where_routing_chooses_the_source"],
    ),
    Difference(
        "28",
        "a remote checksum from an odd byte on",
        ["test_remote_checksum_from_an_odd_byte_on_or_of_zero_is_right"],
        "receive",
        odd_remote_checksum,
    ),
    Difference(
        "28",
        "a remote checksum of zero",
        ["test_remote_checksum_from_an_odd_byte_on_or_of_zero_is_right"],
        "receive",
        zero_remote_checksum,
    ),
    Difference(
        "29",
        "a remote checksum that is not the first transport header's left to be computed",
        [
            "test_row_29_checksum_of_a_tunnel_within_is_verified",
            "test_row_29_checksum_that_the_stack_has_lost_is_not_used",
        ],
        "receive",
        computed_remote_checksum,
    ),
    Difference(
        "33",
        "a GUE port refused because the request says protocol 0",
        ["test_gue_port_ignores_the_protocol"],
        "netlink",
        protocol_zero,
    ),
    Difference(
        "",
        "a refusal without a reason",
        ["test_refused_with_errno_and_reason_and_nothing_left"],
        "netlink",
        reason_given,
    ),
    Difference(
        "",
        "a drop without a reason",
        ["test_header_is_accepted_or_dropped_for_its_reason"],
    ),
    Difference(
        "",
        "a captured packet's outer length shortened",
        ["test_capture_on_the_way_shows_the_outer_length_unchanged"],
    ),
)
