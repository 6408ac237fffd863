# SPDX-License-Identifier: GPL-2.0
"""ICMP errors from routers and peers: to the tunnel, and from the tunnel to its sender."""

import select
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether

from testing.lib.hosts import Capture, wait_until
from testing.lib.marks import few_on_debug
from testing.lib.tunnels import KINDS, PORT, inner_address, make_tunnel, to_port

IP_RECVERR = 11
# Quoted packets. These tunnels do not send GUE of variant 1, which has no header and looks like
# FOU. The debug kernel tries one of each IP version.
QUOTED = [
    pytest.param(
        kind,
        form,
        marks=()
        if (kind, form) in (("gre", "gue"), ("ip6ip6", "gue variant 1"))
        else pytest.mark.soak_on_debug,
    )
    for kind in KINDS
    for form in ("fou", "gue", "gue variant 1")
    if form != "gue variant 1" or "gre" not in kind
]
# With Linux's fou, GRE reads this port as the start of its header. The port is no GRE version.
SOURCE_PORT = 0xC907


def packet_sent(hosts, kind, form):
    """Makes a tunnel; returns an outer IP packet of over 1400 bytes that the first host sent."""
    make_tunnel(hosts, kind, form[:3], sport=SOURCE_PORT)
    h1, h2 = hosts
    with Capture(h2, "eth0") as capture:
        h1.run("ping", "-n", "-c", 1, "-W", 2, "-s", 1350, inner_address(kind, 2))
        [request] = capture.frames(lambda f: to_port(f) and len(f) > 1400)
    packet = request[14:]
    if form == "gue variant 1":
        header = (20 if KINDS[kind][0] == 4 else 40) + 8
        packet = packet[:header] + packet[header + 4 :]
    return packet


def send_error(hosts, version, kind, quoted):
    """Sends an ICMP error about a packet from the second host to the first."""
    h1, h2 = hosts
    if version == 4:
        codes = {"unreachable": {"code": 1}, "too big": {"code": 4, "nexthopmtu": 1400}}
        error = IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, **codes[kind])
    else:
        codes = {"unreachable": {"type": 1, "code": 3}, "too big": {"type": 2, "unused": 1400}}
        error = IPv6(src="2001:db8::2", dst="2001:db8::1") / ICMPv6DestUnreach(**codes[kind])
    raw = h2.packet_socket("eth0")
    raw.send(bytes(Ether(src=h2.mac("eth0"), dst=h1.mac("eth0")) / error / quoted[:1200]))
    raw.close()


def icmp(host, version, name):
    """Returns a counter of this host's ICMP or ICMPv6."""
    return host.snmp(f"Icmp{6 if version == 6 else ''}{name}")


def sender_is_told(hosts, kind, quoted):
    """Sends an error about a packet; returns whether the tunnel refuses the next packet."""
    outer, inner, *_ = KINDS[kind]
    h1 = hosts[0]
    told, arrived = icmp(h1, inner, "OutDestUnreachs"), icmp(h1, outer, "InDestUnreachs")
    send_error(hosts, outer, "unreachable", quoted)
    wait_until(lambda: icmp(h1, outer, "InDestUnreachs") > arrived, "the error arrives")
    # The tunnel refuses its first packet after the error, which may be an ARP request.
    h1.run("ping", "-n", "-c", 1, "-W", "0.3", inner_address(kind, 2), check=False)
    return icmp(h1, inner, "OutDestUnreachs") > told


@pytest.mark.shows_both
@pytest.mark.parametrize(("kind", "form"), QUOTED)
def test_unreachable_from_the_way_reaches_the_tunnel(hosts, module, kind, form):
    """A router reports that the other end is unreachable; the tunnel tells its sender.

    The core counts an error as InErrors if no handler takes it.
    """
    outer, *_ = KINDS[kind]
    h1 = hosts[0]
    quoted = packet_sent(hosts, kind, form)
    wrong = icmp(h1, outer, "InErrors")
    # With Linux's fou, the tunnel looks for its packet at the UDP header. sit would answer from an
    # IPv4 address, which IPv6 refuses.
    if module == "fou" and kind != "ipip":
        assert not sender_is_told(hosts, kind, quoted)
        return
    if kind == "sit":
        sender_is_told(hosts, kind, quoted)
    else:
        wait_until(lambda: sender_is_told(hosts, kind, quoted), "the sender is told")
    assert icmp(h1, outer, "InErrors") == wrong


@pytest.mark.shows_both
@pytest.mark.soak_on_debug
@pytest.mark.parametrize("kind", ["ipip", "ip6ip6"])
def test_unreachable_about_a_tunnel_that_sends_from_an_open_port(hosts, module, kind):
    """The error belongs to the tunnel, although the quoted source port is an open port."""
    quoted = packet_sent(hosts, kind, "gue")
    hosts[0].ip(f"-{KINDS[kind][0]}", "fou", "add", "port", SOURCE_PORT, "gue")
    if module == "fou":
        assert not sender_is_told(hosts, kind, quoted)
    else:
        wait_until(lambda: sender_is_told(hosts, kind, quoted), "the sender is told")


@pytest.mark.rfou_only
@pytest.mark.soak_on_debug
def test_error_that_a_socket_keeps_has_the_destination(hosts):
    """A protocol's error handler queues a clone of the error to a socket, which reads it later."""
    h1 = hosts[0]
    h1.ip("fou", "add", "port", PORT, "gue")
    h1.sysctl("net.ipv4.ping_group_range", "0 0")
    with h1.inside():
        pinger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    with pinger:
        pinger.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        pinger.bind(("0.0.0.0", 0x1234))
        gue = bytes.fromhex("00010000")
        about = IP(src="192.0.2.1", dst="192.0.2.2")
        about /= UDP(sport=SOURCE_PORT, dport=PORT, chksum=0) / gue / ICMP(id=0x1234) / bytes(64)
        send_error(hosts, 4, "unreachable", bytes(about))
        # select() returns the socket as readable if it has an error.
        assert select.select([pinger], [], [], 5)[0], "the error arrives"
        *_, address = pinger.recvmsg(1000, 1000, socket.MSG_ERRQUEUE)
    assert address[0] == "192.0.2.2"


@pytest.mark.rfou_only
@pytest.mark.parametrize(("kind", "form"), QUOTED)
def test_packet_too_big_from_the_way_lowers_the_path_mtu(hosts, kind, form):
    """The core lowers the path MTU by itself, but counts InErrors if no tunnel takes the error."""
    outer, inner, *_ = KINDS[kind]
    h1, h2 = hosts
    quoted = packet_sent(hosts, kind, form)
    # In IPv4 "too big" is a code of unreachable.
    too_big = "OutDestUnreachs" if inner == 4 else "OutPktTooBigs"
    told, wrong = icmp(h1, inner, too_big), icmp(h1, outer, "InErrors")
    send_error(hosts, outer, "too big", quoted)
    end = "192.0.2.2" if outer == 4 else "2001:db8::2"
    wait_until(lambda: "mtu 1400" in h1.ip("route", "get", end).stdout, "path MTU", 3)
    if kind in ("ip4ip6", "ip6ip6"):
        # These tunnels pass the error to the inner sender.
        wait_until(lambda: icmp(h1, inner, too_big) > told, "the sender is told", 2)
    with Capture(h2, "eth0") as capture:
        done = h1.run("ping", "-n", "-c", 2, "-i", "0.1", "-W", "0.2", "-M", "do", "-s", 1350,
                      inner_address(kind, 2), check=False)  # fmt: skip
        sent = [len(f) for f in capture.frames(to_port, 100, timeout=0)]
    assert not [each for each in sent if each > 1414], "too big a packet was sent"
    assert " 0 received" in done.stdout and "errors" in done.stdout, "the sender is told"
    assert icmp(h1, outer, "InErrors") == wrong


@pytest.mark.rfou_only
@pytest.mark.parametrize("form", few_on_debug(["fou", "gue"], ["gue"]))
@pytest.mark.parametrize("kind", few_on_debug(["ipip", "ip6ip6"], ["ip6ip6"]))
def test_error_that_quotes_too_little_reaches_no_tunnel(hosts, kind, form):
    """Error handlers read 8 bytes after the header without a check of the length."""
    outer, *_ = KINDS[kind]
    h1 = hosts[0]
    quoted = packet_sent(hosts, kind, form)
    headers = (20 if outer == 4 else 40) + 8 + (4 if form == "gue" else 0)
    for within in range(9):
        seen, wrong = icmp(h1, outer, "InMsgs"), icmp(h1, outer, "InErrors")
        send_error(hosts, outer, "too big", quoted[: headers + within])
        wait_until(lambda seen=seen: icmp(h1, outer, "InMsgs") > seen, "the error arrives", 3)
        assert icmp(h1, outer, "InErrors") - wrong == (within < 8), f"{within} bytes"


def test_error_about_a_foreign_packet_is_ignored(hosts):
    make_tunnel(hosts, "ipip", "gue")
    h1, h2 = hosts
    quoted = IP(src="192.0.2.1", dst="198.51.100.9") / UDP(sport=5, dport=PORT)
    gue_udp = bytes.fromhex("00110000") * 4
    chain = struct.pack("!BBH", 0, 17, 0)
    raw = h2.packet_socket("eth0")
    wrong = icmp(h1, 4, "InErrors")
    payloads = (b"", b"\0\4", gue_udp, chain * 8, b"\x45" * 40, b"\x1f\4\0\0", b"\xff" * 60)
    for payload in payloads:
        error = IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, code=4, nexthopmtu=600)
        raw.send(bytes(Ether(src=h2.mac("eth0"), dst=h1.mac("eth0")) / error / quoted / payload))
    raw.close()
    h1.run("ping", "-n", "-c", 2, "-i", "0.01", "-W", 2, "10.1.1.2")
    assert "mtu" not in h1.ip("route", "get", "192.0.2.2").stdout
    assert icmp(h1, 4, "InErrors") == wrong + len(payloads), "a handler took a foreign error"
