# SPDX-License-Identifier: GPL-2.0
"""FOU tunnels as a user makes them: bytes on the wire, and packets that arrive."""

import socket

import pytest
from scapy.layers.inet import GRE, ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from testing.lib.hosts import Capture, is_udp_to
from testing.lib.traffic import tcp_arrives

# On the debug kernel test_tunnel_kinds and the cannon run the same code.
pytestmark = pytest.mark.soak_on_debug

PORT = 5555

# By kind: IP protocol of the device's packets, family of the inner addresses, bytes before the
# inner IP header.
KINDS = {"ipip": (4, 4, 0), "sit": (41, 6, 0), "gre": (47, 4, 4)}


def inner_address(kind, number):
    """Returns a host's address inside the tunnel."""
    return f"10.1.1.{number}" if KINDS[kind][1] == 4 else f"fd00::{number}"


def make_tunnel(hosts, kind="ipip", sport="auto", csum=False):
    """Makes a tunnel between both hosts, with a FOU port on each."""
    protocol, family, _ = KINDS[kind]
    for number, host in enumerate(hosts, start=1):
        how = f"encap fou encap-sport {sport} encap-dport {PORT}"
        how += " encap-csum" if csum else " noencap-csum"
        host.batch(
            f"fou add port {PORT} ipproto {protocol}",
            f"link add tun1 type {kind} local 192.0.2.{number} remote 192.0.2.{3 - number}"
            f" ttl 225 {how}",
            f"addr add {inner_address(kind, number)}/{24 if family == 4 else 64} dev tun1",
            "link set tun1 up",
        )


def to_port(frame):
    """Returns whether a frame is UDP to the FOU port."""
    return is_udp_to(frame, PORT)


def echoes(host, kind, **ping):
    """Pings the other host through the tunnel; returns the number of replies."""
    count = ping.get("count", 3)
    done = host.run(
        "ping",
        "-c",
        count,
        "-i",
        "0.01",
        "-W",
        "2",
        "-s",
        ping.get("size", 56),
        inner_address(kind, 2),
        check=False,
    )
    return int(done.stdout.split(" received")[0].rsplit(" ", 1)[1])


def transfer(hosts, kind, size):
    """Sends bytes over TCP through the tunnel; returns whether they arrive unchanged."""
    data = bytes(range(251)) * (size // 251)
    return tcp_arrives(*hosts, inner_address(kind, 2), data)


@pytest.mark.parametrize("csum", [False, True], ids=["zero checksum", "checksum"])
@pytest.mark.parametrize("sport", ["auto", 6666])
@pytest.mark.parametrize("kind", KINDS)
def test_outer_headers(hosts, kind, sport, csum):
    make_tunnel(hosts, kind, sport, csum)
    for host in hosts:
        # With offloads, veth would leave the checksum to compute, and the capture show its seed.
        host.run("ethtool", "-K", "eth0", "tx", "off")
    with Capture(hosts[1], "eth0") as capture:
        assert echoes(hosts[0], kind, count=1) == 1
        [request, reply] = [Ether(f) for f in capture.frames(to_port, 2)]
    _, family, before_inner = KINDS[kind]
    for packet, source, target in ((request, 1, 2), (reply, 2, 1)):
        outer = packet[IP]
        assert (outer.src, outer.dst) == (f"192.0.2.{source}", f"192.0.2.{target}")
        assert (outer.proto, outer.ttl, outer.len) == (17, 225, len(packet) - 14)
        udp = packet[UDP]
        assert udp.len == outer.len - 20, "the UDP length is the length of the IP payload"
        if sport == "auto":
            low, high = hosts[0].sysctl("net.ipv4.ip_local_port_range").split()
            assert int(low) <= udp.sport <= int(high)
        else:
            assert udp.sport == sport
        payload = bytes(udp.payload)
        if csum:
            assert udp.chksum != 0
            again = IP(src=outer.src, dst=outer.dst) / UDP(sport=udp.sport, dport=PORT) / payload
            assert IP(bytes(again))[UDP].chksum == udp.chksum, "the checksum verifies"
        else:
            assert udp.chksum == 0
        if kind == "gre":
            assert GRE(payload).proto == 0x0800
        inner = (IP if family == 4 else IPv6)(payload[before_inner:])
        assert inner.src == inner_address(kind, source) and inner.dst == inner_address(kind, target)
        assert len(payload) == udp.len - 8


@pytest.mark.parametrize("csum", [False, True], ids=["zero checksum", "checksum"])
@pytest.mark.parametrize("kind", KINDS)
def test_tcp_arrives_as_it_was_sent(hosts, kind, csum):
    make_tunnel(hosts, kind, csum=csum)
    assert transfer(hosts, kind, 4_000_000)
    for host in hosts:
        assert host.snmp("TcpInCsumErrors") == 0
        assert host.snmp("UdpInErrors") == 0 and host.snmp("UdpInCsumErrors") == 0


@pytest.mark.parametrize("csum", [False, True], ids=["zero checksum", "checksum"])
def test_tcp_segmented_by_software_arrives(hosts, csum):
    make_tunnel(hosts, csum=csum)
    for host in hosts:
        host.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off")
        host.run("ethtool", "-K", "eth0", "tx-udp_tnl-segmentation", "off", check=False)
        host.run("ethtool", "-K", "eth0", "tx-udp_tnl-csum-segmentation", "off", check=False)
    with Capture(hosts[1], "eth0") as capture:
        assert transfer(hosts, "ipip", 1_000_000)
        frames = [Ether(f) for f in capture.frames(to_port, 200)]
    assert max(len(frame) for frame in frames) <= 1514, "a GSO packet is on the wire"
    for frame in frames:
        assert frame[UDP].len == frame[IP].len - 20, "wrong UDP length of a segment"
        if csum:
            sum_on_wire = frame[UDP].chksum
            frame[UDP].chksum = None
            assert Ether(bytes(frame))[UDP].chksum == sum_on_wire, "wrong UDP checksum of a segment"


@pytest.mark.parametrize("size", [0, 1, 1444, 1445, 3000, 20000])
def test_echo_of_any_size_comes_back(hosts, size):
    # 1444 bytes of echo fill the tunnel's MTU, 1472.
    make_tunnel(hosts)
    assert echoes(hosts[0], "ipip", size=size) == 3


def test_mtu_leaves_room_for_the_udp_header(hosts):
    make_tunnel(hosts)
    assert hosts[0].link("tun1")["mtu"] == 1472


def test_source_port_is_the_same_within_a_flow_and_differs_between_flows(hosts):
    make_tunnel(hosts)
    with hosts[0].inside():
        flows = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(64)]
    with Capture(hosts[1], "eth0") as capture:
        for _ in range(2):
            for flow in flows:
                flow.sendto(b"x", (inner_address("ipip", 2), 9))
        frames = capture.frames(lambda f: to_port(f) and Ether(f)[IP].src == "192.0.2.1", 128)
    ports = {}
    for frame in frames:
        outer = Ether(frame)
        inner = IP(bytes(outer[UDP].payload))
        ports.setdefault(inner[UDP].sport, set()).add(outer[UDP].sport)
    assert len(ports) == 64
    assert all(len(outer) == 1 for outer in ports.values()), "a flow keeps its port"
    assert len(set.union(*ports.values())) > 55, "64 flows are spread over the port range"


def test_zero_and_set_checksums_are_both_received(hosts):
    # One host sends checksums, the other does not.
    make_tunnel(hosts, csum=True)
    hosts[1].batch(
        "link del tun1",
        "link add tun1 type ipip local 192.0.2.2 remote 192.0.2.1 ttl 225"
        f" encap fou encap-dport {PORT} noencap-csum",
        "addr add 10.1.1.2/24 dev tun1",
        "link set tun1 up",
    )
    with Capture(hosts[1], "eth0") as capture:
        assert echoes(hosts[0], "ipip", count=1) == 1
        [request, reply] = capture.frames(to_port, 2)
    assert Ether(request)[UDP].chksum != 0 and Ether(reply)[UDP].chksum == 0


def test_wrong_outer_checksum_is_not_delivered(hosts):
    make_tunnel(hosts)
    inner = IP(src="10.1.1.1", dst="10.1.1.2") / ICMP(id=1) / b"payload"
    outer = IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=40000, dport=PORT) / bytes(inner)
    good = bytes(outer)
    bad = bytearray(good)
    bad[26] ^= 0x5A
    assert answers(hosts, bytes(bad)) == 0
    assert answers(hosts, good) == 1


def answers(hosts, packet, kind="ipip", timeout=1.0, ethertype=0x0800):
    """Sends an IP packet to the second host; returns how many tunnelled packets come back."""
    frame = Ether(src=hosts[0].mac("eth0"), dst=hosts[1].mac("eth0"), type=ethertype) / packet
    # Resolves the neighbour first, so that the answer does not wait.
    hosts[1].run("ping", "-n", "-c", "1", "192.0.2.1")
    with Capture(hosts[0], "eth0") as capture:
        capture.socket.send(bytes(frame))
        wanted = lambda f: to_port(f) and Ether(f)[IP].src == "192.0.2.2"
        return len(capture.frames(wanted, 1, timeout))


def test_packet_cut_anywhere_is_dropped_without_harm(hosts):
    make_tunnel(hosts)
    inner = bytes(IP(src="10.1.1.1", dst="10.1.1.2") / ICMP(id=1) / b"payload")
    raw = hosts[0].packet_socket("eth0")
    link = bytes(Ether(src=hosts[0].mac("eth0"), dst=hosts[1].mac("eth0"), type=0x0800))
    udp = UDP(sport=40000, dport=PORT, chksum=0)
    for cut in range(len(inner)):
        raw.send(link + bytes(IP(src="192.0.2.1", dst="192.0.2.2") / udp / inner[:cut]))
    # UDP lengths below the header's, and below and above the packet's.
    for length in (0, 7, 9, 65535):
        lying = UDP(sport=40000, dport=PORT, chksum=0, len=length)
        raw.send(link + bytes(IP(src="192.0.2.1", dst="192.0.2.2") / lying / inner))
    # Payloads that are no packets.
    for junk in (b"\xff" * 64, b"\0" * 64, b"GET / HTTP/1.0\r\n\r\n", b"\x45" * 20):
        raw.send(link + bytes(IP(src="192.0.2.1", dst="192.0.2.2") / udp / junk))
    raw.close()
    assert echoes(hosts[0], "ipip") == 3, "the port works as before"


def test_unknown_protocol_is_answered_by_icmp(hosts):
    hosts[1].ip("fou", "add", "port", PORT, "ipproto", 200)
    outer = IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=40000, dport=PORT, chksum=0) / b"xxxx"
    frame = Ether(src=hosts[0].mac("eth0"), dst=hosts[1].mac("eth0")) / outer
    hosts[1].run("ping", "-n", "-c", "1", "192.0.2.1")
    with Capture(hosts[0], "eth0") as capture:
        capture.socket.send(bytes(frame))
        wanted = lambda f: ICMP in Ether(f) and Ether(f)[ICMP].type == 3
        [answer] = capture.frames(wanted)
    assert Ether(answer)[ICMP].code == 2, "ICMP protocol unreachable"


@pytest.mark.parametrize("csum", [False, True], ids=["zero checksum", "checksum"])
def test_ipv6_port_delivers(hosts, csum):
    h1, h2 = hosts
    h2.ip("-6", "fou", "add", "port", PORT, "ipproto", 41)
    # A device without FOU receives the inner packet, and answers without FOU.
    h2.batch(
        "link add tun1 type ip6tnl mode ip6ip6 local 2001:db8::2 remote 2001:db8::1"
        " encaplimit none",
        "addr add fd00::2/64 dev tun1 nodad",
        "link set tun1 up",
    )
    h2.run("ping", "-n", "-c", "1", "2001:db8::1")
    inner = IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(id=7, data=b"hello")
    udp = UDP(sport=40000, dport=PORT) if csum else UDP(sport=40000, dport=PORT, chksum=0)
    outer = IPv6(src="2001:db8::1", dst="2001:db8::2") / udp / Raw(bytes(inner))
    frame = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0")) / outer
    with Capture(h1, "eth0") as capture:
        capture.socket.send(bytes(frame))
        [answer] = capture.frames(lambda f: ICMPv6EchoReply in Ether(f))
    assert Ether(answer)[ICMPv6EchoReply].data == b"hello"


def test_ipv6_port_receives_no_ipv4(hosts):
    h1, h2 = hosts
    make_tunnel(hosts)
    h2.ip("fou", "del", "port", PORT)
    h2.ip("-6", "fou", "add", "port", PORT, "ipproto", 4)
    assert echoes(h1, "ipip", count=1) == 0


def test_port_with_a_peer_receives_from_the_peer_alone(hosts):
    h1, h2 = hosts
    make_tunnel(hosts, sport=7777)
    h2.ip("fou", "del", "port", PORT)
    binding = ["local", "192.0.2.2", "peer", "192.0.2.1", "peer_port"]
    h2.ip("fou", "add", "port", PORT, "ipproto", 4, *binding, 7777)
    assert echoes(h1, "ipip", count=1) == 1
    h2.ip("fou", "del", "port", PORT, *binding, 7777)
    h2.ip("fou", "add", "port", PORT, "ipproto", 4, *binding, 7778)
    assert echoes(h1, "ipip", count=1) == 0


def test_packet_to_a_deleted_port_is_not_delivered(hosts):
    make_tunnel(hosts)
    assert echoes(hosts[0], "ipip", count=1) == 1
    hosts[1].ip("fou", "del", "port", PORT)
    assert echoes(hosts[0], "ipip", count=1) == 0


def test_capture_on_the_way_shows_the_outer_length_unchanged(hosts):
    """A capture shares the packet's head, which decapsulation must not change."""
    make_tunnel(hosts)
    with Capture(hosts[1], "eth0") as capture:
        assert echoes(hosts[0], "ipip", count=3) == 3
        frames = capture.frames(to_port, 6)
    assert {Ether(f)[IP].len - len(f) for f in frames} == {-14}


def test_ping_through_a_tunnel_in_a_tunnel(hosts):
    make_tunnel(hosts)
    for number, host in enumerate(hosts, start=1):
        host.batch(
            f"link add tun2 type ipip local 10.1.1.{number} remote 10.1.1.{3 - number}"
            f" encap fou encap-dport {PORT}",
            f"addr add 10.2.2.{number}/24 dev tun2",
            "link set tun2 up",
        )
    hosts[0].run("ping", "-n", "-c", "2", "-i", "0.01", "-W", "2", "10.2.2.2")


def test_tunnel_stays_configured_and_is_shown(hosts):
    make_tunnel(hosts, sport=6666, csum=True)
    shown = hosts[0].ip("-d", "link", "show", "tun1").stdout
    assert "encap fou encap-sport 6666 encap-dport 5555 encap-csum" in shown
