"""Everything at once: ports, namespaces, tunnels and modules come and go under traffic."""

import contextlib
import ctypes
import itertools
import multiprocessing
import os
import pathlib
import socket
import sys
import time

import fou_netlink as nl
import progress
import pytest
from fou_netlink import Fou
from hosts import CommandError, fallback_devices, libc, run
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "hostile"))

from target import (  # noqa: E402
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

pytestmark = pytest.mark.rfou_only

SECONDS = float(os.environ.get("RFOU_TIMING_SECONDS", "10"))
# What is done over and over without waiting for anything.
QUICK = ("shoot", "send_through", "move_ports", "move_the_same_ports")
# How much longer, at most, for work that a busy machine has not done once by then.
PATIENCE = 90
FINIT_MODULE, DELETE_MODULE = 313, 176
O_NONBLOCK = os.O_NONBLOCK


@pytest.fixture(autouse=True, scope="module")
def devices_of_each_namespace():
    """Here namespaces have all that they have on users' machines."""
    with fallback_devices("everywhere"):
        yield


def insmod(path):
    """Load a module; whether it was."""
    with open(path, "rb") as file:
        return libc.syscall(FINIT_MODULE, file.fileno(), b"", 0) == 0


def rmmod(name):
    """Unload a module; whether it was."""
    return libc.syscall(DELETE_MODULE, name.encode(), O_NONBLOCK) == 0


def is_loaded(name):
    """Whether a module is there."""
    return pathlib.Path("/sys/module", name).exists()


class Role:
    """Work that is done over and over in a process of its own, whatever else goes on.

    It yields after each time, and False if it came to nothing.
    """

    def __init__(self, work, over):
        self.done = multiprocessing.Value(ctypes.c_long, 0)
        self.name = work.__name__
        self.process = multiprocessing.Process(target=self.run, args=(work, over))
        self.process.start()

    def run(self, work, over):
        """In the process."""
        if self.name in QUICK:
            # Or those whose work takes long get little done, or nothing.
            os.nice(5)
        steps = work()
        while not over.value:
            # That it is refused, or comes to nothing, is as it should be here.
            with contextlib.suppress(OSError, StopIteration):
                self.done.value += next(steps) is not False
                continue
            steps.close()
            steps = work()

    def join(self):
        """Wait for its end; how often the work was done."""
        progress.report(f"{self.name} ends")
        self.process.join(60)
        assert self.process.exitcode == 0, f"{self.name} did not end: {self.process.exitcode}"
        return self.done.value


def of_both_versions(*port):
    """A port's attributes, for IPv4 and for IPv6."""
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
    """The files of rfou and rfou6."""
    return os.environ["RFOU_MODULE_FILE"], os.environ["RFOU6_MODULE_FILE"]


def all_at_once(works):
    """Run work side by side for a while, and until each was done once; how often each was."""
    over = multiprocessing.RawValue(ctypes.c_bool, False)
    start = time.monotonic()
    roles = [Role(work, over) for work in works]
    while True:
        done = {role.name: role.done.value for role in roles}
        progress.report(f"all at once: {done}")
        passed = time.monotonic() - start
        if passed >= SECONDS and all(done.values()) or passed >= SECONDS + PATIENCE:
            break
        time.sleep(0.2)
    over.value = True
    counts = {role.name: role.join() for role in roles}
    print(counts)
    return counts


def frames():
    """Packets for the ports that come and go: trains that GRO holds back, of both versions."""
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
    """In a process: a namespace that dies with its ports open, and packets on their way to them."""
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
    """What is done at a host under fire."""
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
            # A tunnel may be away just now; the others are not.
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
            # Without the module it cannot be made, and then not be taken away.
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
        assert all(counts.values()), f"somebody got nothing done: {counts}"
        # What was within the packets for the ports, and a tunnel that stays.
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
    # One family that is registered, another that is unregistered, and a socket that is closed at that
    # moment are a deadlock of the core: Documentation/reports.rst.
    families = multiprocessing.Lock()

    def reload():
        for number in itertools.count():
            rmmod("rfou6")
            contended = number % 2 == 1
            with families:
                gone = rmmod("rfou")
                loaded = not contended and insmod(rfou)
            # Every other time Linux's fou gets the time to be loaded. While it is, its name is taken.
            deadline = time.monotonic() + 10
            while contended and not is_loaded("fou") and time.monotonic() < deadline:
                time.sleep(0.05)
            while not loaded and time.monotonic() < deadline:
                with families:
                    loaded = insmod(rfou)
                time.sleep(0.05)
            yield insmod(rfou6) and gone and loaded
            # And the others have some.
            time.sleep(number % 3)

    def contend():
        while True:
            # Compressed on the stock kernel: modprobe knows how.
            with families:
                run("modprobe", "fou", check=False)
            # And counted when it was there.
            with families:
                gone = rmmod("fou")
            yield gone

    try:
        with target("gro") as (host, tap):
            counts = all_at_once([*works(host, tap), reload, contend])
            assert all(counts.values()), f"somebody got nothing done: {counts}"
        wait_for_witnesses()
    finally:
        rmmod("fou")
        insmod(rfou)
        insmod(rfou6)
    assert pathlib.Path("/sys/module/rfou").exists() and pathlib.Path("/sys/module/rfou6").exists()


def test_one_of_two_who_add_the_same_port_at_once_gets_it(hosts):
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
