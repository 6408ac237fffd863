# SPDX-License-Identifier: GPL-2.0
"""Private data: BPF programs write and read the bytes after the last field of GUE headers.

h1: gue0 10.1.1.1 -- eth0 ===== eth0 -- gue0 10.1.1.2 :h2
"""

import errno
import pathlib
import socket
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testing.lib.bpf import attach, compiled, last_notes
from testing.lib.gue_keys import GueKeys
from testing.lib.hosts import Capture, is_udp_to
from testing.lib.rgue_module import reload_rgue
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import no_checksum_errors

# The debug kernel has no BTF.
pytestmark = pytest.mark.stock_only
PORT = 6080
DATA = bytes(range(251)) * 1000


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled programs."""
    source = pathlib.Path(__file__).with_name("private.bpf.c")
    return compiled(source, tmp_path_factory.mktemp("bpf"))


def add(hosts, options, secret=b""):
    """Makes a device in external mode in each host."""
    for number, host in enumerate(hosts, start=1):
        host.batch(
            f"link add gue0 type gue external {options}",
            f"addr add 10.1.1.{number}/24 dev gue0",
        )
        host.sysctl("net.ipv6.conf.gue0.disable_ipv6", 1)
        if secret:
            keys = GueKeys(host)
            keys.set("gue0", 1, secret)
            keys.close()
        host.ip("link", "set", "gue0", "up")


def seen():
    """Returns the notes of the last loaded program: private data, their length, and results."""
    data = last_notes()
    length, *results = struct.unpack_from("=5i", data, 124)
    return data[: max(0, length)], length, results


def test_director_chains_servers(hosts, program):
    """A packet for a connection of the second server reaches it through the first one."""
    h1, h2 = hosts
    add(hosts, "")
    attach(h1, "egress", program, "tc/direct")
    attach(h2, "ingress", program, "tc/forward")
    attach(h1, "ingress", program, "tc/get")
    packet = IP(src="10.1.1.9", dst="10.1.1.1") / UDP(sport=5, dport=7777) / b"to the second"
    h1.sysctl("net.ipv4.conf.all.rp_filter", 0)
    h1.sysctl("net.ipv4.conf.gue0.rp_filter", 0)
    with h1.inside():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("10.1.1.1", 7777))
    server.settimeout(10)
    with server, Capture(h2, "eth0") as wire, h1.packet_socket("gue0", 0) as client:
        client.send(bytes(packet))
        assert server.recv(100) == b"to the second"
        first, second = wire.frames(lambda frame: is_udp_to(frame, PORT), 2)
    for frame, source, hop in ((first, 1, 0), (second, 2, 1)):
        assert Ether(frame)[IP].src == f"192.0.2.{source}"
        private = struct.pack("!HBB", 0, hop, 2) + socket.inet_aton("192.0.2.1") + bytes(4)
        payload = bytes(Ether(frame)[UDP].payload)
        assert payload == bytes.fromhex("03040000") + private + bytes(packet)
    assert seen()[:2] == (private, 12)


MODES = {
    "ip": ("", b""),
    "ethernet": ("mode ethernet", b""),
    "remcsum": ("remcsum", b""),
    "protected": ("auth hmac headercsum crc", b"a secret of bytes"),
    "protected frames": ("mode ethernet auth cookie8 linux-remcsum", b"12345678"),
}


@pytest.mark.parametrize("name", MODES)
def test_private_data_pass_with_all_other_fields(hosts, program, name):
    options, secret = MODES[name]
    add(hosts, options, secret)
    attach(hosts[1], "egress", program, "tc/send_to_1")
    attach(hosts[0], "egress", program, "tc/send_to_2")
    attach(hosts[1], "ingress", program, "tc/get")
    with Capture(hosts[1], "eth0") as wire:
        assert tcp_arrives(*hosts, "10.1.1.2", DATA)
        [frame] = wire.frames(lambda frame: is_udp_to(frame, PORT))
    # Private data end the header: EtherIP and the frame, or the packet, come next.
    start = bytes(Ether(frame)[UDP].payload)
    words = (start[0] & 31) * 4 + 4
    assert start[words - 8 : words] == b"private!"
    assert start[words:].startswith(b"\x30\0" if "ethernet" in options else b"\x45")
    data, length, (too_short, *_) = seen()
    assert (data, length, too_short) == (b"private!", 8, -errno.ENOSPC)
    assert all(no_checksum_errors(host) for host in hosts)
    for host in hosts:
        traffic = host.traffic("gue0")
        assert traffic["rx"]["errors"] == traffic["tx"]["errors"] == 0


@pytest.fixture(name="own_reasons")
def own_reasons_fixture():
    """The module with its own drop reasons; the default is back afterwards."""
    reload_rgue("own_drop_reasons=1")
    yield
    reload_rgue()


@pytest.mark.usefixtures("own_reasons")
def test_what_cannot_be_sent_is_refused(hosts, program, drop_monitor):
    h1, h2 = hosts
    add(hosts, "")
    attach(h2, "ingress", program, "tc/get")
    attach(h1, "egress", program, "tc/send_to_2")
    packet = bytes(IP(src="10.1.1.1", dst="10.1.1.2") / UDP(sport=5, dport=6) / b"mark it")
    with h1.packet_socket("gue0", 0) as sender, Capture(h2, "gue0") as out:
        sender.send(packet)
        assert out.frames(lambda frame: frame == packet)
        # The program that was loaded last.
        _, _, (_, without_metadata, odd, too_long) = seen()
        assert (without_metadata, odd, too_long) == (-errno.EINVAL,) * 3
        h1.run("tc", "filter", "del", "dev", "gue0", "egress")
        attach(h1, "egress", program, "tc/send_too_much")
        # Another packet, because the receiver has dropped the first one, which has no socket.
        other = bytes(IP(src="10.1.1.1", dst="10.1.1.2") / UDP(sport=7, dport=8) / b"too much")
        sender.send(other)
        reason = drop_monitor.reason_for(lambda seen: seen.startswith(other))
        assert reason == "RGUE_BAD_PRIVATE_DATA"
    # A packet that is sent without private data is received without any.
    h1.run("tc", "filter", "del", "dev", "gue0", "egress")
    tunnel = "tunnel_key set id 7 src_ip 192.0.2.1 dst_ip 192.0.2.2"
    h1.run(*f"tc filter add dev gue0 egress matchall action {tunnel}".split())
    h2.run("tc", "filter", "del", "dev", "gue0", "ingress")
    attach(h2, "ingress", program, "tc/get")
    with h1.packet_socket("gue0", 0) as sender, Capture(h2, "gue0") as out:
        sender.send(packet)
        assert out.frames(lambda frame: frame == packet)
    assert seen()[1] == 0
