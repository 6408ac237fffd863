# SPDX-License-Identifier: GPL-2.0
"""Packets with orders, valid and invalid, for the tunnel of the module `misuse`."""

import dataclasses
import socket
import struct

from testing.lib.checksum import checksum

PORT = 7010
ORDER_LEN = 16
UDP_LEN = 8
IPV4, TCP, UDP, IPV6, GRE = 4, 6, 17, 41, 47
HERE, PEER = "192.0.2.1", "192.0.2.2"
# Inner source, destination in this host, destination that this host forwards to.
INNER_FROM, INNER_HERE, INNER_ON = "10.9.0.2", "10.0.0.1", "10.9.0.9"
VIRTIO_NEEDS_CSUM, VIRTIO_DATA_VALID = 1, 2

PROTOCOLS = (IPV4, IPV4, IPV6, GRE, TCP, UDP, 1, 2, 44, 51, 58, 60, 132, 136, 255)
LENGTHS = (UDP_LEN + ORDER_LEN,) * 6 + (0, 1, 7, 8, 9, 23, 25, 44, 64, 100, 300, 65535)
STARTS = (20, 20, 40, 24, 44, 0, 1, 4, 21, 100, 1000, 65535)
OFFSETS = (16, 16, 6, 0, 1, 17, 500, -1, -20)
GRO_LENGTHS = (ORDER_LEN,) * 4 + (0, 1, 8, 20, 40, 200, 300, 65535)


@dataclasses.dataclass
class Order:
    """An order to the tunnel: struct Order of the module."""

    on_receive: int
    in_gro: int
    protocol: int
    gro_protocol: int
    length: int
    gro_length: int
    start: int
    field: int
    compute: int

    def to_bytes(self):
        """Returns the order as the tunnel reads it."""
        return struct.pack(
            "!BBBBHHHHBxxx",
            self.on_receive,
            self.in_gro,
            self.protocol,
            self.gro_protocol,
            self.length,
            self.gro_length,
            self.start,
            self.field,
            self.compute,
        )


def random_order(rng):
    """Returns any order."""
    start = rng.choice(STARTS)
    return Order(
        on_receive=rng.randrange(9),
        in_gro=rng.choice((4, rng.randrange(32), rng.randrange(256))),
        protocol=rng.choice(PROTOCOLS),
        gro_protocol=rng.choice((IPV4, IPV6, GRE, TCP, UDP)),
        length=rng.choice(LENGTHS),
        gro_length=rng.choice(GRO_LENGTHS),
        start=start,
        field=min(max(0, start + rng.choice(OFFSETS)), 65535),
        compute=rng.randrange(2),
    )


# An order that a correct tunnel would follow: GRO merges such packets.
SENSIBLE = Order(1, 4, IPV4, IPV4, UDP_LEN + ORDER_LEN, ORDER_LEN, 20, 36, 0)


def ipv4(source, destination, protocol, payload):
    """Returns an IPv4 packet."""
    header = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol)
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    return header + struct.pack("!H", checksum(header + addresses)) + addresses + payload


def pseudo(source, destination, protocol, length):
    """Returns the pseudo header that TCP's and UDP's checksums cover."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    return addresses + struct.pack("!BBH", 0, protocol, length)


def udp(source, destination, port, payload, checked):
    """Returns a UDP datagram, with a checksum or without."""
    length = UDP_LEN + len(payload)
    header = struct.pack("!HHH", 4444, port, length)
    value = 0
    if checked:
        sums = pseudo(source, destination, UDP, length) + header + payload
        value = checksum(sums) or 0xFFFF
    return header + struct.pack("!H", value) + payload


def tcp(source, destination, sequence, payload):
    """Returns a TCP segment with the ACK flag, which GRO merges."""
    header = struct.pack("!HHIIBBH", 1, 2, sequence, 1, 5 << 4, 0x10, 1000)
    sums = pseudo(source, destination, TCP, 20 + len(payload)) + header + bytes(2) + payload
    # The checksum field is left out of the sum, which an even length allows.
    return header + struct.pack("!HH", checksum(sums), 0) + payload


def inner(rng, kind, number):
    """Returns an inner packet of a protocol."""
    to = rng.choice((INNER_HERE, INNER_ON))
    plain = ipv4(INNER_FROM, to, TCP, tcp(INNER_FROM, to, 1000 + 40 * number, bytes(40)))
    if kind == IPV6:
        addresses = socket.inet_pton(socket.AF_INET6, "fd00::9") * 2
        return struct.pack("!IHBB", 6 << 28, 60, TCP, 64) + addresses + bytes(60)
    if kind == GRE:
        return struct.pack("!HH", 0, 0x800) + plain
    if kind == TCP:
        return tcp(PEER, HERE, 1000 + 40 * number, bytes(40))
    if kind == UDP:
        return udp(PEER, HERE, rng.choice((9, PORT)), bytes(40), checked=True)
    return plain if kind == IPV4 else rng.randbytes(rng.choice((0, 8, 60)))


def train(rng, order, checked=True):
    """Yields three frames of one flow with one order, as (virtio header, frame)."""
    state = rng.getstate()
    for number in range(3):
        # The same random choices, so that all three are of one flow.
        rng.setstate(state)
        payload = order.to_bytes() + inner(rng, order.protocol, number)
        packet = ipv4(PEER, HERE, UDP, udp(PEER, HERE, PORT, payload, checked))
        kind = rng.choice((0, 0, VIRTIO_DATA_VALID, VIRTIO_NEEDS_CSUM)) if not checked else 0
        start, offset = 34 + rng.choice((0, 24, 44)), rng.choice((6, 16, 0))
        if kind != VIRTIO_NEEDS_CSUM:
            start = offset = 0
        yield struct.pack("<BBHHHH", kind, 0, 0, 0, start, offset), packet
