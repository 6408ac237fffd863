# SPDX-License-Identifier: GPL-2.0
"""BPF programs and Open vSwitch drive a device in external mode.

h1: gue0 10.1.1.1 -- eth0 ===== eth0 -- gue0 10.1.1.2 :h2
"""

import ipaddress
import pathlib
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.lib.bpf import attach, compiled, last_notes
from testing.lib.bridges import bridge_with
from testing.lib.hosts import Capture, Host, is_udp_to, wait_until
from testing.lib.openvswitch import Datapath

PORT = 6080
# Flags of a tunnel, as BPF programs see them.
CSUM, KEY, DONT_FRAGMENT = 0x1, 0x4, 0x100


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled programs."""
    source = pathlib.Path(__file__).with_name("external.bpf.c")
    return compiled(source, tmp_path_factory.mktemp("bpf"))


def seen():
    """Returns the notes of the last loaded program: key, remote and local address, flags, ..."""
    data = last_notes()
    key, remote, tos, ttl, flags, label, local, result = struct.unpack("=I16sBB2sI16si", data[:48])
    flags = int.from_bytes(flags, "big")
    return {
        "key": key, "remote": remote, "tos": tos, "ttl": ttl, "flags": flags, "label": label,
        "local": local, "result": result,
    }  # fmt: skip


def address(text):
    """Returns an address as programs see it."""
    found = ipaddress.ip_address(text)
    if found.version == 4:
        return found.packed[::-1] + bytes(12)
    return found.packed


@pytest.mark.stock_only
def test_program_sets_and_reads_the_tunnel(hosts, program):
    for number, host in enumerate(hosts, start=1):
        host.batch(
            "link add gue0 type gue external",
            f"addr add 10.1.1.{number}/24 dev gue0",
            "link set gue0 up",
        )
        host.sysctl("net.ipv6.conf.gue0.disable_ipv6", 1)
        host.run("ethtool", "-K", "eth0", "tx", "off")
    for version, flags, ends in (
        (4, KEY | DONT_FRAGMENT, ("192.0.2.1", "192.0.2.2")),
        (6, KEY | CSUM, ("2001:db8::1", "2001:db8::2")),
    ):
        attach(hosts[0], "egress", program, f"tc/set{version}")
        attach(hosts[1], "egress", program, f"tc/set{version}")
        attach(hosts[1], "ingress", program, f"tc/get{version}")
        with Capture(hosts[1], "eth0") as capture:
            hosts[0].run("ping", "-n", "-c", 2, "-i", "0.01", "-W", 2, "10.1.1.2")
            [request, *_] = capture.frames(lambda frame: is_udp_to(frame, PORT), 4, timeout=1)
        frame = Ether(request)
        if version == 4:
            assert (frame[IP].tos, frame[IP].ttl, frame[IP].flags) == (0xB8, 33, "DF")
            assert frame[UDP].chksum == 0
        else:
            assert (frame[IPv6].tc, frame[IPv6].hlim, frame[IPv6].fl) == (0xB8, 33, 0xABCDE)
            assert frame[UDP].chksum != 0
        assert bytes(frame[UDP].payload).startswith(bytes.fromhex("0104800000000007 45"))
        found = seen()
        assert (found["result"], found["key"], found["flags"]) == (0, 7, flags)
        assert (found["tos"], found["ttl"]) == (0xB8, 33)
        assert found["label"] == (0xABCDE if version == 6 else 0)
        assert (found["remote"], found["local"]) == tuple(map(address, ends))
    attach(hosts[0], "egress", program, "tc/unkeyed")
    attach(hosts[1], "ingress", program, "tc/get4")
    with Capture(hosts[1], "eth0") as capture:
        hosts[0].run("ping", "-n", "-c", 1, "-W", 1, "10.1.1.2", check=False)
        [request] = capture.frames(lambda frame: is_udp_to(frame, PORT))
    assert bytes(Ether(request)[UDP].payload).startswith(bytes.fromhex("0004000045"))
    found = seen()
    assert (found["result"], found["key"], found["flags"]) == (0, 0, CSUM)


@pytest.mark.stock_only
@pytest.mark.parametrize("version", [4, 6])
def test_open_vswitch_learns_what_the_outer_headers_will_be(hosts, version):
    """Open vSwitch asks the device for a packet's source address and ports (egress tunnel)."""
    h1, _ = hosts
    h1.batch(
        "link add gue0 type gue external mode ethernet dport 7000 sport 6999",
        "link set gue0 up",
        "link add plain type gue remote 192.0.2.9 mode ethernet",
        "link set plain up",
    )
    source, target = [
        ipaddress.ip_address(f"{prefix}{number}")
        for prefix in (["192.0.2."] if version == 4 else ["2001:db8::"])
        for number in (1, 2)
    ]
    with Datapath(h1) as datapath:
        datapath.add_port(1, "gue0")
        datapath.add_port(2, "plain")
        frame = bytes(Ether(dst="02:00:00:00:00:09") / IP(dst="10.1.1.2") / UDP(sport=5, dport=6))
        found = datapath.egress_tunnel(frame, 1, target, key=7)
        assert found["source"] == source and found["target"] == target
        assert (found["source_port"], found["target_port"], found["key"]) == (6999, 7000, 7)
        # A device with a peer has no such answer.
        assert datapath.egress_tunnel(frame, 2, target, key=7) is None
        # Nor has a device that is down: its state may be gone while it still is a port.
        h1.batch("link set gue0 down")
        assert datapath.egress_tunnel(frame, 1, target, key=7) is None


@pytest.mark.stock_only
def test_error_for_a_bridged_sender_comes_from_the_other_end(hosts, program):
    """The device itself makes the error, and programs see the other end as its source."""
    h1, _ = hosts
    third = Host("third")
    try:
        h1.batch("link add gue0 type gue external mode ethernet", "link set gue0 up")
        bridge_with(h1, third, "gue0")
        attach(h1, "egress", program, "tc/unkeyed")
        attach(h1, "ingress", program, "tc/get4")
        third.batch("neigh add 10.1.1.2 lladdr 02:00:00:00:00:02 dev eth0")
        third.run("ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", 1472, "10.1.1.2", check=False)
        wait_until(lambda: any(seen()["remote"]), "the device receives the error")
        found = seen()
        assert (found["remote"], found["local"]) == (address("192.0.2.2"), address("192.0.2.1"))
    finally:
        third.remove()
