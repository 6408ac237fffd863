# SPDX-License-Identifier: GPL-2.0
"""The modules of samples/."""

import socket

import pytest

from testing.lib.checkout import built
from testing.lib.hosts import run, wait_until

pytestmark = pytest.mark.rfou_only

SAMPLES = built("samples")


def test_udp_sink_consumes_packets_with_its_prefix(hosts):
    h1, h2 = hosts
    run("insmod", SAMPLES / "udp_sink.ko")
    try:
        with h1.inside():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for payload in (b"sink", b"sink and more", b"other", b"sin", b"", b"sink"):
            sender.sendto(payload, ("192.0.2.2", 5009))
        wait_until(lambda: h2.snmp("UdpInDatagrams") == 6, "all packets arrive")
        assert ":1391" in h1.proc_net("udp"), "the sink listens in every namespace"
    finally:
        run("rmmod", "udp_sink")
    assert ":1391" not in h1.proc_net("udp")
    lines = [line for line in run("dmesg").stdout.splitlines() if "udp_sink: swallowed" in line]
    counts = [int(line.split()[-2]) for line in lines]
    assert sorted(counts[-3:]) == [0, 0, 3], (
        "only in the second host, and only packets with the prefix"
    )
