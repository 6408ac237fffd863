# SPDX-License-Identifier: GPL-2.0
"""Intended differences from Linux's fou: see Documentation/differences.rst."""

import re
import struct
import typing

from testing.differential.remote_checksums import (
    computed_remote_checksum,
    odd_remote_checksum,
    unverified_gre,
    unverified_udp,
    zero_remote_checksum,
)

# Linux's text with any error of a message that does not end with an attribute.
LEFTOVER = b"bytes leftover after parsing attributes"
# Linux's text for a value outside the range of the attribute policy.
OUT_OF_RANGE = b"integer out of range"
PROTOCOL_ZERO = re.compile("ipproto(=| again, | before, )00( |$)")
# Texts instead with rfou: if rfou refuses the protocol, because the type is not GUE, and if rfou
# accepts it. Netlink checks the attribute policy before rfou, so the policy's texts appear, too.
PROTOCOL_REFUSED = (
    b"IP protocol must be 1 to 255 unless the type is GUE",
    b"Attribute failed policy validation",
    b"binary attribute size out of range",
)
PROTOCOL_ACCEPTED = (b"port does not exist", b"UDP port is in use")
# rfou's answers to GET, ADD, GET, dump, DEL and dump: without the port, and with the port in use.
PROTOCOL_ANSWERS = ("ESRCH done done done done as before", "ESRCH EADDRINUSE as before EINVAL")
PROTOCOL_EMPTY = re.compile("ipproto(=| again, | before, )( |$)")


def reason_given(_name, was, now):
    """Linux gives no reason, or netlink's text about leftover bytes; rfou gives a reason."""
    return len(was) == len(now) and all(
        old == new or "because" in new and ("because" not in old or LEFTOVER.hex() in old)
        for old, new in zip(was, now, strict=True)
    )


def says(line, texts):
    """Returns whether a refusal has one of these texts."""
    return any(text.hex() in line for text in texts)


def protocol_zero(name, was, now):
    """Linux's policy refuses protocol 0 in any request; rfou accepts it if the last type is GUE.

    If a request has the protocol twice, rfou reads the last.
    """
    if not PROTOCOL_ZERO.search(name):
        return False
    accepted = "type=02" in name or " before, " in name
    if name.startswith("reasons"):
        texts = PROTOCOL_ACCEPTED if accepted else PROTOCOL_REFUSED
        asked = [[line.split(":")[0] for line in lines] for lines in (was, now)]
        return (
            all(says(line, [OUT_OF_RANGE]) for line in was)
            and all(says(line, texts) for line in now)
            and (asked[0] == asked[1] or accepted and asked[1] == ["get"])
        )
    came = [" ".join(line.split(": ")[1] for line in lines) for lines in (was, now)]
    return accepted and came[0] == "ERANGE ERANGE as before ERANGE" and came[1] in PROTOCOL_ANSWERS


def policy_of_protocol(least):
    """Returns the attribute policy in a refusal: an 8-bit number from `least` to 255."""
    fields = struct.pack("=HHQ", 12, 4, least) + struct.pack("=HHQ", 12, 5, 255)
    return (struct.pack("=HH", 0x24, 0x8004) + fields + struct.pack("=HHI", 8, 1, 2)).hex()


def least_protocol(name, was, now):
    """The refusal of an empty IPPROTO carries the policy: from 1 in Linux's, from 0 in rfou's."""
    if not name.startswith("reasons") or not PROTOCOL_EMPTY.search(name):
        return False
    return [line.replace(policy_of_protocol(1), policy_of_protocol(0)) for line in was] == now


# A line of transmit.py: name, state of the checksums, frame, and the length of a longer frame.
FRAME = re.compile("(.*): ([^:]*): ([0-9a-f]+)(?:[.]{3} ([0-9]+) bytes, .*)?")


def base_header(was, now):
    """Linux sends a packet with a remote checksum; rfou sends the same one with the base header."""
    old, new = FRAME.fullmatch(was), FRAME.fullmatch(now)
    if not old or not new or old[1] != new[1] or not old[1].endswith(", checksum left"):
        return False
    if old[2].split(" ")[:-1] != new[2].split(" ")[:-1] or ("zero" in old[2]) != ("zero" in new[2]):
        return False
    frame, sent = bytes.fromhex(old[3]), bytes.fromhex(new[3])
    udp = 34 if frame[12] == 0x08 else 54 + 8 * (frame[20] == 60)
    gue = udp + 8
    if frame[gue] != 2 or frame[gue + 2 : gue + 8] != bytes.fromhex("000180000000"):
        return False
    expected = bytearray(frame[:gue] + bytes((0, frame[gue + 1], 0, 0)) + frame[gue + 12 :])
    for field in (16 if frame[12] == 0x08 else 18, udp + 4):
        shorter = int.from_bytes(frame[field : field + 2], "big") - 8
        expected[field : field + 2] = shorter.to_bytes(2, "big")
    length = int(new[4] or len(sent))
    return sent[: len(expected)] == expected and length == int(old[4] or len(frame)) - 8


def whole_gso_packets(name, was, now):
    """Linux sends segments with remote checksums; rfou sends GSO packets without.

    rfou sends the other packets of the flow with the same base header.
    """
    *_, remcsum, offload = name.split(", ")
    if (remcsum, offload) != ("remcsum", "wire segmentation"):
        return False
    before = [line for line in was if "to be segmented" not in line]
    after = [line for line in now if "to be segmented" not in line]
    if len(before) != len(after) or not all(
        old == new or base_header(old, new) for old, new in zip(before, after, strict=True)
    ):
        return False
    sizes = []
    for line in now:
        if found := re.match(
            "TCP of ([0-9]+) bytes to be segmented: .*: ([0-9a-f]+).* ([0-9]+) b", line
        ):
            frame = bytes.fromhex(found[2])
            udp = 34 if frame[12] == 0x08 else 54 + 8 * (frame[20] == 60)
            # No option; after the header comes IP, GRE, or Ethernet in GRE.
            if frame[udp + 8] != 0 or frame[udp + 10 : udp + 12] != b"\0\0":
                return False
            sizes.append(int(found[1]))
            if int(found[3]) < sizes[-1] + udp + 12 + 40:
                return False
    sent = {line.split(" ")[2] for line in was if "to be segmented: " in line}
    return len(sizes) > 1 and sizes == sorted(map(int, sent))


class Difference(typing.NamedTuple):
    """Something that rfou does on purpose unlike Linux's fou."""

    what: str
    # Guest tests that show the difference.
    tests: list
    # The part of the inputs that also shows it, if any, and a predicate for two observations.
    part: str = ""
    holds: typing.Callable = None


DIFFERENCES = (
    Difference(
        "the length 0 of a GSO packet over 64 KiB, shortened by the headers",
        ["test_port_receives_packets_of_more_than_64_kib"],
    ),
    Difference(
        "remote checksums of segments made on the same machine, taken as computed",
        ["test_segments_of_a_flow_are_merged_on_receive"],
    ),
    Difference(
        "GSO packets of tunnels with remote checksums, segmented in software",
        [
            "test_remote_checksums_leave_gso_packets_whole_where_the_device_segments",
            "test_flow_has_one_header_form_and_stays_in_order",
        ],
        "transmit",
        whole_gso_packets,
    ),
    Difference(
        "a port lost from a dump at each message boundary",
        ["test_dump_of_many_ports_shows_each_once"],
    ),
    Difference(
        "ICMP errors that do not reach gre tunnels",
        ["test_unreachable_from_the_way_reaches_the_tunnel"],
    ),
    Difference(
        "an outer checksum over a source address that routing has not chosen yet",
        ["test_outer_checksum_is_right_where_routing_chooses_the_source"],
    ),
    Difference(
        "a remote checksum with an odd start",
        ["test_remote_checksum_from_an_odd_byte_on_or_of_zero_is_right"],
        "receive",
        odd_remote_checksum,
    ),
    Difference(
        "a remote checksum of zero",
        ["test_remote_checksum_from_an_odd_byte_on_or_of_zero_is_right"],
        "receive",
        zero_remote_checksum,
    ),
    Difference(
        "a remote checksum, not the first transport header's, left to compute",
        [
            "test_checksum_of_an_inner_tunnel_is_verified",
            "test_overwritten_checksum_start_is_not_used",
        ],
        "receive",
        computed_remote_checksum,
    ),
    Difference(
        "UDP in GUE taken as verified because a remote checksum is left to compute",
        ["test_udp_after_a_remote_checksum_is_verified"],
        "receive",
        unverified_udp,
    ),
    Difference(
        "GRE's checksum taken as verified because a remote checksum is left to compute",
        ["test_gre_after_a_remote_checksum_is_verified"],
        "receive",
        unverified_gre,
    ),
    Difference(
        "a GUE port refused because of protocol 0 in the request",
        ["test_gue_port_ignores_the_protocol"],
        "netlink",
        protocol_zero,
    ),
    Difference(
        "an attribute policy in a refusal with 1 as the least protocol",
        ["test_gue_port_ignores_the_protocol"],
        "netlink",
        least_protocol,
    ),
    Difference(
        "a refusal without a reason",
        ["test_refused_with_errno_and_reason_and_nothing_left"],
        "netlink",
        reason_given,
    ),
    Difference(
        "a drop without a reason",
        ["test_header_is_accepted_or_dropped_for_its_reason"],
    ),
    Difference(
        "a captured packet's outer length shortened",
        ["test_capture_on_the_way_shows_the_outer_length_unchanged"],
    ),
)
