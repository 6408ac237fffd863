# SPDX-License-Identifier: GPL-2.0
"""Races: ports, namespaces, tunnels and modules come and go under traffic."""

import contextlib
import itertools
import multiprocessing
import os
import pathlib
import socket
import time

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.hostile.target import (
    GUE_PORT,
    HOST_MAC,
    NOPARTIAL_PORT,
    PEER_MAC,
    TUNNELS,
    leave_witness,
    target,
    wait_for_witnesses,
    write_frame,
)
from testing.lib import netlink as nl
from testing.lib.hosts import CommandError, fallback_devices, run
from testing.lib.netlink import Fou
from testing.lib.roles import all_at_once, insmod, is_loaded, rmmod

pytestmark = pytest.mark.rfou_only


@pytest.fixture(autouse=True, scope="module")
def devices_of_each_namespace():
    """Fallback devices in every namespace, as on users' machines."""
    with fallback_devices("everywhere"):
        yield


def of_both_versions(*port):
    """Returns a port's attributes, for IPv4 and for IPv6."""
    return port, (*port, (nl.AF, nl.u8(socket.AF_INET6)))


GUE, GUE6 = of_both_versions((nl.PORT, nl.be16(GUE_PORT)), (nl.TYPE, nl.u8(nl.GUE)))
REMCSUM, REMCSUM6 = of_both_versions(
    (nl.PORT, nl.be16(NOPARTIAL_PORT)), (nl.TYPE, nl.u8(nl.GUE)), (nl.REMCSUM_NOPARTIAL, b"")
)
EXTRA_PORT = 7000
EXTRA, EXTRA6 = of_both_versions(
    (nl.PORT, nl.be16(EXTRA_PORT)), (nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(4))
)


def modules_of_this_run():
    """Returns the files of rfou and rfou6."""
    return os.environ["RFOU_MODULE_FILE"], os.environ["RFOU6_MODULE_FILE"]


def frames():
    """Yields packets for the ports that come and go: trains that GRO holds, of both versions."""
    link = Ether(src=PEER_MAC, dst=HOST_MAC)
    for version in (4, 6):
        if version == 4:
            outer = link / IP(src="192.0.2.2", dst="192.0.2.1")
            inner = IP(src="10.0.9.2", dst="10.0.0.1")
            plain, remcsum = "00040000", "020400018000000000140024"
        else:
            outer = link / IPv6(src="2001:db8::2", dst="2001:db8::1")
            inner = IPv6(src="fd00:9::2", dst="fd00::1")
            plain, remcsum = "00290000", "022900018000000000280038"
        for number in range(4):
            tcp = TCP(sport=1, dport=2, seq=1 + 500 * number, flags="A")
            packet = bytes(inner / tcp / bytes(500))
            for port, head in (
                (GUE_PORT, plain),
                (NOPARTIAL_PORT, remcsum),
                (EXTRA_PORT, ""),
                (EXTRA_PORT, plain),
                (EXTRA_PORT, remcsum),
            ):
                yield bytes(outer / UDP(sport=40000, dport=port) / bytes.fromhex(head) / packet)


def make_namespace(number):
    """Makes, in a child, a namespace that ends with open ports and packets on their way."""
    os.unshare(os.CLONE_NEWNET)
    run("ip", "link", "set", "lo", "up")
    leave_witness(number)
    client = Fou()
    for port in (GUE, EXTRA, GUE6, EXTRA6):
        client.add(*port)
    v4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for _ in range(50):
        for port in (GUE_PORT, EXTRA_PORT):
            v4.sendto(b"\0\4\0\0" + bytes(100), ("127.0.0.1", port))
            v6.sendto(b"\0\x29\0\0" + bytes(100), ("::1", port))


def works(host, tap):
    """Returns the work of the roles at a host under fire."""
    pieces = [[bytes(10), frame] for frame in frames()]

    def shoot():
        while True:
            for piece in pieces:
                write_frame(tap, piece)
            yield

    def send_through():
        with host.inside():
            v4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            v6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        while True:
            # One tunnel may be missing at the moment; the others exist.
            sent = False
            for number in range(1, 4):
                with contextlib.suppress(OSError):
                    sent |= v4.sendto(bytes(1200), (f"10.0.{number}.1", 9)) > 0
                with contextlib.suppress(OSError):
                    sent |= v6.sendto(bytes(1200), (f"fd00:{number}::1", 9)) > 0
            yield sent

    def move_ports():
        host.enter()
        client = Fou()
        for port in (GUE, GUE6, REMCSUM, REMCSUM6, EXTRA, EXTRA6):
            moved = 0
            for move in (client.delete, client.add):
                with contextlib.suppress(OSError):
                    move(*port)
                    moved += 1
            yield moved > 0
        client.close()

    def move_the_same_ports():
        yield from move_ports()

    def make_namespaces():
        for number in itertools.count():
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    make_namespace(number)
                    status = 0
                finally:
                    os._exit(status)
            yield os.waitpid(child, 0)[1] == 0

    def move_tunnels():
        routes = {"tun4": "10.0.1.0/24", "tun6": "fd00:1::/32", "tnl6": "fd00:2::/32"}
        for name in itertools.cycle(routes):
            # Without the module, the tunnel is not made, and later not there to delete.
            host.ip("link", "del", name, check=False)
            try:
                host.batch(
                    f"link add {name} {TUNNELS[name]}",
                    f"link set {name} up",
                    f"route add {routes[name]} dev {name}",
                )
            except CommandError:
                yield False
            else:
                yield

    return [shoot, send_through, move_ports, move_the_same_ports, make_namespaces, move_tunnels]


def test_ports_namespaces_and_tunnels_come_and_go_under_traffic():
    with target("gro") as (host, tap):
        counts = all_at_once(works(host, tap))
        assert all(counts.values()), f"a role had no effect: {counts}"
        # Inner packets were delivered, and a tunnel that stays has sent.
        assert host.snmp("TcpInSegs") > 0
        assert host.traffic("gre4")["tx"]["packets"] > 0
        with host.inside():
            client = Fou()
        client.delete_all()
        client.close()
        assert len(host.proc_net("udp").splitlines()) == 1
        assert len(host.proc_net("udp6").splitlines()) == 1
    wait_for_witnesses()


def test_modules_come_and_go_under_traffic_and_contend():
    rfou, rfou6 = modules_of_this_run()
    # Registering one family, unregistering another and closing a socket at the same moment
    # deadlock the core: Documentation/reports.rst.
    families = multiprocessing.Lock()

    def reload():
        for number in itertools.count():
            rmmod("rfou6")
            contended = number % 2 == 1
            with families:
                gone = rmmod("rfou")
                loaded = not contended and insmod(rfou)
            # Every other time, waits until Linux's fou is loaded, which takes the family's name.
            deadline = time.monotonic() + 10
            while contended and not is_loaded("fou") and time.monotonic() < deadline:
                time.sleep(0.05)
            while not loaded and time.monotonic() < deadline:
                with families:
                    loaded = insmod(rfou)
                time.sleep(0.05)
            yield insmod(rfou6) and gone and loaded
            # Time for the other roles.
            time.sleep(number % 3)

    def contend():
        while True:
            # By modprobe, because the stock kernel's modules are compressed.
            with families:
                run("modprobe", "fou", check=False)
            # A round counts if the module was loaded.
            with families:
                gone = rmmod("fou")
            yield gone

    try:
        with target("gro") as (host, tap):
            counts = all_at_once([*works(host, tap), reload, contend])
            assert all(counts.values()), f"a role had no effect: {counts}"
        wait_for_witnesses()
    finally:
        rmmod("fou")
        insmod(rfou)
        insmod(rfou6)
    assert pathlib.Path("/sys/module/rfou").exists() and pathlib.Path("/sys/module/rfou6").exists()


def test_one_of_two_simultaneous_adds_succeeds(hosts):
    def add(start, outcome):
        hosts[0].enter()
        client = Fou()
        start.wait()
        try:
            client.add(*GUE)
            outcome.value = 1
        except OSError:
            outcome.value = 0

    for _ in range(10):
        start = multiprocessing.Barrier(2)
        outcomes = [multiprocessing.Value("i", -1) for _ in range(2)]
        both = [multiprocessing.Process(target=add, args=(start, each)) for each in outcomes]
        for each in both:
            each.start()
        for each in both:
            each.join()
        assert sorted(each.value for each in outcomes) == [0, 1]
        with hosts[0].inside():
            client = Fou()
        assert len(client.dump()) == 1
        client.delete(*GUE)
        client.close()
