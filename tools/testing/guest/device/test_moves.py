# SPDX-License-Identifier: GPL-2.0
"""Devices of kind gue in one namespace that send and receive in another.

other: gue0 10.1.1.1, fd00::1
  h1:  eth0, the socket ===== eth0 -- gue0 10.1.1.2, fd00::2 :h2
"""

import errno
import socket
import subprocess

import pytest

from testing.lib.gue_link import GueLinks
from testing.lib.hosts import CommandError, Host
from testing.lib.netlink import NetlinkError
from testing.lib.traffic import tcp_arrives

PORT = 6080
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.1.1", "10.1.1.2"), 6: ("fd00::1", "fd00::2")}


@pytest.fixture
def other():
    """A host without a wire."""
    made = Host("other")
    yield made
    made.remove()


def set_up(host, number):
    """Gives a device its addresses, and sets it up."""
    host.batch(
        f"addr add {INNER[4][number - 1]}/24 dev gue0",
        f"addr add {INNER[6][number - 1]}/64 dev gue0 nodad",
        "link set gue0 up",
    )


def make_device(host, number, outer):
    """Makes host 1's or host 2's device."""
    host.ip("link", "add", "gue0", "type", "gue", "remote", OUTER[outer][2 - number])
    set_up(host, number)


def has_socket(host, outer):
    """Returns whether the port is open in a host."""
    return f":{PORT:04X} " in host.proc_net("udp" if outer == 4 else "udp6")


@pytest.mark.parametrize("outer", [4, 6])
def test_device_moves_under_traffic(hosts, other, outer):
    """Outer packets use the namespace that the device was made in, wherever the device is."""
    h1, h2 = hosts
    for number, host in enumerate(hosts, start=1):
        make_device(host, number, outer)
    # Inner packets arrive at all times, also while the device moves.
    flood = ("ping", "-n", "-q", "-i", "0.002", INNER[4][0])
    h2.start(*flood, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for source, target in ((h1, other), (other, h1), (h1, other)):
        source.ip("link", "set", "gue0", "netns", target.name)
        set_up(target, 1)
        assert (has_socket(h1, outer), has_socket(other, outer)) == (True, False)
        for version in (4, 6):
            assert tcp_arrives(target, h2, INNER[version][1], bytes(50_000))
        assert tcp_arrives(h2, target, INNER[4][0], bytes(50_000))
    assert other.traffic("gue0")["rx"]["errors"] == 0
    other.ip("link", "del", "gue0")
    assert not has_socket(h1, outer)


@pytest.mark.parametrize("outer", [4, 6])
def test_device_is_made_for_another_namespace(hosts, other, outer):
    """With `link-netns`, the device uses the addresses, routes and ports of that namespace."""
    h1, h2 = hosts
    h1.ip("link", "set", "eth0", "mtu", "1400")
    local, remote = OUTER[outer]
    kind = ("type", "gue", "remote", remote, "local", local)
    other.ip("link", "add", "gue0", "link-netns", "h1", *kind)
    set_up(other, 1)
    shown = other.link("gue0")
    assert shown["link_netnsid"] is not None
    assert shown["mtu"] == 1400 - (20 if outer == 4 else 40) - 8 - 4
    make_device(h2, 2, outer)
    assert (has_socket(h1, outer), has_socket(other, outer)) == (True, False)
    for version in (4, 6):
        assert tcp_arrives(other, h2, INNER[version][1], bytes(50_000))
    # The link namespace may have a device of this name, but not one with this id and remote.
    with pytest.raises(CommandError, match="another gue link has this id and remote"):
        h1.ip("link", "add", "gue0", *kind)


def test_refusals_are_about_the_other_namespace(hosts, other):
    """A port in use is refused in the link namespace, and allowed in the device's namespace."""
    h1, _ = hosts
    links = GueLinks(other)
    with other.inside():
        here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    here.bind(("", PORT))
    with h1.inside():
        there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    there.bind(("", PORT + 1))
    try:
        other.ip("netns", "set", "h1", "5")
        links.add("gue0", remote="192.0.2.2", link_netnsid=5, up=True)
        with pytest.raises(NetlinkError) as caught:
            links.add("gue1", remote="192.0.2.2", port=PORT + 1, link_netnsid=5)
        assert caught.value.errno == errno.EADDRINUSE
    finally:
        here.close()
        there.close()
        links.close()
