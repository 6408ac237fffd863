# SPDX-License-Identifier: GPL-2.0
"""Frames that a tunnel device sends, for every configuration.

Each observation is of one module; compare.py compares two of them. Input packets come from a packet
socket on the tunnel device. A virtio header asks for segmentation, or for a checksum that is
computed on the way, so the host decides nothing about the packets.
"""

import fcntl
import functools
import hashlib
import itertools
import socket
import struct

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

from testing.lib.checksum import add_up, fold
from testing.lib.hosts import Capture

SOL_PACKET, PACKET_VNET_HDR = 263, 15
SIOCGIFMTU = 0x8921
NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_TCPV6 = 0, 1, 4
PORT = 6080
MSS = 1000

# By kind: outer IP version, inner IP version, whether the inner packet is in an Ethernet frame, and
# the device's type.
KINDS = {
    "ipip": (4, 4, False, "type ipip"),
    "sit": (4, 6, False, "type sit"),
    "gre": (4, 4, False, "type gre"),
    "gre carrying IPv6": (4, 6, False, "type gre"),
    "gretap": (4, 4, True, "type gretap"),
    "ip4ip6": (6, 4, False, "type ip6tnl mode ipip6 encaplimit none"),
    "ip6ip6": (6, 6, False, "type ip6tnl mode ip6ip6 encaplimit none"),
    "ip6ip6 with encaplimit": (6, 6, False, "type ip6tnl mode ip6ip6"),
    "ip6gre": (6, 4, False, "type ip6gre encaplimit none"),
    "ip6gretap": (6, 4, True, "type ip6gretap encaplimit none"),
}
OFFLOADS = ("wire", "software")


@functools.cache
def inner_packets(version, ethernet):
    """The packets to send, each with its virtio header."""
    return list(generate_inner_packets(version, ethernet))


def generate_inner_packets(version, ethernet):
    """Yields the packets, with names."""
    if version == 4:
        head, kind = IP(src="10.1.1.1", dst="10.1.1.2", id=1), GSO_TCPV4
        echo = head / ICMP(id=1) / (b"x" * 56)
    else:
        head, kind = IPv6(src="fd00::1", dst="fd00::2"), GSO_TCPV6
        echo = head / ICMPv6EchoRequest(id=1, data=b"x" * 56)
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") if ethernet else None
    link_len = 14 if ethernet else 0
    ip_len = 20 if version == 4 else 40

    def frame(packet):
        return bytes(link / packet) if ethernet else bytes(packet)

    def virtio(flags=0, gso=GSO_NONE, header=0, size=0, start=0, field=0):
        return struct.pack("<BBHHHH", flags, gso, header, size, start, field)

    start = link_len + ip_len

    def pseudo(packet, protocol):
        """Returns the packet with the pseudo header's sum as its transport checksum."""
        data = bytearray(frame(packet))
        ip = data[link_len:]
        length = len(ip) - ip_len
        addresses = ip[12:20] if version == 4 else ip[8:40]
        total = fold(add_up(addresses) + protocol + length)
        field = 16 if protocol == 6 else 6
        struct.pack_into("!H", data, start + field, total)
        return bytes(data)

    tcp = head / TCP(sport=1000, dport=2000, seq=1, ack=1, flags="PA")
    udp = head / UDP(sport=1000, dport=2000)
    for size in (0, 1, 77, 1000):
        yield (
            f"TCP of {size} bytes, checksum left",
            virtio(NEEDS_CSUM, start=start, field=16) + pseudo(tcp / (b"p" * size), 6),
        )
    yield "TCP, checksum done", virtio() + frame(tcp / (b"p" * 100))
    yield (
        "UDP, checksum left",
        virtio(NEEDS_CSUM, start=start, field=6) + pseudo(udp / (b"q" * 333), 17),
    )
    yield "UDP, checksum done", virtio() + frame(udp / (b"q" * 333))
    yield "echo", virtio() + frame(echo)
    if version == 4:
        yield "UDP, no checksum", virtio() + frame(head / UDP(sport=1000, dport=2000, chksum=0))
    for size in (2 * MSS, 5 * MSS + 123, 60000):
        yield (
            f"TCP of {size} bytes to be segmented",
            virtio(NEEDS_CSUM, kind, start + 20, MSS, start, 16) + pseudo(tcp / (b"g" * size), 6),
        )


def cases():
    """Yields every configuration, by name."""
    for offload, kind, encap, sport, csum, remcsum in itertools.product(
        OFFLOADS, KINDS, ("fou", "gue"), ("auto", 7777), (False, True), (False, True)
    ):
        # A FOU tunnel accepts encap-remcsum and ignores it.
        yield (
            f"{kind}, {encap}, sport {sport}, {'csum' if csum else 'no csum'}, "
            f"{'remcsum' if remcsum else 'no remcsum'}, {offload} segmentation",
            (kind, encap, sport, csum, remcsum, offload),
        )


def make_tunnel(host, kind, encap, sport, csum, remcsum):
    """Makes the tunnel device of a case on the first host, in place of the last one."""
    outer, _, _, how = KINDS[kind]
    ends = (
        "local 192.0.2.1 remote 192.0.2.2 ttl 64"
        if outer == 4
        else "local 2001:db8::1 remote 2001:db8::2 hoplimit 64"
    )
    option = "encap-csum" if outer == 4 else "encap-udp6-csum"
    host.batch(
        "link del tun1",
        f"link add tun1 {how} {ends} encap {encap} encap-sport {sport} encap-dport {PORT}"
        f" {'' if csum else 'no'}{option} {'' if remcsum else 'no'}encap-remcsum",
        "link set tun1 mtu 65000 up" if kind not in ("gretap", "ip6gretap") else "link set tun1 up",
    )


def mtu(sender, device):
    """Returns the MTU of a device of the socket's host."""
    request = fcntl.ioctl(sender, SIOCGIFMTU, struct.pack("16s24x", device.encode()))
    return struct.unpack_from("=i", request, 16)[0]


def mask(frame):
    """Returns a frame without the fields that vary: IP identification and flow label.

    Notes on whether the checksums are right replace the checksums. Long frames are hashed.
    """
    data = bytearray(frame)
    data[0:12] = bytes(12)
    notes = []
    if data[12:14] == b"\x08\x00":
        at, protocol = 34, data[23]
        notes.append("IP good" if add_up(data[14:34]) == 0xFFFF else "IP bad")
        addresses = data[26:34]
        data[18:20] = data[24:26] = b"\0\0"
    else:
        at, protocol = 54, data[20]
        addresses = data[22:54]
        data[15:18] = bytes((data[15] & 0xF0, 0, 0))
        if protocol == 60:
            protocol, at = data[54], 62
    if protocol == 17:
        length = int.from_bytes(data[at + 4 : at + 6], "big") or len(data) - at
        if data[at + 6 : at + 8] == b"\0\0":
            notes.append("UDP zero")
        else:
            pseudo = add_up(addresses) + 17 + length
            if fold(pseudo + add_up(data[at : at + length])) == 0xFFFF:
                notes.append("UDP good")
            else:
                notes.append(f"UDP {data[at + 6 : at + 8].hex()}")
        data[at + 6 : at + 8] = b"\0\0"
    text = data[:160].hex()
    if len(data) > 160:
        text += f"... {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()[:32]}"
    return f"{', '.join(notes)}: {text}"


def observe(hosts, report):
    """Runs all cases; calls report(name, what was seen)."""
    h1, h2 = hosts
    for host in hosts:
        # Without neighbour discovery, only the tunnels' packets are on the wire.
        host.ip("neigh", "replace", "192.0.2.2", "lladdr", h2.mac("eth0"), "dev", "eth0")
        host.ip("neigh", "replace", "2001:db8::2", "lladdr", h2.mac("eth0"), "dev", "eth0")
    # A range of one source port, because a hash would choose another port in each guest, and so
    # another checksum.
    h1.sysctl("net.ipv4.ip_local_port_range", "40000 40000")
    # Without IPv6 addresses, the tunnel devices send no packets of their own.
    h1.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    h1.ip("link", "add", "tun1", "type", "dummy")
    segmentation = None
    for name, (kind, encap, sport, csum, remcsum, offload) in cases():
        if offload != segmentation:
            on = "on" if offload == "wire" else "off"
            h1.run("ethtool", "-K", "eth0", "tx", on, "tso", on, "gso", on)
            for feature in ("tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"):
                h1.run("ethtool", "-K", "eth0", feature, on, check=False)
            segmentation = offload
        make_tunnel(h1, kind, encap, sport, csum, remcsum)
        _, version, ethernet, _ = KINDS[kind]
        with h1.inside():
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sender.bind(("tun1", 0x0800 if version == 4 else 0x86DD))
        seen = [f"mtu {mtu(sender, 'tun1')}"]
        with Capture(h2, "eth0") as capture:
            for what, packet in inner_packets(version, ethernet):
                try:
                    sender.send(packet)
                except OSError as error:
                    seen.append(f"{what}: {error.strerror}")
                    continue
                frames = capture.frames(is_ours, 100, 0)
                seen.extend(f"{what}: {mask(frame)}" for frame in frames)
                if not frames:
                    seen.append(f"{what}: nothing")
        sender.close()
        report(name, seen)


def is_ours(frame):
    """Returns whether a frame is a tunnel's."""
    kind = frame[12:14]
    return (kind == b"\x08\x00" and frame[23] == 17) or (
        kind == b"\x86\xdd" and frame[20] in (17, 60)
    )
