# SPDX-License-Identifier: GPL-2.0
"""The Internet checksum (RFC 1071)."""

import struct


def fold(total):
    """Folds a ones' complement sum to 16 bits."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def add_up(data):
    """Returns the ones' complement sum of bytes."""
    data = bytes(data) + b"\0" * (len(data) % 2)
    return fold(sum(struct.unpack(f"!{len(data) // 2}H", data)))


def checksum(data):
    """Returns the Internet checksum of bytes."""
    return add_up(data) ^ 0xFFFF


def seed(packet):
    """Returns the sum of an IPv4 packet's pseudo header, as a partial checksum holds it."""
    header = packet[12:20] + struct.pack("!HH", packet[9], len(packet) - 20)
    return add_up(header).to_bytes(2, "big")
