"""What rfou does otherwise than Linux's fou on purpose: see Documentation/differences.rst."""

import re
import struct
import typing

from remote_checksums import (
    computed_remote_checksum,
    odd_remote_checksum,
    unverified_gre,
    unverified_udp,
    zero_remote_checksum,
)

# What Linux says with any error if the message is not a multiple of 4 bytes long, or the like.
LEFTOVER = b"bytes leftover after parsing attributes"
# How Linux's policy says that an attribute has a value which it does not allow.
OUT_OF_RANGE = b"integer out of range"
PROTOCOL_ZERO = re.compile("ipproto(=| again, | before, )00( |$)")
# rfou's reasons instead, with another type than GUE and with GUE. Its attribute policy comes first.
PROTOCOL_REFUSED = (
    b"IP protocol must be 1 to 255 unless the type is GUE",
    b"Attribute failed policy validation",
    b"binary attribute size out of range",
)
PROTOCOL_ACCEPTED = (b"port does not exist", b"UDP port is in use")
# rfou's answers to GET, ADD, GET, dump, DEL and dump; without such a port, and where it is in use.
PROTOCOL_ANSWERS = ("ESRCH done done done done as before", "ESRCH EADDRINUSE as before EINVAL")
PROTOCOL_EMPTY = re.compile("ipproto(=| again, | before, )( |$)")


def reason_given(_name, was, now):
    """Linux refuses without a word, or with one that has nothing to do with it."""
    return len(was) == len(now) and all(
        old == new or "because" in new and ("because" not in old or LEFTOVER.hex() in old)
        for old, new in zip(was, now, strict=True)
    )


def says(line, texts):
    """Whether a refusal has one of these texts."""
    return any(text.hex() in line for text in texts)


def protocol_zero(name, was, now):
    """Linux's policy refuses protocol 0 wherever it stands; rfou unless the last type is GUE.

    Where the protocol stands twice, rfou reads the last.
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
    """The attribute policy that a refusal quotes: an 8-bit number from `least` to 255."""
    fields = struct.pack("=HHQ", 12, 4, least) + struct.pack("=HHQ", 12, 5, 255)
    return (struct.pack("=HH", 0x24, 0x8004) + fields + struct.pack("=HHI", 8, 1, 2)).hex()


def least_protocol(name, was, now):
    """An empty IPPROTO is refused with the policy quoted: at least 1 in Linux's, 0 in rfou's."""
    if not name.startswith("reasons") or not PROTOCOL_EMPTY.search(name):
        return False
    return [line.replace(policy_of_protocol(1), policy_of_protocol(0)) for line in was] == now


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
    sent = {line.split(" ")[2] for line in was if "to be segmented: " in line}
    return len(sizes) > 1 and sizes == sorted(map(int, sent))


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
        "29",
        "UDP in GUE taken for verified, as a remote checksum is left to be computed",
        ["test_udp_behind_a_remote_checksum_is_verified"],
        "receive",
        unverified_udp,
    ),
    Difference(
        "29",
        "GRE with a checksum taken for verified, as a remote checksum is left to be computed",
        ["test_gre_behind_a_remote_checksum_is_verified"],
        "receive",
        unverified_gre,
    ),
    Difference(
        "33",
        "a GUE port refused because the request says protocol 0",
        ["test_gue_port_ignores_the_protocol"],
        "netlink",
        protocol_zero,
    ),
    Difference(
        "33",
        "an attribute policy, quoted in a refusal, that has 1 as the least protocol",
        ["test_gue_port_ignores_the_protocol"],
        "netlink",
        least_protocol,
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
