# SPDX-License-Identifier: GPL-2.0
"""A short run of the cannon, with kmemleak. scripts/test/cannon fires many more packets."""

import pytest

from testing.hostile import fire
from testing.hostile.target import TAP_FLAGS, set_send_buffer, target
from testing.lib.checkout import TOP

CANNON = TOP / "build/cannon/cargo/release/cannon"
SEED = 2
PACKETS = 1000
# Each tunnel gets a share. If it is smaller, perhaps no packet reaches the wire.
PACKETS_TO_TRANSMIT = 2000


@pytest.mark.debug_only
@pytest.mark.parametrize("flavour", TAP_FLAGS)
def test_hostile_packets_leave_no_trace(flavour):
    """Structured random packets of each flavour; kmemleak looks for leaks after the tests."""
    assert CANNON.exists(), "build it first: scripts/build/cannon"
    packets = PACKETS_TO_TRANSMIT if flavour == "transmit" else PACKETS
    shots = fire.salvoes(CANNON, SEED, flavour, packets, rounds=2)
    _, counts, sent, shared = fire.fire(shots, flavour)
    fire.check(packets, flavour, counts, sent, shared)


@pytest.mark.debug_only
def test_writer_to_a_full_tap_is_woken():
    """The tun driver wakes a writer that waits in poll(), but none that waits in write().

    GRO holds packets for 500 ms, and the send buffer has room for a few.
    """
    with target("gro", flush_ms=500) as (_, tap):
        set_send_buffer(tap, 4096)
        command = [CANNON, "fire", "--seed", SEED, "--flavour", "gro", "--packets", 2000]
        words = fire.run_cannon(command, tap)
    assert " 0 waits" not in words, f"the send buffer was never full: {words}"
