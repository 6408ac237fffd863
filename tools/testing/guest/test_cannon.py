"""The cannon, briefly: scripts/test/cannon fires many more packets, but looks for no leak after them."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "hostile"))

import fire  # noqa: E402
from target import TAP_FLAGS, set_send_buffer, target  # noqa: E402

CANNON = pathlib.Path(__file__).parents[3] / "build/cannon/cargo/release/cannon"
SEED = 2
PACKETS = 1000
# Each tunnel takes its share, and of less than this none gets to the wire.
PACKETS_TO_TRANSMIT = 2000


@pytest.mark.debug_only
@pytest.mark.parametrize("flavour", TAP_FLAGS)
def test_hostile_packets_leave_nothing_behind(flavour):
    """Structured random packets of each flavour: a packet that is lost is memory that leaks.

    That is found by kmemleak, when the tests are over.
    """
    assert CANNON.exists(), "scripts/build/cannon builds the cannon"
    packets = PACKETS_TO_TRANSMIT if flavour == "transmit" else PACKETS
    shots = fire.salvoes(CANNON, SEED, flavour, packets, rounds=2)
    _, counts, sent, shared = fire.fire(shots, flavour)
    fire.check(packets, flavour, counts, sent, shared)


@pytest.mark.debug_only
def test_writer_to_a_full_tap_goes_on_when_its_packets_are_freed():
    """The tun driver wakes a writer that waits by poll(), and no other.

    GRO holds packets for 100 ms, and the send buffer has room for a few.
    """
    with target("gro", flush_ms=100) as (_, tap):
        set_send_buffer(tap, 4096)
        command = [CANNON, "fire", "--seed", SEED, "--flavour", "gro", "--packets", 200]
        words = fire.run_cannon(command, tap)
    assert " 0 waits" not in words, f"the send buffer was never full: {words}"
