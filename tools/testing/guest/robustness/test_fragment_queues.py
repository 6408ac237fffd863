# SPDX-License-Identifier: GPL-2.0
"""Fragments of incomplete packets: floods, and the end of a namespace, device or module.

The hosts are those of tools/testing/hostile/target.py.
"""

import os
import time

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.hostile.target import (
    DEVICE_PORT,
    DEVICES,
    HOST_MAC,
    KEYS,
    PEER_MAC,
    target,
    write_frame,
)
from testing.lib import gue_peer
from testing.lib.fragment_memory import Reassembly
from testing.lib.gue_keys import GueKeys
from testing.lib.gue_values import Header, Hmac, Outer
from testing.lib.hosts import Capture, wait_until
from testing.lib.roles import insmod, is_loaded, rmmod

pytestmark = [
    pytest.mark.rfou_only,
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

NO_VIRTIO = bytes(10)
ENDS = {"4": ("192.0.2.2", "192.0.2.1"), "6": ("2001:db8::2", "2001:db8::1")}
# Devices that get the fragments, with the header of a fragment and its key.
HEADERS = {
    "gue4": (Header(), b""),
    "gue6": (Header(), b""),
    "frg4": (Header(group=11), b""),
    "key6": (Header(group=9, hmac=Hmac(1)), KEYS["key6"]),
}
PACKET = bytes(IP(src="10.0.9.2", dst="10.0.0.1") / ICMP() / bytes(2000))
# Queues that are pending when something ends.
PENDING = 50


def frames(device, ident, packet=PACKET, size=800):
    """Returns the frames with the fragments of a packet to a device."""
    source, destination = ENDS[device[-1]]
    outer = Outer(source, destination, dport=DEVICE_PORT)
    header, key = HEADERS[device]
    ip = IP if device.endswith("4") else IPv6
    start = Ether(src=PEER_MAC, dst=HOST_MAC) / ip(src=source, dst=destination)
    start /= UDP(sport=outer.sport, dport=outer.dport)
    pieces = gue_peer.fragments(header, packet, size, outer, key, ident)
    return [bytes(start / data) for data in pieces]


def shoot(tap, some):
    """Sends frames to the host."""
    for frame in some:
        write_frame(tap, [NO_VIRTIO, frame])


def passes(host, tap, device, ident):
    """Sends a packet in fragments; returns whether the packet comes from a device."""
    with Capture(host, device) as capture:
        shoot(tap, frames(device, ident))
        return capture.frames(lambda frame: len(frame) >= len(PACKET), 1, 3.0) == [PACKET]


def fill(host, tap, wanted=PENDING):
    """Makes queues at each device that lack the last fragment or the first one."""
    memory = Reassembly(host)
    shots = []
    for device in HEADERS:
        for ident in range(wanted):
            pieces = frames(device, ident)
            shots += pieces[1:] if ident % 2 else pieces[:-1]
    # At once: the first must not time out before the last comes.
    shoot(tap, shots)
    # The memory of a queue exceeds the payload of its fragments.
    wait_until(lambda: memory.memory() > wanted * len(HEADERS) * 1600, "the queues are pending")


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("device", ["gue4", "key6"])
def test_flood_of_first_pieces_is_bounded(device):
    """Incomplete packets take no more memory than the limit, and none after the timeout.

    The last quarter of the memory is only for devices with auth.
    """
    limit, count = 400_000, 600
    most = limit if device in KEYS else limit // 4 * 3
    flood = [frames(device, ident)[0] for ident in range(count)]
    with target("plain", rgue=True) as (host, tap):
        memory = Reassembly(host)
        memory.set_limit(limit)
        memory.set_timeout(5)
        highest = 0
        for number, frame in enumerate(flood):
            shoot(tap, [frame])
            if number % 10 == 0:
                highest = max(highest, memory.memory())
        highest = max(highest, memory.memory())
        print(f"{count} first fragments take {highest} bytes at most, the limit is {most}")
        # The fragment that reaches the limit may exceed it.
        assert most - 4096 <= highest <= most + 4096
        if device not in KEYS:
            assert passes(host, tap, "key6", count), "no memory is left for a peer with a key"
        assert host.traffic(device)["rx"]["errors"] > count // 3
        wait_until(lambda: memory.memory() == 0, "the timeout releases the memory", 20)
        assert passes(host, tap, device, count)


def test_namespace_ends_with_queues_pending():
    """`target` waits until the namespace is gone, which a queue must not hold."""
    with target("plain", rgue=True) as (host, tap):
        fill(host, tap)
        Reassembly(host).set_timeout(1)
        # Some queues were made with the shorter time and expire while the namespace ends.
        shoot(tap, [frames("gue4", 1000 + ident)[0] for ident in range(PENDING)])


def test_device_ends_with_queues_pending():
    """A new device with the same options does not take the old device's fragments."""
    with target("plain", rgue=True) as (host, tap):
        fill(host, tap)
        rest = {device: frames(device, 0)[-1:] for device in HEADERS}
        for device in HEADERS:
            host.ip("link", "del", device)
        host.batch(*(f"link add {name} {DEVICES[name]}" for name in HEADERS))
        keys = GueKeys(host)
        keys.set("key6", 1, KEYS["key6"])
        keys.close()
        host.batch(*(f"link set {name} up" for name in HEADERS))
        for device in HEADERS:
            before = host.traffic(device)["rx"]["packets"]
            shoot(tap, rest[device])
            assert passes(host, tap, device, 5000)
            assert host.traffic(device)["rx"]["packets"] == before + 1, device


def test_module_is_unloaded_with_queues_pending():
    """The queues end at once: no timer of theirs runs afterwards."""
    try:
        with target("plain", rgue=True) as (host, tap):
            Reassembly(host).set_timeout(8)
            fill(host, tap, 20)
            assert rmmod("rgue") and not is_loaded("rgue")
            # Past the timeout: a timer that is left would fire without its code.
            time.sleep(9)
    finally:
        insmod(os.environ["RGUE_MODULE_FILE"])
    assert is_loaded("rgue")
