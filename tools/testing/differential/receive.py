# SPDX-License-Identifier: GPL-2.0
"""The fate of packets that arrive at a port: delivered, answered or dropped.

The packets are those that packets.py generated.
"""

import json
import select
import socket
import struct

from testing.differential.ports import PORTS
from testing.lib.hosts import ETH_P_ALL, add_nopartial

SOL_PACKET, PACKET_AUXDATA = 263, 8
STATUS_CSUM_NOT_READY, STATUS_CSUM_VALID = 8, 128
RAW_PROTOCOLS = (4, 41, 47, 200)


def set_up(hosts):
    """Makes ports, and devices for their packets, on the second host.

    h1 eth0 -- packets.py's packets --> eth0 h2: PORTS --> tunnel devices without FOU, raw sockets
       <------------- answers ----------------
    """
    h1, h2 = hosts
    for host in hosts:
        for name, value in {
            "net.ipv4.icmp_ratelimit": 0,
            "net.ipv4.icmp_msgs_per_sec": 1000000,
            "net.ipv4.icmp_msgs_burst": 1000000,
            "net.ipv6.icmp.ratelimit": 0,
            "net.ipv4.tcp_timestamps": 0,
        }.items():
            host.sysctl(name, value)
    for address in ("192.0.2.1", "2001:db8::1"):
        h2.ip("neigh", "replace", address, "lladdr", h1.mac("eth0"), "dev", "eth0")
    for port, (version, how) in PORTS.items():
        add_port(h2, port, version, how)
    outer4 = "local 192.0.2.2 remote 192.0.2.1"
    outer6 = "local 2001:db8::2 remote 2001:db8::1 encaplimit none"
    # The devices have no address, so that they answer nothing.
    h2.batch(
        f"link add d4 type ipip {outer4}",
        f"link add d41 type sit {outer4}",
        f"link add d47 type gre {outer4}",
        f"link add e4 type ip6tnl mode any {outer6}",
        f"link add e47 type ip6gre {outer6}",
        *(f"link set {name} up" for name in ("d4", "d41", "d47", "e4", "e47")),
    )


def add_port(host, port, version, how):
    """Adds one of the ports; iproute2 cannot set `nopartial`."""
    words = how.split()
    if words[-1] != "nopartial":
        host.ip(f"-{version}", "fou", "add", "port", port, *words)
        return
    add_nopartial(host, port, version)


class Watch:
    """Sockets that see a packet's fate."""

    def __init__(self, hosts):
        h1, h2 = hosts
        self.sockets = []
        with h2.inside():
            for name in ("d4", "d41", "d47", "e4", "e47"):
                raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                raw.bind((name, ETH_P_ALL))
                raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
                self.sockets.append((f"device {name}", raw))
            for protocol in RAW_PROTOCOLS:
                raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
                self.sockets.append((f"protocol {protocol}", raw))
                raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
                self.sockets.append((f"protocol {protocol} of IPv6", raw))
        self.wire = h1.packet_socket("eth0")
        self.wire.setblocking(False)
        self.poll = select.poll()
        for _, each in self.sockets:
            each.setblocking(False)
            self.poll.register(each, select.POLLIN)

    def seen(self):
        """Returns what was seen since the last call."""
        found = []
        ready = {number for number, _ in self.poll.poll(0)}
        for name, each in self.sockets:
            while each.fileno() in ready:
                try:
                    data, extra, _, _ = each.recvmsg(1 << 16, 64)
                except BlockingIOError:
                    break
                where = name
                for level, kind, value in extra:
                    if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                        status = struct.unpack_from("=I", value)[0]
                        flags = status & (STATUS_CSUM_NOT_READY | STATUS_CSUM_VALID)
                        where = f"{name}, status {flags}"
                found.append(f"{where}: {data.hex()}")
        while True:
            try:
                data, address = self.wire.recvfrom(1 << 16)
            except BlockingIOError:
                break
            # Without multicast listener reports, which the host may send at any time.
            unasked = data[12:14] == b"\x86\xdd" and data[20] == 0
            if address[2] != socket.PACKET_OUTGOING and not unasked:
                found.append(f"answer: {without_id(data).hex()}")
        return found


def without_id(frame):
    """Returns an answer without the fields that vary.

    These are the hardware addresses, the identification and checksum of IPv4, and the flow label.
    """
    data = bytearray(frame)
    data[0:12] = bytes(12)
    if data[12:14] == b"\x08\x00":
        data[18:20] = data[24:26] = b"\0\0"
    elif data[12:14] == b"\x86\xdd":
        data[15:18] = bytes((data[15] & 0xF0, 0, 0))
    return bytes(data)


def observe(hosts, report, path):
    """Sends all packets; calls report(kind, [packet, what was seen])."""
    h1, h2 = hosts
    set_up(hosts)
    watch = Watch(hosts)
    link = bytes.fromhex((h2.mac("eth0") + h1.mac("eth0")).replace(":", ""))
    with open(path, encoding="ascii") as lines:
        for line in lines:
            kind, version, packet = json.loads(line)
            ethertype = b"\x08\x00" if version == 4 else b"\x86\xdd"
            watch.wire.send(link + ethertype + bytes.fromhex(packet))
            report(kind, [packet, *watch.seen()])
