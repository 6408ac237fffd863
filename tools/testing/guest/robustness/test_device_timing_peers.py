# SPDX-License-Identifier: GPL-2.0
"""Races of peers, which move, are pinged and die while devices, namespaces and the module go.

h1: srv0 (roaming, keepalive), one0 -- eth0 ===== eth0 -- peers in Python, at two ports :h2
"""

import contextlib
import itertools
import os
import time

import pytest

from testing.lib.echo_peer import EchoPeer
from testing.lib.gue_link import GueLinks, netns_file
from testing.lib.hosts import Host, wait_until
from testing.lib.peer_family import PeerListener
from testing.lib.roles import all_at_once, insmod, is_loaded, rmmod
from testing.lib.tunnel_ends import PEER, PORT, End, introduce

pytestmark = [
    pytest.mark.rfou_only,
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]


class Roles:
    """Work that processes do at a server whose peer moves. Each has sockets of its own."""

    def __init__(self, h1, h2):
        self.h1, self.h2 = h1, h2

    def move_the_peer(self):
        """Speaks from two ports in turn, as a peer behind a NAT does."""
        here = [EchoPeer(self.h2, "192.0.2.2", "192.0.2.1", PEER, port) for port in (7001, 7002)]
        try:
            for one, other in itertools.cycle((here, here[::-1])):
                one.last = max(one.last, other.last)
                one.request()
                # Answers what comes, requests that prove the new place among them.
                yield len(one.serve(0.1)) > 0
        finally:
            for peer in here:
                peer.close()

    def make_and_delete(self):
        """Makes devices whose timers run, and deletes them."""
        end = End(self.h1)
        for number in itertools.count():
            made = 0
            # A request is refused while the module is unloaded or another role is quicker.
            for name in ("srv0", "one0"):
                with contextlib.suppress(OSError):
                    end.links.delete(name)
            with contextlib.suppress(OSError):
                end.serve("srv0", up=False, keepalive=1, dead=2)
                end.links.up("srv0")
                end.links.add("one0", remote="192.0.2.2", id=1, keepalive=1, up=True)
                made += 1
            # Sometimes before the first answer, sometimes after.
            time.sleep(number % 3 * 0.2)
            yield made > 0

    def change(self):
        """Changes timers under way, and sets the device up and down."""
        end = End(self.h1)
        for number in itertools.count():
            changed = 0
            for options in ({"keepalive": 0}, {"keepalive": 1 + number % 2, "dead": 3}):
                with contextlib.suppress(OSError):
                    end.links.set("srv0", **options)
                    changed += 1
            for up in (False, True):
                with contextlib.suppress(OSError):
                    end.links.up("srv0", up)
            yield changed > 0

    def ping(self):
        """Asks peers, and shows them."""
        end = End(self.h1)
        while True:
            asked = 0
            for name in ("srv0", "one0"):
                with contextlib.suppress(OSError):
                    asked += end.peers.ping(name) > 0
                with contextlib.suppress(OSError):
                    end.peers.get(name)
            end.peers.dump()
            yield asked > 0

    def listen(self):
        """Subscribes, and leaves again."""
        while True:
            listener = PeerListener(self.h1)
            told = listener.receive(2)
            listener.close()
            yield told is not None

    def end_namespaces(self):
        """Makes namespaces that end with timers running, and devices that send from them."""
        for number in itertools.count():
            host = Host(f"gone{number}")
            there = netns_file(self.h1)
            made = 0
            try:
                with host.inside():
                    links = GueLinks()
                host.batch("link set lo up")
                with contextlib.suppress(OSError):
                    for group, remote in enumerate(("127.0.0.1", "::1")):
                        links.add(f"own{group}", remote=remote, id=group, keepalive=1, up=True)
                    # This device is in another namespace, and sends by the one that ends.
                    away = {"remote": "127.0.0.1", "id": 9, "keepalive": 1}
                    links.add(f"away{number}", netns=there, up=True, **away)
                    made += 1
                links.close()
            finally:
                os.close(there)
                host.remove()
            yield made > 0

    def all(self):
        """Returns the work of each role."""
        return [
            self.move_the_peer,
            self.make_and_delete,
            self.change,
            self.ping,
            self.listen,
            self.end_namespaces,
        ]


def test_peers_move_while_devices_namespaces_and_the_module_go(hosts):
    h1, h2 = hosts
    rgue = os.environ["RGUE_MODULE_FILE"]

    def reload():
        for number in itertools.count():
            # Time for the other roles, also on a busy machine.
            time.sleep(2 + 2 * (number % 3))
            yield rmmod("rgue") and insmod(rgue)

    try:
        counts = all_at_once([*Roles(h1, h2).all(), reload])
        assert all(counts.values()), f"a role had no effect: {counts}"
        if not is_loaded("rgue"):
            insmod(rgue)
        end = End(h1)
        for name in ("srv0", "one0"):
            with contextlib.suppress(OSError):
                end.links.delete(name)
        wait_until(lambda: f":{PORT:04X} " not in h1.proc_net("udp"), "no socket is left")
        # A device works.
        end.serve("srv0", keepalive=1)
        peer = EchoPeer(h2, "192.0.2.2", "192.0.2.1", PEER, 7003)
        introduce(end, peer, "srv0")
        peer.close()
        end.close()
    finally:
        if not is_loaded("rgue"):
            insmod(rgue)


@pytest.mark.soak_only
def test_device_with_a_running_timer_is_removed(hosts):
    """Deletes, sets down or moves the device at twelve moments of a keepalive's second."""
    h1, h2 = hosts
    end = End(h1)
    peer = EchoPeer(h2, "192.0.2.2", "192.0.2.1")
    # A leak would hold up the end of the namespaces.
    for number in range(12):
        end.add("one0", remote="192.0.2.2", keepalive=1, dead=2)
        peer.serve(0.09 * number)
        if number % 3 == 0:
            h1.ip("link", "set", "one0", "netns", h2.name)
            h2.ip("link", "set", "one0", "up")
            peer.serve(0.3)
            h2.ip("link", "del", "one0")
        elif number % 3 == 1:
            end.links.up("one0", False)
            end.links.delete("one0")
        else:
            end.links.delete("one0")
    peer.drain()
    assert peer.receive(1.2) is None, "a device that is gone sends nothing"
    peer.close()
    end.close()
