"""Everything at once: ports, namespaces, tunnels and modules come and go under traffic."""

import contextlib
import ctypes
import multiprocessing
import os
import pathlib
import socket
import sys
import time

import fou_netlink as nl
import pytest
from fou_netlink import Fou
from hosts import libc, run
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "hostile"))

from target import GUE_PORT, HOST_MAC, NOPARTIAL_PORT, PEER_MAC, TUNNELS, target  # noqa: E402

pytestmark = pytest.mark.rfou_only

SECONDS = float(os.environ.get("RFOU_TIMING_SECONDS", "10"))
FINIT_MODULE, DELETE_MODULE = 313, 176
O_NONBLOCK = os.O_NONBLOCK


def insmod(path):
    """Load a module; whether it was."""
    with open(path, "rb") as file:
        return libc.syscall(FINIT_MODULE, file.fileno(), b"", 0) == 0


def rmmod(name):
    """Unload a module; whether it was."""
    return libc.syscall(DELETE_MODULE, name.encode(), O_NONBLOCK) == 0


class Role:
    """Work that is done over and over in a process of its own, whatever else goes on."""

    def __init__(self, work, until):
        self.done = multiprocessing.Value(ctypes.c_long, 0)
        self.process = multiprocessing.Process(target=self.run, args=(work, until))
        self.name = work.__name__
        self.process.start()

    def run(self, work, until):
        """In the process."""
        steps = work()
        while time.monotonic() < until:
            # That it is refused, or comes to nothing, is as it should be here.
            with contextlib.suppress(OSError, StopIteration):
                next(steps)
                self.done.value += 1
                continue
            steps.close()
            steps = work()

    def join(self):
        """Wait for its end; how often the work was done."""
        self.process.join(SECONDS + 60)
        assert self.process.exitcode == 0, f"{self.name} did not end: {self.process.exitcode}"
        return self.done.value


GUE = ((nl.PORT, nl.be16(GUE_PORT)), (nl.TYPE, nl.u8(nl.GUE)))
GUE6 = (*GUE, (nl.AF, nl.u8(socket.AF_INET6)))
EXTRA = ((nl.PORT, nl.be16(7000)), (nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(4)))


def modules_of_this_run():
    """The files of rfou and rfou6."""
    return os.environ["RFOU_MODULE_FILE"], os.environ["RFOU6_MODULE_FILE"]


def all_at_once(works):
    """Run work side by side for a while; how often each was done."""
    until = time.monotonic() + SECONDS
    roles = [Role(work, until) for work in works]
    counts = {role.name: role.join() for role in roles}
    print(counts)
    return counts


def frames():
    """Packets for the ports that come and go: a train that GRO holds back, and others."""
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    from scapy.layers.inet import TCP  # noqa: PLC0415

    for number in range(8):
        inner = IP(src="10.0.9.2", dst="10.0.0.1", id=number)
        inner = inner / TCP(sport=1, dport=2, seq=1 + 500 * number, flags="A") / bytes(500)
        for port, head in ((GUE_PORT, "00040000"), (NOPARTIAL_PORT, "020400018000000000140024")):
            gue = bytes.fromhex(head)
            yield bytes(outer / UDP(sport=40000, dport=port) / gue / inner)
        yield bytes(outer / UDP(sport=40000, dport=7000) / inner)


def test_ports_namespaces_and_tunnels_come_and_go_under_traffic():
    with target("gro") as (host, tap):

        def shoot():
            pieces = [[bytes(10), frame] for frame in frames()]
            while True:
                for piece in pieces:
                    os.writev(tap, piece)
                yield

        def send_through():
            with host.inside():
                sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            while True:
                for target_address in ("10.0.1.1", "10.0.2.1", "10.0.3.1"):
                    sender.sendto(bytes(1200), (target_address, 9))
                yield

        def move_ports():
            host.enter()
            client = Fou()
            for port in (GUE, EXTRA, GUE6):
                with contextlib.suppress(OSError):
                    client.delete(*port)
                with contextlib.suppress(OSError):
                    client.add(*port)
                yield
            client.close()

        def move_the_same_ports():
            yield from move_ports()

        def make_namespaces():
            while True:
                child = os.fork()
                if child == 0:
                    os.unshare(os.CLONE_NEWNET)
                    client = Fou()
                    for port in (GUE, EXTRA, GUE6):
                        client.add(*port)
                    # With the ports open, and packets on their way to one.
                    run("ip", "link", "set", "lo", "up")
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
                        b"\0\4\0\0", ("127.0.0.1", GUE_PORT)
                    )
                    os._exit(0)
                os.waitpid(child, 0)
                yield

        def move_tunnels():
            while True:
                host.batch(*(f"link del {name}" for name in ("tun4", "tnl6")))
                host.batch(
                    *(f"link add {name} {TUNNELS[name]}" for name in ("tun4", "tnl6")),
                    "link set tun4 up",
                    "route add 10.0.1.0/24 dev tun4",
                    "link set tnl6 up",
                )
                yield

        counts = all_at_once(
            [shoot, send_through, move_ports, move_the_same_ports, make_namespaces, move_tunnels]
        )
        assert all(counts.values()), f"somebody got nothing done: {counts}"
        with host.inside():
            client = Fou()
        client.delete_all()
        client.close()
        assert len(host.proc_net("udp").splitlines()) == 1
        assert len(host.proc_net("udp6").splitlines()) == 1


def test_modules_come_and_go_under_traffic_and_contend():
    rfou, rfou6 = modules_of_this_run()
    fou = run("modinfo", "-n", "fou").stdout.strip()
    try:
        with target("gro") as (host, tap):

            def shoot():
                pieces = [[bytes(10), frame] for frame in frames()]
                while True:
                    for piece in pieces:
                        os.writev(tap, piece)
                    yield

            def send_through():
                with host.inside():
                    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                while True:
                    sender.sendto(bytes(1200), ("10.0.1.1", 9))
                    yield

            def reload():
                while True:
                    for name, path in (("rfou6", rfou6), ("rfou", rfou)):
                        rmmod(name)
                        if insmod(path):
                            yield

            def contend():
                while True:
                    # Compressed on the stock kernel: modprobe knows how.
                    run("modprobe", "fou", check=False)
                    rmmod("fou")
                    yield

            def open_ports():
                host.enter()
                while True:
                    client = Fou()
                    for port in (GUE, EXTRA):
                        client.add(*port)
                        yield
                    client.close()

            counts = all_at_once([shoot, send_through, reload, contend, open_ports])
            assert all(counts.values()), f"somebody got nothing done: {counts}"
            assert fou
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
