# SPDX-License-Identifier: GPL-2.0
"""Numbers of drop reasons: the core's by default, borrowed ones with `own_drop_reasons=1`."""

import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testing.lib.drop_reason_table import MAC80211, OPENVSWITCH, first_name
from testing.lib.hosts import Capture, run
from testing.lib.rfou_module import reload_rfou, rfou_file

pytestmark = [pytest.mark.rfou_only, pytest.mark.stock_only]

PORT = 5555
VARIANT_2 = bytes.fromhex("80040000")
OWN = "own_drop_reasons=1"
# Modules that own numbers, in the order in which rfou borrows: number, first name.
OWNERS = {
    "mac80211": (MAC80211, "RX_DROP_UNUSABLE"),
    "openvswitch": (OPENVSWITCH, "OVS_DROP_LAST_ACTION"),
}
OURS = "RFOU_TRUNCATED"


@pytest.fixture
def seen(hosts, drop_monitor):
    """A function that returns why the second host's GUE port drops a payload."""

    def reason(payload=VARIANT_2):
        h1, h2 = hosts
        h2.ip("fou", "add", "port", PORT, "gue")
        link = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0"))
        packet = IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=49155, dport=PORT) / payload
        with Capture(h1, "eth0") as wire:
            wire.socket.send(bytes(link / packet))
        mark = struct.pack("!HH", 49155, PORT)
        found = drop_monitor.reason_for(lambda packet: mark in packet)
        h2.ip("fou", "del", "port", PORT)
        return found

    return reason


@pytest.fixture
def default_afterwards():
    """Unloads the owners and reloads rfou after the test."""
    yield
    run("modprobe", "-r", *OWNERS, check=False)
    reload_rfou()


def table():
    """Returns the first name of each number that may be borrowed."""
    return [first_name(number) for number, _ in OWNERS.values()]


def test_default_is_the_nearest_core_reason(seen):
    assert table() == [None, None], "no number is borrowed"
    assert seen(b"") == "PKT_TOO_SMALL"
    assert seen(VARIANT_2) == "INVALID_PROTO"
    assert seen(bytes.fromhex("1f040000") + bytes(96)) == "PKT_TOO_SMALL"
    assert seen(bytes.fromhex("20000000")) == "UNHANDLED_PROTO"


def test_own_reasons_go_with_the_module(seen, default_afterwards):
    assert run("modinfo", "-p", rfou_file()).stdout.startswith("own_drop_reasons:")
    reload_rfou(OWN)
    assert seen() == "RFOU_GUE_BAD_VARIANT"
    assert table() == [OURS, None]
    reload_rfou()
    assert seen() == "INVALID_PROTO"
    assert table() == [None, None]


@pytest.mark.parametrize("owner", OWNERS)
def test_owner_loaded_before_keeps_its_number(seen, default_afterwards, owner):
    run("modprobe", owner)
    reload_rfou(OWN)
    number, name = OWNERS[owner]
    assert first_name(number) == name
    assert OURS in table(), "the other owner's number is free"
    assert seen() == "RFOU_GUE_BAD_VARIANT"
    reload_rfou()
    assert first_name(number) == name
    assert OURS not in table()


@pytest.mark.parametrize("owner", OWNERS)
def test_owner_loaded_after_takes_its_number(seen, default_afterwards, owner):
    number, name = OWNERS[owner]
    if owner == "openvswitch":
        run("modprobe", "mac80211")
    reload_rfou(OWN)
    assert first_name(number) == OURS
    run("modprobe", owner)
    assert first_name(number) == name
    assert seen() == "INVALID_PROTO"
    reload_rfou()
    assert first_name(number) == name, "rfou clears only a number that it still has"
    reload_rfou(OWN)
    run("modprobe", "-r", owner)
    assert first_name(number) is None


def test_unloaded_owner_leaves_its_number_free(seen, default_afterwards):
    reload_rfou(OWN)
    run("modprobe", "mac80211")
    run("modprobe", "-r", "mac80211")
    assert table() == [None, None]
    assert seen() == "INVALID_PROTO", "rfou does not borrow a lost number again"
    reload_rfou(OWN)
    assert table() == [OURS, None]
    assert seen() == "RFOU_GUE_BAD_VARIANT"


def test_without_a_free_number_rfou_loads(seen, default_afterwards):
    run("modprobe", "-a", *OWNERS)
    reload_rfou(OWN)
    assert "no subsystem number is free" in run("dmesg").stdout.splitlines()[-1]
    assert table() == [name for _, name in OWNERS.values()]
    assert seen() == "INVALID_PROTO"


def test_failed_load_borrows_no_number():
    run("rmmod", "rfou")
    run("modprobe", "fou")
    try:
        assert run("insmod", rfou_file(), OWN, check=False).returncode != 0
        assert table() == [None, None]
    finally:
        run("rmmod", "fou")
        run("insmod", rfou_file())
