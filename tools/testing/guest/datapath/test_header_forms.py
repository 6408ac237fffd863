# SPDX-License-Identifier: GPL-2.0
"""Packets of one flow have one form of GUE header, so that GRO keeps their order."""

import contextlib
import os
import select
import socket
import time

import pytest

from testing.hostile.target import HOST_MAC, PEER_MAC, make_tap
from testing.lib.hosts import Host, is_udp_to, wait_until
from testing.lib.marks import few_on_debug

PORT = 5555
BASE, REMCSUM = 4, 12
# By kind: outer IP version, inner IP version, the device's type.
KINDS = {
    "ipip": (4, 4, "type ipip"),
    "sit": (4, 6, "type sit"),
    "gretap": (4, 4, "type gretap"),
    "ip4ip6": (6, 4, "type ip6tnl mode ipip6 encaplimit none"),
    "ip6gre": (6, 6, "type ip6gre encaplimit none"),
}
SEGMENTATION = ("tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation")
VIRTIO = bytes(10)
ROUNDS = 8


class Way:
    """The path between two hosts: a router segments packets, this program carries them.

      +--------+        +--------+ tap0           tap0 +----------+
      | sender |--eth0--| router |---- this program ---| receiver |
      |        |--eth1--|        | .1               .2 |   GRO    |
      +--------+        +--------+   198.51.100.0/24   +----------+
            192.0.{0,1}.0/24         2001:db8:a::/64
            2001:db8:{0,1}::/64

    The router segments in software the GSO packets that the sender's device passes whole. GRO of
    the receiver's device holds packets.
    """

    def __init__(self, sender, router, receiver):
        self.hosts = self.sender, self.router, self.receiver = sender, router, receiver
        self.taps = (
            make_tap(router, "plain", 0),
            make_tap(receiver, "gro", 20, PEER_MAC),
        )
        self.sent = []
        wires = [(f"eth{n}", f"192.0.{n}.", f"2001:db8:{n}::") for n in (0, 1)]
        for name, v4, v6 in wires:
            sender.batch(
                f"link add {name} type veth peer name {name} netns {router.name}",
                f"addr add {v4}1/24 dev {name}",
                f"addr add {v6}1/64 dev {name} nodad",
                # Neighbour solicitations need a source on eth1; the tunnel's source is on eth0.
                f"addr add fe80::1/64 dev {name} nodad",
                f"link set {name} up",
            )
            router.batch(
                f"addr add {v4}2/24 dev {name}",
                f"addr add {v6}2/64 dev {name} nodad",
                f"link set {name} up",
            )
        for host, number, mac in ((router, 1, PEER_MAC), (receiver, 2, HOST_MAC)):
            host.batch(
                f"addr add 198.51.100.{number}/24 dev tap0",
                f"addr add 2001:db8:a::{number}/64 dev tap0 nodad",
                "link set tap0 up",
                f"neigh replace 198.51.100.{3 - number} lladdr {mac} nud permanent dev tap0",
                f"neigh replace 2001:db8:a::{3 - number} lladdr {mac} nud permanent dev tap0",
            )
        receiver.batch("route add default via 198.51.100.1", "route add default via 2001:db8:a::1")
        router.sysctl("net.ipv4.ip_forward", 1)
        router.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.route_by("eth0")

    def route_by(self, name):
        """Routes the sender's packets by this device."""
        number = name[-1]
        self.sender.batch(
            f"route replace 198.51.100.0/24 via 192.0.{number}.2 dev {name}",
            f"route replace 2001:db8:a::/64 via 2001:db8:{number}::2 dev {name}",
        )

    def make_tunnel(self, kind, csum):
        """Makes a tunnel with remote checksums; returns the receiver's inner address."""
        outer, inner, how = KINDS[kind]
        ends = [("192.0.0.1", "198.51.100.2"), ("2001:db8::1", "2001:db8:a::2")][outer == 6]
        option = "encap-csum" if outer == 4 else "encap-udp6-csum"
        for number, host in ((1, self.sender), (2, self.receiver)):
            local, remote = ends if number == 1 else ends[::-1]
            host.batch(
                f"fou add port {PORT} gue" + (" -6" if outer == 6 else ""),
                f"link add tun1 {how} local {local} remote {remote} encap gue encap-sport auto"
                f" encap-dport {PORT} {'' if csum else 'no'}{option} encap-remcsum",
                f"addr add 10.1.1.{number}/24 dev tun1",
                f"addr add fd00::{number}/64 dev tun1 nodad",
                "link set tun1 up gso_max_segs 4",
            )
        return f"10.1.1.{2}" if inner == 4 else "fd00::2"

    def forms(self, protocol):
        """Returns the header form of each sent packet whose inner packet has an IP protocol."""
        return [form_of(frame) for frame in self.sent if carries(frame, protocol)]

    def carry(self, seconds=0.0):
        """Carries the frames that wait, and those that come within some seconds."""
        deadline = time.monotonic() + seconds
        while True:
            for tap, other in (self.taps, self.taps[::-1]):
                # Reads all frames before it writes one, so that the receiver's GRO sees a train.
                frames = list(self.read(tap))
                for frame in frames:
                    os.writev(other, [VIRTIO, frame])
                if tap == self.taps[0]:
                    self.sent += frames
            left = deadline - time.monotonic()
            if not select.select(self.taps, [], [], max(0, left))[0]:
                return

    @staticmethod
    def read(tap):
        """Yields the frames that a device has sent."""
        with contextlib.suppress(BlockingIOError):
            while True:
                yield os.read(tap, 1 << 16)[len(VIRTIO) :]

    def carry_until(self, condition, what):
        """Carries until a condition holds."""

        def happened():
            self.carry(0.01)
            return condition()

        wait_until(happened, what)

    def connect(self, family, address):
        """Makes a TCP connection; returns both ends."""
        with self.receiver.inside():
            listener = socket.create_server((address, 5000), family=family)
        with self.sender.inside():
            sender = socket.socket(family, socket.SOCK_STREAM)
        sender.setblocking(False)
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender.connect_ex((address, 5000))
        with listener:
            self.carry_until(
                lambda: select.select([listener], [], [], 0)[0], "the connection is made"
            )
            receiver, _ = listener.accept()
        receiver.setblocking(False)
        return sender, receiver


def gue(frame):
    """Returns a frame from the GUE header on."""
    return frame[42 if frame[12:14] == b"\x08\x00" else 62 :]


def form_of(frame):
    """Returns the length of a frame's GUE header."""
    return 4 + 4 * (gue(frame)[0] & 0x1F)


def carries(frame, protocol):
    """Returns whether a frame's inner packet has this protocol."""
    if not is_udp_to(frame, PORT):
        return False
    packet = gue(frame)[form_of(frame) :]
    if gue(frame)[1] == socket.IPPROTO_GRE:
        packet = packet[18 if packet[2:4] == b"\x65\x58" else 4 :]
    return packet[9 if packet[0] >> 4 == 4 else 6] == protocol


@pytest.fixture
def way():
    """A `Way` between two fresh hosts."""
    with contextlib.ExitStack() as stack:
        hosts = []
        for name in ("sender", "router", "receiver"):
            hosts.append(Host(name))
            stack.callback(hosts[-1].remove)
        made = Way(*hosts)
        for tap in made.taps:
            stack.callback(os.close, tap)
        yield made


def segment_in_software(host, name):
    """Has the stack segment the GSO packets of tunnels before this device."""
    host.run("ethtool", "-K", name, *(word for each in SEGMENTATION for word in (each, "off")))


@pytest.mark.rfou_only
@pytest.mark.parametrize("segments", [True, False])
@pytest.mark.parametrize(
    ("kind", "csum"),
    few_on_debug(
        [("ipip", True), ("ipip", False), ("sit", True), ("gretap", True), ("ip4ip6", True)],
        [("ipip", True), ("ip4ip6", True)],
    ),
)
def test_flow_has_one_header_form_and_stays_in_order(way, kind, csum, segments):
    """A flow whose packets had two header forms would be two flows to GRO, which reorders them."""
    # Before the tunnel device's first packet, because rfou keeps the form for up to a second.
    if not segments:
        segment_in_software(way.sender, "eth0")
    address = way.make_tunnel(kind, csum)
    family = socket.AF_INET if KINDS[kind][1] == 4 else socket.AF_INET6
    sender, receiver = way.connect(family, address)
    with sender, receiver:
        mss = sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        # A full packet without PSH, which GRO holds; GSO packets, whose last segments have PSH; and
        # 100 bytes that fit one packet.
        pieces = [(os.urandom(mss), socket.MSG_MORE), (os.urandom(8 * mss + 100), 0)]
        sent = b"".join(piece for piece, _ in pieces)
        for _ in range(ROUNDS):
            assert all(sender.send(*piece) == len(piece[0]) for piece in pieces)
            data = b""
            while len(data) < len(sent):
                way.carry_until(lambda: select.select([receiver], [], [], 0)[0], "data arrives")
                data += receiver.recv(1 << 16)
            assert data == sent
            # Carries the acknowledgement, so that the sender sends the next data at once.
            way.carry(0.03)
    forms = way.forms(socket.IPPROTO_TCP)
    assert len(forms) > 9 * ROUNDS
    assert set(forms) == {BASE if segments else REMCSUM}
    assert way.receiver.snmp("TcpExtTCPOFOQueue") == 0
    assert way.receiver.snmp("TcpInCsumErrors") == way.receiver.snmp("UdpInCsumErrors") == 0


def form_now(way, address):
    """Sends small packets to an inner address; returns the header form of the first that leaves."""
    way.sent.clear()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with way.sender.inside():
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with sender:

        def has_left():
            # Sends again until the neighbour is known.
            sender.sendto(b"?", (address, 9))
            way.carry(0.01)
            return way.forms(socket.IPPROTO_UDP)

        wait_until(has_left, "a packet leaves")
    return way.forms(socket.IPPROTO_UDP)[0]


@pytest.mark.rfou_only
@pytest.mark.parametrize("kind", ["ipip", "ip4ip6"])
def test_header_form_follows_the_route_within_a_second(way, kind):
    """The route moves to a device without segmentation, and back.

    Then that device stops segmenting.
    """
    address = way.make_tunnel(kind, csum=True)
    segment_in_software(way.sender, "eth1")
    changes = [
        (lambda: way.route_by("eth1"), REMCSUM),
        (lambda: way.route_by("eth0"), BASE),
        (lambda: segment_in_software(way.sender, "eth0"), REMCSUM),
    ]
    assert form_now(way, address) == BASE
    for change, form in changes:
        change()
        start = time.monotonic()
        wait_until(lambda form=form: form_now(way, address) == form, "the form changes")
        assert time.monotonic() - start < 1.5
        # No later packet has the former form.
        assert {form_now(way, address) for _ in range(10)} == {form}


@pytest.mark.rfou_only
# 32 tunnels take two minutes on the debug kernel.
@pytest.mark.soak_on_debug
def test_tunnels_side_by_side_have_forms_of_their_own(way):
    """Some tunnels use a device with segmentation, some one without, and one tunnel uses both."""
    segment_in_software(way.sender, "eth1")
    forms = {}
    for number in range(2, 34):
        device = number % 2
        forms[f"10.1.{number}.2"] = REMCSUM if device else BASE
        way.sender.batch(
            f"route add 198.51.100.{number}/32 via 192.0.{device}.2 dev eth{device}",
            f"link add tun{number} type ipip local 192.0.0.1 remote 198.51.100.{number}"
            f" encap gue encap-sport auto encap-dport {PORT} encap-csum encap-remcsum",
            f"addr add 10.1.{number}.1/24 dev tun{number}",
            f"link set tun{number} up",
        )
        way.router.ip("neigh", "replace", f"198.51.100.{number}", "lladdr", PEER_MAC, "dev", "tap0")
    # An NBMA tunnel, which sends to the inner next hop.
    way.sender.batch(
        f"link add nbma type ipip local 192.0.0.1 encap gue encap-sport auto encap-dport {PORT}"
        " encap-csum encap-remcsum",
        "addr add 10.2.0.1/32 dev nbma",
        "link set nbma up",
        *(f"route add 10.2.0.{n}/32 via 198.51.100.{n} dev nbma onlink" for n in (2, 3)),
    )
    forms |= {"10.2.0.2": BASE, "10.2.0.3": REMCSUM}
    for _ in range(3):
        assert {address: form_now(way, address) for address in forms} == forms
