# SPDX-License-Identifier: GPL-2.0
"""Trace events (Documentation/tracing.rst): one for each packet, and none while they are off."""

import collections
import multiprocessing
import pathlib
import socket
import struct
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.guest.datapath.test_counters import DELIVERED, GUE
from testing.lib import ports
from testing.lib.burst import Burst
from testing.lib.hosts import Capture, run, wait_until
from testing.lib.ports import Rfou
from testing.lib.rfou_module import rfou_file
from testing.lib.trace_events import Trace, event_names, field_names
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import (
    KINDS,
    PORT,
    inner_address,
    make_tunnel,
    segment_in_software,
    to_port,
)

# The debug kernel has no tracefs.
pytestmark = [pytest.mark.rfou_only, pytest.mark.stock_only]

SOURCE_PORT = 49155
PACKETS = 1000
INNER = GUE[DELIVERED][1]
FAMILIES = {4: "inet", 6: "inet6"}
EVENTS = {"rfou_receive", "rfou_transmit", "rfou_drop", "rfou6_transmit"}
# Longer than any packet that a device sends by itself.
MARK = b"a packet of the tests " * 8
PACKET_FIELDS = "netns ifindex family port source_port protocol packets len"


@pytest.fixture(name="trace")
def trace_fixture():
    """A trace buffer in which no event is on."""
    with Trace() as trace:
        yield trace


@pytest.fixture(name="rfou")
def rfou_fixture(hosts):
    """A netlink socket in the second host, which receives."""
    with hosts[1].inside():
        client = Rfou()
    yield client
    client.close()


def netns_of(host):
    """Returns the number of a host's namespace, as `lsns` shows it."""
    return pathlib.Path("/run/netns", host.name).stat().st_ino


def frame(hosts, version, payload, port=PORT):
    """Returns a frame to the second host."""
    link = Ether(src=hosts[0].mac("eth0"), dst=hosts[1].mac("eth0"))
    if version == 4:
        ip = IP(src="192.0.2.1", dst="192.0.2.2")
    else:
        ip = IPv6(src="2001:db8::1", dst="2001:db8::2")
    return bytes(link / ip / UDP(sport=SOURCE_PORT, dport=port) / payload)


def send(hosts, packet, count):
    """Sends copies of a frame; returns when the second host has received them."""
    with Burst(hosts[0], "eth0") as burst:
        burst.send(packet, count)


def test_system_has_the_documented_events_and_fields():
    assert event_names() == EVENTS
    packet = set(PACKET_FIELDS.split())
    assert {name: field_names(name) for name in EVENTS} == {
        "rfou_receive": packet,
        "rfou_transmit": packet,
        "rfou6_transmit": packet,
        "rfou_drop": {"netns", "family", "port", "reason"},
    }


# By encapsulation: the attributes of a port, and a payload for it.
PORTS = {
    "fou": (ports.fou, INNER),
    "gue": (ports.gue, bytes.fromhex("00040000") + INNER),
    "gue, variant 1": (ports.gue, INNER),
    "gue, surplus": (ports.gue, bytes.fromhex("02040000deadbeefcafef00d") + INNER),
    "gue, remcsum": (ports.gue, bytes.fromhex("02040001800000000014001a") + INNER),
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("encap", PORTS)
def test_each_received_packet_is_an_event(hosts, rfou, trace, encap, version):
    attributes, payload = PORTS[encap]
    rfou.add(*attributes(PORT, version=version))
    with trace.on():
        send(hosts, frame(hosts, version, payload), PACKETS)
    events = trace.read()
    expected = {
        "netns": netns_of(hosts[1]),
        "ifindex": hosts[1].link("eth0")["ifindex"],
        "family": FAMILIES[version],
        "port": PORT,
        "source_port": SOURCE_PORT,
        "protocol": 4,
        "packets": 1,
        "len": len(payload),
    }
    # Without events in a namespace of an earlier test, which may still be ending.
    ours = [event for event in events if event.fields["netns"] == expected["netns"]]
    others = [event for event in ours if (event.name, event.fields) != ("rfou_receive", expected)]
    assert not others
    assert len(ours) == rfou.counters(PORT, version).packets == PACKETS


@pytest.mark.parametrize("version", [4, 6])
def test_each_drop_is_an_event_with_its_reason(hosts, rfou, trace, version):
    rfou.add(*ports.gue(PORT, version))
    expected = {"netns": netns_of(hosts[1]), "family": FAMILIES[version], "port": PORT}
    with trace.on():
        for reason, payloads in GUE.items():
            if reason is DELIVERED:
                continue
            for payload in payloads:
                send(hosts, frame(hosts, version, payload), 10)
                events = trace.read()
                assert len(events) == 10, reason
                for event in events:
                    assert event.name == "rfou_drop"
                    assert event.fields == expected | {"reason": reason}
    assert rfou.counters(PORT, version).dropped == 10 * sum(map(len, GUE.values())) - 40


def test_filter_chooses_by_port_and_by_reason(hosts, rfou, trace):
    for port in (PORT, PORT + 1):
        rfou.add(*ports.gue(port))
    trace.filter("rfou_drop", f'port == {PORT} && reason == "GUE_CONTROL"')
    with trace.on("rfou_drop"):
        for port in (PORT, PORT + 1):
            for payload in (GUE["GUE_CONTROL"][0], GUE["GUE_PROTOCOL_ZERO"][0]):
                send(hosts, frame(hosts, 4, payload, port), 5)
    events = trace.read()
    assert [(event.fields["port"], event.fields["reason"]) for event in events] == [
        (PORT, "GUE_CONTROL")
    ] * 5


def test_nothing_is_recorded_while_off(hosts, rfou, trace):
    rfou.add(*ports.gue(PORT))
    good = frame(hosts, 4, bytes.fromhex("00040000") + INNER)
    bad = frame(hosts, 4, bytes.fromhex("20000000"))

    def both():
        send(hosts, good, 10)
        send(hosts, bad, 10)

    def names():
        return collections.Counter(event.name for event in trace.read())

    both()
    assert names() == {}
    for event in ("rfou_receive", "rfou_drop"):
        with trace.on(event):
            both()
        both()
        assert names() == {event: 10}, "no other event, and none after its end"


def shoot(host, packet):
    """Sends copies of a frame without end."""
    with Burst(host, "eth0") as burst:
        while True:
            burst.send(packet, 10)
            # The reader of the events is slower than the sender.
            time.sleep(0.01)


def check_while_packets_come(rfou, trace, length):
    """Turns `rfou_receive` on and off while packets come; checks the events."""
    before = rfou.counters(PORT).packets
    wait_until(lambda: rfou.counters(PORT).packets > before, "packets come")
    assert trace.read() == []
    events = []
    with trace.on("rfou_receive"):
        wait_until(lambda: events.extend(trace.read()) or len(events) > 100, "events")
    # Events from before `rfou_receive` was turned off.
    events += trace.read()
    assert {event.fields["len"] for event in events} == {length}
    assert len(events) <= rfou.counters(PORT).packets - before


@pytest.mark.parametrize("encap", ["fou", "gue"])
def test_event_is_turned_on_and_off_while_packets_come(hosts, rfou, trace, encap):
    attributes, payload = PORTS[encap]
    rfou.add(*attributes(PORT))
    packet = frame(hosts, 4, payload)
    child = multiprocessing.Process(target=shoot, args=(hosts[0], packet))
    child.start()
    try:
        for _ in range(5):
            check_while_packets_come(rfou, trace, len(payload))
    finally:
        child.kill()
        child.join()
    assert rfou.counters(PORT).dropped == 0


@pytest.mark.parametrize(
    ("encap", "options"), [("fou", "checksum"), ("gue", "checksum"), ("gue", "remcsum")]
)
@pytest.mark.parametrize("kind", ["ipip", "gre", "ip6ip6", "ip6gre"])
def test_each_sent_packet_is_an_event(hosts, trace, kind, encap, options):
    """Each host has an event for the packet, with the source port and length on the wire."""
    h1, h2 = hosts
    make_tunnel(hosts, kind, encap, options)
    outer, inner, protocol, _ = KINDS[kind]
    with h1.inside():
        sender = socket.socket(socket.AF_INET if inner == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    sender.bind((inner_address(kind, 1), 0))
    wire, source = [], bytes.fromhex(h1.mac("eth0").replace(":", ""))

    def is_ours(frame):
        # The other host's answers quote the packets.
        return to_port(frame) and MARK in frame and frame[6:12] == source

    with sender, Capture(h1, "eth0") as capture, trace.on():
        for number in range(20):
            sender.sendto(MARK + bytes(number), (inner_address(kind, 2), 7 + number % 3))
            wire += capture.frames(is_ours)
    # Packets that the device sends by itself are shorter.
    events = [event for event in trace.read() if event.fields["len"] > len(MARK)]
    sent = [event for event in events if "transmit" in event.name and on(event, h1)]
    received = [event for event in events if event.name == "rfou_receive" and on(event, h2)]
    assert len(sent) == len(received) == len(wire) == 20
    udp = 34 if outer == 4 else 54
    for frame_sent, begin, end in zip(wire, sent, received, strict=True):
        source_port, port, length = struct.unpack_from("!HHH", frame_sent, udp)
        expected = {
            "netns": netns_of(h1),
            "ifindex": h1.link("tun1")["ifindex"],
            "family": FAMILIES[outer],
            "port": port,
            "source_port": source_port,
            "protocol": protocol,
            "packets": 1,
            "len": length - 8,
        }
        assert begin.name == ("rfou_transmit" if outer == 4 else "rfou6_transmit")
        assert begin.fields == expected
        other = {"netns": netns_of(h2), "ifindex": h2.link("eth0")["ifindex"]}
        assert end.fields == expected | other


def on(event, host):
    """Returns whether an event happened in a host."""
    return event.fields["netns"] == netns_of(host)


@pytest.mark.parametrize("kind", ["ipip", "ip6gre"])
def test_merged_packets_are_one_event_that_says_how_many(hosts, rfou, trace, kind):
    h1, h2 = hosts
    version = KINDS[kind][0]
    h2.run("ethtool", "-K", "eth0", "gro", "on")
    segment_in_software(h1)
    events = []

    def sums_are_the_counters():
        counters = rfou.counters(PORT, version)
        events.extend(event.fields for event in trace.read() if on(event, h2))
        packets, length = (sum(fields[name] for fields in events) for name in ("packets", "len"))
        return (packets, length) == (counters.packets, counters.bytes)

    # On before the tunnel is made, because tunnel devices send packets by themselves.
    with trace.on("rfou_receive"):
        make_tunnel(hosts, kind, "gue")
        assert tcp_arrives(h1, h2, inner_address(kind, 2), bytes(1 << 20))
        wait_until(sums_are_the_counters, "an event for each packet")
    assert len(events) < rfou.counters(PORT, version).packets, "GRO merges"


def test_unloading_removes_events_that_are_on(hosts, rfou, trace):
    rfou.add(*ports.gue(PORT))
    packet = frame(hosts, 4, bytes.fromhex("20000000"))
    trace.set(None, True)
    send(hosts, packet, 5)
    run("rmmod", "rfou")
    try:
        assert event_names() == {"rfou6_transmit"}
    finally:
        run("insmod", rfou_file())
    assert event_names() == EVENTS
    trace.read()
    with hosts[1].inside():
        again = Rfou()
    again.add(*ports.gue(PORT))
    again.close()
    send(hosts, packet, 5)
    assert trace.read() == [], "events of the new module are off"
    with trace.on("rfou_drop"):
        send(hosts, packet, 5)
    assert [event.name for event in trace.read()] == ["rfou_drop"] * 5
