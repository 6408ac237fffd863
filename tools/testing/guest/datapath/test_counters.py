# SPDX-License-Identifier: GPL-2.0
"""A port's counters: exact for each verdict, whatever else happens, and gone with the port."""

import multiprocessing
import os
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.lib import ports
from testing.lib.burst import Burst
from testing.lib.hosts import Capture, wait_until
from testing.lib.ports import Rfou
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import PORT, inner_address, make_tunnel, segment_in_software, to_port

pytestmark = pytest.mark.rfou_only

# The debug kernel takes ten times as long for a packet.
PACKETS = 10000 if os.environ["RFOU_KERNEL"] == "stock" else 1000
INNER = bytes.fromhex("4500001c00014000400124dc0a0101010a0101020800e5ca12340001")
DELIVERED = None
SOL_PACKET, PACKET_VNET_HDR = 263, 15

# By verdict: the bytes after the UDP header. If several reasons apply, the first check counts.
GUE = {
    DELIVERED: [
        bytes.fromhex("00040000") + INNER,
        # Variant 1.
        INNER,
        bytes.fromhex("02040000deadbeefcafef00d") + INNER,
        # A remote checksum that the port computes.
        bytes.fromhex("02040001800000000014001a") + INNER,
    ],
    "TRUNCATED": [b"", bytes(3)],
    "GUE_BAD_VARIANT": [bytes.fromhex("80040000") + INNER],
    "GUE_BAD_IP_VERSION": [bytes.fromhex("50000000") + INNER],
    "GUE_BAD_HLEN": [bytes.fromhex("1f040000") + bytes(96)],
    "GUE_UNKNOWN_FLAG": [bytes.fromhex("00040020") + INNER],
    "GUE_UNKNOWN_PRIVATE_FLAG": [bytes.fromhex("020400014000000000000000") + INNER],
    "GUE_FIELD_PAST_HEADER": [bytes.fromhex("00040001") + INNER],
    "GUE_BAD_REMCSUM": [bytes.fromhex("020400018000000000240014") + INNER],
    "GUE_CONTROL": [bytes.fromhex("20000000") + INNER],
    "GUE_PROTOCOL_ZERO": [bytes.fromhex("00000000") + INNER],
}
FOU = {DELIVERED: [INNER]}


@pytest.fixture(name="rfou")
def rfou_fixture(hosts):
    """A netlink socket in the second host, which receives."""
    with hosts[1].inside():
        client = Rfou()
    yield client
    client.close()


def frame(hosts, version, payload, sport=49155, **outer):
    """Returns a frame to the second host's port."""
    link = Ether(src=hosts[0].mac("eth0"), dst=hosts[1].mac("eth0"))
    if version == 4:
        ip = IP(src="192.0.2.1", dst="192.0.2.2", **outer)
    else:
        ip = IPv6(src="2001:db8::1", dst="2001:db8::2", **outer)
    return bytes(link / ip / UDP(sport=sport, dport=PORT) / payload)


def add(client, encap, version):
    """Adds a port."""
    client.add(*(ports.gue(PORT, version) if encap == "gue" else ports.fou(PORT, 4, version)))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("encap", "verdicts"), [("gue", GUE), ("fou", FOU)])
def test_each_verdict_counts_exactly(hosts, rfou, encap, verdicts, version):
    add(rfou, encap, version)
    expected = {"packets": 0, "bytes": 0, "dropped": 0}
    with Burst(hosts[0], "eth0") as burst:
        for reason, payloads in verdicts.items():
            for payload in payloads:
                share = PACKETS // len(payloads)
                burst.send(frame(hosts, version, payload), share)
                if reason is DELIVERED:
                    expected["packets"] += share
                    expected["bytes"] += share * len(payload)
                else:
                    expected["dropped"] += share
                    expected[reason] = expected.get(reason, 0) + share
            # After each verdict, so that no error hides another.
            assert rfou.counters(PORT, version).all() == expected, reason
    rfou.delete(*ports.key(PORT, version))
    add(rfou, encap, version)
    nothing = {"packets": 0, "bytes": 0, "dropped": 0}
    assert rfou.counters(PORT, version).all() == nothing, "counters are gone with the port"


# The debug kernel has no segment routing.
@pytest.mark.stock_only
def test_length_and_nesting_count_exactly(hosts, rfou):
    """An IP length that segment routing does not verify, and 85 nested headers."""
    h2 = hosts[1]
    count = PACKETS // 100
    add(rfou, "gue", 4)
    h2.ip("-6", "route", "add", "fc00::1/128", "encap", "seg6local", "action", "End.DX4",
          "nh4", "192.0.2.2", "dev", "eth0")  # fmt: skip
    link = Ether(src=hosts[0].mac("eth0"), dst=h2.mac("eth0"))
    short = bytearray(frame(hosts, 4, bytes.fromhex("00040000") + INNER)[14:])
    short[2:4] = b"\0\7"
    routed = bytes(link / IPv6(src="2001:db8::1", dst="fc00::1", nh=4) / bytes(short))
    nested = bytes.fromhex("20ff0000") + bytes(8)
    for _ in range(84):
        udp = struct.pack("!4H", 1, PORT, 8 + len(nested), 0)
        nested = bytes.fromhex("00110000") + udp + nested
    with Burst(hosts[0], "eth0") as burst:
        burst.send(routed, count)
        wait_until(lambda: rfou.counters(PORT).dropped == count, "segment routing delivers")
        assert rfou.counters(PORT).all() == {
            "packets": 0,
            "bytes": 0,
            "dropped": count,
            "BAD_OUTER_LENGTH": count,
        }
        burst.send(frame(hosts, 4, nested), count)
    counters = rfou.counters(PORT)
    assert counters.drops == {"BAD_OUTER_LENGTH": count, "NESTED_TOO_DEEP": count}
    assert counters.packets == 83 * count, "each level counts"


@pytest.mark.parametrize("encap", ["fou", "gue"])
def test_checksum_start_outside_counts_exactly(hosts, rfou, encap):
    add(rfou, encap, 4)
    lost = struct.pack("<BBHHHH", 1, 0, 0, 0, 24, 8)
    payload = (b"" if encap == "fou" else bytes.fromhex("00040000")) + INNER + bytes(200)
    with hosts[0].packet_socket("eth0", 0) as sender:
        sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        packet = lost + frame(hosts, 4, payload)
        for _ in range(PACKETS):
            sender.send(packet)
    expected = {"packets": 0, "bytes": 0, "dropped": PACKETS, "BAD_CSUM_START": PACKETS}
    assert rfou.counters(PORT).all() == expected


@pytest.mark.parametrize("kind", ["ipip", "ip6gre"])
def test_merged_packets_count_one_by_one(hosts, kind):
    """The port counts the frames that the other host has sent, although GRO merges them."""
    h1, h2 = hosts
    make_tunnel(hosts, kind, "gue")
    segment_in_software(h1)
    h2.run("ethtool", "-K", "eth0", "gro", "on")
    with h2.inside():
        client = Rfou()
    version = 6 if kind.startswith("ip6") else 4
    with Capture(h1, "eth0") as sent:
        assert tcp_arrives(h1, h2, inner_address(kind, 2), bytes(1 << 20))
        # The last acknowledgements may still be on their way.
        frames = sent.frames(to_port, 1 << 20, timeout=2)
    source = slice(26, 30) if version == 4 else slice(22, 38)
    address = frames[0][source]
    frames = [frame for frame in frames if frame[source] == address]
    counters = client.counters(PORT, version)
    client.close()
    assert len(frames) > 700, "the sender segments"
    assert counters.packets == len(frames)
    assert counters.drops == {}
    # The headers of merged packets count once.
    udp = 42 if version == 4 else 62
    assert 1 << 20 <= counters.bytes <= sum(len(frame) - udp for frame in frames)
    assert h2.traffic("tun1")["rx"]["packets"] < len(frames), "GRO merges"


def shoot(host, packet, count, cpu):
    """Sends copies of a packet from one CPU, which receives them as well."""
    os.sched_setaffinity(0, {cpu})
    with Burst(host, "eth0") as burst:
        for _ in range(10):
            burst.send(packet, count // 10)


@pytest.mark.parametrize("version", [4, 6])
def test_all_cpus_count_at_once_and_no_counter_decreases(hosts, rfou, version):
    """Each CPU sends packets to the same port, and receives its own."""
    add(rfou, "gue", version)
    payloads = bytes.fromhex("00040000") + INNER, bytes.fromhex("20000000")
    cpus = sorted(os.sched_getaffinity(0))
    children = []
    for cpu in cpus:
        for payload in payloads:
            packet = frame(hosts, version, payload)
            work = multiprocessing.Process(target=shoot, args=(hosts[0], packet, PACKETS, cpu))
            work.start()
            children.append(work)
    before, readings = {}, 0
    while any(child.is_alive() for child in children):
        now = rfou.counters(PORT, version).all()
        assert all(now[name] >= value for name, value in before.items()), (before, now)
        before, readings = now, readings + 1
    for child in children:
        child.join()
        assert child.exitcode == 0
    total = PACKETS * len(cpus)
    assert rfou.counters(PORT, version).all() == {
        "packets": total,
        "bytes": total * len(payloads[0]),
        "dropped": total,
        "GUE_CONTROL": total,
    }
    assert readings > 1
    print(f"{len(cpus)} CPUs, {readings} readings")
