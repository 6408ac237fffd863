# SPDX-License-Identifier: GPL-2.0
"""BIG TCP: GSO packets of more than 64 KiB through devices of kind gue.

h1: gue0 10.1.1.1, fd00::1 -- eth0 ===== eth0 -- gue0 10.1.1.2, fd00::2 :h2
"""

import pytest

from testing.lib.gue_keys import GueKeys
from testing.lib.hosts import Capture, wait_until
from testing.lib.tunnels import no_checksum_errors, segment_in_software

pytestmark = pytest.mark.soak_on_debug

ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.1.1", "10.1.1.2"), 6: ("fd00::1", "fd00::2")}
SIZE = 196608
SIZES = [f"{kind}_{which}" for kind in ("gso", "gro") for which in ("max_size", "ipv4_max_size")]
LIMITS = " ".join(f"{name} {SIZE}" for name in SIZES)
LEGACY = 65536


def make_devices(hosts, outer, options, underlay=LIMITS, device=LIMITS):
    """Makes a device in each host, with a key if the options need one."""
    for number, host in enumerate(hosts):
        if options == "external":
            how, encap = "external", "ip" if outer == 4 else "ip6"
        else:
            how = f"remote {ENDS[outer][1 - number]} {options}"
        host.batch(
            f"link set eth0 {underlay}",
            f"link add gue0 type gue {how}",
            f"link set gue0 up {device}",
            f"addr add {INNER[4][number]}/24 dev gue0",
            f"addr add {INNER[6][number]}/64 dev gue0 nodad",
        )
        if options == "external":
            for version, length in ((4, 32), (6, 128)):
                to = f"{INNER[version][1 - number]}/{length}"
                host.ip(f"-{version}", "route", "add", to, "encap", encap, "id", 7, "dst",
                        ENDS[outer][1 - number], "csum", "dev", "gue0")  # fmt: skip
        if "auth" in options:
            keys = GueKeys(host)
            keys.set("gue0", 1, b"12345678" * 2)
            keys.close()
        # Lets TCP fill each GSO packet. Otherwise TCP limits it to the data of a millisecond.
        host.sysctl("net.ipv4.tcp_tso_rtt_log", 31)


def longest(hosts, address, *devices):
    """Sends by TCP; returns the length of the longest frame on each of the receiver's devices."""
    h1, h2 = hosts
    server = h2.start("iperf3", "-s", "-1")
    wait_until(lambda: listens(h2, 5201), "iperf3 listens")
    found = dict.fromkeys(devices, 0)
    captures = {device: Capture(h2, device) for device in devices}
    client = h1.start("iperf3", "-c", address, "-n", "12M", "-l", "512K")
    # Reads frames during the transfer, because the sockets' buffers cannot hold all of them.
    is_over = False
    while not is_over:
        is_over = client.poll() is not None
        for device, capture in captures.items():
            lengths = map(len, capture.frames(lambda frame: True, 1000, timeout=0.1))
            found[device] = max([found[device], *lengths])
    for capture in captures.values():
        capture.close()
    assert client.returncode == 0
    server.wait(10)
    return list(found.values())


def listens(host, port):
    """Returns whether a program of a host listens on a TCP port."""
    lines = (host.proc_net("tcp6") + host.proc_net("tcp")).splitlines()
    return any(line.split()[1].endswith(f":{port:04X}") for line in lines if " 0A " in line)


def nothing_was_lost(hosts):
    """Asserts that the hosts counted no wrong checksum, no error and no drop."""
    for host in hosts:
        assert no_checksum_errors(host)
        for direction in ("rx", "tx"):
            traffic = host.traffic("gue0")[direction]
            assert traffic["errors"] == traffic["dropped"] == 0


OPTIONS = [
    (4, 4, ""),
    (6, 6, "mode ethernet"),
    *(
        pytest.param(*case, marks=pytest.mark.soak_only)
        for case in (
            (4, 6, "id 7 udpcsum"),
            (6, 4, "mode ethernet id 7"),
            (6, 6, "linux-remcsum"),
            (4, 4, "remcsum udpcsum"),
            (6, 4, "variant 1 udp6zerocsumtx udp6zerocsumrx"),
            (6, 6, "auth hmac headercsum"),
            (4, 6, "auth cookie16 mode ethernet"),
            (6, 4, "external"),
            (4, 4, "fragment"),
        )
    ),
]


@pytest.mark.parametrize(("outer", "inner", "options"), OPTIONS)
def test_packets_of_more_than_64_kib_arrive_whole(hosts, outer, inner, options):
    """A GSO packet stays whole on the underlay and on the receiver's device, both ways."""
    make_devices(hosts, outer, options)
    for way in (hosts, hosts[::-1]):
        address = INNER[inner][hosts.index(way[1])]
        # All headers take less than 1000 bytes. On a machine that stalls, TCP's window stays small.
        for _ in range(3):
            found = min(longest(way, address, "eth0", "gue0"))
            if found > LEGACY + 1000:
                break
        assert found > LEGACY + 1000
    nothing_was_lost(hosts)


@pytest.mark.parametrize(
    ("outer", "inner", "options"),
    [
        (4, 6, "udpcsum"),
        pytest.param(6, 4, "mode ethernet", marks=pytest.mark.soak_only),
        pytest.param(4, 4, "linux-remcsum udpcsum", marks=pytest.mark.soak_only),
    ],
)
def test_underlay_that_segments_in_software(hosts, outer, inner, options):
    """The segments have right checksums, and GRO merges them to more than 64 KiB again."""
    make_devices(hosts, outer, options)
    for host in hosts:
        segment_in_software(host)
        host.run("ethtool", "-K", "eth0", "gro", "on")
    _, device = longest(hosts, INNER[inner][1], "eth0", "gue0")
    assert device > LEGACY
    nothing_was_lost(hosts)


def test_port_receives_packets_of_more_than_64_kib(hosts):
    """A port of `ip fou` decapsulates long packets too, and its tunnel receives them whole."""
    make_devices(hosts, 4, "")
    h2 = hosts[1]
    h2.ip("link", "del", "gue0")
    h2.ip("fou", "add", "port", 6080, "gue")
    h2.batch(
        f"link add gue0 type sit mode any local {ENDS[4][1]} remote {ENDS[4][0]}"
        " encap gue encap-sport auto encap-dport 6080",
        f"link set gue0 up gro_max_size {SIZE} gro_ipv4_max_size {SIZE}",
        f"addr add {INNER[4][1]}/24 dev gue0",
        f"addr add {INNER[6][1]}/64 dev gue0 nodad",
    )
    for inner in (4, 6):
        assert min(longest(hosts, INNER[inner][1], "eth0", "gue0")) > LEGACY + 10000
    nothing_was_lost(hosts)


@pytest.mark.soak_only
@pytest.mark.parametrize("options", ["auth hmac cover all", "crc 20"])
def test_device_with_a_coverage_segments_gso_packets(hosts, options):
    """Each packet on the wire has a hash or CRC of its own, so none is longer than the MTU."""
    make_devices(hosts, 4, options)
    wire, device = longest(hosts, INNER[4][1], "eth0", "gue0")
    assert wire <= 1514 and device > LEGACY
    nothing_was_lost(hosts)


@pytest.mark.parametrize("outer", [4, pytest.param(6, marks=pytest.mark.soak_only)])
def test_limits_of_64_kib_hold(hosts, outer):
    """A device has no BIG TCP by default, and an underlay without BIG TCP gets shorter packets."""
    h1 = hosts[0]
    legacy = LIMITS.replace(str(SIZE), str(LEGACY))
    make_devices(hosts, outer, "", device="")
    assert [h1.link("gue0")[name] for name in SIZES] == [LEGACY] * 4
    wire, device = longest(hosts, INNER[4][1], "eth0", "gue0")
    assert 20000 < device < LEGACY and wire < LEGACY + 200
    for host in hosts:
        host.batch(f"link set gue0 {LIMITS}", f"link set eth0 {legacy}")
    wire, _ = longest(hosts, INNER[4][1], "eth0", "gue0")
    assert wire < LEGACY + 20
    nothing_was_lost(hosts)
    # The core's own limit (GSO_MAX_SIZE) is 8 bytes for each of 65535 segments.
    too_much = h1.ip("link", "set", "gue0", "gso_max_size", 8 * 65535 + 1, check=False)
    assert too_much.returncode != 0
