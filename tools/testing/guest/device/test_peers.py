# SPDX-License-Identifier: GPL-2.0
"""Devices of kind gue beside `ip fou`: with rfou, and with Linux's own fou, in the same guest.

h1: gue0 10.1.1.1, fd00::1 -- eth0 ===== eth0 -- tun1 10.1.1.2, fd00::2 :h2
"""

import errno
import itertools

import pytest

from testing.lib.gue_link import GueLinks
from testing.lib.hosts import CommandError
from testing.lib.netlink import NetlinkError
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import (
    KINDS,
    PORT,
    inner_address,
    make_end,
    no_checksum_errors,
    segment_in_software,
)

REMOTE = {4: "192.0.2.2", 6: "2001:db8::2"}
# By name: the device's options, and the options of the peer's tunnel.
DIALECTS = {
    "plain": ("udp6zerocsumrx", "plain"),
    "checksum": ("udpcsum", "checksum"),
    "remcsum": ("udpcsum linux-remcsum", "remcsum"),
    "variant 1": ("udp6zerocsumrx variant 1", "plain"),
}
# Enough for segments of 64 KiB, and for many of 1,500 bytes.
DATA = bytes(range(251)) * 800


def make_device(host, kind, options):
    """Makes the first host's device, as the peer of a tunnel of a kind."""
    outer, inner, *_ = KINDS[kind]
    host.batch(
        f"link add gue0 type gue remote {REMOTE[outer]} dport {PORT} {options}",
        f"addr add {inner_address(kind, 1)}/{24 if inner == 4 else 64} dev gue0"
        + ("" if inner == 4 else " nodad"),
        "link set gue0 up",
    )


def tunnel_of(host):
    """Returns the name of a host's end of the tunnel."""
    return "gue0" if host.name == "h1" else "tun1"


def set_gro(host, on):
    """Turns GRO on or off, for the packets on the wire and for the inner ones."""
    for device in ("eth0", tunnel_of(host)):
        host.run("ethtool", "-K", device, "gro", "on" if on else "off")


def end_gso(host):
    """Has TCP send segments, because neither device takes longer packets."""
    segment_in_software(host)
    # If the stack segmented packets after it has encapsulated them, Linux's fou would not compute
    # remote checksums on this machine: see "made on the same machine" in differences.rst.
    host.run("ethtool", "-K", tunnel_of(host), "tso", "off", "gso", "off")


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", ["ipip", "sit", "ip4ip6", "ip6ip6"])
def test_tunnel_over_a_port_is_a_peer(hosts, kind, dialect):
    """Echo requests and TCP go both ways, with GSO and GRO on and off, without a wrong checksum."""
    ours, theirs = DIALECTS[dialect]
    make_device(hosts[0], kind, ours)
    make_end(hosts[1], 2, kind, "gue", theirs)
    first, second = (inner_address(kind, number) for number in (1, 2))
    hosts[0].run("ping", "-n", "-c", 2, "-i", "0.01", "-W", 2, second)
    for gso, gro in itertools.product((True, False), (True, False)):
        for host in hosts:
            set_gro(host, gro)
            if not gso:
                end_gso(host)
        assert tcp_arrives(*hosts, second, DATA), (gso, gro)
        assert tcp_arrives(*reversed(hosts), first, DATA), (gso, gro)
        assert all(no_checksum_errors(host) for host in hosts), (gso, gro)
        # On a machine that stalls, TCP probes for a loss, and the repeated segment counts as one
        # that overtook another.
        if not any(host.snmp("TcpRetransSegs") for host in hosts):
            for host in hosts:
                assert host.snmp("TcpExtTCPOFOQueue") == 0, "a segment overtook another"
    assert hosts[0].traffic("gue0")["rx"]["errors"] == 0
    assert hosts[1].traffic("tun1")["rx"]["errors"] == 0


@pytest.mark.parametrize("outer", [4, 6])
def test_port_of_one_is_refused_to_the_other(hosts, outer):
    """A UDP port belongs either to `ip fou` or to gue devices."""
    h1, _ = hosts
    version = "-6" if outer == 6 else "-4"
    links = GueLinks(h1)
    h1.ip(version, "fou", "add", "port", PORT, "gue")
    with pytest.raises(NetlinkError) as caught:
        links.add("gue0", remote=REMOTE[outer], port=PORT)
    assert caught.value.errno == errno.EADDRINUSE
    assert "another tunnel (ip fou," in caught.value.reason
    # The device's own port can be another.
    links.add("gue0", remote=REMOTE[outer], dport=PORT, port=PORT + 1, up=True)
    with pytest.raises(CommandError, match="in use"):
        h1.ip(version, "fou", "add", "port", PORT + 1, "gue")
    links.delete("gue0")
    h1.ip(version, "fou", "add", "port", PORT + 1, "gue")
    h1.ip(version, "fou", "del", "port", PORT)
    links.add("gue0", remote=REMOTE[outer], port=PORT, up=True)
    assert h1.ip(version, "fou", "show").stdout.count("port") == 1
    links.close()
