# SPDX-License-Identifier: GPL-2.0
"""GRO: packets that the host forwards, ports that change or close, packets that stay single."""

import contextlib
import os
import random
import socket
import struct

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether

from testing.hostile.target import GUE_PORT, HOST_MAC, NOPARTIAL_PORT, PEER_MAC, target
from testing.lib import netlink as nl
from testing.lib.checksum import seed
from testing.lib.hosts import Capture, run, wait_until
from testing.lib.netlink import Fou

# A GUE header with the remote checksum of a TCP header after IPv4.
REMCSUM = bytes.fromhex("020400018000000000140024")
# An ICMP echo request.
ECHO = bytes.fromhex("4500001c00014000400124dc0a0101010a0101020800e5ca12340001")
FOU_GRE_PORT = 5553
SEGMENTS = 8


@contextlib.contextmanager
def forwarder():
    """Makes a host that forwards to a device without segmentation; yields it and the tap's file.

                        +-------------------------------------+
    this program  tap   | tap0: GRO, ports --> dm0: software  |  captured
    192.0.2.2  ---------| .1                   segmentation   |--> 198.51.100.2
    2001:db8::2         | ::1                                 |    2001:db8:1::2
                        +-------------------------------------+
    """
    with target("gro") as (host, tap):
        host.batch(
            "link add dm0 type dummy",
            "addr add 198.51.100.1/24 dev dm0",
            "addr add 2001:db8:1::1/64 dev dm0 nodad",
            "link set dm0 up",
            f"neigh replace 198.51.100.2 lladdr {PEER_MAC} nud permanent dev dm0",
            f"neigh replace 2001:db8:1::2 lladdr {PEER_MAC} nud permanent dev dm0",
        )
        host.run("ethtool", "-K", "dm0", "tx", "off", "tso", "off", "gso", "off")
        yield host, tap


def forward(host, tap, frames, is_one):
    """Sends frames of one flow; returns those that left. Fails if GRO merged none."""
    with contextlib.ExitStack() as stack:
        came, left = (stack.enter_context(Capture(host, name)) for name in ("tap0", "dm0"))
        for frame in frames:
            os.writev(tap, [bytes(10), frame])
        seen = left.frames(is_one, len(frames))
        assert len(came.frames(is_one, len(frames), timeout=0)) < len(frames), "some were merged"
    return seen


def inner_tcp(number):
    """Returns one of a train of TCP segments."""
    inner = IP(src="10.9.9.9", dst="10.0.0.1", id=number, flags="DF")
    inner /= TCP(sport=1000, dport=5, seq=7 + 300 * number, ack=1, flags="A")
    return inner / random.Random(number).randbytes(300)


@pytest.mark.parametrize(
    ("carrier", "version"),
    [
        pytest.param("fou", 4, marks=pytest.mark.soak_on_debug),
        pytest.param("fou", 6, marks=pytest.mark.soak_on_debug),
        pytest.param("gue", 4, marks=pytest.mark.soak_on_debug),
        ("gue", 6),
    ],
)
# With Linux's fou, GRE's GRO overwrites the GSO type of the UDP header.
@pytest.mark.rfou_only
def test_forwarded_gre_leaves_as_it_came(carrier, version):
    """A port merges GRE packets to another host. They leave as they would without the port."""
    port, header = {"fou": (FOU_GRE_PORT, b""), "gue": (GUE_PORT, bytes.fromhex("002f0000"))}[
        carrier
    ]
    if version == 4:
        outer, udp_at = {"src": "192.0.2.2", "dst": "198.51.100.2"}, 34
    else:
        outer, udp_at = {"src": "2001:db8::2", "dst": "2001:db8:1::2"}, 54
    kinds = {
        "gre": GRE(),
        "gre with a key": GRE(key_present=1, key=0x12345678),
        "gretap": GRE(proto=0x6558) / Ether(src=PEER_MAC, dst=HOST_MAC),
    }
    seen, expected = {}, {}
    with forwarder() as (host, tap):
        for number, (kind, has_checksum) in enumerate(
            (kind, has_checksum) for kind in kinds for has_checksum in (True, False)
        ):
            frames = []
            for segment in range(SEGMENTS):
                frame = Ether(src=PEER_MAC, dst=HOST_MAC)
                frame /= IP(**outer, id=segment) if version == 4 else IPv6(**outer)
                frame /= UDP(sport=40000 + number, dport=port, chksum=None if has_checksum else 0)
                frames.append(bytes(frame / header / kinds[kind] / inner_tcp(segment)))
            ports = frames[0][udp_at : udp_at + 4]
            case = kind, has_checksum
            left = forward(host, tap, frames, lambda f, p=ports: f[udp_at : udp_at + 4] == p)
            # Without the outer IP header, which a router changes.
            seen[case] = [frame[udp_at:] for frame in left]
            expected[case] = [frame[udp_at:] for frame in frames]
    assert seen == expected


@pytest.mark.rfou_only
@pytest.mark.parametrize(
    "port",
    [pytest.param(GUE_PORT, marks=pytest.mark.soak_on_debug), NOPARTIAL_PORT],
    ids=["partial", "nopartial"],
)
def test_forwarded_remote_checksums_leave_as_they_came(port):
    """Segments of merged packets still leave their checksums to the receiver."""
    frames = []
    for number in range(SEGMENTS):
        outer = Ether(src=PEER_MAC, dst=HOST_MAC)
        outer /= IP(src="192.0.2.2", dst="198.51.100.2", id=number)
        packet = bytearray(bytes(inner_tcp(number)))
        packet[36:38] = seed(packet)
        udp = UDP(sport=40000, dport=port)
        frames.append(bytes(outer / udp / REMCSUM / bytes(packet)))
    with forwarder() as (host, tap):
        seen = forward(host, tap, frames, lambda frame: frame[30:38] == frames[0][30:38])
    assert [frame[34:] for frame in seen] == [frame[34:] for frame in frames]


# UDP_ENCAP_ESPINUDP of <linux/udp.h>, and its options.
UDP_ENCAP, UDP_GRO, UDP_ENCAP_ESPINUDP = 100, 104, 2


# The debug kernel has no IPsec, and so a smaller table.
@pytest.mark.stock_only
def test_each_kind_of_udp_tunnel_has_a_place_in_gro(hosts):
    """The core's table has a place for the GRO hook of each kind of tunnel, and two for fou.

    A hook without a place turns the core's direct calls off until the next boot.
    """
    run("modprobe", "-a", "vxlan", "geneve")
    host = hosts[0]
    with open("/dev/kmsg", "rb", buffering=0) as log, contextlib.ExitStack() as stack:
        log.seek(0, os.SEEK_END)
        os.set_blocking(log.fileno(), False)
        host.batch(
            "link add vx0 type vxlan id 1 dstport 4789",
            "link add vx1 type vxlan dstport 4790 external gpe",
            "link add gen0 type geneve id 1 remote 192.0.2.2",
            *(f"link set {name} up" for name in ("vx0", "vx1", "gen0")),
        )
        for family in (socket.AF_INET, socket.AF_INET6):
            with host.inside():
                esp = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            esp.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
            esp.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        host.batch(
            "fou add port 5555 ipproto 4",
            "fou add port 5555 ipproto 41 -6",
            "fou add port 6080 gue",
            "fou add port 6080 gue -6",
        )
        with contextlib.suppress(BlockingIOError):
            while line := log.read(8192):
                assert b"Too many UDP tunnel types" not in line


def held_train(port, after_udp):
    """Yields frames of a train that GRO holds until it times out."""
    for number in range(2):
        outer = Ether(src=PEER_MAC, dst=HOST_MAC)
        outer /= IP(src="192.0.2.2", dst="192.0.2.1", id=number, flags="DF")
        inner = IP(src="10.9.9.9", dst="10.0.0.1", id=number, flags="DF")
        inner /= TCP(sport=1000, dport=5, seq=7 + 300 * number, ack=1, flags="A")
        yield bytes(outer / UDP(sport=40000, dport=port) / after_udp / inner / bytes(300))


KINDS_OF_PORT = {
    "gue": [(nl.TYPE, nl.u8(nl.GUE))],
    "ipproto 4": [(nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(4))],
    "ipproto 41": [(nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(41))],
}


# Linux's fou completes packets by the type that the port has then, and the core WARNs.
@pytest.mark.rfou_only
@pytest.mark.parametrize(
    ("held_by", "completed_by"),
    [
        ("gue", "ipproto 4"),
        ("ipproto 4", "gue"),
        ("ipproto 4", "ipproto 41"),
        pytest.param("gue", "ipproto 41", marks=pytest.mark.soak_on_debug),
        pytest.param("gue", "gue", marks=pytest.mark.soak_on_debug),
        pytest.param("ipproto 4", "ipproto 4", marks=pytest.mark.soak_on_debug),
    ],
)
def test_port_that_is_another_when_gro_completes_its_packets(held_by, completed_by):
    """GRO completes packets as packets of the tunnel that merged them."""

    def is_ours(frame):
        return frame[36:38] == b"\x1b\x58"

    train = list(held_train(7000, b"\0\4\0\0" if held_by == "gue" else b""))
    port = (nl.PORT, nl.be16(7000))
    with target("gro", flush_ms=2000) as (host, tap), Capture(host, "tap0") as capture:
        with host.inside():
            client = Fou()
        client.add(port, *KINDS_OF_PORT[held_by])
        for _ in range(20):
            for frame in train:
                os.writev(tap, [bytes(10), frame])
            # A tick between the two frames ends the train.
            if not capture.frames(is_ours, timeout=0):
                break
            capture.frames(is_ours, 2, timeout=3)
        else:
            pytest.fail("no train was held")
        client.delete(port)
        client.add(port, *KINDS_OF_PORT[completed_by])
        client.close()
        assert not capture.frames(is_ours, timeout=0), "still held"
        seen = capture.frames(is_ours, 1, timeout=3)
    assert len(seen) == 1, "merged and completed"
    expected = bytearray(train[0] + bytes(300))
    udp, inner = 34, len(train[0]) - 340
    for at, start in ((16, 14), (udp + 4, udp), (inner + 2, inner)):
        expected[at : at + 2] = struct.pack("!H", len(expected) - start)
    # The device would compute the checksums of merged packets.
    for at in (24, udp + 6, inner + 10, inner + 36):
        expected[at : at + 2] = seen[0][at : at + 2]
    assert seen == [expected]


@pytest.mark.parametrize("version", [pytest.param(4, marks=pytest.mark.soak_on_debug), 6])
def test_every_protocol_number_passes_gro(version):
    """Each protocol arrives in GUE, and at a FOU port of its own.

    The core has no GRO for most protocols. A packet from the wire must not cause a WARN for one.
    """
    if version == 4:
        outer, family = IP(src="192.0.2.2", dst="192.0.2.1"), socket.AF_INET
    else:
        outer, family = IPv6(src="2001:db8::2", dst="2001:db8::1"), socket.AF_INET6
    link = Ether(src=PEER_MAC, dst=HOST_MAC) / outer
    head = len(link) + 8
    gue = bytes(link / UDP(sport=1, dport=GUE_PORT, chksum=0) / bytes((0, 0, 0, 0)) / ECHO)
    fou = bytes(link / UDP(sport=1, dport=0, chksum=0) / ECHO)
    with target("gro") as (host, tap):
        with host.inside():
            client = Fou()
        received = "IpInReceives" if version == 4 else "Ip6InReceives"
        before = host.snmp(received)
        for protocol in range(1, 256):
            port = 20000 + protocol
            client.add(
                (nl.PORT, nl.be16(port)),
                (nl.TYPE, nl.u8(nl.DIRECT)),
                (nl.IPPROTO, nl.u8(protocol)),
                (nl.AF, nl.u8(family)),
            )
            frames = [
                gue[: head + 1] + bytes([protocol]) + gue[head + 2 :],
                fou[: head - 6] + nl.be16(port) + fou[head - 4 :],
            ]
            # Two of each, so that GRO compares the second with the first.
            for frame in frames * 2:
                os.writev(tap, [bytes(10), frame])
        client.close()
        wait_until(lambda: host.snmp(received) - before >= 1000, "they arrive", 5)


def test_packet_that_gro_did_not_merge_is_unchanged():
    """GRO writes the remote checksum while it holds a packet, and restores an unmerged one."""
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    with target("gro") as (host, tap), Capture(host, "tap0") as capture:
        sent = []
        for number in range(20):
            inner = IP(src="10.1.1.1", dst="10.0.0.1", id=number)
            # Each from another flow.
            inner = inner / TCP(sport=1000 + number, dport=5, seq=7, flags="A") / (b"x" * 200)
            packet = bytearray(bytes(inner))
            packet[36:38] = seed(packet)
            # With an outer checksum, without which GRO ignores the remote checksum.
            udp = UDP(sport=40000, dport=NOPARTIAL_PORT)
            sent.append(bytes(outer / udp / REMCSUM / bytes(packet)))
        for frame in sent:
            os.writev(tap, [bytes(10), frame])
        # Without the frames of the host's own tunnels.
        seen = capture.frames(lambda f: f[:14] == sent[0][:14], len(sent))
    assert seen == sent


@pytest.mark.soak_on_debug
def test_closed_port_is_never_called():
    """UDP's GRO caches the hook of the only tunnel; ports of several kinds come and go."""
    run("modprobe", "-a", "vxlan", "geneve")
    port = 7000
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    frames = [
        bytes(outer / UDP(sport=7, dport=each) / bytes((0, 4, 0, 0)) / ECHO)
        for each in (port, 4789, 6081)
    ] * 2
    train = []
    for number in range(2):
        inner = IP(src="10.0.9.2", dst="10.0.0.1", id=number)
        inner = inner / TCP(sport=1, dport=5, seq=1 + 300 * number, flags="A") / bytes(300)
        train.append(bytes(outer / UDP(sport=7, dport=port) / bytes((0, 4, 0, 0)) / inner))
    add = {
        "fou": f"fou add port {port} gue",
        "vxlan": "link add vx0 type vxlan id 1 dstport 4789 local 192.0.2.1",
        "geneve": "link add gen0 type geneve id 1 remote 192.0.2.2",
    }
    remove = {
        "fou": f"fou del port {port}",
        "vxlan": "link del vx0",
        "geneve": "link del gen0",
    }
    up = {"vxlan": ["link set vx0 up"], "geneve": ["link set gen0 up"]}
    orders = [("fou", "vxlan", "geneve"), ("vxlan", "fou", "geneve"), ("geneve", "vxlan", "fou")]
    with target("gro") as (host, tap), Capture(host, "tap0") as capture:
        with host.inside():
            client = Fou()
        # Without other ports, the test's port is the only tunnel.
        client.delete_all()
        client.close()

        def send(frames):
            for frame in frames:
                os.writev(tap, [bytes(10), frame])

        for first in orders:
            for second in orders:
                for kind in first:
                    host.batch(add[kind], *up.get(kind, []))
                    send(frames)
                    if kind == "fou":
                        wait_until(lambda: is_merged(capture, train, send), "the port merges")
                for kind in second:
                    host.batch(remove[kind])
                    send(frames)
        send(train)
        assert len(capture.frames(lambda f: f[36:38] == nl.be16(port) and len(f) > 300, 2)) == 2


def is_merged(capture, train, send):
    """Sends a train; returns whether GRO merges it."""
    send(train)
    ports, length = train[0][34:38], sum(map(len, train))
    seen = capture.frames(lambda f: f[34:38] == ports and len(f) > 300, timeout=1)
    assert seen and len(seen[0]) < length
    return len(seen[0]) > len(train[0])
