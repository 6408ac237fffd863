# SPDX-License-Identifier: GPL-2.0
"""Make the packets of all paths: packets FOLDER

A file for each kind, as the generator takes them.
"""

import itertools
import pathlib
import struct
import sys

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from bench.paths import (
    COUNTS,
    COVERING,
    ETHERNET_DEVICES,
    FULL,
    GENEVE_SAMPLE,
    GSO_BYTES,
    GUE_ETHERNET,
    PIECES,
    PROTECTED,
    SMALL,
    SPREAD_FLOWS,
    TRAIN,
    all_paths,
    all_references,
    covering_paths,
    device_paths,
    ethernet_paths,
    protected_paths,
    reassembly_paths,
)
from bench.wire import (
    COOKIE,
    FOU_PORT,
    GENEVE_PORT,
    GUE_PORT,
    HMAC_KEY,
    INNER_LOCAL,
    INNER_MAC,
    INNER_REMOTE,
    KEY_ID,
    LOCAL,
    LOWEST_SOURCE_PORT,
    MAC,
    PEER_MAC,
    REMOTE,
    TUNNEL_MAC,
    VXLAN_PORT,
)
from testing.lib.gue_peer import build, fragments
from testing.lib.gue_values import Header, Hmac, Outer

PORTS = {"fou": FOU_PORT, "vxlan": VXLAN_PORT, "geneve": GENEVE_PORT, GENEVE_SAMPLE: GENEVE_PORT}
VXLAN = bytes.fromhex("0800000000000100")
GENEVE = bytes.fromhex("0000655800000100")
# GUE and EtherIP.
GUE_ETHER_IP = bytes.fromhex("006100003000")
GUE = bytes.fromhex("00040000")
GUE_WITH_ID = bytes.fromhex("0104800000000001")

NEEDS_CSUM, DATA_VALID = 1, 2
GSO_TCPV4 = 1
# Room for headers of Ethernet, IPv6, UDP, Geneve, Ethernet, IPv4 and TCP, and some bytes more.
MOST_HEADERS = 160


def record(data, linear, flags=0, gso=0, header_len=0, gso_size=0, start=0, offset=0):
    """A packet as the generator takes it."""
    virtio = struct.pack("<BBHHHH", flags, gso, header_len, gso_size, start, offset)
    return struct.pack("<IH", len(data), min(linear, len(data))) + virtio + bytes(data)


def address(flow):
    """Return the ports of an inner flow."""
    return {"sport": 1024 + flow % 40000, "dport": 9 + flow // 40000}


def sum_of(data):
    """The sum of 16-bit words, folded."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def left_to_compute(packet, number, field):
    """Return the packet with a partial transport checksum: the pseudo header's sum."""
    data = bytearray(packet)
    pseudo = bytes(data[12:20]) + struct.pack("!HH", number, len(data) - 20)
    struct.pack_into("!H", data, 20 + field, sum_of(pseudo))
    return bytes(data)


def inner_udp(flow, size):
    """An IPv4 packet of this length."""
    head = IP(src=INNER_REMOTE, dst=INNER_LOCAL, flags="DF", id=0)
    return bytes(head / UDP(**address(flow)) / bytes(size - 28))


def inner_tcp(flow, size, number=0, push=False):
    """An IPv4 packet of this length, with the segment of this number."""
    head = IP(src=INNER_REMOTE, dst=INNER_LOCAL, flags="DF", id=0)
    payload = size - 40
    flags = "PA" if push else "A"
    segment = TCP(**address(flow), seq=1 + number * payload, ack=1, flags=flags)
    return bytes(head / segment / bytes(payload))


def outer(encap, version, flow, inner, checksum, transport):
    """The frame on the wire around an inner packet."""
    link = Ether(src=PEER_MAC, dst=MAC)
    if version == 4:
        head = IP(src=REMOTE[4], dst=LOCAL[4])
    else:
        head = IPv6(src=REMOTE[6], dst=LOCAL[6])
        checksum = True
    if encap == "plain":
        head = link / head
        head.payload.overload_fields = {}
        head.lastlayer().fields["proto" if version == 4 else "nh"] = 4
        return bytes(head / inner)
    udp = UDP(sport=LOWEST_SOURCE_PORT + flow % 28000, dport=PORTS.get(encap, GUE_PORT))
    if not checksum:
        udp.chksum = 0
    if encap in ETHERNET_DEVICES:
        inner = bytes(Ether(src=INNER_MAC, dst=TUNNEL_MAC) / IP(inner))
        header = {"vxlan": VXLAN, GUE_ETHERNET: GUE_ETHER_IP}.get(encap, GENEVE)
        return bytes(link / head / udp / header / inner)
    if encap == "gue-remcsum":
        number, field = transport
        inner = left_to_compute(inner, number, field)
        gue = struct.pack("!IIHH", 0x02040001, 0x80000000, 20, 20 + field)
    else:
        gue = {"gue": GUE, "gue-local": GUE, "gue-id": GUE_WITH_ID}.get(encap, b"")
    if encap in (*PROTECTED, COVERING):
        return bytes(link / head / udp / protected(encap, version, inner))
    return bytes(link / head / udp / gue / inner)


def protected(encap, version, inner):
    """The packet of a device that protects its packets."""
    if encap == "gue-cookie":
        header = Header(cookie=COOKIE)
    else:
        header = Header(hmac=Hmac(KEY_ID, length=len(inner) if encap == COVERING else 0))
    return build(header, inner, Outer(REMOTE[version], LOCAL[version]), HMAC_KEY)


def receive(path):
    """Packets that arrive, each of a flow of its own."""
    checksum = path.encap == "gue-remcsum"
    for flow in range(path.flows):
        inner = inner_udp(flow, path.size)
        frame = outer(path.encap, path.version, flow, inner, checksum, (17, 6))
        verified = DATA_VALID if checksum or path.version == 6 else 0
        # All of a small packet is linear, as in the path that this one is compared with.
        longer = 0
        if path.encap == COVERING:
            longer = len(protected(path.encap, path.version, inner)) - len(GUE) - len(inner)
        yield record(frame, MOST_HEADERS + longer, verified)


def reassembly(path):
    """Make a packet that arrives whole, in GUE fragments, or in outer IP fragments."""
    inner = inner_udp(0, path.size)
    link, head = Ether(src=PEER_MAC, dst=MAC), IP(src=REMOTE[4], dst=LOCAL[4])
    udp = UDP(sport=LOWEST_SOURCE_PORT, dport=GUE_PORT, chksum=0)
    # A multiple of 8. Two halves also have room for the UDP and GUE headers, which IP cuts too.
    half = path.size // 2 + 12
    if path.encap == "gue-in-pieces":
        packets = [head / udp / data for data in fragments(Header(), inner, half, None)]
    elif path.encap == "gue-in-ip-fragments":
        packets = (head / udp / GUE / inner).fragment(half)
    else:
        packets = [head / udp / GUE / inner]
    assert len(packets) == PIECES[path.encap]
    for packet in packets:
        yield record(bytes(link / packet), MOST_HEADERS)


def gro(path):
    """Make a train of TCP segments whose outer checksum a device has verified."""
    for number in range(TRAIN):
        inner = inner_tcp(0, path.size, number, number == TRAIN - 1)
        frame = outer(path.encap, path.version, 0, inner, True, (6, 16))
        yield record(frame, len(frame) - path.size + 40, DATA_VALID)


def to_tunnel(path, packet, number, field, **gso):
    """A packet for a tunnel device, with its checksum left to be computed."""
    data, front = left_to_compute(packet, number, field), 0
    if path.encap in ETHERNET_DEVICES:
        front = 14
        data = bytes(Ether(src=TUNNEL_MAC, dst=INNER_MAC, type=0x0800)) + data
    if gso:
        gso["header_len"] += front
    # A small packet is linear, as a UDP socket makes it. Of a large one, as a network card may
    # have received it, the headers are linear.
    linear = len(data) if path.size == SMALL else front + 40
    return record(data, linear, NEEDS_CSUM, start=front + 20, offset=field, **gso)


def transmit(path):
    """Packets for a tunnel device, each of a flow of its own."""
    for flow in range(path.flows):
        yield to_tunnel(path, inner_udp(flow, path.size), 17, 6)


def gso(path):
    """A GSO packet for a tunnel device."""
    options = {"gso": GSO_TCPV4, "header_len": 40, "gso_size": FULL - 40}
    yield to_tunnel(path, inner_tcp(0, path.size), 6, 16, **options)


def spread():
    """Small packets of many flows."""
    for flow in range(SPREAD_FLOWS):
        yield record(
            left_to_compute(inner_udp(flow, 64), 17, 6), 64, NEEDS_CSUM, start=20, offset=6
        )


MAKERS = {
    "receive": receive,
    "reassembly": reassembly,
    "gro": gro,
    "transmit": transmit,
    "gso": gso,
    "gso-segmented": gso,
}


def main():
    """Write the files."""
    assert GSO_BYTES < 1 << 16 and TRAIN > 1 and set(MAKERS) == set(COUNTS)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    done = set()
    paths = [*all_paths(), *device_paths()]
    paths += [*protected_paths(), *itertools.chain.from_iterable(covering_paths())]
    paths += ethernet_paths()
    # Paths of reassembly are compared only with each other, so they need no references.
    paths += [*all_references(paths), *reassembly_paths()]
    for path in paths:
        if path.frames not in done:
            done.add(path.frames)
            (folder / path.frames).write_bytes(b"".join(MAKERS[path.direction](path)))
    (folder / "spread").write_bytes(b"".join(spread()))


if __name__ == "__main__":
    main()
