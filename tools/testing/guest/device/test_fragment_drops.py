# SPDX-License-Identifier: GPL-2.0
"""GUE fragments that a device must drop, each with its drop reason.

h1 (the wire's end): eth0 192.0.2.1 ===== eth0 192.0.2.2, gue0 :h2
"""

import struct

import pytest
from scapy.layers.inet import ICMP, IP

from testing.lib.fragment_memory import Reassembly
from testing.lib.gue_ends import ENDS, Ends
from testing.lib.gue_values import Outer
from testing.lib.hosts import Capture, wait_until
from testing.lib.rgue_module import reload_rgue

PACKET = bytes(IP(src="10.1.1.1", dst="10.1.1.2") / ICMP() / bytes(range(36)))
# The most fragments that a packet may have.
MOST_PIECES = 256


@pytest.fixture
def reasons():
    """The module with its own drop reasons; the default is back afterwards."""
    reload_rgue("own_drop_reasons=1")
    yield
    reload_rgue()


pytestmark = [pytest.mark.stock_only, pytest.mark.usefixtures("reasons")]


def raw(offset, more, data, *, res=0, proto=None, origin=4, control=False, ident=1):
    """Returns a fragment, any value of which may be wrong."""
    if proto is None:
        proto = 4 if offset == 0 else 59
    word = offset | res << 1 | more
    head = struct.pack("!BBHHB", 2 | control << 5, proto, 0x0800, word, origin)
    return head + ident.to_bytes(5, "big") + data


FIRST = raw(0, True, PACKET[:32])
SECOND = raw(32, False, PACKET[32:])
assert len(PACKET) == 64
MIDDLE = raw(24, True, PACKET[24:40])
# By the reference's number of the rule: fragments that are stored before, the fragment, the reason.
MUST_DROP = {
    "19, reserved bit 1": ((), raw(0, True, PACKET[:32], res=1), "RESERVED"),
    "19, reserved bit 2": ((), raw(0, True, PACKET[:32], res=2), "RESERVED"),
    "20, another protocol first": ((), raw(0, True, PACKET[:32], proto=41), "PROTOCOL"),
    "20, no next header first": ((), raw(0, True, PACKET[:32], proto=59), "PROTOCOL"),
    "20, a protocol later": ((), raw(32, False, PACKET[32:], proto=4), "PROTOCOL"),
    "20, 0 later, of data": ((), raw(32, False, PACKET[32:], proto=0), "PROTOCOL"),
    "20, whole, and another protocol": ((), raw(0, False, PACKET, proto=41), "PROTOCOL"),
    "21, no multiple of 8": ((), raw(0, True, PACKET[:31]), "UNALIGNED"),
    "21, past 65,535 bytes": ((), raw(65528, False, bytes(8)), "TOO_LONG"),
    "21, far past 65,535 bytes": ((), raw(65528, False, bytes(1000)), "TOO_LONG"),
    "21, twice": ((FIRST,), FIRST, "OVERLAP"),
    "21, the end twice": ((SECOND,), SECOND, "OVERLAP"),
    "21, overlap after": ((FIRST,), MIDDLE, "OVERLAP"),
    "21, overlap before": ((SECOND,), MIDDLE, "OVERLAP"),
    "22, empty with M": ((), raw(0, True, b""), "EMPTY"),
    "22, empty with M later": ((), raw(32, True, b""), "EMPTY"),
    "22, another end": ((SECOND,), raw(16, False, PACKET[16:24]), "END"),
    "22, past the end": ((SECOND,), raw(64, True, bytes(8)), "END"),
    "22, past the end, last": ((SECOND,), raw(64, False, bytes(8)), "END"),
    "22, an end before what is there": (
        (raw(40, True, PACKET[40:48]),),
        raw(32, False, PACKET[32:40]),
        "END",
    ),
}


@pytest.mark.parametrize("outer", [4, 6])
def test_each_piece_is_dropped_for_its_reason(hosts, drop_monitor, outer):
    """The stored fragments stay: the packet can be completed afterwards."""
    ends = Ends(hosts, outer)
    ends.add()
    memory = Reassembly(ends.h2)
    # On a busy machine a case may take longer than the default timeout.
    memory.set_timeout(60)
    for number, (name, (stored, wrong, reason)) in enumerate(MUST_DROP.items()):
        # Each case has a port of its own, so its fragments have a queue of their own.
        between = Outer(*ENDS[outer], sport=50000 + number)
        mark = struct.pack("!HH", between.sport, between.dport)
        for data in stored:
            ends.send(data, between)
        before = memory.memory()
        errors = ends.h2.traffic("gue0")["rx"]["errors"]
        ends.send(wrong, between)
        found = drop_monitor.reason_for(lambda packet, mark=mark: mark in packet)
        assert found == f"RGUE_FRAGMENT_{reason}", name
        assert ends.h2.traffic("gue0")["rx"]["errors"] == errors + 1, name
        assert memory.memory() == before, f"{name}: takes memory"
        if stored in ((FIRST,), (SECOND,)):
            rest = SECOND if stored == (FIRST,) else FIRST
            assert ends.come_out(rest, between) == [PACKET], name
    # A fragment of a control message is dropped, whatever its type: such messages are short.
    between = Outer(*ENDS[outer], sport=51000)
    mark = struct.pack("!HH", between.sport, between.dport)
    for proto in (0, 59, 255):
        ends.send(raw(0, True, PACKET[:32], control=True, proto=proto, origin=proto), between)
        assert drop_monitor.reason_for(lambda packet: mark in packet) == "RGUE_CONTROL", proto
    assert memory.memory() == before
    ends.close()


def test_pieces_of_one_packet_are_counted(hosts, drop_monitor):
    """Tiny fragments cost more than their bytes. One more than the limit is dropped."""
    ends = Ends(hosts, 4)
    ends.add()
    # On a busy machine the fragments may take longer than the default timeout.
    Reassembly(ends.h2).set_timeout(60)
    between = Outer(*ENDS[4])
    packet = PACKET + bytes(8 * MOST_PIECES)
    pieces = [raw(at, at + 8 < len(packet), packet[at : at + 8]) for at in range(0, len(packet), 8)]
    mark = struct.pack("!HH", between.sport, between.dport)
    for data in pieces[:MOST_PIECES]:
        ends.send(data, between)
    assert ends.h2.traffic("gue0")["rx"]["errors"] == 0
    ends.send(pieces[MOST_PIECES], between)
    assert drop_monitor.reason_for(lambda packet: mark in packet) == "RGUE_FRAGMENT_LIMIT"
    ends.close()


def test_piece_is_dropped_at_the_limit_of_memory(hosts, drop_monitor):
    """Waiting fragments stay, and there is room again when the limit is raised."""
    ends = Ends(hosts, 4)
    ends.add()
    memory = Reassembly(ends.h2)
    between, other = (Outer(*ENDS[4], sport=port) for port in (50100, 50101))
    ends.send(FIRST, between)
    wait_until(lambda: memory.memory() > 0, "the fragment is stored")
    held = memory.memory()
    memory.set_limit(held - 1)
    for outer in (other, between):
        mark = struct.pack("!HH", outer.sport, outer.dport)
        ends.send(SECOND, outer)
        found = drop_monitor.reason_for(lambda packet, mark=mark: mark in packet)
        assert found == "RGUE_FRAGMENT_LIMIT"
    assert memory.memory() == held
    # The last quarter is only for devices with auth.
    memory.set_limit(4 * held)
    assert ends.come_out(SECOND, between) == [PACKET]
    assert memory.memory() == 0
    ends.send(FIRST, other)
    assert ends.come_out(SECOND, other) == [PACKET]
    ends.close()


def test_fragments_of_an_incomplete_packet_are_dropped(hosts, drop_monitor):
    """A packet is not complete at the timeout. Another packet has contradicting ECN fields."""
    ends = Ends(hosts, 4)
    ends.add()
    memory = Reassembly(ends.h2)
    memory.set_timeout(1)
    between = Outer(*ENDS[4], sport=50200)
    # Other bytes than in other tests, whose fragments the monitor may still report.
    part = bytes(range(200, 232))
    first, second = raw(0, True, part), raw(32, False, part)
    ends.send(first, between)
    reason = drop_monitor.reason_for(lambda packet: part in packet)
    assert reason == "RGUE_FRAGMENT_TIMEOUT"
    assert memory.memory() == 0 and memory.timeouts() == 1
    with Capture(ends.h2, "gue0") as capture:
        ends.send(first, between)
        shot = between.packet(second)
        shot.tos = 2
        ends.wire.send(bytes(ends.ether / shot))
        reasons = [drop_monitor.reason_for(lambda packet: part in packet) for _ in range(2)]
        assert capture.frames(lambda _: True, 1, 0.2) == []
    assert reasons == ["RGUE_FRAGMENT_ECN"] * 2
    assert memory.memory() == 0
    ends.close()
