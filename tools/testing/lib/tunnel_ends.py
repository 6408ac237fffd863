# SPDX-License-Identifier: GPL-2.0
"""Devices with keys, and packets through them, for tests of keepalive and roaming."""

import contextlib
import os
import socket
import time

from testing.lib.echo_peer import Terms
from testing.lib.gue_keys import ACCEPT, SEND, GueKeys
from testing.lib.gue_link import ALL, HMAC, GueLinks
from testing.lib.hosts import wait_until
from testing.lib.peer_family import GuePeers

PORT = 6080
IFLA_CARRIER = 33
UP, DOWN = b"the key upwards", b"the key downwards"
# Seconds that a busy machine may add to those of a device's timers.
SLACK = 2.0 if os.environ.get("RFOU_KERNEL") == "stock" else 5.0
# A server's device: any peer that has the keys, through NAT.
SERVER = {"remote": "0.0.0.0", "sport": PORT, "auth": HMAC, "cover": ALL, "roaming": 1}
# The terms of a Python peer of such a device.
PEER = Terms(send=(1, UP), accept=(2, DOWN), nat=True)
# An ICMP echo request from 10.1.1.1 to 10.1.1.2.
INNER = bytes.fromhex("4500001c00014000400124dc0a0101010a0101020800e5ca12340001")


class End:
    """Devices of kind gue in a host: their links, keys and peers."""

    def __init__(self, host):
        self.host = host
        self.links, self.keys, self.peers = GueLinks(host), GueKeys(host), GuePeers(host)

    def add(self, name, *, up=True, keys=None, **options):
        """Makes a device; `keys` are its keys' numbers, secrets and options of `GueKeys.set`."""
        self.links.add(name, **options)
        for number, secret, how in keys or ():
            self.keys.set(name, number, secret, **how)
        if up:
            self.host.batch(f"link set {name} addrgenmode none up")

    def serve(self, name, up=True, **options):
        """Makes a device for a peer behind NAT, which sends first."""
        keys = (
            (1, UP, {"direction": ACCEPT, "nat": True}),
            (2, DOWN, {"direction": SEND, "nat": True}),
        )
        self.add(name, up=up, keys=keys, **(SERVER | options))

    def has_carrier(self, name):
        """Returns whether a device has a carrier."""
        return dict(self.links.attributes(name))[IFLA_CARRIER] == b"\1"

    def peer(self, name="gue0"):
        """Returns the address and port of a device's peer, or None."""
        shown = self.peers.get(name)
        return (shown["remote"], shown["port"]) if "remote" in shown else None

    def inject(self, name="gue0", packet=INNER):
        """Sends a packet into a device, as if it was routed there."""
        with self.host.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as into:
            into.bind((name, 0x0800))
            into.send(packet)

    def close(self):
        """Closes the sockets."""
        for made in (self.links, self.keys, self.peers):
            made.close()


@contextlib.contextmanager
def ends(*hosts):
    """Yields an `End` for each host."""
    made = [End(host) for host in hosts]
    try:
        yield made
    finally:
        for end in made:
            end.close()


def data_arrives(end, peer, name="gue0", timeout=2.0):
    """Sends a packet into a device; returns whether it arrives at a Python peer."""
    end.inject(name)
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        peer.socket.settimeout(left)
        try:
            data = peer.socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            break
        if data.endswith(INNER):
            return True
    return False


def is_control(frame):
    """Returns whether an Ethernet frame has a GUE control message, for the port PORT."""
    start = 14 + (20 if frame[12:14] == b"\x08\x00" else 40) + 8
    to_us = frame[start - 6 : start - 4] == PORT.to_bytes(2, "big")
    return to_us and frame[start : start + 1] != b"" and frame[start] & 0xE0 == 0x20


def introduce(end, peer, name="gue0"):
    """Has a Python peer prove its address to a device, as its keepalive would."""
    peer.request()
    peer.serve(5, lambda: end.peer(name) == (peer.address, peer.port))
    wait_until(lambda: end.peer(name) == (peer.address, peer.port), "the peer is known", 1)
    peer.drain()
