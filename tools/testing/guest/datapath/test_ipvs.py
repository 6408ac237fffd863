# SPDX-License-Identifier: GPL-2.0
"""IPVS sends connections to a real server by GUE."""

import hashlib

import pytest

from testing.lib.hosts import Capture, Host, is_udp_to
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import no_checksum_errors, segment_in_software

pytestmark = pytest.mark.stock_only

SERVICE, SERVICE_PORT = "198.51.100.1", 5000
GUE_PORT = 6080
# By option: whether the outer checksum is set, and the GUE header's Hlen.
MODES = {
    "--tun-nocsum": (False, 0),
    "--tun-csum": (True, 0),
    "--tun-remcsum": (True, 2),
}


@pytest.fixture
def client(hosts):
    """A host that sends through the director and gets the server's answers directly.

    +--------------------+  request        +----+
    | client             |-----------------| h1 | director: IPVS
    | 203.0.113.1/25     |             .2  +----+
    |                    |                    | 192.0.2.1      GUE
    |                    |                    | 192.0.2.2
    | 203.0.113.129/25   |  reply          +----+
    |                    |-----------------| h2 | real server: 198.51.100.1
    +--------------------+            .130 +----+
    """
    director, server = hosts
    made = Host("client")
    made.batch(
        "link add request type veth peer name request netns h1",
        "link add reply type veth peer name reply netns h2",
        "addr add 203.0.113.1/25 dev request",
        "addr add 203.0.113.129/25 dev reply",
        "link set request up",
        "link set reply up",
    )
    director.batch("addr add 203.0.113.2/25 dev request", "link set request up")
    server.batch("addr add 203.0.113.130/25 dev reply", "link set reply up")
    # An MTU that leaves room for all headers of the tunnel.
    made.ip("route", "add", SERVICE, "via", "203.0.113.2", "mtu", 1400)
    server.ip("route", "add", "203.0.113.1", "via", "203.0.113.129")
    yield made
    made.remove()


def make_director(host, mode):
    """Has IPVS send the service's connections to the server's GUE port."""
    service = ("-t", f"{SERVICE}:{SERVICE_PORT}")
    host.sysctl("net.ipv4.ip_forward", 1)
    host.ip("addr", "add", f"{SERVICE}/32", "dev", "lo")
    host.run("ipvsadm", "-A", *service, "-s", "rr")
    tunnel = ("--ipip", "--tun-type", "gue", "--tun-port", GUE_PORT, mode)
    host.run("ipvsadm", "-a", *service, "-r", f"192.0.2.2:{SERVICE_PORT}", *tunnel)
    segment_in_software(host)


def make_server(host):
    """Has the server decapsulate the service's packets from GUE and IPIP."""
    host.batch(
        f"fou add port {GUE_PORT} gue",
        "link add ipvs type ipip local 192.0.2.2 remote 192.0.2.1",
        "link set ipvs up",
        f"addr add {SERVICE}/32 dev lo",
    )


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(mode, marks=pytest.mark.shows_both if mode == "--tun-remcsum" else ())
        for mode in MODES
    ],
)
def test_connection_through_ipvs_arrives_intact(hosts, client, module, mode):
    """Segments that the director makes in software have a remote checksum.

    Linux's fou on the same machine does not process it, and TCP counts checksum errors
    (Documentation/reports.rst).
    """
    director, server = hosts
    make_director(director, mode)
    make_server(server)
    data = hashlib.shake_128(b"IPVS").digest(2_000_000)
    with Capture(server, "eth0") as capture:
        assert tcp_arrives(client, server, SERVICE, data)
        [syn] = capture.frames(lambda frame: is_udp_to(frame, GUE_PORT))
    has_checksum, hlen_words = MODES[mode]
    assert (syn[40:42] != b"\0\0") == has_checksum
    assert syn[42] == hlen_words, "version and control bit are 0"
    assert no_checksum_errors(server) == (module != "fou" or mode != "--tun-remcsum")
