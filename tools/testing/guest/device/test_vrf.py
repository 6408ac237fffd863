# SPDX-License-Identifier: GPL-2.0
"""Devices of kind gue and VRFs: the underlay in a VRF, and the tunnel.

The first test follows the kernel's test_vxlan_under_vrf.sh.

h1: gue0 10.1.1.1, fd00::1 -- eth0 [vrf] ===== eth0 [vrf] -- gue0 10.1.1.2, fd00::2 :h2
"""

import contextlib
import errno

import pytest

from testing.lib.gue_link import GueLinks
from testing.lib.hosts import Host
from testing.lib.netlink import NetlinkError

OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.1.1", "10.1.1.2"), 6: ("fd00::1", "fd00::2")}


def make_vrf(host, name, table):
    """Makes a VRF that is up."""
    # Otherwise a device that moves into a VRF or out of it loses its IPv6 addresses.
    host.sysctl("net.ipv6.conf.all.keep_addr_on_down", 1)
    host.batch(f"link add {name} type vrf table {table}", f"link set {name} up")


def make_device(host, number, outer, options, name="gue0"):
    """Makes host 1's or host 2's device."""
    local, remote = OUTER[outer][number - 1], OUTER[outer][2 - number]
    host.batch(
        f"link add {name} type gue remote {remote} local {local} {options}",
        f"addr add {INNER[4][number - 1]}/24 dev {name}",
        f"addr add {INNER[6][number - 1]}/64 dev {name} nodad",
        f"link set {name} up",
    )


def down_and_up(host, name="gue0"):
    """Sets a device down and up again."""
    host.batch(f"link set {name} down", f"link set {name} up")


def has_answers(host, address, *options, count=2):
    """Sends echo requests; returns whether any has an answer."""
    command = ("ping", "-n", "-c", count, "-i", "0.05", "-W", 1, *options, address)
    return host.run(*command, check=False).returncode == 0


def bound_to(host, port=6080):
    """Returns the devices that sockets of a port are bound to, in order; "" is none."""
    lines = host.run("ss", "-Hulna", f"sport = :{port}").stdout.splitlines()
    # An address is shown as 192.0.2.1:6080, or as 192.0.2.1%red:6080.
    return sorted(line.split()[3].rpartition(":")[0].partition("%")[2] for line in lines)


@pytest.mark.parametrize("outer", [4, 6])
def test_underlay_moves_into_a_vrf_and_out_of_it(hosts, outer):
    """The device listens in the VRF that its underlay is in when the device goes up."""
    for number, host in enumerate(hosts, start=1):
        make_vrf(host, "underlay", 10)
        make_device(host, number, outer, "dev eth0")
    assert has_answers(hosts[0], INNER[4][1])
    assert bound_to(hosts[0]) == [""]
    for master, where in (("vrf underlay", "underlay"), ("nomaster", "")):
        for host in hosts:
            host.batch(f"link set eth0 {master}")
            down_and_up(host)
        for version in (4, 6):
            assert has_answers(hosts[0], INNER[version][1]), (master, version)
        assert bound_to(hosts[0]) == [where]


@pytest.mark.parametrize("outer", [4, 6])
def test_vrf_that_was_made_again_is_found(hosts, outer):
    """The new VRF has the same name and another index. The device uses the new index."""
    for number, host in enumerate(hosts, start=1):
        make_vrf(host, "underlay", 10)
        host.ip("link", "set", "eth0", "vrf", "underlay")
        make_device(host, number, outer, "dev eth0")
    assert has_answers(hosts[0], INNER[4][1])
    h1 = hosts[0]
    h1.batch("link set gue0 down", "link del underlay")
    make_vrf(h1, "underlay", 11)
    h1.batch("link set eth0 vrf underlay", "link set gue0 up")
    assert has_answers(h1, INNER[4][1])
    assert bound_to(h1) == ["underlay"]


@pytest.mark.parametrize("outer", [4, 6])
def test_dev_may_be_the_vrf_itself(hosts, outer):
    """With the VRF as `dev`, the VRF's routes choose the underlay."""
    for number, host in enumerate(hosts, start=1):
        make_vrf(host, "underlay", 10)
        host.ip("link", "set", "eth0", "vrf", "underlay")
        make_device(host, number, outer, "dev underlay")
    for version in (4, 6):
        assert has_answers(hosts[0], INNER[version][1])
    assert bound_to(hosts[0]) == ["underlay"]


@pytest.mark.parametrize("outer", [4, 6])
def test_tunnel_is_in_a_vrf(hosts, outer):
    """The device's own VRF applies to inner packets, and not to outer packets."""
    for number, host in enumerate(hosts, start=1):
        make_vrf(host, "tenant", 20)
        make_device(host, number, outer, "")
        host.ip("link", "set", "gue0", "vrf", "tenant")
    for version in (4, 6):
        assert has_answers(hosts[0], INNER[version][1], "-I", "tenant")
    assert bound_to(hosts[0]) == [""]


@contextlib.contextmanager
def second_peer(h1):
    """Makes a host that has all addresses of the second host, on the first host's eth1.

    h1: eth0 [vrf red] ===== eth0 :h2
        eth1 [vrf blue] ==== eth0 :h3
    """
    h3 = Host("h3")
    try:
        h1.batch("link add eth1 index 98 type veth peer name eth0 netns h3", "link set eth1 up")
        h3.batch("link set lo up", "link set eth0 up")
        for host, device, number in ((h1, "eth1", 1), (h3, "eth0", 2)):
            # As in `two_hosts`.
            host.sysctl(f"net.ipv6.neigh.{device}.retrans_time_ms", 20)
            host.sysctl(f"net.ipv6.neigh.{device}.mcast_solicit", 100)
            for version, length in ((4, 24), (6, 64)):
                address = f"{OUTER[version][number - 1]}/{length}"
                host.ip("addr", "add", address, "dev", device, *(["nodad"] if version == 6 else []))
        yield h3
    finally:
        h3.remove()


@pytest.mark.parametrize("outer", [4, 6])
def test_two_vrfs_have_the_same_addresses_and_port(hosts, outer):
    """Each VRF has its own socket, and each device the packets of its VRF alone."""
    h1, h2 = hosts
    local, remote = OUTER[outer]
    for name, table in (("red", 10), ("blue", 20)):
        make_vrf(h1, name, table)
    h1.ip("link", "set", "eth0", "vrf", "red")
    with second_peer(h1) as h3:
        h1.ip("link", "set", "eth1", "vrf", "blue")
        for name, device, version in (("red0", "eth0", 4), ("blue0", "eth1", 6)):
            h1.batch(
                f"link add {name} type gue remote {remote} local {local} dev {device}",
                f"addr add {INNER[version][0]}/{24 if version == 4 else 64} dev {name}"
                + (" nodad" if version == 6 else ""),
                f"link set {name} up",
            )
        assert bound_to(h1) == ["blue", "red"]
        for host in (h2, h3):
            make_device(host, 2, outer, "")
        # Only h2 is beyond red0, and only h3 beyond blue0.
        assert has_answers(h1, INNER[4][1])
        assert has_answers(h1, INNER[6][1], count=3)
        assert h1.traffic("red0")["rx"]["packets"] == h2.traffic("gue0")["rx"]["packets"] == 2
        assert h1.traffic("blue0")["rx"]["packets"] == h3.traffic("gue0")["rx"]["packets"] == 3


def test_device_outside_needs_an_address_of_its_own(hosts):
    """A socket outside of VRFs conflicts with a VRF's socket unless the addresses differ."""
    h1, _ = hosts
    make_vrf(h1, "red", 10)
    h1.ip("link", "set", "eth0", "vrf", "red")
    h1.ip("addr", "add", "198.51.100.1/24", "dev", "lo")
    links = GueLinks(h1)
    links.add("red0", remote="192.0.2.2", link=h1.link("eth0")["ifindex"], up=True)
    with pytest.raises(NetlinkError) as caught:
        links.add("gue0", remote="192.0.2.2")
    assert caught.value.errno == errno.EADDRINUSE
    assert "another gue link listens on this port" in caught.value.reason
    links.delete("red0")
    links.add(
        "red0", remote="192.0.2.2", local="192.0.2.1", link=h1.link("eth0")["ifindex"], up=True
    )
    links.add("gue0", remote="192.0.2.2", local="198.51.100.1", up=True)
    links.close()
