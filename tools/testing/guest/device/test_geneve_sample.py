# SPDX-License-Identifier: GPL-2.0
"""Devices of the sample geneve_sample, with Linux's own geneve as their peer.

h1: gnv0 (geneve_sample) 10.1.1.1, fd00::1 -- eth0 ==== eth0 -- gnv0 (geneve) 10.1.1.2, fd00::2 :h2
"""

import contextlib
import errno
import json
import os
import pathlib
import socket
import struct
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import ARP, Ether

from testing.hostile.target import HOST_MAC, PEER_MAC, tap_host
from testing.lib import netlink as nl
from testing.lib.bridges import bridge_with, learns_mtu
from testing.lib.checkout import built
from testing.lib.faults import each_allocation, prepare
from testing.lib.gue_link import NLM_F_CREATE, NLM_F_EXCL, RouteNetlink, netns_file
from testing.lib.hosts import Capture, Host, is_udp_to, run, wait_until
from testing.lib.netlink import NetlinkError
from testing.lib.roles import all_at_once, insmod, is_loaded, rmmod
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import segment_in_software

pytestmark = pytest.mark.rfou_only

FILE = built("samples/geneve_sample.ko")
ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
PORT = 6081
ID, REMOTE, TTL, TOS, DSTPORT, METADATA, REMOTE6, UDP_CSUM = 1, 2, 3, 4, 5, 6, 7, 8
ZERO_TX, ZERO_RX, LABEL, LOCAL = 9, 10, 11, 17
DATA = bytes(range(251)) * 2000


@pytest.fixture(scope="module", autouse=True)
def sample():
    """The module, and the plug-in by which `ip` knows the kind."""
    run("modprobe", "geneve")
    run("insmod", FILE)
    before = os.environ.get("IP_LIB_DIR")
    os.environ["IP_LIB_DIR"] = str(built("samples"))
    yield
    if before is None:
        del os.environ["IP_LIB_DIR"]
    else:
        os.environ["IP_LIB_DIR"] = before
    run("rmmod", "geneve_sample")


def make(host, number, kind, outer=4, options=""):
    """Makes a device in host 1 or 2, with addresses of both IP versions."""
    host.batch(
        f"link add gnv0 type {kind} id 7 remote {ENDS[outer][2 - number]} {options}",
        "link set gnv0 up",
        f"addr add 10.1.1.{number}/24 dev gnv0",
        f"addr add fd00::{number}/64 dev gnv0 nodad",
    )


def make_pair(hosts, outer=4, options="", peer="geneve"):
    """Makes a device in each host."""
    make(hosts[0], 1, "geneve_sample", outer, options)
    make(hosts[1], 2, peer, outer, options)


def checksum_errors(host):
    """Returns the number of wrong checksums that a host has seen."""
    names = ("TcpInCsumErrors", "UdpInCsumErrors", "Udp6InCsumErrors", "IcmpInCsumErrors")
    return sum(host.snmp(name) for name in names)


def errors(host):
    """Returns the errors that a host's device counts."""
    traffic = host.traffic("gnv0")
    return traffic["rx"]["errors"] + traffic["tx"]["errors"]


@contextlib.contextmanager
def requests(host):
    """Yields a function that asks for a link, with pairs of an attribute and its bytes."""
    with host.inside():
        client = RouteNetlink()

    def add(*pairs, name="gnv0", new=True, **more):
        data = b"".join(nl.attribute(*pair) for pair in pairs)
        flags = NLM_F_CREATE | NLM_F_EXCL if new else 0
        client.change_link(name, flags, data, kind="geneve_sample", **more)

    yield add
    client.close()


def test_ip_makes_and_shows_a_link(hosts):
    h1 = hosts[0]
    h1.ip("link", "add", "gnv0", "type", "geneve_sample", "id", "7", "remote", "192.0.2.2")
    [link] = json.loads(h1.ip("-j", "-d", "link", "show", "gnv0").stdout)
    assert (link["link_type"], link["mtu"]) == ("ether", 1500 - 20 - 8 - 8 - 14)
    info = link["linkinfo"]
    assert info["info_kind"] == "geneve_sample"
    shown = info["info_data"]
    assert (shown["id"], shown["remote"], shown["port"], shown["ttl"]) == (7, "192.0.2.2", 6081, 0)
    assert shown["udp_csum"] is False
    more = "id 16777215 remote 2001:db8::2 ttl 9 dstport 7000 udp6zerocsumtx udp6zerocsumrx"
    h1.ip("link", "add", "gnv1", "mtu", "1300", "type", "geneve_sample", *more.split())
    [link] = json.loads(h1.ip("-j", "-d", "link", "show", "gnv1").stdout)
    shown = link["linkinfo"]["info_data"]
    assert (shown["id"], shown["remote6"], shown["port"]) == (16777215, "2001:db8::2", 7000)
    assert (shown["ttl"], link["mtu"]) == (9, 1300)
    assert ":17C1 " in h1.proc_net("udp") and ":1B58 " in h1.proc_net("udp6")
    h1.ip("link", "del", "gnv0")
    assert ":17C1 " not in h1.proc_net("udp"), "no device, no socket"


REMOTE_GIVEN = (REMOTE, nl.v4("192.0.2.2"))
REFUSED = [
    ([], errno.EINVAL, "remote is missing"),
    ([REMOTE_GIVEN, (REMOTE6, nl.v6("2001:db8::2"))], errno.EINVAL, "remote can be given once"),
    *(
        ([pair], errno.EINVAL, "remote must be a unicast address, and not a link-local one")
        for pair in (
            (REMOTE, nl.v4("0.0.0.0")),
            (REMOTE, nl.v4("224.0.0.1")),
            (REMOTE, nl.v4("255.255.255.255")),
            (REMOTE6, nl.v6("::")),
            (REMOTE6, nl.v6("::ffff:192.0.2.2")),
            (REMOTE6, nl.v6("fe80::2")),
            (REMOTE6, nl.v6("ff02::1")),
        )
    ),
    ([REMOTE_GIVEN, (ID, struct.pack("=I", 1 << 24))], errno.ERANGE, "id has 24 bits"),
    ([REMOTE_GIVEN, (DSTPORT, bytes(2))], errno.EINVAL, "dstport must not be 0"),
    ([REMOTE_GIVEN, (UDP_CSUM, b"\2")], errno.EINVAL, "this attribute must be 0 or 1"),
    ([REMOTE_GIVEN, (TOS, b"\4")], errno.EOPNOTSUPP, "a tos is not supported"),
    ([REMOTE_GIVEN, (LABEL, b"\0\0\0\1")], errno.EOPNOTSUPP, "a flowlabel is not supported"),
    ([REMOTE_GIVEN, (METADATA, b"")], errno.EOPNOTSUPP, "external is not supported"),
    ([REMOTE_GIVEN, (LOCAL, bytes(4))], errno.EINVAL, "Unknown attribute type"),
]


def test_refusals_have_a_text(hosts):
    h1 = hosts[0]
    with requests(h1) as add:
        for pairs, number, text in REFUSED:
            with pytest.raises(NetlinkError) as caught:
                add(*pairs)
            assert (caught.value.errno, caught.value.reason) == (number, text), pairs
        with pytest.raises(NetlinkError) as caught:
            add(REMOTE_GIVEN, mtu=65500)
        assert caught.value.reason == "mtu greater than device maximum"
        add(REMOTE_GIVEN)
        text = "another link has this id, remote and dstport"
        with pytest.raises(NetlinkError) as caught:
            add(REMOTE_GIVEN, name="gnv1")
        assert (caught.value.errno, caught.value.reason) == (errno.EEXIST, text)
        with pytest.raises(NetlinkError) as caught:
            add((TTL, b"\5"), new=False)
        assert "cannot be changed" in caught.value.reason
        with h1.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("", 7000))
            with pytest.raises(NetlinkError) as caught:
                add(REMOTE_GIVEN, (DSTPORT, nl.be16(7000)), name="gnv1")
        text = "another program has this dstport"
        assert (caught.value.errno, caught.value.reason) == (errno.EADDRINUSE, text)
        assert "gnv1" not in h1.ip("link").stdout
        # A refused device holds nothing.
        add(REMOTE_GIVEN, (ID, struct.pack("=I", 1)), name="gnv1", up=True)


OPTIONS = {"plain": "", "checksums": "udpcsum", "no checksums": "udp6zerocsumtx udp6zerocsumrx"}


@pytest.mark.soak_on_debug
@pytest.mark.parametrize(
    ("outer", "options"), [(4, "plain"), (4, "checksums"), (6, "plain"), (6, "no checksums")]
)
def test_traffic_to_and_from_linux_geneve(hosts, outer, options):
    make_pair(hosts, outer, OPTIONS[options])
    h1, h2 = hosts
    h1.run("ping", "-c", "1", "-W", "5", "10.1.1.2")
    h2.run("ping", "-c", "1", "-W", "5", "fd00::1")
    # Until the device's socket was open, IPv6 counted packets without a checksum as errors.
    before = [checksum_errors(host) for host in hosts]
    for software in (False, True):
        for address in ("10.1.1.", "fd00::"):
            assert tcp_arrives(h1, h2, f"{address}2", DATA), software
            assert tcp_arrives(h2, h1, f"{address}1", DATA), software
        for host in hosts:
            segment_in_software(host)
            host.run("ethtool", "-K", "gnv0", "gro", "off")
    assert [checksum_errors(host) for host in hosts] == before
    assert [errors(host) for host in hosts] == [0, 0]


def test_two_samples_are_peers(hosts):
    make_pair(hosts, 6, peer="geneve_sample")
    assert tcp_arrives(*hosts, "10.1.1.2", DATA)


def test_bytes_on_the_wire_are_those_of_linux(hosts):
    """Geneve header, TTL and DF are the same."""
    make_pair(hosts, 4, "ttl 77")
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP())
    seen = []
    for sender, receiver in (hosts, hosts[::-1]):
        with Capture(receiver, "eth0") as wire, sender.packet_socket("gnv0", 0) as into:
            into.send(frame)
            [packet] = wire.frames(lambda got: is_udp_to(got, PORT) and got.endswith(frame))
        seen.append((packet[42:50], packet[20:24], len(packet)))
        assert packet[42:50] == bytes.fromhex("0000655800000700")
    # Flags and fragment offset, TTL, UDP.
    assert seen[0] == seen[1] == (seen[0][0], b"\0\0\x4d\x11", len(frame) + 50)


def test_bridge_with_linux_geneve(hosts):
    """The devices are ports of bridges, with a further host behind each bridge."""
    h1, h2 = hosts
    make_pair(hosts)
    behind = [Host("behind1"), Host("behind2")]
    try:
        for number, (host, third) in enumerate(zip(hosts, behind, strict=True), start=1):
            host.batch(
                "addr flush dev gnv0",
                "link add br0 type bridge",
                "link set gnv0 master br0",
                f"link add port0 type veth peer name eth0 netns {third.name}",
                "link set port0 master br0 up",
                "link set br0 up",
            )
            third.batch(
                "link set eth0 mtu 1450 up",
                f"addr add 10.1.2.{number}/24 dev eth0",
            )
        wait_until(lambda: tcp_arrives(*behind, "10.1.2.2", b"x"), "the bridges forward")
        assert tcp_arrives(*behind, "10.1.2.2", DATA)
        assert tcp_arrives(*reversed(behind), "10.1.2.1", DATA)
        assert [checksum_errors(host) for host in behind] == [0, 0]
    finally:
        for third in behind:
            third.remove()


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("kind", ["geneve_sample", "geneve"])
def test_bridged_sender_learns_the_path_mtu(hosts, kind):
    """geneve_sample does what Linux's geneve does."""
    h1, h2 = hosts
    make(h1, 1, kind)
    make(h2, 2, "geneve")
    third = Host("third")
    try:
        bridge_with(h1, third, "gnv0")
        h2.batch("link set gnv0 mtu 1500")
        assert learns_mtu(third, h2, 1450)
        assert tcp_arrives(third, h2, "10.1.1.2", DATA)
    finally:
        third.remove()


def geneve(vni=7, flags=0, options=b"", version=0, protocol=0x6558):
    """Returns a header."""
    first = version << 6 | len(options) // 4
    return struct.pack("!BBHI", first, flags, protocol, vni << 8) + options


def option(kind, data=b"", words=None, reserved=0):
    """Returns an option of an unknown class; a kind of 128 or more is critical."""
    words = len(data) // 4 if words is None else words
    return struct.pack("!HBB", 0x0107, kind, reserved << 5 | words) + data


CONTROL, CRITICAL = 0x80, 0x40
FRAME = bytes(
    Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.1.1.2", pdst="10.1.1.1")
)
WHOLE = {
    "plain": geneve(),
    "reserved bits": bytes.fromhex("003f6558000007ff"),
    "an option": geneve(options=option(5, b"data")),
    "an option of the class alone": geneve(options=option(5)),
    "critical bit of an option alone": geneve(options=option(0x85, b"data")),
    "critical bit of the header alone": geneve(flags=CRITICAL, options=option(5, b"data") * 2),
    "as many options as fit": geneve(flags=CRITICAL, options=option(5) * 63),
}
DROPPED = {
    "another id": (geneve(vni=8), "NO_SOCKET", 0),
    "version": (geneve(version=1), "INVALID_PROTO", 0),
    "control": (geneve(flags=CONTROL), "UNHANDLED_PROTO", 1),
    "IPv4 without Ethernet": (geneve(protocol=0x0800), "UNHANDLED_PROTO", 1),
    "critical option": (
        geneve(flags=CRITICAL, options=option(0x80)),
        "UNHANDLED_PROTO",
        1,
    ),
    "critical option after another": (
        geneve(flags=CRITICAL, options=option(1, b"some", reserved=7) + option(0xFF, b"data")),
        "UNHANDLED_PROTO",
        1,
    ),
    "option past the header": (
        geneve(flags=CRITICAL, options=option(1, b"data", words=2)),
        "INVALID_PROTO",
        1,
    ),
}


@pytest.mark.stock_only
@pytest.mark.parametrize("outer", [4, 6])
def test_each_drop_has_its_reason(hosts, drop_monitor, outer):
    h1, h2 = hosts
    make(h1, 1, "geneve_sample", outer)
    h1.sysctl("net.ipv6.conf.gnv0.disable_ipv6", 1)
    ends = {"src": ENDS[outer][1], "dst": ENDS[outer][0]}
    start = Ether(src=h2.mac("eth0"), dst=h1.mac("eth0"))
    start /= IP(**ends) if outer == 4 else IPv6(**ends)
    counted = 0

    def came():
        traffic = h1.traffic("gnv0")["rx"]
        return traffic["packets"], traffic["errors"]

    with h2.packet_socket("eth0", 0) as wire:

        def send(payload, **udp):
            wire.send(bytes(start / UDP(sport=50000, dport=PORT, **udp) / payload))

        with Capture(h1, "gnv0") as out:
            for number, (name, header) in enumerate(WHOLE.items(), start=1):
                send(header + FRAME)
                wait_until(lambda number=number: came() == (number, 0), name, 3)
            assert len(out.frames(lambda seen: seen == FRAME, len(WHOLE))) == len(WHOLE)
        short = {
            "no header": (geneve()[:7], "PKT_TOO_SMALL", 0),
            "half an option": (geneve(options=option(5, b"data"))[:-1], "PKT_TOO_SMALL", 1),
            "no frame": (geneve() + FRAME[:13], "PKT_TOO_SMALL", 1),
        }
        own = FRAME[:6] + bytes.fromhex(h1.mac("gnv0").replace(":", "")) + FRAME[12:]
        rest = {name: (data + FRAME, *more) for name, (data, *more) in DROPPED.items()}
        mark = struct.pack("!HH", 50000, PORT)
        for name, (payload, reason, error) in {
            **rest,
            **short,
            "own frame": (geneve() + own, "RECURSION_LIMIT", 1),
        }.items():
            send(payload)
            found = drop_monitor.reason_for(lambda seen: mark in seen or FRAME[20:] in seen)
            assert found == reason, name
            counted += error
            assert came() == (len(WHOLE), counted), name
        if outer == 6:
            send(geneve() + FRAME, chksum=0)
            assert drop_monitor.reason_for(lambda seen: FRAME[20:] in seen) == "UDP_CSUM"


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("options", [b"", option(5, b"data")])
def test_train_is_merged_before_it_is_decapsulated(outer, options):
    payload = b"".join(bytes([65 + number]) * 1000 for number in range(8))
    lines = (
        "addr add 2001:db8::1/64 dev tap0 nodad",
        f"link add gnv0 type geneve_sample id 7 remote {ENDS[outer][1]}",
        "link set gnv0 up",
    )
    ends = {"src": ENDS[outer][1], "dst": ENDS[outer][0]}
    with tap_host("gro", "gro", 20, *lines) as (host, tap):
        frames = []
        for number in range(8):
            inner = Ether(src=PEER_MAC, dst=host.mac("gnv0"))
            inner /= IP(src="10.1.1.2", dst="10.1.1.1", id=number, flags="DF")
            inner /= TCP(sport=9, dport=9, seq=1 + 1000 * number, ack=1, flags="A")
            inner /= payload[1000 * number :][:1000]
            ip = IP(**ends, flags="DF") if outer == 4 else IPv6(**ends)
            udp = UDP(sport=50000, dport=PORT) / (geneve(options=options) + bytes(inner))
            frames.append(bytes(Ether(src=PEER_MAC, dst=HOST_MAC) / ip / udp))
        with Capture(host, "tap0") as wire, Capture(host, "gnv0") as out:
            for frame in frames:
                os.writev(tap, [bytes(10), frame])
            merged = wire.frames(lambda seen: len(seen) > 1000, 8, timeout=1)
            assert 0 < len(merged) < 8, "some were merged before UDP decapsulated them"
            came = out.frames(lambda seen: len(seen) > 1000, 8, timeout=1)
        assert b"".join(frame[54:] for frame in came) == payload
        assert host.traffic("gnv0")["rx"]["errors"] == 0


def test_device_moves_and_ends_with_its_link_namespace(hosts):
    """The device sends by the namespace that it was made in, and ends with that namespace."""
    h1, h2 = hosts
    middle = Host("middle")
    try:
        middle.batch("link set lo up")
        make(h2, 2, "geneve")
        h1.batch(
            "link add gnv0 type geneve_sample id 7 remote 192.0.2.2",
            f"link set gnv0 netns {middle.name}",
        )
        middle.batch("addr add 10.1.1.1/24 dev gnv0", "link set gnv0 up")
        assert tcp_arrives(middle, h2, "10.1.1.2", DATA)
        other = Host("other")
        file = netns_file(middle)
        with requests(other) as add:
            add(REMOTE_GIVEN, name="gnv1", netns=file)
        os.close(file)
        assert "gnv1" in middle.ip("link").stdout
        other.remove()
        wait_until(lambda: "gnv1" not in middle.ip("link").stdout, "the device goes", 20)
        assert "gnv0" in middle.ip("link").stdout
    finally:
        middle.remove()


@pytest.mark.parametrize("outer", [4, 6])
def test_icmp_error_about_a_devices_packet_is_taken_and_no_other(hosts, outer):
    """The core counts errors that no socket takes."""
    # Other tests leave GRE loaded. GRE's handler takes each error that rfou passes to it as FOU's.
    for name in ("ip6_gre", "ip_gre"):
        if is_loaded(name):
            rmmod(name)
    h1, h2 = hosts
    make(h1, 1, "geneve_sample", outer)
    near, far = ENDS[outer]
    ether = Ether(src=h2.mac("eth0"), dst=h1.mac("eth0"))
    name = "IcmpInErrors" if outer == 4 else "Icmp6InErrors"
    came = "IcmpInMsgs" if outer == 4 else "Icmp6InMsgs"

    def is_taken(header):
        udp = UDP(sport=50000, dport=PORT) / (header + bytes(100))
        if outer == 4:
            error = IP(src=far, dst=near) / ICMP(type=3, code=4, nexthopmtu=1400)
            error /= bytes(IP(src=near, dst=far) / udp)
        else:
            error = IPv6(src=far, dst=near) / ICMPv6PacketTooBig(mtu=1400)
            error /= bytes(IPv6(src=near, dst=far) / udp)
        wrong, before = h1.snmp(name), h1.snmp(came)
        with h2.packet_socket("eth0", 0) as wire:
            wire.send(bytes(ether / error))
        wait_until(lambda: h1.snmp(came) > before, "the error arrives")
        # The core counts the message before it counts the error.
        time.sleep(0.2)
        return h1.snmp(name) == wrong

    assert not is_taken(geneve(vni=8))
    assert not is_taken(geneve(version=1))
    assert is_taken(geneve())
    wait_until(lambda: "mtu 1400" in h1.ip("route", "get", far).stdout, "the path's MTU")


def test_module_is_unloaded_under_traffic(hosts):
    h1, h2 = hosts
    make(h2, 2, "geneve")
    frame = b"\xff" * 6 + FRAME[6:]

    def reload():
        while True:
            yield not is_loaded("geneve_sample") or rmmod("geneve_sample")
            yield insmod(FILE)
            with h1.inside():
                run(
                    *("ip", "link", "add", "gnv0", "up", "type", "geneve_sample"),
                    *("id", "7", "remote", "192.0.2.2"),
                    check=False,
                )

    def receive():
        with h2.packet_socket("gnv0", 0) as into:
            while True:
                into.send(frame)
                yield True

    def transmit():
        raw = None
        with contextlib.suppress(OSError):
            raw = h1.packet_socket("gnv0", 0)
        yield raw is not None
        with contextlib.suppress(OSError):
            while raw:
                raw.send(frame)
                yield True

    all_at_once([reload, receive, transmit])
    if not is_loaded("geneve_sample"):
        run("insmod", FILE)
    assert pathlib.Path("/sys/module/geneve_sample").exists()


@pytest.mark.debug_only
@pytest.mark.parametrize("outer", [4, 6])
def test_failing_memory_leaves_nothing(hosts, outer):
    prepare()
    h1 = hosts[0]
    remote = REMOTE_GIVEN if outer == 4 else (REMOTE6, nl.v6(ENDS[6][1]))
    failed = 0
    with requests(h1) as add:
        for failing in each_allocation(stride=5):
            with failing:
                try:
                    add(remote, up=True)
                except OSError as error:
                    # EINVAL: a device without a name, as for every kind of link.
                    wanted = (errno.ENOMEM, errno.ENOBUFS, errno.ENFILE, errno.EINVAL)
                    assert error.errno in wanted, str(error)
                    failed += 1
            there = "gnv0:" in h1.proc_net("dev")
            sockets = h1.proc_net("udp") + h1.proc_net("udp6")
            assert there == (f":{PORT:04X} " in sockets), f"allocation {failing.number}"
            if there:
                h1.ip("link", "del", "gnv0")
        assert failed > 3, "the allocations were not reached"
        add(remote, up=True)
