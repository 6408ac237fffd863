# SPDX-License-Identifier: GPL-2.0
"""Devices with `fragment` on a path with a smaller MTU, whose router sends no ICMP message.

h1: gue0 10.1.1.1, fd00::1 -- eth0 ==== left :r: right ==== eth0 -- gue0 10.1.1.2, fd00::2 :h2
                       MTU 1500: 192.0.2.0/24      MTU 1280: 198.51.100.0/24
                                 2001:db8:1::/64             2001:db8:2::/64
"""

import contextlib
import re

import pytest

from testing.lib.gue_keys import GueKeys
from testing.lib.hosts import Capture, is_udp_to, run, wait_until
from testing.lib.routed_hosts import OUTER, routed_hosts
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import no_checksum_errors

# The debug kernel takes seconds for each test.
pytestmark = pytest.mark.soak_on_debug

PATH_MTU = 1280
INNER = {4: ("10.1.1.1", "10.1.1.2"), 6: ("fd00::1", "fd00::2")}
IP_HEADER = {4: 20, 6: 40}
DATA = bytes(range(251)) * 800
SECRET = b"a secret of bytes"
ERRORS = "destination-unreachable, time-exceeded, parameter-problem"
# Counts and drops each ICMP error that the router sends.
SILENCE = f"""
table inet silence {{
    counter dropped {{ }}
    chain output {{
        type filter hook output priority 0;
        icmp type {{ {ERRORS} }} counter name dropped drop
        icmpv6 type {{ packet-too-big, {ERRORS} }} counter name dropped drop
    }}
}}
"""


@pytest.fixture
def path():
    """Two hosts, and a router between them that sends no message."""
    with routed_hosts(PATH_MTU) as made:
        with made[1].inside():
            run("nft", "-f", "-", stdin=SILENCE)
        yield made


def silenced(router):
    """Returns how many messages the router did not send."""
    text = router.run("nft", "list", "counter", "inet", "silence", "dropped").stdout
    return int(re.search(r"packets (\d+)", text)[1])


def make_devices(path, outer, options):
    """Makes a device in each end, for inner packets of 1,500 bytes."""
    for number, host in ((0, path[0]), (1, path[2])):
        host.batch(
            f"link add gue0 type gue remote {OUTER[outer][1 - number]} {options}",
            "link set gue0 mtu 1500",
        )
        if "auth" in options:
            keys = GueKeys(host)
            keys.set("gue0", 1, SECRET[:8] if "cookie8" in options else SECRET)
            keys.close()
        host.batch(
            f"addr add {INNER[4][number]}/24 dev gue0",
            f"addr add {INNER[6][number]}/64 dev gue0 nodad",
            "link set gue0 up",
        )


def ping(host, version, size=1500):
    """Sends an echo request in a packet of a size, with DF; returns whether it has an answer."""
    data = size - IP_HEADER[version] - 8
    words = ("-n", "-c", 1, "-W", 2, "-M", "do", "-s", data, INNER[version][1])
    return host.run("ping", *words, check=False).returncode == 0


@contextlib.contextmanager
def only_short_whole_datagrams(path):
    """Fails if, in this context, IP fragments a packet or a packet is too long for the path."""
    h1, router, h2 = path
    with Capture(h1, "eth0") as one, Capture(h2, "eth0") as other:
        yield
        frames = [frame for end in (one, other) for frame in end.frames(lambda _: True, 10**6, 0)]
    tunnelled = 0
    for frame in frames:
        if frame[12:14] == b"\x08\x00":
            assert int.from_bytes(frame[16:18], "big") <= PATH_MTU, "longer than the path takes"
            assert int.from_bytes(frame[20:22], "big") == 0x4000, "DF, and no fragment"
            tunnelled += frame[23] == 17
        elif frame[12:14] == b"\x86\xdd":
            length = 40 + int.from_bytes(frame[18:20], "big")
            assert length <= PATH_MTU, "longer than the path takes"
            assert frame[20] != 44, "a fragment"
            tunnelled += frame[20] == 17
        assert len(frame) <= 14 + PATH_MTU
    assert tunnelled > 4, "the tunnel's datagrams were captured"
    assert silenced(router) == 0, "the router had to drop a packet"


@pytest.mark.parametrize("outer", [4, 6])
def test_path_is_a_black_hole_without_fragments(path, outer):
    """The other tests prove something only because long packets do not get through here."""
    h1, router, _ = path
    make_devices(path, outer, "df set" if outer == 4 else "")
    assert ping(h1, 4, PATH_MTU - IP_HEADER[outer] - 12)
    assert not ping(h1, 4, 1400)
    assert silenced(router) == 1


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize(
    "options", ["", "id 7 udpcsum remcsum auth cookie8", "udpcsum auth hmac cover all crc all"]
)
def test_packets_of_1500_bytes_pass(path, outer, options):
    """Pings of the whole MTU with DF, and TCP both ways, with GSO packets of 64 KiB and GRO."""
    h1, _, h2 = path
    for host in (h1, h2):
        # GRO must not merge GUE fragments.
        host.run("ethtool", "-K", "eth0", "gro", "on")
    make_devices(path, outer, f"fragment {PATH_MTU} {options}")
    with only_short_whole_datagrams(path):
        assert ping(h1, 4) and ping(h1, 6)
        for version in (4, 6):
            assert tcp_arrives(h1, h2, INNER[version][1], DATA)
            assert tcp_arrives(h2, h1, INNER[version][0], DATA)
    assert no_checksum_errors(h1) and no_checksum_errors(h2)
    for host in (h1, h2):
        traffic = host.traffic("gue0")
        assert traffic["rx"]["errors"] + traffic["tx"]["errors"] == 0


def test_frames_of_1500_bytes_pass(path):
    """Mode ethernet: the MTU inside the tunnel is 1,500 bytes, as on a bridge."""
    h1, _, h2 = path
    make_devices(path, 4, f"mode ethernet fragment {PATH_MTU}")
    with only_short_whole_datagrams(path):
        assert ping(h1, 4) and ping(h1, 6)
        assert tcp_arrives(h1, h2, INNER[4][1], DATA)
    assert no_checksum_errors(h1) and no_checksum_errors(h2)


@pytest.mark.parametrize("outer", [4, 6])
def test_size_follows_the_path_where_routers_send_messages(outer):
    """Without SIZE, fragments fit the link's MTU, and the path's MTU after the ICMP message."""
    with routed_hosts(PATH_MTU) as path:
        h1, _, h2 = path
        make_devices(path, outer, "fragment")
        # The router may answer later than the next packet leaves.
        wait_until(lambda: ping(h1, 4), "a packet of the inner MTU has an answer")
        with Capture(h2, "eth0") as capture:
            assert ping(h1, 4)
            frames = capture.frames(lambda frame: is_udp_to(frame, 6080), 4, 0.5)
        assert len(frames) == 4, "two fragments each way"
        assert max(len(frame) for frame in frames) <= 14 + PATH_MTU
