"""A module of safe code that misuses rust/net: none of what it does harms the kernel.

The checkers of the debug kernel must have nothing to report. It leaks what it forgets, so leaks are
looked for in other guests.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import random
import re
import socket
import struct
import subprocess
import threading
import time

import pytest
from fou_netlink import (
    NETLINK_GENERIC,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    GenericNetlink,
    NetlinkError,
)
from hosts import Host, make_netns, remove_netns, run, wait_until
from misuse_packets import HERE, PEER, SENSIBLE, random_order, train
from target import HOST_MAC, PEER_MAC, make_tap, wait_for_witnesses, witness

pytestmark = pytest.mark.rfou_only

KERNEL = os.environ["RFOU_KERNEL"]
MODULE = pathlib.Path(__file__).parents[3] / "build" / KERNEL / "misuse" / "misuse.ko"
# As in the module.
SOCKETS, PACKETS, FAIL_DURING_A_DUMP, TWICE, FAMILY_ALONE, LATE = range(1, 7)
FAIL_AFTER = 100
STEPS = 4
SOCKET_PORTS = range(7001, 7005)
FAMILY_PORT = 7005
TRAINS = {"stock": 600, "debug": 200}[KERNEL]


def load(case, check=True):
    """Load the module for one case."""
    return run("insmod", MODULE, f"case={case}", check=check)


def is_loaded():
    """Whether the module is there."""
    return pathlib.Path("/sys/module/misuse").exists()


@contextlib.contextmanager
def loaded(case):
    """In this context the module is loaded."""
    load(case)
    try:
        yield
    finally:
        if is_loaded():
            run("rmmod", "misuse")


def family():
    """A netlink socket for the module's family, or None if there is none."""
    try:
        return GenericNetlink("misuse")
    except NetlinkError as error:
        assert error.errno == errno.ENOENT
        return None


def has_family():
    """Whether the module's netlink family is registered."""
    client = family()
    if client:
        client.close()
    return client is not None


def is_open(host, port):
    """Whether a host has a UDP socket on a port."""
    return f":{port:04X} " in host.proc_net("udp")


def last_words():
    """The numbers in the last line that the module left in the log."""
    lines = [line for line in run("dmesg").stdout.splitlines() if "misuse: received" in line]
    said = lines[-1].partition("misuse: ")[2]
    return {name: int(number) for name, number in re.findall(r"(\w[\w ]*) (\d+)", said)}


class Flood(threading.Thread):
    """Sends to ports of another host and of its own without end, in this context."""

    def __init__(self, host, other, ports):
        super().__init__()
        self.over = threading.Event()
        self.targets = [(address, port) for address in (other, "127.0.0.1") for port in ports]
        with host.inside():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def run(self):
        """In the thread."""
        while not self.over.is_set():
            for target in self.targets:
                # Nobody listens, or there is no way any more.
                with contextlib.suppress(OSError):
                    self.socket.sendto(bytes(100), target)
            time.sleep(0.001)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self.socket.close()


def test_sockets_close_with_their_namespace_whatever_becomes_of_their_handles(hosts):
    h1, h2 = hosts
    with Flood(h1, "192.0.2.2", SOCKET_PORTS):
        with loaded(SOCKETS):
            for port in SOCKET_PORTS:
                assert is_open(h1, port) and is_open(h2, port)
            received = h2.snmp("UdpInDatagrams")
            wait_until(lambda: h2.snmp("UdpInDatagrams") > received, "packets arrive")
            h2.ip(*witness(h2.name).split())
            h2.remove()
            wait_for_witnesses()
            # A new namespace asks for the addresses of the sockets of the old ones.
            make_netns("after")
            remove_netns("after")
        assert not any(is_open(h1, port) for port in SOCKET_PORTS)
        # Packets go on to come after the module.
        time.sleep(0.1)
    said = last_words()
    assert said["received"] > 0, "the tunnels were in use"
    assert said["ended"] >= 1, "the handle of the namespace that has ended is one that has ended"
    assert said["usable"] >= 2, "in the others, sockets can still be made a tunnel's"


@contextlib.contextmanager
def under_orders(flavour):
    """A host with devices that take what the module's tunnel delivers; its tap device."""
    host = Host("misused")
    tap = None
    try:
        tap = make_tap(host, flavour, flush_ms=2)
        for name in ("ipv4.conf.all", "ipv4.conf.default"):
            host.sysctl(f"net.{name}.rp_filter", 0)
            host.sysctl(f"net.{name}.accept_local", 1)
        host.sysctl("net.ipv4.ip_forward", 1)
        host.sysctl("net.ipv4.icmp_ratelimit", 0)
        ends = f"local {HERE} remote {PEER}"
        host.batch(
            witness(host.name),
            "link set lo up",
            "addr add 10.0.0.1/32 dev lo",
            f"addr add {HERE}/24 dev tap0",
            "link set tap0 up",
            f"neigh replace {PEER} lladdr {PEER_MAC} nud permanent dev tap0",
            f"route add 10.9.0.0/24 via {PEER} dev tap0",
            f"link add ip4 type ipip {ends}",
            f"link add ip6 type sit {ends}",
            f"link add gre type gre {ends}",
            *(f"link set {name} up" for name in ("ip4", "ip6", "gre")),
        )
        yield host, tap
    finally:
        if tap is not None:
            os.close(tap)
        host.remove()
    wait_for_witnesses()


@pytest.mark.parametrize("flavour", ["gro", "fragments"])
def test_no_order_of_a_packet_harms(flavour):
    rng = random.Random(7)
    ethernet = bytes.fromhex((HOST_MAC + PEER_MAC).replace(":", "") + "0800")
    with loaded(PACKETS), under_orders(flavour) as (host, tap):
        fcntl.fcntl(tap, fcntl.F_SETFL, os.O_NONBLOCK)
        for number in range(TRAINS):
            checked = number % 3 > 0
            order = random_order(rng) if number % 8 else SENSIBLE
            for virtio, packet in train(rng, order, checked):
                cut = 1 << 16 if flavour == "gro" else rng.choice((20, 28, 44, 60, len(packet)))
                # What virtio says may be nonsense, which tap refuses.
                with contextlib.suppress(OSError):
                    os.writev(tap, [virtio, ethernet + packet[:cut], packet[cut:]])
            # What the host sends is not to fill the queue.
            with contextlib.suppress(BlockingIOError):
                while os.read(tap, 1 << 17):
                    pass
        assert host.traffic("tap0")["tx"]["packets"] > 0, "the host sent something on"
    said = last_words()
    assert said["received"] > TRAINS, "the tunnel was asked about most packets"
    # Of fragments, GRO keeps no packet until the next one comes.
    for what in ("delivered", "in GRO", *(["merged"] if flavour == "gro" else [])):
        assert said[what] > TRAINS // 20, f"enough were {what}"


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "closes"])
def test_module_whose_init_fails_waits_for_the_dump_of_its_family(reads):
    loading = subprocess.Popen(
        ["insmod", MODULE, f"case={FAIL_DURING_A_DUMP}"], stderr=subprocess.PIPE, text=True
    )
    wait_until(has_family, "the family is there")
    client = family()
    request = struct.pack("=BBH", 1, 1, 0)
    header = struct.pack(
        "=IHHII", 16 + len(request), client.family, NLM_F_REQUEST | NLM_F_DUMP, 77, 0
    )
    # The kernel writes the first messages now, and others when those are read.
    client.socket.send(header + request)
    wait_until(lambda: not has_family(), "the module has given up")
    time.sleep(0.3)
    assert loading.poll() is None, "the module waits for the dump"
    entries = 0
    while reads:
        data = client.socket.recv(1 << 17)
        kinds = []
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            kinds.append(kind)
            data = data[(length + 3) & ~3 :]
        entries += kinds.count(client.family)
        if NLMSG_DONE in kinds:
            assert entries == 4096, "the dump goes on to its end"
            break
    client.close()
    _, said = loading.communicate(timeout=20)
    assert loading.returncode != 0 and "anceled" in said
    assert not is_loaded() and not has_family()


def test_what_was_registered_before_init_fails_is_gone():
    for count in range(STEPS + 1):
        done = load(FAIL_AFTER + count, check=False)
        # The last one says that there are no more steps.
        expected = "canceled" if count < STEPS else "Exchange full"
        assert done.returncode != 0 and expected in done.stderr, f"after {count} steps"
        assert not is_loaded() and not has_family()
    with loaded(TWICE):
        pass


def test_what_is_registered_twice_is_refused_and_state_closes_its_sockets(hosts):
    with hosts[0].inside():
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC).close()
        # The module sees to it that all are refused.
        with loaded(TWICE):
            client = family()
            client.do(1)
            client.close()
            assert is_open(hosts[0], FAMILY_PORT)
        assert not is_open(hosts[0], FAMILY_PORT) and not has_family()


def test_socket_needs_state_by_namespace():
    with loaded(FAMILY_ALONE):
        client = family()
        with pytest.raises(NetlinkError) as refused:
            client.do(1)
        client.close()
    assert refused.value.errno == errno.EINVAL


def test_family_that_is_registered_while_the_module_goes_goes_too():
    for _ in range(3):
        with loaded(LATE):
            maker = threading.Thread(target=make_netns, args=("late",))
            maker.start()
        maker.join()
        remove_netns("late")
        assert not has_family()


@pytest.mark.parametrize("version", [4, 6])
def test_icmp_error_that_quotes_udp_in_udp_does_not_recurse(hosts, version):
    """Each level of recursion would take 8 bytes of what is quoted, and more of the stack."""
    h1, h2 = hosts
    # UDP asks encapsulations only where there is a tunnel's socket.
    h1.ip("fou", "add", "port", "5555", "ipproto", "4")
    # What makes FOU and GUE look away.
    udp = b"\xff" * 1200
    if version == 4:
        addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2")
        quoted = struct.pack("!BBHHHBBH", 0x45, 0, 1220, 1, 0, 64, 17, 0) + addresses + udp
        error = struct.pack("!BBHI", 3, 1, 0, 0)
        kind, counter = (socket.AF_INET, socket.IPPROTO_ICMP), "IcmpInDestUnreachs"
    else:
        ends = ("2001:db8::1", "2001:db8::2")
        addresses = b"".join(socket.inet_pton(socket.AF_INET6, end) for end in ends)
        quoted = struct.pack("!IHBB", 6 << 28, 1200, 17, 64) + addresses + udp
        error = struct.pack("!BBHI", 1, 3, 0, 0)
        kind, counter = (socket.AF_INET6, socket.IPPROTO_ICMPV6), "Icmp6InDestUnreachs"
    message = error + quoted
    if version == 4:
        total = sum(struct.unpack(f"!{len(message) // 2}H", message))
        total = (total & 0xFFFF) + (total >> 16)
        message = message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]
    with loaded(TWICE), h2.inside(), socket.socket(kind[0], socket.SOCK_RAW, kind[1]) as sender:
        before = arrived(h1, counter)
        sender.sendto(message, ("192.0.2.1" if version == 4 else "2001:db8::1", 0))
        wait_until(lambda: arrived(h1, counter) > before, "the error arrives")


def arrived(host, counter):
    """A counter of ICMP or ICMPv6."""
    if not counter.startswith("Icmp6"):
        return host.snmp(counter)
    for line in host.proc_net("snmp6").splitlines():
        name, value = line.split()
        if name == counter:
            return int(value)
    raise AssertionError(f"there is no counter {counter}")
