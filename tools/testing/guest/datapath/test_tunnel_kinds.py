# SPDX-License-Identifier: GPL-2.0
"""Tunnels of every kind over FOU and GUE: traffic, checksums, segmentation and GRO."""

import os
import socket
import threading
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testing.lib import netlink as nl
from testing.lib.hosts import Capture, add_nopartial, wait_until
from testing.lib.marks import few_on_debug
from testing.lib.netlink import Fou
from testing.lib.tunnels import (
    KINDS,
    OPTIONS,
    PORT,
    inner_address,
    make_tunnel,
    no_checksum_errors,
    segment_in_software,
    to_port,
    transfer,
)

ALL_KINDS = few_on_debug(KINDS, ("gre", "ip6ip6"))
# Bytes of a transfer. The debug kernel needs fewer to show merged segments.
SIZE = {"stock": 1_000_000, "debug": 300_000}[os.environ["RFOU_KERNEL"]]


@pytest.mark.parametrize("options", few_on_debug(OPTIONS, ("remcsum",)))
@pytest.mark.parametrize("encap", few_on_debug(["fou", "gue"], ["gue"]))
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_tcp_and_echo_pass(hosts, kind, encap, options):
    make_tunnel(hosts, kind, encap, options)
    hosts[0].run("ping", "-n", "-c", 2, "-i", "0.01", "-W", 2, inner_address(kind, 2))
    assert transfer(hosts, kind, 300_000)
    assert all(no_checksum_errors(host) for host in hosts)


@pytest.mark.shows_both
@pytest.mark.parametrize("encap", ["fou", "gue"])
@pytest.mark.parametrize("kind", few_on_debug(["ipip", "sit", "gre"], ["ipip"]))
def test_outer_checksum_is_right_where_routing_chooses_the_source(hosts, module, kind, encap):
    """For ipip and gre, Linux computes the checksum before routing chooses the source address."""
    make_tunnel(hosts, kind, encap, "checksum")
    h1, h2 = hosts
    inner = KINDS[kind][1]
    h1.ip("link", "del", "tun1")
    h1.batch(
        f"link add tun1 {KINDS[kind][3]} remote 192.0.2.2"
        f" encap {encap} encap-dport {PORT} encap-csum",
        f"addr add {inner_address(kind, 1)}/{24 if inner == 4 else 64} dev tun1"
        + ("" if inner == 4 else " nodad"),
        "link set tun1 up",
    )
    h1.run("ethtool", "-K", "eth0", "tx", "off")
    linux_errs = module == "fou" and kind != "sit"
    with Capture(h2, "eth0") as capture:
        h1.run("ping", "-n", "-c", 1, "-W", 2, inner_address(kind, 2), check=not linux_errs)
        [request] = capture.frames(lambda f: to_port(f) and Ether(f)[IP].src == "192.0.2.1")
    # With a new IP header, because Linux's fou shortens the length in the captured one.
    outer = IP(src="0.0.0.0" if linux_errs else "192.0.2.1", dst="192.0.2.2")
    udp = UDP(request[34:])
    on_wire, udp.chksum = udp.chksum, None
    assert on_wire != 0 and IP(bytes(outer / udp))[UDP].chksum == on_wire


@pytest.mark.parametrize(
    ("encap", "options"),
    [
        ("fou", "plain"),
        pytest.param("fou", "checksum", marks=pytest.mark.soak_on_debug),
        pytest.param("gue", "plain", marks=pytest.mark.soak_on_debug),
        pytest.param("gue", "checksum", marks=pytest.mark.soak_on_debug),
        pytest.param("gue", "remcsum", marks=pytest.mark.shows_both),
    ],
)
# Not GRE: test_gro.py tests that GRO merges GRE in FOU and GUE.
@pytest.mark.parametrize("kind", [each for each in ALL_KINDS if "gre" not in each.values[0]])
def test_segments_of_a_flow_are_merged_on_receive(hosts, module, kind, encap, options):
    make_tunnel(hosts, kind, encap, options)
    if module == "fou" and options == "remcsum":
        # Software segmentation sets `remcsum_offload`. To Linux's fou on the same machine, the bit
        # means that GRO has processed the remote checksum.
        segment_in_software(hosts[0])
        transfer(hosts, kind, 100_000)
        assert not no_checksum_errors(hosts[1])
    else:
        assert_merged(hosts, kind)


@pytest.mark.rfou_only
@pytest.mark.parametrize("kind", few_on_debug(["ipip", "ip6ip6"], ["ipip"]))
def test_segments_are_merged_by_a_port_that_computes_remote_checksums(hosts, kind):
    """GRO writes the checksum while it holds the packet, and restores it."""
    make_tunnel(hosts, kind, "gue", "remcsum")
    version = KINDS[kind][0]
    hosts[1].ip(f"-{version}", "fou", "del", "port", PORT)
    add_nopartial(hosts[1], PORT, version)
    assert_merged(hosts, kind)


@pytest.mark.shows_both
@pytest.mark.parametrize("kind", few_on_debug(KINDS, ("ip6ip6",)))
def test_remote_checksums_leave_gso_packets_whole_where_the_device_segments(hosts, module, kind):
    """Linux segments in software, because no device segments packets with remote checksums."""
    make_tunnel(hosts, kind, "gue", "remcsum")
    h1, h2 = hosts
    gue = 42 if KINDS[kind][0] == 4 else 62

    def data_sent():
        """Returns whether data arrived, and (length, has a remote checksum) of each data frame."""
        with Capture(h2, "eth0") as wire:
            arrived = transfer(hosts, kind, SIZE // 2)
            frames = wire.frames(to_port, 5000, timeout=0)
        return arrived, [(len(f), bool(f[gue + 3] & 1)) for f in frames if len(f) > 500]

    arrived, sent = data_sent()
    if module == "fou":
        assert sent and all(length < 2000 and remote for length, remote in sent)
    else:
        assert arrived and any(length > 2000 for length, _ in sent)
        assert not any(remote for _, remote in sent), "a GSO packet has a remote checksum"
        assert all(no_checksum_errors(host) for host in hosts)

    segment_in_software(h1)
    if module == "rfou" and KINDS[kind][0] == 4:
        # rfou may keep the form that fits the device's former features for a second.
        time.sleep(1)
    arrived, sent = data_sent()
    assert sent and all(length < 2000 and remote for length, remote in sent)
    if module == "rfou":
        assert arrived and all(no_checksum_errors(host) for host in hosts)


def assert_merged(hosts, kind):
    """Sends TCP in small segments; fails if the second host does not merge them."""
    segment_in_software(hosts[0])
    hosts[1].run("ethtool", "-K", "eth0", "gro", "on")
    # A capture sees packets after GRO. On eth0, because some tunnel devices merge again.
    with Capture(hosts[1], "eth0") as wire:
        assert transfer(hosts, kind, SIZE)
        sizes = [len(f) for f in wire.frames(to_port, 5000, timeout=0) if len(f) > 1000]
    assert sum(sizes) > SIZE
    assert max(sizes) > 2000, "no packet was merged"
    assert len(sizes) < SIZE * 600 // 1_000_000, "too few of 700 segments a megabyte were merged"
    assert all(no_checksum_errors(host) for host in hosts)


@pytest.mark.parametrize("encap", few_on_debug(["fou", "gue"], ["gue"]))
def test_port_comes_and_goes_under_merged_traffic(hosts, encap):
    """Deletes a port while GRO holds packets to it (CVE-2024-46763, CVE-2024-46865)."""
    make_tunnel(hosts, "ipip", encap, "checksum")
    segment_in_software(hosts[0])
    h1, h2 = hosts
    h2.run("ethtool", "-K", "eth0", "gro", "on")
    # A short maximum of the retransmission timeout, because packets are lost without a port.
    h1.sysctl("net.ipv4.tcp_rto_max_ms", 1000)
    with h2.inside():
        listener = socket.create_server(("10.1.1.2", 5000))
    with h1.inside():
        sender = socket.create_connection(("10.1.1.2", 5000), timeout=60)
    receiver, _ = listener.accept()
    received = 0
    stop = threading.Event()

    def send():
        while not stop.is_set():
            try:
                sender.send(bytes(1 << 16))
            except OSError:
                return

    def receive():
        nonlocal received
        while chunk := receiver.recv(1 << 16):
            received += len(chunk)

    threads = [threading.Thread(target=each, daemon=True) for each in (send, receive)]
    for thread in threads:
        thread.start()
    with h2.inside():
        client = Fou()
    port = [(nl.PORT, nl.be16(PORT)), (nl.TYPE, nl.u8(nl.GUE if encap == "gue" else nl.DIRECT))]
    if encap == "fou":
        port.append((nl.IPPROTO, nl.u8(4)))
    for _ in range(30):
        client.delete(port[0])
        client.add(*port)
        time.sleep(0.05)
    client.close()
    before = received
    wait_until(lambda: received > before, "traffic goes on", 60)
    stop.set()
    sender.settimeout(1)
    threads[0].join()
    sender.close()
    threads[1].join(10)
    receiver.close()
    listener.close()
