# SPDX-License-Identifier: GPL-2.0
"""Devices of kind gue that fragment long packets and reassemble the fragments they receive."""

import socket
import struct

import pytest

from testing.lib.hosts import Capture, wait_until
from testing.lib.traffic import tcp_arrives

OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.1.1", "10.1.1.2"), 6: ("fd00::1", "fd00::2")}
IP_HEADER = {4: 20, 6: 40}
FRAGMENT = 0x0800


def make_devices(hosts, outer, options, mtu=1500):
    """Makes a device in each host."""
    for number, host in enumerate(hosts):
        host.batch(
            f"link add gue0 type gue remote {OUTER[outer][1 - number]} {options}",
            f"addr add {INNER[4][number]}/24 dev gue0",
            f"addr add {INNER[6][number]}/64 dev gue0 nodad",
            f"link set gue0 mtu {mtu} up",
        )


def ping(host, inner, size):
    """Sends an echo request in a packet of a size; returns whether it has an answer."""
    data = size - IP_HEADER[inner] - 8
    options = ("-n", "-c", 1, "-W", 5, "-M", "do", "-s", data, INNER[inner][1])
    return host.run("ping", *options, check=False).returncode == 0


def fragments(capture, outer, longest):
    """Returns the offset and length of each GUE fragment; checks that IP fragmented nothing."""
    found = []
    for frame in capture.frames(lambda _: True, count=1 << 20, timeout=0):
        packet = frame[14:]
        assert len(packet) <= longest, "an outer packet is longer than the wire takes"
        if packet[0] >> 4 != outer:
            continue
        if outer == 4:
            assert packet[6:8] == b"\x40\0" or packet[9] != 17, "IP has fragmented a packet, or may"
        if packet[9 if outer == 4 else 6] != 17:
            continue
        gue = packet[IP_HEADER[outer] + 8 :]
        (flags,) = struct.unpack_from("!H", gue, 2)
        if flags & FRAGMENT:
            header = 4 + 4 * (gue[0] & 0x1F)
            (first,) = struct.unpack_from("!H", gue, 4)
            found.append((first & ~7, len(gue) - header))
    return found


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("inner", [4, 6])
def test_long_ping_goes_in_fragments_of_similar_size(hosts, outer, inner):
    """A packet of 3000 bytes crosses a link with MTU 1500, both ways. IP fragments nothing."""
    make_devices(hosts, outer, "fragment", 4000)
    with Capture(hosts[1], "eth0") as seen:
        assert ping(hosts[0], inner, 3000), "the echo request has no answer"
        assert fragments(seen, outer, 1500) == [(0, 1000), (1000, 1000), (2000, 1000)] * 2


@pytest.mark.parametrize(
    "options", ["id 7 headercsum crc", "mode ethernet udpcsum", "udpcsum remcsum"]
)
def test_tcp_passes_with_fragments_of_500_bytes(hosts, options):
    """`fragment SIZE` limits packets on a link with a greater MTU, also TCP's GSO packets."""
    make_devices(hosts, 4, f"{options} fragment 500")
    with Capture(hosts[1], "eth0") as seen:
        assert tcp_arrives(hosts[0], hosts[1], INNER[4][1], bytes(range(256)) * 1024)
        found = fragments(seen, 4, 500)
    assert len(found) > 600, "TCP's segments of 1500 bytes go in more fragments"
    assert hosts[1].traffic("gue0")["rx"]["errors"] == 0
    assert hosts[1].sysctl("net.gue.frag_mem") == "0"


def test_frames_go_in_fragments(hosts):
    """With `mode ethernet`, EtherIP header and frame are fragmented together."""
    make_devices(hosts, 4, "mode ethernet fragment", 2000)
    with Capture(hosts[1], "eth0") as seen:
        assert ping(hosts[0], 4, 2000), "the echo request has no answer"
        lengths = [length for _, length in fragments(seen, 4, 1500)]
    assert lengths == [1008, 1008] * 2


def test_covered_fragments_are_checked_one_by_one(hosts):
    """A coverage counts the bytes of its fragment."""
    make_devices(hosts, 6, "headercsum all crc all fragment 1280", 9000)
    assert ping(hosts[0], 6, 9000), "the echo request has no answer"
    assert hosts[1].traffic("gue0")["rx"]["errors"] == 0


def test_device_goes_while_a_fragment_waits(hosts):
    """A waiting fragment does not delay the deletion of its device, and waits on."""
    make_devices(hosts, 4, "")
    header = bytes.fromhex("02040800 00010401 02030405")
    with hosts[0].inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(header + bytes(64), ("192.0.2.2", 6080))
    wait_until(lambda: int(hosts[1].sysctl("net.gue.frag_mem")) > 0, "a fragment waits")
    hosts[1].ip("link", "del", "gue0")
    assert int(hosts[1].sysctl("net.gue.frag_mem")) > 0, "the fragment still waits"


def test_packet_with_a_lost_fragment_times_out(hosts):
    """The timeout drops the fragment that has come, and frees its memory."""
    make_devices(hosts, 4, "")
    hosts[1].sysctl("net.gue.frag_time", 1)
    # The first of two fragments.
    header = bytes.fromhex("02040800 00010401 02030405")
    with hosts[0].inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(header + bytes(64), ("192.0.2.2", 6080))
    wait_until(lambda: int(hosts[1].sysctl("net.gue.frag_mem")) > 0, "a fragment waits")
    wait_until(lambda: hosts[1].sysctl("net.gue.frag_mem") == "0", "the fragment is dropped")
    assert hosts[1].sysctl("net.gue.frag_timeouts") == "1"
