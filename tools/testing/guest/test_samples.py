"""The samples do what they say."""

import os
import pathlib
import socket

import pytest
from hosts import run, wait_until

pytestmark = pytest.mark.rfou_only

SAMPLES = pathlib.Path(__file__).parents[3] / "build" / os.environ["RFOU_KERNEL"] / "samples"


def test_udp_sink_swallows_what_greets_it_in_each_namespace(hosts):
    h1, h2 = hosts
    run("insmod", SAMPLES / "udp_sink.ko")
    try:
        with h1.inside():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for payload in (b"sink", b"sink and more", b"other", b"sin", b"", b"sink"):
            sender.sendto(payload, ("192.0.2.2", 5009))
        wait_until(lambda: h2.snmp("UdpInDatagrams") == 6, "all packets arrive")
        assert ":1391" in h1.proc_net("udp"), "it listens in every namespace"
    finally:
        run("rmmod", "udp_sink")
    assert ":1391" not in h1.proc_net("udp")
    lines = [line for line in run("dmesg").stdout.splitlines() if "udp_sink: swallowed" in line]
    counts = [int(line.split()[-2]) for line in lines]
    assert sorted(counts[-3:]) == [0, 0, 3], "in the second host alone, and only what greeted it"
