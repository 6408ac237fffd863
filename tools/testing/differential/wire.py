"""The Internet checksum (RFC 1071)."""

import struct


def fold(total):
    """A ones' complement sum in 16 bits."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def add_up(data):
    """The ones' complement sum of bytes."""
    data = bytes(data) + b"\0" * (len(data) % 2)
    return fold(sum(struct.unpack(f"!{len(data) // 2}H", data)))
