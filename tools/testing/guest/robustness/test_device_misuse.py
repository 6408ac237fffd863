# SPDX-License-Identifier: GPL-2.0
"""The module `misuse` makes devices that misuse rust/net as packets order, without harm.

The debug kernel's checkers must report nothing. The module leaks on purpose, so kmemleak runs in
other guests.
"""

import contextlib
import os
import random
import socket
import struct

import pytest

from testing.hostile.misuse_packets import HERE, PEER, ipv4, udp
from testing.hostile.target import HOST_MAC, PEER_MAC, tap_host, wait_for_witnesses, witness
from testing.lib import netlink as nl
from testing.lib.gue_link import NLM_F_CREATE, NLM_F_EXCL, RTM_DELLINK, RouteNetlink
from testing.lib.hosts import Host, run
from testing.lib.misuse_module import is_loaded, last_words, load, loaded

pytestmark = pytest.mark.rfou_only

# As in the module.
DEVICES, PORT = 7, 7020
# Devices that the tunnel gives packets to; number 14 does not go up, number 15 is not made.
NUMBERS = range(12)
SOL_PACKET, PACKET_VNET_HDR = 263, 15
ROUNDS = {"stock": 15, "debug": 6}[os.environ["RFOU_KERNEL"]]


class Links:
    """Links of kind `misuse` in a host."""

    def __init__(self, host):
        with host.inside():
            self.netlink = RouteNetlink()

    def add(self, number, **more):
        """Makes the device of a number."""
        data = nl.attribute(1, struct.pack("=I", number))
        flags = NLM_F_CREATE | NLM_F_EXCL
        self.netlink.change_link(f"bad{number}", flags, data, kind="misuse", **more)

    def set(self, number):
        """Changes a device, which fails after all changes."""
        data = nl.attribute(1, struct.pack("=I", number))
        self.netlink.change_link(f"bad{number}", 0, data, kind="misuse")

    def up(self, number, up=True):
        """Sets a device up or down."""
        self.netlink.change_link(f"bad{number}", 0, None, up=up, kind="misuse")

    def delete(self, number):
        """Deletes a device."""
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
        name = nl.attribute(3, f"bad{number}".encode() + b"\0")
        self.netlink.call(RTM_DELLINK, body + name)

    def close(self):
        """Closes the socket."""
        self.netlink.close()


def any_inner(rng):
    """Returns a packet with an order in its header, or noise."""
    length = rng.choice((0, 20, 100, 1000, 3000))
    if rng.random() < 0.1:
        return rng.randbytes(length)
    if rng.random() < 0.3:
        first, hop_limit = 6 << 28 | rng.randrange(1 << 28), rng.randrange(256)
        head = struct.pack("!IHBB", first, length, 17, hop_limit)
        return head + bytes(32) + rng.randbytes(length)
    packet = bytearray(ipv4("10.9.0.2", "10.9.0.9", 17, rng.randbytes(length)))
    # The order: TOS, identification, TTL.
    packet[1], packet[4], packet[5], packet[8] = rng.randbytes(4)
    return bytes(packet)


def send_through(host, rng, number):
    """Sends packets through a device, with offloads that fit or do not."""
    with host.inside():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sender:
        sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sender.bind((f"bad{number}", 0))
        for _ in range(40):
            packet = any_inner(rng)
            flags, kind = rng.choice(((0, 0), (1, 0), (1, 5), (1, 1)))
            start = rng.choice((20, 40, 0, 21, 1000)) if flags else 0
            virtio = struct.pack("<BBHHHH", flags, kind, start + 8, 500 if kind else 0, start, 6)
            # The stack refuses some.
            with contextlib.suppress(OSError):
                sender.send(virtio + packet)


def shoot(tap, rng):
    """Sends packets to the tunnel, which gives them to any device."""
    ethernet = bytes.fromhex((HOST_MAC + PEER_MAC).replace(":", "") + "0800")
    for _ in range(40):
        order = struct.pack("BBBB", rng.randrange(14), rng.randrange(10), *rng.randbytes(2))
        payload = order + rng.randbytes(4) + any_inner(rng)
        datagram = udp(PEER, HERE, PORT, payload, rng.random() < 0.5)
        frame = ethernet + ipv4(PEER, HERE, 17, datagram)
        with contextlib.suppress(OSError):
            os.writev(tap, [bytes(10), frame])


def test_orders_to_devices_do_no_harm():
    """Devices send, receive, change, go down and are deleted. rmmod deletes the last ones."""
    rng = random.Random(11)
    lines = (
        "addr add 2001:db8::1/64 dev tap0 nodad",
        f"neigh replace 2001:db8::2 lladdr {PEER_MAC} nud permanent dev tap0",
    )
    with loaded(DEVICES), tap_host("misused", "gro", 2, *lines) as (host, tap):
        links = Links(host)
        for number in (14, 15):
            with pytest.raises(OSError, match=""):
                links.add(number, up=True)
        for _ in range(ROUNDS):
            for number in NUMBERS:
                # Each step may fail, because devices get odd sizes. `set` always fails.
                for step in (links.add, links.up, links.set):
                    with contextlib.suppress(OSError):
                        step(number)
            for number in rng.sample(NUMBERS, 4):
                send_through(host, rng, number)
                with contextlib.suppress(OSError):
                    links.up(number, rng.random() < 0.5)
                shoot(tap, rng)
            # Empties the queue of what the host sends.
            with contextlib.suppress(BlockingIOError):
                while os.read(tap, 1 << 17):
                    pass
            for number in rng.sample(NUMBERS, 3):
                host.ip("link", "show", f"bad{number}")
                links.delete(number)
        links.close()
        run("rmmod", "misuse")
    said = last_words()
    for what in ("received", "refused", "sent", "dropped", "worked"):
        assert said[what] > ROUNDS, f"too few were {what}: {said}"


def test_devices_end_with_namespaces_while_packets_come():
    """A device moves to another namespace, and ends with the one that it was made in."""
    rng = random.Random(12)
    with loaded(DEVICES):
        for turn in range(5):
            host, other = Host(f"from{turn}"), Host(f"to{turn}")
            try:
                host.ip("link", "set", "lo", "up")
                host.ip(*witness(host.name).split())
                links = Links(host)
                with contextlib.suppress(OSError):
                    links.add(turn, up=True)
                links.close()
                host.ip("link", "set", f"bad{turn}", "netns", other.name)
                other.ip("link", "set", f"bad{turn}", "up")
                with host.inside():
                    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                with sender:
                    for _ in range(100):
                        order = struct.pack("BBBB", turn, 0, *rng.randbytes(2))
                        sender.sendto(order + any_inner(rng), ("127.0.0.1", PORT))
                send_through(other, rng, turn)
            finally:
                host.remove()
                wait_for_witnesses()
                left = f"bad{turn}" in other.proc_net("dev")
                assert not left, "the device outlives the namespace that it was made in"
                other.remove()
    assert not is_loaded()


def test_kind_is_registered_once_and_unregistered():
    with loaded(DEVICES):
        assert "File exists" in load(DEVICES, check=False).stderr
    for _ in range(3):
        with loaded(DEVICES):
            pass
    assert not is_loaded()
