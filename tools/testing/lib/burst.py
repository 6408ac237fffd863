# SPDX-License-Identifier: GPL-2.0
"""Frames in bursts: many by one system call, through a packet socket's ring (PACKET_TX_RING)."""

import mmap
import socket
import struct

SOL_PACKET = 263
PACKET_TX_RING = 13
TP_STATUS_SEND_REQUEST = 1
# struct tpacket_hdr: status, len, snaplen, mac, net, sec, usec. Data follows at once.
HEADER = struct.Struct("=QIIHHII4x")
SLOT, SLOTS, BLOCK = 4096, 512, 1 << 16


class Burst:
    """Sends copies of a frame from a host's device."""

    def __init__(self, host, device):
        with host.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        ring = struct.pack("=IIII", BLOCK, SLOT * SLOTS // BLOCK, SLOT, SLOTS)
        self.socket.setsockopt(SOL_PACKET, PACKET_TX_RING, ring)
        self.ring = mmap.mmap(self.socket.fileno(), SLOT * SLOTS)
        self.socket.bind((device, 0))
        self.next = 0

    def send(self, frame, count):
        """Sends a frame `count` times; returns when the device has all."""
        for number in range(min(count, SLOTS)):
            at = self.slot(number) + HEADER.size
            self.ring[at : at + len(frame)] = frame
        request = HEADER.pack(TP_STATUS_SEND_REQUEST, len(frame), 0, 0, 0, 0, 0)
        while count > 0:
            some = min(count, SLOTS)
            for number in range(some):
                at = self.slot(number)
                self.ring[at : at + HEADER.size] = request
            self.socket.send(b"")
            self.next = (self.next + some) % SLOTS
            count -= some

    def slot(self, number):
        """Returns the offset in the ring of the slot `number` slots after the next."""
        return (self.next + number) % SLOTS * SLOT

    def close(self):
        """Closes the socket."""
        self.ring.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
