# SPDX-License-Identifier: GPL-2.0
"""Devices of kind gue with `remote any`: they receive from every address, and send nothing.

h1: anyone 10.1.1.1, fd00::1 -- eth0 ===== eth0 -- gue0 10.1.1.2, fd00::2 :h2
"""

import pytest

from testing.lib.hosts import Capture, is_udp_to, wait_until
from testing.lib.tunnels import no_checksum_errors

PORT = 6080
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
# More addresses of the second host.
FURTHER = {4: ("192.0.2.21", "192.0.2.22"), 6: ("2001:db8::21", "2001:db8::22")}
ANY = {4: "any", 6: "::"}


def ping(host, address, *options, count=2):
    """Sends echo requests; returns whether any has an answer."""
    command = ("ping", "-n", "-c", count, "-i", "0.05", "-W", 1, *options, address)
    return host.run(*command, check=False).returncode == 0


def rx_packets(host, name):
    """Returns how many packets a device has received."""
    return host.traffic(name)["rx"]["packets"]


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_device_without_a_peer_has_no_carrier_and_counts_what_it_cannot_send(hosts, outer, inner):
    """The device is up and without carrier, so routing daemons avoid it; packets are dropped."""
    h1, h2 = hosts
    h1.batch(
        f"link add gue0 type gue remote {ANY[outer]}",
        "addr add 10.1.1.1/24 dev gue0",
        "addr add fd00::1/64 dev gue0 nodad",
        "link set gue0 up",
    )
    link = h1.link("gue0")
    assert "NO-CARRIER" in link["flags"]
    assert link["operstate"] == "DOWN"
    # IPv6 takes no route through a device without carrier unless ping names the device.
    address = "10.1.1.2" if inner == 4 else "fd00::2"
    with Capture(h2, "eth0") as capture:
        assert not ping(h1, address, "-I", "gue0", count=3)
        assert not capture.frames(lambda frame: is_udp_to(frame, PORT), timeout=0.2)
    tx = h1.traffic("gue0")["tx"]
    assert (tx["packets"], tx["dropped"]) == (0, 3)


@pytest.mark.parametrize("outer", [4, 6])
def test_answers_go_where_routes_say(hosts, outer):
    """The device learns no address: the routing table chooses the device for answers."""
    h1, h2 = hosts
    h1.batch(
        f"link add anyone type gue remote {ANY[outer]} local {OUTER[outer][0]}",
        f"link add back type gue id 7 remote {OUTER[outer][1]} local {OUTER[outer][0]}",
        "link set anyone up",
        "addr add 10.1.1.1/32 dev lo",
        "link set back up",
        "route add 10.1.1.2 dev back",
    )
    # Requests arrive at one device, and answers leave through another.
    h1.sysctl("net.ipv4.conf.all.rp_filter", 0)
    h2.batch(
        f"link add gue0 type gue remote {OUTER[outer][0]} local {OUTER[outer][1]}",
        f"link add back type gue id 7 remote {OUTER[outer][0]} local {OUTER[outer][1]}",
        "addr add 10.1.1.2/24 dev gue0",
        "link set gue0 up",
        "link set back up",
    )
    h2.sysctl("net.ipv4.conf.all.rp_filter", 0)
    h2.sysctl("net.ipv4.conf.back.rp_filter", 0)
    assert ping(h2, "10.1.1.1")
    assert (rx_packets(h1, "anyone"), rx_packets(h2, "back"), rx_packets(h2, "gue0")) == (2, 2, 0)
    h1.ip("route", "del", "10.1.1.2", "dev", "back")
    h1.ip("route", "add", "10.1.1.2", "dev", "anyone")
    assert not ping(h2, "10.1.1.1", count=1)
    assert rx_packets(h1, "anyone") == 3
    assert h1.traffic("anyone")["tx"]["packets"] == 0


@pytest.mark.parametrize("outer", [4, 6])
def test_packets_of_known_peers_go_to_their_devices(hosts, outer):
    """`remote any` gets the packets of its group whose source has no device of its own."""
    h1, h2 = hosts
    known, stranger = FURTHER[outer]
    length = 24 if outer == 4 else 64
    for address in (known, stranger):
        h2.ip(
            "addr", "add", f"{address}/{length}", "dev", "eth0", *(["nodad"] if outer == 6 else [])
        )
    for group in ("", "id 5"):
        name = group.replace(" ", "")
        h1.batch(
            f"link add any{name} type gue remote {ANY[outer]} {group}",
            f"link add one{name} type gue remote {OUTER[outer][1]} {group}",
            f"link add two{name} type gue remote {known} {group}",
            *(f"link set {first}{name} up" for first in ("any", "one", "two")),
        )
    devices = ("any", "one", "two", "anyid5", "oneid5", "twoid5")
    expected = dict.fromkeys(devices, 0)
    senders = ((OUTER[outer][1], "one"), (known, "two"), (stranger, "any"))
    for group in ("", "id 5"):
        for number, (source, device) in enumerate(senders, start=1):
            h2.batch(
                f"link add gue0 type gue remote {OUTER[outer][0]} local {source} {group}",
                "addr add 10.1.1.2/24 dev gue0",
                "link set gue0 up",
            )
            ping(h2, "10.1.1.1", "-W", "0.1", count=number)
            h2.ip("link", "del", "gue0")
            expected[device + group.replace(" ", "")] += number
            wait_until(
                lambda: {name: rx_packets(h1, name) for name in devices} == expected,
                f"only {device} receives the packets from {source}",
            )
    # While the peer's own device is down, "any" receives the peer's packets.
    h1.ip("link", "set", "two", "down")
    h2.batch(
        f"link add gue0 type gue remote {OUTER[outer][0]} local {known}",
        "addr add 10.1.1.2/24 dev gue0",
        "link set gue0 up",
    )
    before = rx_packets(h1, "any")
    ping(h2, "10.1.1.1", "-W", "0.1", count=1)
    wait_until(lambda: rx_packets(h1, "any") == before + 1, "any receives the packet")
    assert all(no_checksum_errors(host) for host in hosts)
