# SPDX-License-Identifier: GPL-2.0
"""Failing allocations while gue devices ask and answer peers: no peer is lost.

h1: gue0 -- eth0 ===== eth0 -- a peer in Python :h2
"""

import contextlib
import errno
import os
import time

import pytest

from testing.lib.echo_peer import REPLY, EchoPeer
from testing.lib.faults import each_allocation, failing_atomic_allocations, prepare
from testing.lib.hosts import wait_until
from testing.lib.netlink import NetlinkError
from testing.lib.tunnel_ends import PEER, data_arrives, ends, introduce

pytestmark = [
    pytest.mark.debug_only,
    pytest.mark.rfou_only,
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

NO_MEMORY = {errno.ENOMEM, errno.ENOBUFS}


@pytest.fixture(scope="module", autouse=True)
def faults():
    """Prepares fault injection."""
    prepare()


@pytest.fixture(name="end")
def end_fixture(hosts):
    """The first host's devices."""
    with ends(hosts[0]) as [made]:
        yield made


@pytest.fixture(name="peer")
def peer_fixture(hosts):
    """A peer in the second host."""
    made = EchoPeer(hosts[1], "192.0.2.2", "192.0.2.1", PEER)
    yield made
    made.close()


def attempt(work, *arguments, **options):
    """Returns whether the work was done; None if the answer is lost for lack of memory."""
    try:
        work(*arguments, **options)
    except NetlinkError as error:
        assert error.errno in NO_MEMORY, f"the wrong error: {error}"
        return False
    except OSError as error:
        assert error.errno in NO_MEMORY, f"the wrong error: {error}"
        return None
    return True


def test_a_keepalive_is_set_or_not(end):
    end.add("gue0", remote="192.0.2.2")
    refused = 0
    for new in (5, 0):
        for failing in each_allocation():
            with failing:
                done = attempt(end.links.set, "gue0", keepalive=new)
            shown = end.links.show("gue0")
            changed = shown["keepalive"] == new
            assert shown.get("dead", 0) == 3 * shown["keepalive"]
            assert ("alive" in end.peers.get("gue0")) == (shown["keepalive"] > 0)
            assert done is None or done == changed
            refused += done is False
            if changed:
                end.links.set("gue0", keepalive=5 - new)
        end.links.set("gue0", keepalive=new)
    assert refused > 1, f"{refused} refusals: the allocations were not reached"


def test_a_device_that_asks_is_made_or_not(end):
    failed = 0
    for failing in each_allocation(stride=9):
        with failing:
            made = attempt_to_make(end)
        failed += made is False
        with contextlib.suppress(NetlinkError):
            end.links.delete("gue0")
    assert failed > 3, f"{failed} failures: the allocations were not reached"


def attempt_to_make(end):
    """Tries to make a device that sends at once; returns whether it is there."""
    try:
        end.links.add("gue0", remote="192.0.2.2", keepalive=1, up=True)
    except NetlinkError as error:
        # Without memory for its name a device is refused otherwise: see test_device_memory.
        nameless = error.errno == errno.EINVAL and error.reason is None
        assert nameless or error.errno in NO_MEMORY | {errno.ENFILE}, str(error)
        return False
    except OSError as error:
        assert error.errno in NO_MEMORY, str(error)
        return None
    return True


def test_peers_are_pinged_and_shown_or_not(end, peer):
    end.serve("gue0")
    introduce(end, peer)
    right = end.peers.get("gue0")
    refused = 0
    for work in (end.peers.ping, end.peers.get):
        for failing in each_allocation():
            # Keeps below the limit of pings.
            time.sleep(0.01)
            with failing:
                refused += attempt(work, "gue0") is False
    for failing in each_allocation():
        with failing:
            attempt(end.peers.dump)
    assert refused > 3, f"{refused} refusals: the allocations were not reached"
    shown = end.peers.get("gue0")
    assert {name: shown[name] for name in ("remote", "port", "moves")} == {
        name: right[name] for name in ("remote", "port", "moves")
    }
    peer.drain()
    end.peers.ping("gue0")
    assert peer.serve(2, lambda: False)


def test_a_request_is_answered_or_not_and_a_move_is_made_later(hosts, end, peer):
    """Some allocations in softirqs fail, so some requests get no reply. Later requests get one."""
    end.serve("gue0", keepalive=1, dead=60)
    introduce(end, peer)
    other = EchoPeer(hosts[1], "192.0.2.2", "192.0.2.1", PEER, 7000)
    asked = 0
    with failing_atomic_allocations(20):
        begin = time.monotonic()
        while time.monotonic() - begin < 3:
            for speaker in (peer, other):
                speaker.last = max(peer.last, other.last)
                with contextlib.suppress(OSError):
                    speaker.request()
                    asked += 1
                with contextlib.suppress(OSError):
                    speaker.serve(0.02)
    before = end.peers.get("gue0")
    assert 0 < before["replies"] < asked
    for speaker in (peer, other):
        speaker.last = max(peer.last, other.last)
        # The device challenges an address at most once a second.
        time.sleep(1.1)
        introduce(end, speaker)
        assert data_arrives(end, speaker)
        speaker.request(5)
        wait_until(lambda: 5 in tokens(speaker), "the peer is answered as before", 5)  # noqa: B023
    other.close()


def tokens(peer):
    """Returns the tokens of the replies that a peer has got."""
    return {message.token for message in peer.drain() if message.kind == REPLY}
