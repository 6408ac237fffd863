# SPDX-License-Identifier: GPL-2.0
"""Races of gue devices: devices, namespaces, routes and the module come and go under traffic."""

import contextlib
import itertools
import os
import pathlib
import socket
import time

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.hostile.target import (
    DEVICE_PORT,
    DEVICES,
    HEADER_OF_FRAME,
    HOST_MAC,
    KEYS,
    PEER_MAC,
    VARIANT_1_PORT,
    header_with_key,
    leave_witness,
    target,
    wait_for_witnesses,
    write_frame,
)
from testing.lib import gue_peer
from testing.lib.gue_keys import ACCEPT, BOTH, GueKeys
from testing.lib.gue_link import GueLinks
from testing.lib.gue_values import Header, Outer
from testing.lib.hosts import CommandError, run, wait_until
from testing.lib.roles import all_at_once, insmod, is_loaded, rmmod, rmmod_in_use

pytestmark = [
    pytest.mark.rfou_only,
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

# Packets into each ring of devices.
LOOPING = 2000
ROUTES = {
    "gue4": "10.0.4.0/24",
    "grp4": "10.0.5.0/24",
    "gue6": "fd00:4::/32",
    "grp6": "fd00:5::/32",
    "ext": "10.0.7.0/24 encap ip id 9 dst 192.0.2.2 csum",
    "frg4": "10.0.6.0/24",
    "frg6": "fd00:6::/32",
}
# A header for each of these devices, before an IPv4 packet.
HEADERS = {
    "gue4": ("00040000", "010402000014 0024"),
    "grp4": ("0104800000000007", "0204820000000007 00140024"),
    "gue6": ("00040000", "0204000180000000 00140024"),
    "grp6": ("01048000fedcba98", "03048001fedcba98 80000000 00140024"),
    "key4": (header_with_key("key4").hex(),),
    "key6": (header_with_key("key6").hex(),),
    "frm4": (HEADER_OF_FRAME,),
    "frm6": (HEADER_OF_FRAME,),
    "ext": ("01048000fedcba98", "03048001fedcba98 80000000 00140024"),
}


def frames():
    """Yields packets for the devices: trains that GRO holds."""
    link = Ether(src=PEER_MAC, dst=HOST_MAC)
    for name, headers in HEADERS.items():
        if name.endswith("4"):
            outer = link / IP(src="192.0.2.2", dst="192.0.2.1")
        else:
            outer = link / IPv6(src="2001:db8::2", dst="2001:db8::1")
        for header in headers:
            for number in range(4):
                tcp = TCP(sport=1, dport=2, seq=1 + 500 * number, flags="A")
                # To the host itself, or on through another device.
                for to in ("10.0.0.1", "10.0.5.1"):
                    inner = IP(src="10.0.9.2", dst=to, ttl=9) / tcp / bytes(500)
                    udp = UDP(sport=40000, dport=VARIANT_1_PORT if name == "ext" else DEVICE_PORT)
                    yield bytes(outer / udp / bytes.fromhex(header) / inner)
    yield from pieces()


def pieces():
    """Yields fragments of packets for the devices. Half of the packets stay incomplete."""
    inner = bytes(IP(src="10.0.9.2", dst="10.0.5.1", ttl=9) / UDP(sport=1, dport=2) / bytes(500))
    for device, group in {"gue4": None, "gue6": None, "frg4": 11, "frg6": 11}.items():
        ends = ("192.0.2.2", "192.0.2.1") if device[-1] == "4" else ("2001:db8::2", "2001:db8::1")
        outer = Outer(*ends, sport=40000, dport=DEVICE_PORT)
        for ident in range(4):
            some = gue_peer.fragments(Header(group=group), inner, 200, outer, ident=ident)
            for data in some[:-1] if ident % 2 else some:
                yield bytes(Ether(src=PEER_MAC, dst=HOST_MAC) / outer.packet(data))


def make_namespace(number, *, without_module):
    """Makes, in a child, a namespace that ends with devices and packets on their way.

    without_module: the module may be gone for some of the devices.
    """
    os.unshare(os.CLONE_NEWNET)
    leave_witness(number)
    lines = ["link set lo up"]
    for group, remote in enumerate(("127.0.0.1", "::1"), start=1):
        name = f"ring{group}"
        lines += [
            f"link add {name} type gue id {group} remote {remote}",
            f"addr add 10.7.{group}.1/24 dev {name}",
            f"link set {name} up",
        ]
    # The tunnels of these routes cache outer routes. All end with the namespace.
    lines += [
        "link add ring3 type gue external port 6081 dport 6081",
        "link set ring3 up",
        "route add 10.7.3.0/24 encap ip id 3 dst 127.0.0.1 dev ring3",
        "route add 10.7.4.0/24 encap ip6 id 3 dst ::1 csum dev ring3",
    ]
    # This device is in another namespace. Its outer packets stay in this one, which ends it.
    lines += [
        f"link add away{number} type gue id 3 remote 127.0.0.1",
        f"link set away{number} netns 1",
    ]
    done = run(
        "ip",
        *["-force"] * without_module,
        "-batch",
        "-",
        check=not without_module,
        stdin="".join(f"{line}\n" for line in lines),
    )
    assert done.returncode >= 0, "a signal ended ip"
    # The host forwards each received packet into the device again, until its TTL is 0.
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n", encoding="ascii")
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sent = 0
    for _ in range(30):
        for group in (1, 2, 3, 4):
            try:
                sent += sender.sendto(bytes(100), (f"10.7.{group}.2", 9))
            except OSError:
                if not without_module:
                    raise
    assert sent > 0, "no device was there"


class Roles:
    """Work that processes do at a host under fire, all at the same time."""

    def __init__(self, host, tap, *, without_module=False):
        self.host, self.tap, self.without_module = host, tap, without_module
        self.pieces = [[bytes(10), frame] for frame in frames()]

    def shoot(self):
        """Fires packets for the devices."""
        while True:
            for piece in self.pieces:
                write_frame(self.tap, piece)
            yield

    def send_through(self):
        """Sends packets through the devices."""
        with self.host.inside():
            v4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        while True:
            sent = False
            for number in (4, 5, 6):
                with contextlib.suppress(OSError):
                    sent |= v4.sendto(bytes(1200), (f"10.0.{number}.1", 9)) > 0
                with contextlib.suppress(OSError):
                    sent |= v6.sendto(bytes(1200), (f"fd00:{number}::1", 9)) > 0
            yield sent

    def move_devices(self):
        """Deletes devices and makes them again."""
        for name in itertools.cycle(ROUTES):
            # Without the module, the device is not made, and later not there to delete.
            self.host.ip("link", "del", name, check=False)
            try:
                self.host.batch(
                    f"link add {name} {DEVICES[name]}",
                    f"link set {name} up",
                    f"route add {ROUTES[name]} dev {name}",
                )
            except CommandError:
                yield False
            else:
                yield

    def change_devices(self):
        """Changes devices in place."""
        self.host.enter()
        links = GueLinks()
        for number in itertools.count():
            options = {
                "ttl": number % 200,
                "tos": 4 * (number % 9),
                "dport": DEVICE_PORT + number % 2,
                "remcsum": number % 3,
                "udp_csum": number % 2,
                "udp_zero_csum6_tx": number % 2,
                "udp_zero_csum6_rx": number % 2,
                "df": number % 3,
            }
            changed = 0
            for name in ROUTES:
                # A device in external mode has no other options: they come with each packet.
                of_device = options if name != "ext" else {
                    option: options[option] for option in ("dport", "remcsum", "udp_zero_csum6_rx")
                }  # fmt: skip
                with contextlib.suppress(OSError):
                    links.set(name, **of_device)
                    changed += 1
            yield changed > 0
        links.close()

    def change_keys(self):
        """Sets and deletes keys."""
        self.host.enter()
        keys = GueKeys()
        for number in itertools.count():
            changed = 0
            for name, secret in KEYS.items():
                with contextlib.suppress(OSError):
                    keys.set(name, 2 + number % 3, secret, direction=ACCEPT if number % 2 else BOTH)
                    keys.set(name, 1, secret)
                    changed += 1
                    # Refused in the first two rounds, because there is no such key yet. A module
                    # that comes and goes may leave no time for more rounds.
                    keys.delete(name, 2 + (number + 1) % 3)
            keys.dump()
            yield changed > 0
        keys.close()

    def flap_devices(self):
        """Makes devices and sets them up and down."""
        self.host.enter()
        links = GueLinks()
        # Two devices share the socket of others, and one has a socket of its own.
        mine = {"flap1": {"id": 11}, "flap2": {"id": 12}, "flap3": {"port": 6099}}
        while True:
            flapped = 0
            for name, options in mine.items():
                with contextlib.suppress(OSError):
                    links.add(name, remote="192.0.2.2", **{"port": DEVICE_PORT, **options})
                with contextlib.suppress(OSError):
                    links.up(name)
                    links.up(name, False)
                    flapped += 1
            yield flapped > 0
        links.close()

    def move_routes(self):
        """Changes the routes to the peers and the MTU of their device."""
        peers = ("192.0.2.2/32", "2001:db8::2/128")
        while True:
            for peer in peers:
                self.host.batch(f"route add {peer} dev tap0 mtu 1400", f"route del {peer} dev tap0")
            self.host.batch("link set tap0 mtu 1450", "link set tap0 mtu 1500")
            yield

    def make_namespaces(self):
        """Makes namespaces that end under traffic."""
        for number in itertools.count():
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    make_namespace(number, without_module=self.without_module)
                    status = 0
                finally:
                    os._exit(status)
            yield os.waitpid(child, 0)[1] == 0

    def all(self):
        """Returns the work of each role."""
        return [
            self.shoot,
            self.send_through,
            self.move_devices,
            self.change_devices,
            self.change_keys,
            self.flap_devices,
            self.move_routes,
            self.make_namespaces,
        ]


def away():
    """Returns the devices in this namespace that send to the ended ones."""
    return [path.name for path in pathlib.Path("/sys/class/net").glob("away*")]


def wait_for_namespaces():
    """Waits until every namespace has ended, and with it the devices that send to it."""
    wait_for_witnesses()
    wait_until(lambda: not away(), "the devices end with the namespaces that they send to")


def no_sockets_left(host):
    """Fails if a host without devices has a socket."""
    for name in ("udp", "udp6"):
        assert f":{DEVICE_PORT:04X} " not in host.proc_net(name), host.proc_net(name)


def test_devices_namespaces_and_routes_come_and_go_under_traffic():
    with target("gro", rgue=True) as (host, tap):
        counts = all_at_once(Roles(host, tap).all())
        assert all(counts.values()), f"a role had no effect: {counts}"
        # Inner packets were delivered, and a device that stays has sent.
        assert host.snmp("TcpInSegs") > 0
        # The devices work.
        links = GueLinks(host)
        with contextlib.suppress(OSError):
            links.delete("gue4")
        links.add("gue4", remote="192.0.2.2", port=DEVICE_PORT, up=True)
        wait_until(lambda: shot_arrives(host, tap), "a device receives afterwards")
        for name in (*DEVICES, "flap1", "flap2", "flap3"):
            with contextlib.suppress(OSError):
                links.delete(name)
        links.close()
        no_sockets_left(host)
    wait_for_namespaces()


def shot_arrives(host, tap):
    """Returns whether a packet to the device gue4 is received."""
    before = host.traffic("gue4")["rx"]["packets"]
    write_frame(tap, [bytes(10), next(frames())])
    # GRO holds the packet for two milliseconds.
    time.sleep(0.05)
    return host.traffic("gue4")["rx"]["packets"] > before


def test_module_comes_and_goes_under_traffic():
    rgue = os.environ["RGUE_MODULE_FILE"]

    def reload():
        for number in itertools.count():
            gone = rmmod_in_use("rgue")
            loaded = insmod(rgue)
            yield gone and loaded
            # Time for the other roles: unloading takes a second at least, and much longer on a
            # busy machine.
            time.sleep(2 + 2 * (number % 3))

    try:
        with target("gro", rgue=True) as (host, tap):
            counts = all_at_once([*Roles(host, tap, without_module=True).all(), reload])
            assert all(counts.values()), f"a role had no effect: {counts}"
            rmmod("rgue")
            no_sockets_left(host)
        wait_for_namespaces()
    finally:
        insmod(rgue)
    assert is_loaded("rgue")


@pytest.mark.parametrize("version", [4, 6])
def test_devices_routed_into_themselves_and_each_other_under_load(hosts, version):
    """`self` leads into itself, `one` and `two` into each other, down to the core's limit."""
    h1, _ = hosts
    form = "198.51.100.{}" if version == 4 else "2001:db8:ffff::{}"
    length = 32 if version == 4 else 128
    h1.batch(
        *(
            f"link add {name} type gue id {number} remote {form.format(number)}"
            for number, name in enumerate(("self", "one", "two"), start=1)
        ),
        *(f"link set {name} up" for name in ("self", "one", "two")),
        f"route add {form.format(1)}/{length} dev self",
        f"route add {form.format(2)}/{length} dev two",
        f"route add {form.format(3)}/{length} dev one",
    )
    packet = bytes(IP(src="10.1.1.1", dst="10.1.1.2") / UDP(sport=1, dport=2) / bytes(500))

    def send(name, count):
        with h1.packet_socket(name, 0) as sender:
            for _ in range(count):
                # Refused at the core's limit.
                with contextlib.suppress(OSError):
                    sender.send(packet)

    for name in ("self", "one", "two"):
        send(name, LOOPING)
    own = h1.traffic("self")["tx"]
    assert (own["collisions"], own["packets"]) == (LOOPING, 0), "no packet leaves"
    # Each packet passes both devices more than once.
    for name in ("one", "two"):
        ring = h1.traffic(name)["tx"]
        assert ring["packets"] + ring["errors"] + ring["dropped"] > 3 * LOOPING, ring
    # The devices work when the routes are right.
    h1.batch(
        *(f"route del {form.format(number)}/{length}" for number in (1, 2, 3)),
        f"route add {form.format(2)}/{length} dev eth0",
    )
    before = h1.traffic("one")["tx"]["packets"]
    send("one", 10)
    wait_until(lambda: h1.traffic("one")["tx"]["packets"] == before + 10, "packets leave")
