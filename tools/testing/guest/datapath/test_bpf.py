# SPDX-License-Identifier: GPL-2.0
"""BPF programs at tc hooks set and read the encapsulation of an ipip device in external mode.

sit has no such mode.
"""

import errno
import os
import pathlib
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testing.lib.bpf import all_notes, compiled, notes_of
from testing.lib.hosts import Capture

# The debug kernel has no BTF.
pytestmark = pytest.mark.stock_only
H1_EGRESS, H2_INGRESS = 0, 3


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled programs; compiling them here takes the guest ten seconds."""
    if "RFOU_BPF_OBJECT" in os.environ:
        return pathlib.Path(os.environ["RFOU_BPF_OBJECT"])
    source = pathlib.Path(__file__).with_name("encap.bpf.c")
    return compiled(source, tmp_path_factory.mktemp("bpf"))


def seen(hook):
    """Returns what a hook's programs noted; hooks of both hosts count in order of loading."""
    return struct.unpack_from("=IIiii", notes_of(all_notes()[-4:][hook]))


def external_device(host, number, program, section):
    """Makes an ipip device whose encapsulation a program sets."""
    host.batch(
        "link add ipip0 type ipip external",
        f"addr add 10.1.1.{number}/24 dev ipip0",
        "link set ipip0 up",
    )
    host.run("tc", "qdisc", "add", "dev", "ipip0", "clsact")
    for hook, name in (("egress", section), ("ingress", "tc/get")):
        host.run("tc", "filter", "add", "dev", "ipip0", hook, "bpf", "da", "obj", program,
                 "sec", name)  # fmt: skip


@pytest.mark.parametrize("encap", ["fou", "gue"])
def test_program_sets_and_reads_the_encapsulation(hosts, program, encap):
    for number, host in enumerate(hosts, start=1):
        host.ip("fou", "add", "port", 5555, *(("ipproto", 4) if encap == "fou" else ("gue",)))
        external_device(host, number, program, f"tc/set_{encap}")
        # Complete checksums for the capture.
        host.run("ethtool", "-K", "eth0", "tx", "off")
    with Capture(hosts[1], "eth0") as capture:
        hosts[0].run("ping", "-n", "-c", 2, "-i", "0.01", "-W", 2, "10.1.1.2")
        [request] = capture.frames(lambda f: UDP in Ether(f) and Ether(f)[IP].src == "192.0.2.1")
    udp = Ether(request)[UDP]
    payload = bytes(udp.payload)
    assert udp.dport == 5555
    if encap == "fou":
        assert (udp.sport, udp.chksum) == (7777, 0)
        assert payload[0] == 0x45
    else:
        assert udp.sport != 0 and udp.chksum != 0, "the flow's source port, and a checksum"
        assert payload[:5] == b"\x00\x04\x00\x00\x45"
    sport, dport, _, get, _ = seen(H2_INGRESS)
    assert (get, sport, dport) == (0, udp.sport, 5555)
    _, _, set_, _, without_metadata = seen(H1_EGRESS)
    assert set_ == 0
    assert without_metadata == -errno.EINVAL, (
        "without a tunnel key there is no metadata to write to"
    )
