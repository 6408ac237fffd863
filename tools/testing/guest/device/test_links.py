# SPDX-License-Identifier: GPL-2.0
"""Links of kind gue: made, shown, changed, moved, deleted; and what is refused."""

import errno
import os

import pytest

from testing.lib.gue_link import GueLinks, netns_file
from testing.lib.hosts import Host, wait_until
from testing.lib.netlink import NetlinkError

DEFAULTS = {
    "port": 6080,
    "dport": 6080,
    "sport": 0,
    "mode": 0,
    "variant": 0,
    "ttl": 0,
    "ttl_inherit": 0,
    "tos": 0,
    "tos_inherit": 0,
    "df": 0,
    "flowlabel": 0,
    "udp_csum": 0,
    "udp_zero_csum6_tx": 0,
    "udp_zero_csum6_rx": 0,
    "remcsum": 0,
    "auth": 0,
    "headercsum": 0,
    "crc": 0,
    "fragment": 0,
    "keepalive": 0,
    "roaming": 0,
}


def refusal(call, *arguments, **options):
    """Returns the error and the text with which a request is refused."""
    with pytest.raises(NetlinkError) as caught:
        call(*arguments, **options)
    return caught.value.errno, caught.value.reason


def exists(links, name):
    """Returns whether there is a link."""
    try:
        links.attributes(name)
    except NetlinkError as error:
        assert error.errno == errno.ENODEV
        return False
    return True


@pytest.mark.parametrize("remote", ["192.0.2.2", "2001:db8::2", "0.0.0.0", "::"])
def test_link_is_shown_as_it_was_made_goes_up_and_down_and_is_deleted(gue, hosts, remote):
    gue.add("gue0", remote=remote)
    assert gue.show("gue0") == DEFAULTS | {"remote": remote}
    gue.up("gue0")
    assert "UP" in hosts[0].link("gue0")["flags"]
    gue.up("gue0", False)
    gue.delete("gue0")
    assert not exists(gue, "gue0")


def test_every_option_is_shown(gue, hosts):
    index = int(hosts[0].link("eth0")["ifindex"])
    options = {
        "id": 0xFFFFFFFF,
        "remote": "2001:db8::2",
        "local": "2001:db8::1",
        "link": index,
        "port": 1,
        "dport": 65535,
        "sport_range": (1, 65535),
        "ttl": 255,
        "tos": 0xFC,
        "df": 2,
        "flowlabel": 0xFFFFF,
        "udp_csum": 1,
        "udp_zero_csum6_tx": 1,
        "udp_zero_csum6_rx": 1,
        "remcsum": 2,
        "auth": 4,
        "cover": 0,
        "headercsum": 1,
        "headercsum_cover": 0,
        "crc": 1,
        "crc_cover": 0,
        "fragment": 1,
        "fragment_size": 1280,
        "keepalive": 65534,
        "dead": 65535,
    }
    gue.add("gue0", **options)
    assert gue.show("gue0") == DEFAULTS | options
    assert hosts[0].link("gue0")["link"] == "eth0"


def test_driver_and_type_are_named(gue, hosts):
    gue.add("gue0", remote="192.0.2.2")
    shown = hosts[0].link("gue0")
    assert shown["link_type"] == "none"
    assert shown["linkinfo"]["info_kind"] == "gue"
    assert {"POINTOPOINT", "NOARP"} <= set(shown["flags"])


REFUSED = {
    "no remote": ({}, errno.EINVAL, "remote is missing"),
    "multicast remote": (
        {"remote": "224.0.0.1"},
        errno.EINVAL,
        "remote must be a unicast address, or any",
    ),
    "broadcast remote": (
        {"remote": "255.255.255.255"},
        errno.EINVAL,
        "remote must be a unicast address, or any",
    ),
    "IPv6 multicast remote": (
        {"remote": "ff02::1"},
        errno.EINVAL,
        "remote must be a unicast address, or any",
    ),
    "link-local remote": (
        {"remote": "fe80::1"},
        errno.EINVAL,
        "remote must not be a link-local address",
    ),
    "IPv4-mapped remote": (
        {"remote": "::ffff:192.0.2.2"},
        errno.EINVAL,
        "remote must not be an IPv4-mapped address",
    ),
    "link-local local": (
        {"remote": "2001:db8::2", "local": "febf::1"},
        errno.EINVAL,
        "local must not be a link-local address",
    ),
    "IPv4-mapped local": (
        {"remote": "2001:db8::2", "local": "::ffff:192.0.2.1"},
        errno.EINVAL,
        "local must not be an IPv4-mapped address",
    ),
    "two remotes": (
        {"remote": "192.0.2.2", "remote6": "2001:db8::2"},
        errno.EINVAL,
        "remote can be given once",
    ),
    "local of the other version": (
        {"remote": "192.0.2.2", "local": "2001:db8::1"},
        errno.EINVAL,
        "local and remote must be of the same IP version",
    ),
    "multicast local": (
        {"remote": "192.0.2.2", "local": "224.0.0.1"},
        errno.EINVAL,
        "local must be a unicast address",
    ),
    "no such dev": (
        {"remote": "192.0.2.2", "link": 4711},
        errno.ENODEV,
        "the device of dev does not exist",
    ),
    "port 0": ({"remote": "192.0.2.2", "port": 0}, errno.EINVAL, "port must not be 0"),
    "dport 0": ({"remote": "192.0.2.2", "dport": 0}, errno.EINVAL, "dport must not be 0"),
    "range from 0": (
        {"remote": "192.0.2.2", "sport_range": (0, 9)},
        errno.EINVAL,
        "srcport must be a range of ports, from 1 on",
    ),
    "range downwards": (
        {"remote": "192.0.2.2", "sport_range": (9, 8)},
        errno.EINVAL,
        "srcport must be a range of ports, from 1 on",
    ),
    "port and range": (
        {"remote": "192.0.2.2", "sport": 5, "sport_range": (8, 9)},
        errno.EINVAL,
        "sport and srcport exclude each other",
    ),
    "mode 2": (
        {"remote": "192.0.2.2", "mode": 2},
        errno.EINVAL,
        "mode must be 0 (ip) or 1 (ethernet)",
    ),
    "variant 1 with ethernet": (
        {"remote": "192.0.2.2", "variant": 1, "mode": 1},
        errno.EINVAL,
        "variant 1 carries IP alone",
    ),
    "frames under a hash": (
        {"remote": "192.0.2.2", "mode": 1, "auth": 4, "cover": 65535},
        errno.EOPNOTSUPP,
        "a coverage above 0 needs mode ip",
    ),
    "external with a remote": (
        {"external": True, "remote": "192.0.2.2"},
        errno.EINVAL,
        "external excludes remote",
    ),
    "variant 2": ({"remote": "192.0.2.2", "variant": 2}, errno.EINVAL, "variant must be 0 or 1"),
    "variant 1 with id": (
        {"remote": "192.0.2.2", "variant": 1, "id": 7},
        errno.EINVAL,
        "variant 1 has no header for an id",
    ),
    "variant 1 with remcsum": (
        {"remote": "192.0.2.2", "variant": 1, "remcsum": 1},
        errno.EINVAL,
        "variant 1 has no header for remcsum",
    ),
    "ttl and inherit": (
        {"remote": "192.0.2.2", "ttl": 5, "ttl_inherit": 1},
        errno.EINVAL,
        "a ttl and ttl inherit exclude each other",
    ),
    "tos and inherit": (
        {"remote": "192.0.2.2", "tos": 4, "tos_inherit": 1},
        errno.EINVAL,
        "a tos and tos inherit exclude each other",
    ),
    "ECN in tos": (
        {"remote": "192.0.2.2", "tos": 1},
        errno.EINVAL,
        "the two bits of ECN in tos must be 0",
    ),
    "df 3": (
        {"remote": "192.0.2.2", "df": 3},
        errno.EINVAL,
        "df must be 0 (unset), 1 (set) or 2 (inherit)",
    ),
    "long flow label": (
        {"remote": "2001:db8::2", "flowlabel": 1 << 20},
        errno.EINVAL,
        "flowlabel has 20 bits",
    ),
    "flow label of IPv4": (
        {"remote": "192.0.2.2", "flowlabel": 1},
        errno.EINVAL,
        "flowlabel needs an IPv6 remote",
    ),
    "udpcsum 2": ({"remote": "192.0.2.2", "udp_csum": 2}, errno.EINVAL, "udpcsum must be 0 or 1"),
    "remcsum 3": (
        {"remote": "192.0.2.2", "remcsum": 3},
        errno.EINVAL,
        "remcsum must be 0 (off), 1 (flag R) or 2 (Linux's form)",
    ),
    "auth 5": (
        {"remote": "192.0.2.2", "auth": 5},
        errno.EINVAL,
        "auth must be 0 (none), 1 (cookie8), 2 (cookie16), 3 (cookie32) or 4 (hmac)",
    ),
    "cover of a cookie": (
        {"remote": "192.0.2.2", "auth": 1, "cover": 1},
        errno.EINVAL,
        "cover needs auth hmac",
    ),
    "variant 1 with auth": (
        {"remote": "192.0.2.2", "variant": 1, "auth": 1},
        errno.EINVAL,
        "variant 1 has no header for auth, headercsum and crc",
    ),
    "headercsum 2": (
        {"remote": "192.0.2.2", "headercsum": 2},
        errno.EINVAL,
        "headercsum must be 0 or 1",
    ),
    "coverage without headercsum": (
        {"remote": "192.0.2.2", "headercsum_cover": 8},
        errno.EINVAL,
        "a coverage needs headercsum",
    ),
    "coverage without crc": (
        {"remote": "192.0.2.2", "crc": 0, "crc_cover": 8},
        errno.EINVAL,
        "a coverage needs crc",
    ),
    "fragment 2": (
        {"remote": "192.0.2.2", "fragment": 2},
        errno.EINVAL,
        "fragment must be 0 or 1",
    ),
    "size without fragment": (
        {"remote": "192.0.2.2", "fragment_size": 1280},
        errno.EINVAL,
        "a size needs fragment",
    ),
    "variant 1 with fragment": (
        {"remote": "192.0.2.2", "variant": 1, "fragment": 1},
        errno.EINVAL,
        "variant 1 has no header for fragment",
    ),
    "size below 256 bytes of payload": (
        {"remote": "192.0.2.2", "fragment": 1, "fragment_size": 295},
        errno.EINVAL,
        "the size must have room for the outer headers and 256 bytes",
    ),
    "remcsum under a hash": (
        {"remote": "192.0.2.2", "auth": 4, "cover": 8, "remcsum": 1},
        errno.EINVAL,
        "remcsum leaves a checksum open, which a coverage above 0 would cover",
    ),
    "unknown attribute": (
        {"remote": "192.0.2.2", "99": b"\1"},
        errno.EINVAL,
        "Unknown attribute type",
    ),
    "attribute of another length": (
        {"remote": "192.0.2.2", "ttl": b"\1\0\0\0"},
        errno.EINVAL,
        "invalid attribute length",
    ),
    "short remote": ({"remote": b"\1\2"}, errno.ERANGE, None),
    "MTU too great": (
        {"remote": "192.0.2.2", "mtu": 65535},
        errno.EINVAL,
        "mtu greater than device maximum",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_request_is_refused_with_a_text_and_leaves_nothing(gue, name):
    options, error, text = REFUSED[name]
    found, reason = refusal(gue.add, "gue0", **options)
    assert found == error
    if text is not None:
        assert reason == text
    assert not exists(gue, "gue0")


CHANGES = [
    {"ttl": 64},
    {"ttl_inherit": 1, "ttl": 0},
    {"ttl": 3, "ttl_inherit": 0},
    {"tos": 0xB8},
    {"tos_inherit": 1, "tos": 0},
    {"df": 1},
    {"udp_csum": 1},
    {"udp_zero_csum6_tx": 1},
    {"udp_zero_csum6_rx": 1},
    {"remcsum": 1},
    {"remcsum": 2},
    {"sport": 4000},
    {"dport": 7000},
    {"headercsum": 1, "headercsum_cover": 0},
    {"crc": 1, "crc_cover": 0},
    {"fragment": 1, "fragment_size": 1280},
    {"keepalive": 5, "dead": 20},
]


def test_changes_are_shown_and_touch_nothing_else(gue):
    gue.add("gue0", remote="192.0.2.2")
    expected = DEFAULTS | {"remote": "192.0.2.2"}
    for change in CHANGES:
        gue.set("gue0", **change)
        expected |= change
        assert gue.show("gue0") == expected
    gue.set("gue0", sport_range=(100, 200))
    expected |= {"sport": 0, "sport_range": (100, 200)}
    assert gue.show("gue0") == expected


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"port": 1}, "port cannot be changed"),
        ({"mode": 1}, "mode cannot be changed"),
    ],
)
def test_refused_change_leaves_the_link_as_it_was(gue, change, text):
    gue.add("gue0", remote="192.0.2.2")
    before = gue.show("gue0")
    assert refusal(gue.set, "gue0", **change) == (errno.EOPNOTSUPP, text)
    assert refusal(gue.set, "gue0", ttl=9, remcsum=9)[0] == errno.EINVAL
    assert gue.show("gue0") == before


def test_mtu_is_what_the_headers_leave_of_the_underlay(gue, hosts):
    index = int(hosts[0].link("eth0")["ifindex"])
    for options, overhead in [
        ({"remote": "192.0.2.2"}, 20 + 8 + 4),
        ({"remote": "192.0.2.2", "variant": 1}, 20 + 8),
        ({"remote": "192.0.2.2", "id": 1}, 20 + 8 + 8),
        ({"remote": "192.0.2.2", "id": 1, "remcsum": 1}, 20 + 8 + 12),
        ({"remote": "192.0.2.2", "id": 1, "remcsum": 2}, 20 + 8 + 16),
        ({"remote": "2001:db8::2"}, 40 + 8 + 4),
    ]:
        gue.add("gue0", link=index, **options)
        assert gue.mtu("gue0") == 1500 - overhead, options
        gue.delete("gue0")
    hosts[0].ip("link", "set", "eth0", "mtu", "9000")
    gue.add("gue0", link=index, remote="192.0.2.2")
    assert gue.mtu("gue0") == 9000 - 32
    gue.set("gue0", remcsum=2)
    assert gue.mtu("gue0") == 9000 - 40, "a change of the headers' length changes the MTU"
    hosts[0].ip("link", "set", "gue0", "mtu", "1400")
    gue.set("gue0", remcsum=0)
    assert gue.mtu("gue0") == 1400, "a user's own MTU stays"


def test_device_moves_and_ends_with_the_namespace_that_it_sends_to(gue, hosts):
    other = Host("other")
    gue.add("gue0", remote="192.0.2.2", up=True)
    file = netns_file(other)
    try:
        gue.netlink.change_link("gue0", 0, None, netns=file)
    finally:
        os.close(file)
    there = GueLinks(other)
    try:
        assert there.show("gue0")["remote"] == "192.0.2.2"
        assert "link_netnsid" in other.link("gue0")
        # A change needs rights over both namespaces, which root has.
        there.set("gue0", ttl=7)
        assert there.show("gue0")["ttl"] == 7
        # An open netlink socket would keep its namespace alive.
        gue.close()
        hosts[0].remove()
        wait_until(lambda: not exists(there, "gue0"), "the end of the moved device")
    finally:
        there.close()
        other.remove()


def test_device_ends_with_the_namespace_that_it_is_in(gue, hosts):
    other = Host("other")
    file = netns_file(other)
    gue.add("gue0", remote="192.0.2.2", netns=file)
    os.close(file)
    other.remove()
    wait_until(lambda: is_made(gue), "the namespace has ended")
    gue.delete("gue0")


def is_made(gue):
    """Tries to make a device; returns False if the old device still has the id and remote."""
    try:
        gue.add("gue0", remote="192.0.2.2")
    except NetlinkError as error:
        assert error.errno == errno.EEXIST
        return False
    return True


def test_devices_end_with_the_module(gue, hosts):
    for number in range(20):
        gue.add(f"gue{number}", remote="192.0.2.2", id=number, up=True)
    hosts[0].run("rmmod", "rgue")
    try:
        assert not exists(gue, "gue0")
        assert refusal(gue.add, "gue0", remote="192.0.2.2") == (
            errno.EOPNOTSUPP,
            "Unknown device type",
        )
    finally:
        hosts[0].run("insmod", os.environ["RGUE_MODULE_FILE"])
    gue.add("gue0", remote="192.0.2.2")


def test_user_without_rights_is_refused(hosts, gue):
    gue.add("gue0", remote="192.0.2.2")
    with hosts[0].inside():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            links = GueLinks()
            results = []
            for call, arguments in (
                (links.add, {"name": "gue1", "remote": "192.0.2.2"}),
                (links.set, {"name": "gue0", "ttl": 1}),
                (links.delete, {"name": "gue0"}),
            ):
                try:
                    call(**arguments)
                    results.append(0)
                except NetlinkError as error:
                    results.append(error.errno)
            os.write(writer, bytes(results))
            os._exit(0)
        os.waitpid(child, 0)
        results = os.read(reader, 10)
    assert list(results) == [errno.EPERM] * 3
    assert gue.show("gue0")["ttl"] == 0
