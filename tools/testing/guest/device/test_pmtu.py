# SPDX-License-Identifier: GPL-2.0
"""Devices of kind gue on a path with a smaller MTU in the middle.

The cases follow those of the kernel's pmtu.sh for vxlan and geneve: the router's ICMP message about
an outer packet makes an exception on the route of the inner one.

h1: gue0 10.1.1.1, fd00::1 -- eth0 ==== left :r: right ==== eth0 -- gue0 10.1.1.2, fd00::2 :h2
                       MTU 1500: 192.0.2.0/24      MTU 1400: 198.51.100.0/24
                                 2001:db8:1::/64             2001:db8:2::/64
"""

import pytest

from testing.lib.hosts import Capture, Host, wait_until
from testing.lib.routed_hosts import OUTER, routed_hosts
from testing.lib.traffic import tcp_arrives

# The debug kernel takes seconds for each.
pytestmark = pytest.mark.soak_on_debug

PATH_MTU = 1400
INNER = {4: ("10.1.1.1", "10.1.1.2"), 6: ("fd00::1", "fd00::2")}
IP_HEADER = {4: 20, 6: 40}


@pytest.fixture
def path():
    """Two hosts, and a router between them."""
    with routed_hosts(PATH_MTU) as made:
        yield made


def make_devices(path, outer, options):
    """Makes a device in each end."""
    for number, host in ((0, path[0]), (1, path[2])):
        host.batch(
            f"link add gue0 type gue remote {OUTER[outer][1 - number]} {options}",
            f"addr add {INNER[4][number]}/24 dev gue0",
            f"addr add {INNER[6][number]}/64 dev gue0 nodad",
            "link set gue0 up",
        )


def exception(host, address):
    """Returns the MTU of a route's exception, or None."""
    words = host.ip("route", "get", address).stdout.split()
    return int(words[words.index("mtu") + 1]) if "mtu" in words else None


def ping(host, address, inner, size, fragments="do", count=1):
    """Sends echo requests in packets of a size; returns whether any has an answer.

    With `fragments` "do" the packets have the bit DF, and with "want" until the route has an
    exception; with "dont" they have none.
    """
    data = size - IP_HEADER[inner] - 8
    options = ("-n", "-c", count, "-i", "0.1", "-W", 1, "-M", fragments, "-s", data)
    return host.run("ping", *options, address, check=False).returncode == 0


@pytest.mark.parametrize(
    ("outer", "inner", "options", "header"),
    [
        *((outer, inner, "", 4) for outer in (4, 6) for inner in (4, 6)),
        (4, 4, "id 7", 8),
        (6, 6, "id 7 linux-remcsum", 16),
        (4, 6, "variant 1", 0),
    ],
)
def test_route_has_an_exception_that_fits(path, outer, inner, options, header):
    """The exception is the path's MTU minus the headers. Packets of this size have answers."""
    h1, *_ = path
    make_devices(path, outer, f"df set {options}")
    there = INNER[inner][1]
    size = 1500 - IP_HEADER[outer] - 8 - header
    assert exception(h1, there) is None
    # The router refuses the first packet. The second one meets the exception of the outer route.
    ping(h1, there, inner, size, "want", count=2)
    fits = PATH_MTU - IP_HEADER[outer] - 8 - header
    wait_until(lambda: exception(h1, there) == fits, f"an exception of {fits}")
    assert exception(h1, OUTER[outer][1]) == PATH_MTU
    assert ping(h1, there, inner, fits)
    assert not ping(h1, there, inner, fits + 1)
    # Longer packets arrive as fragments of the inner packet.
    assert ping(h1, there, inner, size, "want")


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_tcp_finds_the_mtu(path, outer, inner):
    """Data from the side with the greater MTU gets through, whatever MSS the peer offers."""
    h1, _, h2 = path
    make_devices(path, outer, "df set")
    # The peer offers an MSS that the path cannot carry.
    h2.ip("link", "set", "gue0", "mtu", "1468")
    assert tcp_arrives(h1, h2, INNER[inner][1], bytes(200_000))
    assert exception(h1, INNER[inner][1]) == PATH_MTU - IP_HEADER[outer] - 8 - 4


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_sender_behind_the_device_is_told(path, outer, inner):
    """A forwarded packet that is too long for the tunnel is answered with the MTU that fits.

    c: eth0 172.16.0.2, fd01::2 ==== client :h1: gue0 ...
    """
    h1, _, h2 = path
    make_devices(path, outer, "df set")
    client = Host("c")
    try:
        client.batch("link add eth0 index 97 mtu 1500 type veth peer name client netns h1")
        for host, device, number in ((h1, "client", 1), (client, "eth0", 2)):
            host.batch(
                f"addr add 172.16.0.{number}/24 dev {device}",
                f"addr add fd01::{number}/64 dev {device} nodad",
                f"addr add fe80::{number}/64 dev {device} nodad",
                f"link set {device} up",
            )
        h1.sysctl("net.ipv4.ip_forward", 1)
        h1.sysctl("net.ipv6.conf.all.forwarding", 1)
        client.batch("route add default via 172.16.0.1", "route add default via fd01::1")
        h2.batch("route add 172.16.0.0/24 dev gue0", "route add fd01::/64 dev gue0")
        there, fits = INNER[inner][1], PATH_MTU - IP_HEADER[outer] - 8 - 4
        wait_until(lambda: ping(client, there, inner, 100), "the client reaches the other end")
        # The router refuses the first packet. The second one meets the route's exception.
        ping(client, there, inner, 1500 - IP_HEADER[outer] - 8 - 4, "want", count=2)
        wait_until(lambda: exception(client, there) == fits, "the client knows the MTU")
        assert ping(client, there, inner, fits)
        assert tcp_arrives(client, h2, there, bytes(200_000))
    finally:
        client.remove()


def outer_fragments(path, send):
    """Returns whether fragments of outer packets come to the second host because of `send()`."""

    def is_fragment(frame):
        return frame[12:14] == b"\x08\x00" and int.from_bytes(frame[20:22], "big") & 0x3FFF != 0

    with Capture(path[2], "eth0") as capture:
        send()
        # Only packets from the first host.
        return bool(
            capture.frames(
                lambda frame: is_fragment(frame) and frame[26:30] == bytes([192, 0, 2, 1]),
                timeout=0.2,
            )
        )


@pytest.mark.parametrize(
    ("df", "inner", "fragments", "outer_has_df"),
    [
        ("set", 4, "dont", True),
        ("unset", 4, "do", False),
        ("unset", 6, "do", False),
        ("inherit", 4, "do", True),
        ("inherit", 4, "dont", False),
        ("inherit", 6, "do", True),
    ],
)
def test_df_says_if_the_router_may_fragment(path, df, inner, fragments, outer_has_df):
    """Without DF the router fragments the outer packet, and the sender need not know."""
    h1, *_ = path
    make_devices(path, 4, f"df {df}")
    there = INNER[inner][1]
    answered = []
    fragmented = outer_fragments(
        path, lambda: answered.append(ping(h1, there, inner, 1468, fragments))
    )
    assert fragmented != outer_has_df
    assert answered == [not outer_has_df]
    # With DF, the router's message has made an exception on the outer route.
    assert exception(h1, OUTER[4][1]) == (PATH_MTU if outer_has_df else None)
    assert exception(h1, there) is None, "only a later packet makes an exception on the inner route"
