# SPDX-License-Identifier: GPL-2.0
"""Transmit of gue devices: packets go into a device, and a capture shows the bytes on the wire.

h1: gue0 10.1.1.1, fd00::1 -- eth0 ===== eth0 -- gue0 10.1.1.2, fd00::2 :h2
"""

import json
import socket
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.lib.hosts import Capture, is_udp_to, wait_until
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import no_checksum_errors, segment_in_software

# The debug kernel takes five seconds for each test.
pytestmark = pytest.mark.soak_on_debug

GUE_PORT = 6080
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.1.1", "10.1.1.2"), 6: ("fd00::1", "fd00::2")}
DATA = b"inner datagram"


def make_device(host, number, outer, options=""):
    """Makes host 1's or host 2's device, with addresses of both IP versions."""
    host.batch(
        f"link add gue0 type gue remote {OUTER[outer][2 - number]} {options}",
        f"addr add {INNER[4][number - 1]}/24 dev gue0",
        f"addr add {INNER[6][number - 1]}/64 dev gue0 nodad",
        "link set gue0 up",
    )


def make_devices(hosts, outer, options=""):
    """Makes a device in each host."""
    for number, host in enumerate(hosts, start=1):
        make_device(host, number, outer, options)


def send(host, inner, tos=0, hop_limit=64, data=DATA):
    """Sends a UDP datagram to the other end of the tunnel."""
    family = socket.AF_INET if inner == 4 else socket.AF_INET6
    with host.inside(), socket.socket(family, socket.SOCK_DGRAM) as sock:
        if inner == 4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop_limit)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hop_limit)
        sock.sendto(data, (INNER[inner][1], 7777))


def sent(hosts, inner, port=GUE_PORT, **how):
    """Sends a datagram; returns its packet on the wire: the outer IP header, and UDP's payload."""
    h1, h2 = hosts
    with Capture(h2, "eth0") as capture:
        send(h1, inner, **how)
        frames = capture.frames(lambda frame: is_udp_to(frame, port) and DATA in frame)
    assert frames, "nothing came"
    packet = Ether(frames[0])
    ip = packet[IPv6] if packet.type == 0x86DD else packet[IP]
    assert isinstance(ip.payload, UDP)
    return ip, bytes(ip.payload.payload)


def check_inner(data, inner):
    """Checks that bytes are the datagram's packet."""
    packet = IP(data) if inner == 4 else IPv6(data)
    assert (packet.src, packet.dst) == INNER[inner]
    assert bytes(packet[UDP].payload) == DATA


@pytest.mark.parametrize("inner", [4, 6])
def test_udp_gso_packet_is_received_whole(hosts, inner):
    """A call with UDP_SEGMENT sends ten datagrams, which the other device gets in fewer packets."""
    make_devices(hosts, 4)
    udp_segment, size = 103, 100
    h1, h2 = hosts
    family = socket.AF_INET if inner == 4 else socket.AF_INET6
    with h2.inside(), socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((INNER[inner][1], 7777))
        receiver.settimeout(10)
        before = received_packets(h2)
        with h1.inside(), socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_UDP, udp_segment, size)
            sender.sendto(b"".join(bytes([n] * size) for n in range(10)), (INNER[inner][1], 7777))
        for number in range(10):
            assert receiver.recv(2000) == bytes([number] * size)
        # The hosts also send each other multicast listener reports.
        assert received_packets(h2) - before < 10
    assert all(no_checksum_errors(host) for host in hosts)


def received_packets(host):
    """Returns the number of packets that the host's device has received."""
    return host.link("gue0")["stats64"]["rx"]["packets"]


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize(
    ("options", "flags", "field"),
    [("", 0, b""), ("id 7", 0x8000, b"\0\0\0\x07"), ("id 0xfedcba98", 0x8000, b"\xfe\xdc\xba\x98")],
)
def test_header_of_variant_0(hosts, outer, inner, options, flags, field):
    """The header has the inner protocol and, if the device has one, the group."""
    make_devices(hosts, outer, options)
    ip, payload = sent(hosts, inner)
    assert (ip.src, ip.dst) == OUTER[outer]
    protocol = 4 if inner == 4 else 41
    header = struct.pack("!BBH", len(field) // 4, protocol, flags) + field
    assert payload[: len(header)] == header
    check_inner(payload[len(header) :], inner)


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_variant_1_has_no_header(hosts, outer, inner):
    """The inner packet follows the UDP header."""
    make_devices(hosts, outer, "variant 1")
    _, payload = sent(hosts, inner)
    check_inner(payload, inner)


@pytest.mark.parametrize(
    ("options", "flags", "word"),
    [("remcsum", 0x0200, b""), ("linux-remcsum", 0x0001, b"\x80\0\0\0")],
)
@pytest.mark.parametrize("outer", [4, 6])
def test_remote_checksum_names_its_place(hosts, outer, options, flags, word):
    """The header names the place of the inner checksum, which the sender's stack left partial."""
    make_devices(hosts, outer, f"udpcsum {options}")
    segment_in_software(hosts[0])
    ip, payload = sent(hosts, 4)
    # UDP within IPv4 without options: the sum begins at 20, its field is at 26.
    field = word + struct.pack("!HH", 20, 26)
    assert payload[: 4 + len(field)] == struct.pack("!BBH", len(field) // 4, 4, flags) + field
    assert ip.payload.chksum != 0


@pytest.mark.parametrize("outer", [4, 6])
def test_checksum_is_sent_as_asked(hosts, outer):
    """Without `udpcsum` IPv4 has no outer checksum; IPv6 has one unless `udp6zerocsumtx`."""
    make_device(hosts[0], 1, outer)
    make_device(hosts[1], 2, outer, "udp6zerocsumrx")
    ip, _ = sent(hosts, 4)
    assert bool(ip.payload.chksum) == (outer == 6)
    hosts[0].ip("link", "set", "gue0", "type", "gue", "udpcsum", "udp6zerocsumtx")
    ip, _ = sent(hosts, 4)
    assert bool(ip.payload.chksum) == (outer == 4)


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_outer_header_has_what_was_set(hosts, outer, inner):
    """TTL and TOS come from the device or the inner header, DF from the device; ECN is copied."""
    make_devices(hosts, outer, "ttl 9 tos 0x20 df set")

    def fields(ip):
        return (ip.ttl, ip.tos) if outer == 4 else (ip.hlim, ip.tc)

    ip, _ = sent(hosts, inner, tos=0xB9, hop_limit=33)
    # 0xb9: DSCP EF, ECT(1).
    assert fields(ip) == (9, 0x21)
    if outer == 4:
        assert ip.flags.DF
    hosts[0].ip(
        "link", "set", "gue0", "type", "gue", "ttl", "inherit", "tos", "inherit", "df", "unset"
    )
    ip, _ = sent(hosts, inner, tos=0xB9, hop_limit=33)
    assert fields(ip) == (33, 0xB9)
    if outer == 4:
        assert not ip.flags.DF


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize(("options", "dscp"), [("tos 0x20", 0x20), ("tos inherit", 0xB8)])
def test_congestion_field_is_copied(hosts, outer, inner, options, dscp):
    """The outer ECN field is the inner one, CE too (RFC 6040, section 4.1)."""
    make_devices(hosts, outer, options)
    for ecn in range(4):
        ip, _ = sent(hosts, inner, tos=0xB8 | ecn)
        assert (ip.tos if outer == 4 else ip.tc) == dscp | ecn


@pytest.mark.parametrize("outer", [4, 6])
def test_tunnels_of_groups_are_apart(hosts, outer):
    """Several tunnels between the same addresses and ports each carry their own packets."""
    groups = ("", "id 0", "id 1", "id 4294967295")
    for number, host in enumerate(hosts, start=1):
        for index, group in enumerate(groups):
            host.batch(
                f"link add gue{index} type gue remote {OUTER[outer][2 - number]} {group}",
                f"addr add 10.1.{index}.{number}/24 dev gue{index}",
                f"link set gue{index} up",
            )
    h1, h2 = hosts
    for index in range(len(groups)):
        count = index + 1
        h1.run("ping", "-n", "-c", count, "-i", "0.01", "-W", 2, f"10.1.{index}.2")
    for host in (h1, h2):
        packets = [host.traffic(f"gue{index}")["rx"]["packets"] for index in range(len(groups))]
        assert packets == [1, 2, 3, 4]


def test_flow_label_is_sent(hosts):
    """The outer IPv6 header has the device's label."""
    make_devices(hosts, 6, "flowlabel 0xabcde")
    ip, _ = sent(hosts, 4)
    assert ip.fl == 0xABCDE


def test_source_port_is_as_asked(hosts):
    """A source port is fixed, or of a range; the destination port can change."""
    make_devices(hosts, 4, f"port {GUE_PORT} sport 5000")
    assert sent(hosts, 4)[0].payload.sport == 5000
    change = "link set gue0 type gue"
    hosts[0].batch(f"{change} srcport 40000 40003")
    assert 40000 <= sent(hosts, 4)[0].payload.sport <= 40003
    hosts[0].batch(f"{change} sport auto dport 7000")
    ip, _ = sent(hosts, 4, port=7000)
    assert ip.payload.sport not in (5000, *range(40000, 40004))


@pytest.mark.parametrize("software", [False, True], ids=["offload", "software"])
@pytest.mark.parametrize(
    "options",
    ["", "udpcsum", "id 7 udpcsum", "id 7 udpcsum remcsum", "udpcsum linux-remcsum", "variant 1"],
)
@pytest.mark.parametrize("outer", [4, 6])
def test_devices_carry_tcp(hosts, outer, options, software):
    """TCP goes through unchanged, by GSO and GRO or segment by segment."""
    make_devices(hosts, outer, options)
    if software:
        for host in hosts:
            segment_in_software(host)
            host.run("ethtool", "-K", "eth0", "gro", "off", check=False)
    for inner in (4, 6):
        data = bytes(range(251)) * 1600
        assert tcp_arrives(*hosts, INNER[inner][1], data)
    assert all(no_checksum_errors(host) for host in hosts)


@pytest.mark.parametrize("inner", [4, 6])
def test_packet_socket_that_names_no_protocol(hosts, inner):
    """The device finds the protocol in the packet, as other tunnels do (tcpreplay, dhclient)."""
    h1, h2 = hosts
    make_devices(hosts, 4)
    ip = IP(src=INNER[4][0], dst=INNER[4][1]) if inner == 4 else IPv6(dst=INNER[6][1])
    packet = bytes(ip / UDP(sport=9, dport=7777) / DATA)
    with Capture(h2, "eth0") as capture, h1.packet_socket("gue0", 0) as sender:
        sender.send(packet)
        assert capture.frames(lambda frame: frame.endswith(packet)), "nothing came"
    assert statistics(h1)["errors"] == 0


def statistics(host, name="gue0"):
    """Returns a device's transmit counters."""
    [link] = json.loads(host.run("ip", "-j", "-s", "link", "show", name).stdout)
    return link["stats64"]["tx"]


@pytest.mark.parametrize("outer", [4, 6])
def test_loop_is_counted(hosts, outer):
    """A packet whose outer route leads back into the device is dropped as a collision."""
    make_devices(hosts, outer)
    h1 = hosts[0]
    h1.ip("route", "add", OUTER[outer][1], "dev", "gue0")
    before = statistics(h1)
    send(h1, 4)
    wait_until(
        lambda: statistics(h1)["collisions"] > before["collisions"], "a collision is counted"
    )
    assert statistics(h1)["packets"] == before["packets"]


@pytest.mark.parametrize("outer", [4, 6])
def test_mark_chooses_the_route(hosts, outer):
    """Routing uses a packet's mark, also after a packet without a mark filled the route cache."""
    make_devices(hosts, outer)
    h1 = hosts[0]
    version = ["-6"] if outer == 6 else []
    h1.ip(*version, "rule", "add", "fwmark", 7, "table", 77)
    h1.ip(*version, "route", "add", "unreachable", OUTER[outer][1], "table", 77)
    sent(hosts, 4)
    with h1.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
        sender.sendto(DATA, (INNER[4][1], 7777))
    wait_until(lambda: h1.traffic("gue0")["tx"]["errors"] == 1, "no route is found")
    sent(hosts, 4)


@pytest.mark.parametrize("outer", [4, 6])
def test_sender_learns_the_mtu_inside_the_tunnel(hosts, outer):
    """A packet that is too long for the path is answered with the path's MTU minus the headers."""
    h1, _ = hosts
    make_devices(hosts, outer, "df set")
    h1.ip("link", "set", "eth0", "mtu", "1400")
    left = 1400 - (20 if outer == 4 else 40) - 8 - 4
    h1.run("ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", 1372, INNER[4][1], check=False)
    assert f"mtu {left}" in h1.ip("route", "get", INNER[4][1]).stdout
