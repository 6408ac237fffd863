# SPDX-License-Identifier: GPL-2.0
"""Receive of gue devices: bytes come in on the wire, and packets come out of the device."""

import errno
import itertools
import os
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

from testing.lib import progress
from testing.lib.checksum import add_up
from testing.lib.gue_link import GueLinks
from testing.lib.gue_peer import echo
from testing.lib.hosts import Capture, wait_until
from testing.lib.netlink import NetlinkError
from testing.lib.rgue_module import reload_rgue

PORT = 6080
# Outer addresses by IP version: of the first host, which sends, and of the second.
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
PROTOCOL = {4: 4, 6: 41}


def inner(version, mark=b"inner", **fields):
    """Returns the bytes of a packet that fits into a tunnel."""
    if version == 4:
        packet = IP(src="10.1.1.1", dst="10.1.1.2", **fields) / ICMP()
    else:
        packet = IPv6(src="fd00::1", dst="fd00::2", **fields) / ICMPv6EchoRequest()
    return bytes(packet / mark)


def gue(protocol, flags=0, fields=b""):
    """Returns a GUE header of variant 0."""
    return struct.pack("!BBH", len(fields) // 4, protocol, flags) + fields


def with_group(version, group):
    """Returns a header with a group."""
    return gue(PROTOCOL[version], 0x8000, struct.pack("!I", group))


class Wire:
    """Sends datagrams from the first host to the second as frames."""

    def __init__(self, hosts):
        h1, h2 = hosts
        self.socket = h1.packet_socket("eth0", 0)
        self.ether = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0"))

    def frame(self, version, payload, source=None, port=PORT, checksum=True, **fields):
        """Returns the frame of a UDP payload over an outer header of an IP version."""
        src, dst = OUTER[version]
        ip = IP if version == 4 else IPv6
        packet = ip(src=source or src, dst=dst, **fields)
        udp = UDP(sport=50000, dport=port) if checksum else UDP(sport=50000, dport=port, chksum=0)
        return bytes(self.ether / packet / udp / payload)

    def send(self, *arguments, **fields):
        """Sends the frame of these arguments."""
        self.socket.send(self.frame(*arguments, **fields))

    def close(self):
        """Closes the socket."""
        self.socket.close()


@pytest.fixture
def wire(hosts):
    """Sends to the second host."""
    made = Wire(hosts)
    yield made
    made.close()


@pytest.fixture
def links(hosts):
    """Links of the second host, which receives."""
    made = GueLinks(hosts[1])
    yield made
    made.close()


@pytest.fixture
def reasons():
    """The module with its own drop reasons; the default is back afterwards."""
    reload_rgue("own_drop_reasons=1")
    yield
    reload_rgue()


def received(host, device, send, count=1, timeout=2.0):
    """Returns the packets that come from a device because of `send()`."""
    with Capture(host, device) as capture:
        send()
        return capture.frames(lambda frame: b"inner" in frame, count, timeout)


# Headers that a device without a group accepts, by name: before a packet of an IP version.
PLAIN = {
    "plain": lambda v: gue(PROTOCOL[v]),
    "surplus": lambda v: gue(PROTOCOL[v], 0, bytes.fromhex("deadbeefcafef00d")),
    "longest": lambda v: gue(PROTOCOL[v], 0, bytes(124)),
    "variant 1": lambda v: b"",
    "private word": lambda v: gue(PROTOCOL[v], 1, bytes(4)),
}


@pytest.mark.parametrize("form", PLAIN)
@pytest.mark.parametrize(("outer", "within"), itertools.product((4, 6), (4, 6)))
def test_packets_come_from_the_device_as_they_were_sent(hosts, links, wire, outer, within, form):
    h2 = hosts[1]
    links.add("gue0", remote=OUTER[outer][0], up=True)
    packet = inner(within)
    assert received(h2, "gue0", lambda: wire.send(outer, PLAIN[form](within) + packet)) == [packet]
    rx = h2.traffic("gue0")["rx"]
    assert (rx["packets"], rx["bytes"], rx["errors"]) == (1, len(packet), 0)


@pytest.mark.parametrize("outer", [4, 6])
def test_socket_is_open_while_a_device_is_up(hosts, links, outer):
    h2 = hosts[1]
    table = "udp" if outer == 4 else "udp6"

    def listens():
        return h2.proc_net(table).count(f":{PORT:04X} ")

    links.add("gue0", remote=OUTER[outer][0])
    links.add("gue1", remote=OUTER[outer][0], id=1)
    assert listens() == 0, "a device that is down has no socket"
    links.up("gue0")
    links.up("gue1")
    assert listens() == 1, "devices share a socket"
    links.up("gue0", False)
    assert listens() == 1
    links.delete("gue1")
    assert listens() == 0


def test_id_and_remote_belong_to_one_device(hosts, links):
    links.add("gue0", remote="192.0.2.1", id=7)
    for other in ({"id": 8}, {}, {"id": 7, "port": 6081}):
        links.add("other", remote="192.0.2.1", **other)
        links.delete("other")
    with pytest.raises(NetlinkError) as caught:
        links.add("gue1", remote="192.0.2.1", id=7)
    assert caught.value.errno == errno.EEXIST
    assert caught.value.reason == "another gue link has this id and remote"
    links.delete("gue0")
    links.add("gue1", remote="192.0.2.1", id=7)


@pytest.mark.parametrize("version", [4, 6])
def test_port_in_use_is_refused_with_its_reason(hosts, links, version):
    h2 = hosts[1]
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    remote, local = OUTER[version]
    with h2.inside():
        program = socket.socket(family, socket.SOCK_DGRAM)
        program.bind(("", PORT))
    with program, pytest.raises(NetlinkError) as caught:
        links.add("gue0", remote=remote)
    assert caught.value.errno == errno.EADDRINUSE
    assert "a program or another tunnel" in caught.value.reason
    links.add("gue0", remote=remote, up=True)
    with pytest.raises(NetlinkError) as caught:
        links.add("gue1", remote=remote, local=local, id=1)
    assert caught.value.errno == errno.EADDRINUSE
    assert "another gue link" in caught.value.reason


def test_address_of_another_host_is_refused(hosts, links):
    with pytest.raises(NetlinkError) as caught:
        links.add("gue0", remote="192.0.2.1", local="192.0.2.77")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert caught.value.reason == "local address is not configured in this network namespace"


@pytest.mark.parametrize("outer", [4, 6])
def test_exact_remote_comes_before_any(hosts, links, wire, outer):
    h2 = hosts[1]
    anyone = "0.0.0.0" if outer == 4 else "::"
    stranger = "192.0.2.9" if outer == 4 else "2001:db8::9"
    links.add("exact", remote=OUTER[outer][0], up=True)
    links.add("anyone", remote=anyone, up=True)
    packet = inner(4)
    for source, device in ((None, "exact"), (stranger, "anyone")):
        send = lambda source=source: wire.send(outer, gue(4) + packet, source=source)  # noqa: E731
        assert received(h2, device, send) == [packet], source
    assert [h2.traffic(name)["rx"]["packets"] for name in ("exact", "anyone")] == [1, 1]
    links.delete("exact")
    assert received(h2, "anyone", lambda: wire.send(outer, gue(4) + packet)) == [packet]


def test_two_tunnels_to_one_address_by_group(hosts, links, wire):
    h2 = hosts[1]
    groups = {"none": None, "zero": 0, "seven": 7, "most": 0xFFFFFFFF}
    for name, group in groups.items():
        links.add(name, remote="192.0.2.1", up=True, **({} if group is None else {"id": group}))
    for name, group in groups.items():
        packet = inner(4, f"inner {name}".encode())
        header = gue(4) if group is None else with_group(4, group)
        send = lambda header=header, packet=packet: wire.send(4, header + packet)  # noqa: E731
        assert received(h2, name, send) == [packet]
    assert all(h2.traffic(name)["rx"]["packets"] == 1 for name in groups)


@pytest.mark.timeout(600)
def test_each_of_a_thousand_devices_gets_its_own_packets(hosts, links, wire):
    h2 = hosts[1]
    # The debug kernel takes a tenth of a second for each device.
    count = 200 if os.environ["RFOU_KERNEL"] == "debug" else 1000
    # Making a device is faster then.
    h2.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    for number in range(count):
        progress.report(f"device {number} of {count} is made")
        links.add(f"g{number}", remote="192.0.2.1", id=number * 65537 % 2**32, up=True)
    # Building a frame takes longer than the kernel's work for it.
    group = b"\xde\xca\xfb\xad"
    frame = wire.frame(4, gue(4, 0x8000, group) + inner(4), checksum=False)
    for number in range(count):
        progress.report(f"device {number} of {count} gets packets")
        own = frame.replace(group, struct.pack("!I", number * 65537 % 2**32))
        for _ in range(1 + number % 3):
            wire.socket.send(own)

    def counters():
        found = {}
        for line in h2.proc_net("dev").splitlines():
            name, _, numbers = line.partition(":")
            if name.strip().startswith("g"):
                found[name.strip()] = int(numbers.split()[1])
        return found

    expected = {f"g{number}": 1 + number % 3 for number in range(count)}
    wait_until(lambda: counters() == expected, "each device has its packets", timeout=20)


DROPPED = {
    "short": (b"\0\4\0", "RGUE_TRUNCATED"),
    "no inner packet": (gue(4), "RGUE_TRUNCATED"),
    "inner packet short": (gue(4) + inner(4)[:19], "RGUE_TRUNCATED"),
    "variant 2": (b"\x80\4\0\0" + inner(4), "RGUE_BAD_VARIANT"),
    "variant 3": (b"\xc0\4\0\0" + inner(4), "RGUE_BAD_VARIANT"),
    "version 5": (b"\x50" + inner(4)[1:], "RGUE_BAD_IP_VERSION"),
    "Hlen past the end": (b"\x1f\4\0\0" + bytes(96), "RGUE_BAD_HLEN"),
    "unassigned flag": (gue(4, 0x20) + inner(4), "RGUE_UNKNOWN_FLAG"),
    "reserved method": (gue(4, 0x5000, bytes(20)) + inner(4), "RGUE_UNKNOWN_FLAG"),
    "cookie": (gue(4, 0x1000, bytes(8)) + inner(4), "RGUE_AUTH_UNEXPECTED"),
    "keyed hash": (gue(4, 0x4000, bytes(40)) + inner(4), "RGUE_AUTH_UNEXPECTED"),
    "fragment": (gue(4, 0x0800, bytes(8)) + inner(4), "RGUE_FRAGMENT_PROTOCOL"),
    "transform": (gue(59, 0x0400, b"\1\4\0\0") + inner(4), "RGUE_TRANSFORM"),
    "NAT checksum": (gue(4, 0x0080, bytes(4)) + inner(4), "RGUE_NAT_CSUM"),
    "wrong checksum": (gue(4, 0x0100, b"\1\2\0\0") + inner(4), "RGUE_BAD_CSUM"),
    "wrong CRC": (gue(4, 0x0040, bytes(8)) + inner(4), "RGUE_BAD_CRC"),
    "private flag": (gue(4, 1, b"\x40\0\0\0") + inner(4), "RGUE_UNKNOWN_PRIVATE_FLAG"),
    "group without its field": (gue(4, 0x8000) + inner(4), "RGUE_FIELD_PAST_HEADER"),
    "R without its field": (gue(4, 0x0200) + inner(4), "RGUE_FIELD_PAST_HEADER"),
    "R before its start": (
        gue(4, 0x0200, struct.pack("!HH", 36, 20)) + inner(4),
        "RGUE_BAD_REMCSUM",
    ),
    "R past the packet": (
        gue(4, 0x0200, struct.pack("!HH", 20, 2000)) + inner(4),
        "RGUE_BAD_REMCSUM",
    ),
    "both remote checksums": (
        gue(4, 0x0201, struct.pack("!HHIHH", 20, 22, 1 << 31, 20, 22)) + inner(4),
        "RGUE_UNKNOWN_FLAG",
    ),
    "control": (b"\x20\x01\0\0" + inner(4), "RGUE_CONTROL"),
    "opaque control": (b"\x20\0\0\0" + inner(4), "RGUE_CONTROL"),
    "other experiment": (b"\x20\xff\0\0" + inner(4), "RGUE_CONTROL_EXID"),
    "no experiment": (b"\x20\xff\0\0RFO", "RGUE_CONTROL_TRUNCATED"),
    "short echo": (b"\x20\xff\0\0" + echo(1, 1, 1)[:23], "RGUE_CONTROL_TRUNCATED"),
    "unknown kind": (b"\x20\xff\0\0" + echo(3, 1, 1), "RGUE_CONTROL_KIND"),
    "unknown control flag": (
        b"\x20\xff\0\0RFOU\1\1" + echo(1, 1, 1)[6:],
        "RGUE_CONTROL_KIND",
    ),
    "unasked reply": (b"\x20\xff\0\0" + echo(2, 1, 1), "RGUE_UNASKED_REPLY"),
    "transformed control": (b"\x21\0\x04\0\1\4\0\0", "RGUE_TRANSFORM"),
    "protocol 0": (gue(0) + inner(4), "RGUE_NOT_IP"),
    "no next header": (gue(59) + inner(4), "RGUE_NOT_IP"),
    "GRE": (gue(47) + inner(4), "RGUE_NOT_IP"),
    "unknown group": (with_group(4, 7) + inner(4), "RGUE_NO_DEVICE"),
}


@pytest.mark.stock_only
@pytest.mark.usefixtures("reasons")
@pytest.mark.parametrize("outer", [4, 6])
def test_each_drop_has_its_reason(hosts, wire, drop_monitor, outer):
    links = GueLinks(hosts[1])
    links.add("gue0", remote=OUTER[outer][0], up=True)
    mark = struct.pack("!HH", 50000, PORT)
    for name, (payload, reason) in DROPPED.items():
        wire.send(outer, payload)
        found = drop_monitor.reason_for(lambda packet: mark in packet or packet == b"")
        assert found == reason, name
    assert hosts[1].traffic("gue0")["rx"]["packets"] == 0
    # The device counts all drops but those before receive knows the device.
    assert hosts[1].traffic("gue0")["rx"]["errors"] == 22
    links.close()


@pytest.mark.stock_only
@pytest.mark.usefixtures("reasons")
def test_zero_checksum_over_ipv6_is_judged_by_each_device(hosts, wire, drop_monitor):
    h2 = hosts[1]
    links = GueLinks(h2)
    links.add("strict", remote="2001:db8::1", id=1, up=True)
    links.add("lenient", remote="2001:db8::1", id=2, udp_zero_csum6_rx=1, up=True)
    packet = inner(4)
    mark = struct.pack("!HH", 50000, PORT)

    def send(group):
        wire.send(6, with_group(4, group) + packet, checksum=False)

    assert received(h2, "lenient", lambda: send(2)) == [packet]
    send(1)
    assert drop_monitor.reason_for(lambda dropped: mark in dropped) == "RGUE_ZERO_CHECKSUM"
    # The option takes effect when it is changed, on and off.
    links.set("strict", udp_zero_csum6_rx=1)
    assert received(h2, "strict", lambda: send(1)) == [packet]
    links.set("strict", udp_zero_csum6_rx=0)
    send(1)
    assert drop_monitor.reason_for(lambda dropped: mark in dropped) == "RGUE_ZERO_CHECKSUM"
    links.close()


@pytest.mark.parametrize("outer", [4, 6])
def test_wrong_checksum_is_dropped_by_udp(hosts, links, wire, outer):
    h2 = hosts[1]
    links.add("gue0", remote=OUTER[outer][0], udp_zero_csum6_rx=1, up=True)
    src, dst = OUTER[outer]
    ip = IP if outer == 4 else IPv6
    wrong = ip(src=src, dst=dst) / UDP(sport=50000, dport=PORT, chksum=1) / (gue(4) + inner(4))
    name = "UdpInCsumErrors" if outer == 4 else "Udp6InCsumErrors"
    before = h2.snmp(name)
    wire.socket.send(bytes(wire.ether / wrong))
    wait_until(lambda: h2.snmp(name) == before + 1, "UDP counts the packet")
    assert h2.traffic("gue0")["rx"]["packets"] == 0


# RFC 6040, figure 4: by the outer field, the result for the inner fields 0 to 3; None is a drop.
NOT_ECT, ECT_1, ECT_0, CE = range(4)
ECN = {
    NOT_ECT: (NOT_ECT, ECT_1, ECT_0, CE),
    ECT_0: (NOT_ECT, ECT_1, ECT_0, CE),
    ECT_1: (NOT_ECT, ECT_1, ECT_1, CE),
    CE: (None, CE, CE, CE),
}


@pytest.mark.parametrize(("outer", "within"), itertools.product((4, 6), (4, 6)))
def test_congestion_marks_are_combined(hosts, links, wire, outer, within):
    h2 = hosts[1]
    links.add("gue0", remote=OUTER[outer][0], up=True)
    field = {4: "tos", 6: "tc"}
    dscp = 0x28
    for outside, results in ECN.items():
        for inside, result in enumerate(results):
            packet = inner(within, **{field[within]: dscp | inside})
            errors = h2.traffic("gue0")["rx"]["errors"]
            found = received(
                h2,
                "gue0",
                lambda outside=outside, packet=packet: wire.send(
                    outer, gue(PROTOCOL[within]) + packet, **{field[outer]: outside}
                ),
                timeout=2.0 if result is not None else 0.2,
            )
            expected = []
            if result is not None:
                expected = [inner(within, **{field[within]: dscp | result})]
            assert found == expected, (outside, inside)
            now = h2.traffic("gue0")["rx"]["errors"]
            assert now == errors + (result is None), (outside, inside)


REMCSUM = {
    "draft": lambda start, offset: (0x0200, struct.pack("!HH", start, offset)),
    "linux": lambda start, offset: (1, struct.pack("!IHH", 1 << 31, start, offset)),
}


@pytest.mark.parametrize("form", REMCSUM)
@pytest.mark.parametrize(("outer", "within"), itertools.product((4, 6), (4, 6)))
def test_remote_checksum_is_accepted_by_the_inner_receiver(hosts, links, wire, outer, within, form):
    """A UDP socket accepts an inner datagram whose checksum the header leaves to the receiver."""
    h2 = hosts[1]
    links.add("gue0", remote=OUTER[outer][0], up=True)
    address = "10.1.1.2/24" if within == 4 else "fd00::2/64"
    h2.ip("addr", "add", address, "dev", "gue0", *(["nodad"] if within == 6 else []))
    if within == 4:
        h2.sysctl("net.ipv4.conf.all.rp_filter", 0)
        packet = IP(src="10.1.1.1", dst="10.1.1.2")
    else:
        packet = IPv6(src="fd00::1", dst="fd00::2")
    start = 20 if within == 4 else 40
    data = bytearray(bytes(packet / UDP(sport=7, dport=9) / b"inner data"))
    data[start + 6 : start + 8] = seed(bytes(data), socket.IPPROTO_UDP)
    with h2.inside():
        receiver = socket.socket(
            socket.AF_INET if within == 4 else socket.AF_INET6, socket.SOCK_DGRAM
        )
        receiver.bind(("", 9))
    receiver.settimeout(2)
    flags, field = REMCSUM[form](start, start + 6)
    with receiver:
        wire.send(outer, gue(PROTOCOL[within], flags, field) + bytes(data))
        assert receiver.recv(100) == b"inner data"
    assert h2.snmp("UdpInCsumErrors") == h2.snmp("Udp6InCsumErrors") == 0


def seed(packet, protocol):
    """Returns the sum of a packet's pseudo header, which the field of a partial checksum has."""
    if packet[0] >> 4 == 4:
        addresses, length = packet[12:20], len(packet) - 20
    else:
        addresses, length = packet[8:40], len(packet) - 40
    return add_up(addresses + struct.pack("!HH", protocol, length)).to_bytes(2, "big")
