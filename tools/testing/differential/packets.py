# SPDX-License-Identifier: GPL-2.0
"""Generate packets for receive.py: packets OUTPUT [--seed N] [--count N]

The first packets are always the same: one of each format, cut at each byte, with a wrong outer UDP
length or checksum, and UDP and GRE in GUE with a wrong checksum. N random packets follow for each
--seed: valid ones, valid ones with a field changed, cut short, or with noise after the UDP header.
Each packet is a line of JSON: [kind, IP version, bytes in hexadecimal]. The same seeds give the
same packets.
"""

import argparse
import itertools
import json
import random
import struct

from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Raw

from testing.differential.ports import PORTS
from testing.lib.checksum import add_up, fold


def inner(rng):
    """Returns an inner packet: protocol, bytes, and its checksum's offset and start, or None."""
    version = rng.choice((4, 6))
    data = rng.randbytes(rng.choice((0, 1, 2, 7, 20, 64, 200)))
    if version == 4:
        head, length = IP(src="10.1.1.1", dst="10.1.1.2", id=1, tos=rng.choice((0, 1, 2, 3))), 20
    else:
        head, length = IPv6(src="fd00::1", dst="fd00::2", tc=rng.choice((0, 1, 2, 3))), 40
    kind = rng.choice(("tcp", "udp", "echo"))
    if kind == "tcp":
        packet, field = head / TCP(sport=1000, dport=9, flags="S") / data, length + 16
    elif kind == "udp":
        packet, field = head / UDP(sport=1000, dport=9) / data, length + 6
    elif version == 4:
        packet, field = head / ICMP(id=1) / data, None
    else:
        packet, field = head / ICMPv6EchoRequest(id=1, data=data), None
    packet = bytes(packet)
    if rng.random() < 0.3:
        proto = 0x0800 if version == 4 else 0x86DD
        gre = bytes(GRE(proto=proto))
        if field is not None:
            field += len(gre)
        return 47, gre + packet, field and (field, len(gre) + length)
    return (4 if version == 4 else 41), packet, field and (field, length)


def seed_of(payload, field, start):
    """Returns the payload with the pseudo header's sum in its checksum, left to the receiver."""
    data = bytearray(payload)
    check = int.from_bytes(data[field : field + 2], "big")
    total = add_up(bytes(data[start:field]) + b"\0\0" + bytes(data[field + 2 :]))
    # check = ~(pseudo + total), so pseudo = ~check - total.
    pseudo = fold((check ^ 0xFFFF) + (total ^ 0xFFFF))
    data[field : field + 2] = pseudo.to_bytes(2, "big")
    return bytes(data)


def gue(rng):
    """Returns a GUE packet from the GUE header on."""
    protocol, payload, checksum = inner(rng)
    if rng.random() < 0.15 and protocol != 47:
        return payload
    first, flags, fields = 0, 0, b""
    if checksum and rng.random() < 0.5:
        field, start = checksum
        payload = seed_of(payload, field, start)
        flags, fields = 1, struct.pack("!IHH", 0x80000000, start, field)
    elif rng.random() < 0.1:
        flags, fields = 1, bytes(4)
    fields += rng.randbytes(4 * rng.choice((0, 0, 0, 1, 2, 5)))
    if rng.random() < 0.05:
        first |= 0x20
    if rng.random() < 0.1:
        protocol = rng.choice((0, 1, 17, 59, 200, 201))
    return struct.pack("!BBH", first | len(fields) // 4, protocol, flags) + fields + payload


def datagram(rng, version, port, payload):
    """Returns an IP packet with a UDP datagram whose checksum is set or zero."""
    udp = UDP(sport=40000 + rng.randrange(1000), dport=port)
    if rng.random() < 0.5:
        udp.chksum = 0
    tos = rng.choice((0, 0, 0, 1, 2, 3))
    return bytes(outer(version, tos) / udp / payload)


def outer(version, tos=0):
    """Returns the outer IP header of a UDP datagram."""
    if version == 4:
        return IP(src="192.0.2.1", dst="192.0.2.2", id=1, proto=17, tos=tos)
    return IPv6(src="2001:db8::1", dst="2001:db8::2", nh=17, tc=tos)


def addresses(version):
    """Returns the outer IP header's source and destination."""
    return bytes(outer(version))[12:20] if version == 4 else bytes(outer(version))[8:40]


def verified_in_gue(version, protocol, wrong=0):
    """Returns a GUE header with a remote checksum, and UDP to a closed port or GRE of no tunnel.

    The remote checksum covers the bytes after the first 12, and its field is the last two of them.
    Once the field is filled in, UDP's or GRE's own checksum is right, or wrong by `wrong`.
    """
    rest = b"remcsum of" + bytes(2)
    if protocol == 17:
        first = bytearray(struct.pack("!HHHHHH", 7, 9, 12 + len(rest), 0x1234, 0, 0))
        pseudo = add_up(addresses(version)) + 17 + 12 + len(rest)
    else:
        first, pseudo = bytearray.fromhex("a00008000000000000000000"), 0
    # With the field written, `rest` adds up to 0.
    balance = fold(pseudo + add_up(first)) ^ 0xFFFF
    struct.pack_into("!H", first, 8, (balance + wrong) % 0xFFFF)
    header = (2, protocol, 1, 0x80000000, 12, 12 + len(rest) - 2)
    return struct.pack("!BBHIHH", *header) + bytes(first) + rest


def formats(version, how):
    """Returns one UDP payload of each format that a port takes."""
    head = IP(src="10.1.1.1", dst="10.1.1.2", id=1)
    v4 = bytes(head / ICMP(id=1) / b"four")
    v6 = bytes(IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(id=1, data=b"six"))
    gre = bytes(GRE(proto=0x0800)) + v4
    if not how.startswith("gue"):
        return [{"4": v4, "41": v6, "47": gre}.get(how.split()[1], b"of no protocol")]
    tcp = seed_of(bytes(head / TCP(sport=1000, dport=9) / b"tcp"), 36, 20)
    # The source port makes the checksum 0.
    zero = bytearray(seed_of(bytes(head / UDP(sport=0, dport=9) / b"zero"), 26, 20))
    struct.pack_into("!H", zero, 20, add_up(zero[20:]) ^ 0xFFFF)
    return [
        v4,
        v6,
        bytes.fromhex("00040000") + v4,
        bytes.fromhex("00290000") + v6,
        bytes.fromhex("02040000deadbeefcafef00d") + v4,
        bytes.fromhex("002f0000") + gre,
        bytes.fromhex("020400018000000000140024") + tcp,
        bytes.fromhex("030400018000000000150024deadbeef") + tcp,
        bytes.fromhex("02040001800000000014001a") + bytes(zero),
        bytes.fromhex("00110000") + bytes(outer(version) / UDP(sport=7, dport=9) / b"udp")[-11:],
        verified_in_gue(version, 17),
        verified_in_gue(version, 47),
    ]


def around(version, port, payload, length=None, change=0, zero=False):
    """Returns an IP packet whose UDP length is `length`, with a change to the checksum."""
    whole = 8 + len(payload)
    length = whole if length is None else length
    udp = struct.pack("!HHHH", 40000, port, length, 0)
    # The checksum covers `length` bytes, or those of them that exist.
    total = add_up(addresses(version)) + 17 + length + add_up((udp + payload)[: length or whole])
    check = 0 if zero else (fold(total) ^ 0xFFFF or 0xFFFF) ^ change
    return bytes(outer(version) / Raw(udp[:6] + struct.pack("!H", check) + payload))


def systematic():
    """Yields one packet of each format to each port, and its faulty variants."""
    for port, (version, how) in PORTS.items():
        for payload in formats(version, how):
            for zero in (False, True):
                yield how, version, "whole", around(version, port, payload, zero=zero)
                for cut in range(len(payload)):
                    packet = around(version, port, payload[:cut], zero=zero)
                    yield how, version, "cut at each byte", packet
                whole = len(payload) + 8
                for length in (0, 1, 7, 8, 9, 12, whole - 1, whole + 1, 0xFFFF):
                    packet = around(version, port, payload, length, zero=zero)
                    yield how, version, "outer length wrong", packet
            for change in (0x0001, 0x0100, 0x8000, 0x1234):
                packet = around(version, port, payload, change=change)
                yield how, version, "outer checksum wrong", packet
        if how.startswith("gue"):
            for protocol, wrong in itertools.product((17, 47), (1, 0x0100, 0x8000)):
                packet = around(version, port, verified_in_gue(version, protocol, wrong))
                yield how, version, "checksum within wrong", packet
        # IP checks its own length first.
        packet = around(version, port, formats(version, how)[0])
        for cut in range(len(packet)):
            yield how, version, "outer packet cut at each byte", packet[:cut]


def packets(seeds, count):
    """Yields the fixed packets, and the random ones of each seed: kind, IP version, bytes."""
    for how, version, kind, packet in systematic():
        yield f"{how}, IPv{version}: {kind}", version, packet
    for seed in seeds:
        yield from random_packets(random.Random(seed), count)


def random_packets(rng, count):
    """Yields `count` packets, which depend on the random number generator alone."""
    for _ in range(count):
        port = rng.choice(list(PORTS))
        version, how = PORTS[port]
        if how.startswith("gue"):
            payload, area = gue(rng), 24
        else:
            payload, area = inner(rng)[1], 8
        kind = rng.choice(("valid", "field", "field", "cut", "noise"))
        if kind == "field":
            data = bytearray(payload)
            for _ in range(rng.choice((1, 1, 2))):
                at = rng.randrange(min(area, len(data)))
                data[at] = rng.choice(
                    (0, 1, 0xFF, rng.randrange(256), data[at] ^ 1 << rng.randrange(8))
                )
            payload = bytes(data)
        elif kind == "cut":
            payload = payload[: rng.randrange(len(payload))]
        elif kind == "noise":
            payload = rng.randbytes(rng.randrange(80))
        packet = datagram(rng, version, port, payload)
        if kind == "cut" and rng.random() < 0.2:
            packet = packet[: (20 if version == 4 else 40) + rng.randrange(12)]
            kind = "IP packet cut"
        yield f"{how}, IPv{version}: {kind}", version, packet


def main():
    """Writes the packets to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    parser.add_argument("--seed", type=int, action="append", required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    with open(options.output, "w", encoding="ascii") as output:
        for kind, version, packet in packets(options.seed, options.count):
            output.write(json.dumps([kind, version, packet.hex()]) + "\n")


if __name__ == "__main__":
    main()
