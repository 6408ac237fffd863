"""GRO of packets that this host only forwards, and of those whose port becomes another."""

import contextlib
import os
import pathlib
import random
import socket
import struct
import sys

import fou_netlink as nl
import pytest
from fou_netlink import Fou
from hosts import Capture, run
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "hostile"))

from target import GUE_PORT, HOST_MAC, NOPARTIAL_PORT, PEER_MAC, target  # noqa: E402

# Remote checksum of a TCP header behind IPv4.
REMCSUM = bytes.fromhex("020400018000000000140024")
FOU_GRE_PORT = 5553
SEGMENTS = 8


@contextlib.contextmanager
def forwarder():
    """A host that forwards from a tap device with GRO to a device that segments nothing itself.

      tests -- tap0 [ports for GRO to merge by] dm0 -- captured

    Yields the host and the tap device's file.
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
    """Send frames of one flow through; return what left. Some must have been merged on the way."""
    with contextlib.ExitStack() as stack:
        came, left = (stack.enter_context(Capture(host, name)) for name in ("tap0", "dm0"))
        for frame in frames:
            os.writev(tap, [bytes(10), frame])
        seen = left.frames(is_one, len(frames))
        assert len(came.frames(is_one, len(frames), timeout=0)) < len(frames), "some were merged"
    return seen


def inner_tcp(number):
    """One of a train of TCP segments."""
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
# Linux's fou lets GRE's GRO overwrite how the UDP header is segmented.
@pytest.mark.rfou_only
def test_forwarded_gre_leaves_as_it_came(carrier, version):
    """A port merges GRE packets that are for another host: they leave as if it were not there."""
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
            # But for the outer IP header, which is the router's to change.
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
    """Merged packets are segmented again, and leave their checksums to the receiver still."""
    frames = []
    for number in range(SEGMENTS):
        outer = Ether(src=PEER_MAC, dst=HOST_MAC)
        outer /= IP(src="192.0.2.2", dst="198.51.100.2", id=number)
        packet = bytearray(bytes(inner_tcp(number)))
        pseudo = sum(struct.unpack("!4H", packet[12:20])) + 6 + len(packet) - 20
        packet[36:38] = ((pseudo & 0xFFFF) + (pseudo >> 16)).to_bytes(2, "big")
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
    """The core has as many places for GRO's hooks as there are kinds, with two of fou's.

    If one has no place, the core calls no hook directly any more until the next boot.
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


def held_train(port, behind_udp):
    """Frames of a train that GRO holds until its time is up: TCP over IPv4, behind some bytes."""
    for number in range(2):
        outer = Ether(src=PEER_MAC, dst=HOST_MAC)
        outer /= IP(src="192.0.2.2", dst="192.0.2.1", id=number, flags="DF")
        inner = IP(src="10.9.9.9", dst="10.0.0.1", id=number, flags="DF")
        inner /= TCP(sport=1000, dport=5, seq=7 + 300 * number, ack=1, flags="A")
        yield bytes(outer / UDP(sport=40000, dport=port) / behind_udp / inner / bytes(300))


KINDS_OF_PORT = {
    "gue": [(nl.TYPE, nl.u8(nl.GUE))],
    "ipproto 4": [(nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(4))],
    "ipproto 41": [(nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(41))],
}


# Linux's fou goes by what the port is when the packets are completed: WARN in the core.
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
    """GRO completes packets as the tunnel that they were merged by, which wrote the lengths."""

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
            # A tick between them ends the train.
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
    # The checksums of merged packets are the device's to compute.
    for at in (24, udp + 6, inner + 10, inner + 36):
        expected[at : at + 2] = seen[0][at : at + 2]
    assert seen == [expected]
