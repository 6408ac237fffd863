# SPDX-License-Identifier: GPL-2.0
"""Each allocation fails in turn: the work is done or refused, and nothing leaks."""

import contextlib
import errno
import os
import pathlib
import shutil
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether

from testing.hostile.target import (
    GUE_PORT,
    HOST_MAC,
    PEER_MAC,
    leave_witness,
    outstanding,
    target,
    wait_for_witnesses,
)
from testing.lib import netlink as nl
from testing.lib.faults import each_allocation, failing_atomic_allocations, prepare
from testing.lib.hosts import Capture, call, fallback_devices, run, wait_until
from testing.lib.netlink import Fou, NetlinkError

pytestmark = [pytest.mark.debug_only, pytest.mark.rfou_only]

# ENFILE: the kernel could not allocate a socket's inode.
NO_MEMORY = {errno.ENOMEM, errno.ENOBUFS, errno.ENFILE}
FINIT_MODULE, DELETE_MODULE = 313, 176
SOL_PACKET, PACKET_VNET_HDR = 263, 15

PORTS = {
    "FOU, IPv4": [(nl.PORT, nl.be16(5555)), (nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(4))],
    "GUE, IPv6, with a peer": [
        (nl.PORT, nl.be16(5555)),
        (nl.TYPE, nl.u8(nl.GUE)),
        (nl.AF, nl.u8(socket.AF_INET6)),
        (nl.LOCAL_V6, nl.v6("::1")),
        (nl.PEER_V6, nl.v6("::1")),
        (nl.PEER_PORT, nl.be16(6666)),
    ],
}


@pytest.fixture(scope="module", autouse=True)
def faults():
    """Prepares fault injection."""
    prepare()


@pytest.fixture(params=PORTS)
def port(request):
    """The attributes of a port."""
    return PORTS[request.param]


def attempt(work, *arguments):
    """Returns whether the work was done; None if the answer is lost for lack of memory."""
    try:
        work(*arguments)
    except NetlinkError as error:
        assert error.errno in NO_MEMORY, f"the wrong error: {error}"
        return False
    except OSError as error:
        # From the netlink socket: the request was not sent, or the answer not received.
        assert error.errno in NO_MEMORY, f"the wrong error: {error}"
        return None
    return True


def is_bound(host):
    """Returns whether a UDP socket is bound to the port."""
    return ":15B3" in host.proc_net("udp") + host.proc_net("udp6")


def test_adding_a_port(hosts, fou, port):
    failed = 0
    for failing in each_allocation():
        with failing:
            done = attempt(fou.add, *port)
        there = len(fou.dump())
        assert there == is_bound(hosts[0]), f"allocation {failing.number}: half a port"
        assert done is None or done == there, f"allocation {failing.number}: {done}, {there}"
        failed += done is False
        if there:
            fou.delete(*port)
    # At least one request failed, although a cache may serve most allocations.
    assert failed > 0, f"{failed} failures: the allocations were not reached"
    assert not is_bound(hosts[0])


def test_deleting_a_port(hosts, fou, port):
    for failing in each_allocation():
        fou.add(*port)
        with failing:
            done = attempt(fou.delete, *port)
        there = len(fou.dump())
        assert there == is_bound(hosts[0])
        assert done is None or done != there
        if there:
            fou.delete(*port)
    assert not is_bound(hosts[0])


def test_showing_one_port(fou, port):
    fou.add(*port)
    right = fou.get(*port)
    for failing in each_allocation():
        with failing:
            try:
                shown = fou.get(*port)
            except OSError as error:
                assert error.errno in NO_MEMORY, str(error)
            else:
                assert shown == right
    fou.delete(*port)


def test_dumping_ports(hosts, fou):
    for number in range(100):
        fou.add((nl.PORT, nl.be16(5000 + number)), (nl.TYPE, nl.u8(nl.GUE)))
    right = fou.dump()
    assert len(right) == 100
    for failing in each_allocation():
        with failing:
            try:
                shown = fou.dump()
            except OSError as error:
                assert error.errno in NO_MEMORY, str(error)
                # A new socket, because the old one may hold messages of the interrupted dump.
                fou.close()
                with hosts[0].inside():
                    fou.__init__()
            else:
                assert shown == right
    for number in range(100):
        fou.delete((nl.PORT, nl.be16(5000 + number)), (nl.TYPE, nl.u8(nl.GUE)))


def insmod(path):
    """Loads a module; returns 0 or the error number."""
    try:
        with open(path, "rb") as file:
            call("syscall", FINIT_MODULE, file.fileno(), b"", 0)
    except OSError as error:
        return error.errno
    return 0


def family_is_there():
    """Returns whether the netlink family is registered."""
    try:
        Fou().close()
    except OSError:
        return False
    return True


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", ["rfou", "rfou6"])
def test_loading_the_module(name, tmp_path):
    # Copies, because the shared file system of the guest does not survive failing allocations.
    files = {}
    for each in ("rfou", "rfou6"):
        files[each] = shutil.copy(os.environ[f"{each.upper()}_MODULE_FILE"], tmp_path)
    run("rmmod", *(["rfou6", "rfou"] if name == "rfou" else ["rfou6"]))
    loaded = pathlib.Path("/sys/module", name)
    failed = 0
    try:
        for failing in each_allocation(20000, stride=5):
            with failing:
                number = insmod(files[name])
            if number:
                failed += 1
                assert number in NO_MEMORY | {errno.EINVAL, errno.ENOEXEC}, os.strerror(number)
                assert not loaded.exists(), "half loaded"
            else:
                # By the system call, because the debug kernel makes processes slowly.
                call("syscall", DELETE_MODULE, name.encode(), 0)
        assert failed > 2, f"{failed} failures: the allocations were not reached"
        assert family_is_there() == (name == "rfou6")
    finally:
        for file in files.values():
            insmod(file)


@pytest.mark.timeout(3000)
def test_making_a_namespace():
    """If the setup of a namespace fails, all that the modules have set up there is undone."""
    refused = 0
    with open("/proc/thread-self/ns/net", "rb") as outside, fallback_devices("nowhere"):
        # Without fallback devices, which would make most of the allocations.
        for failing in each_allocation(20000, stride=29):
            done = True
            with failing:
                try:
                    os.unshare(os.CLONE_NEWNET)
                except OSError:
                    # Any module may have failed, with any error.
                    done = False
                    refused += 1
            if done:
                client = Fou()
                client.add(*PORTS["FOU, IPv4"])
                client.close()
                leave_witness(failing.number)
            os.setns(outside.fileno(), os.CLONE_NEWNET)
    assert refused > 3, f"{refused} failures: the allocations were not reached"
    wait_for_witnesses()


def inner_packet(version):
    """Returns a virtio header and a UDP packet with a partial checksum."""
    if version == 4:
        packet = IP(src="10.0.9.2", dst="10.0.0.1") / UDP(sport=9, dport=9) / bytes(2000)
    else:
        packet = IPv6(src="fd00:9::2", dst="fd00::1") / UDP(sport=9, dport=9) / bytes(2000)
    start = 20 if version == 4 else 40
    # VIRTIO_NET_HDR_GSO_UDP_L4, with segments of 500 bytes.
    return struct.pack("<BBHHHH", 1, 5, start + 8, 500, start, 6) + bytes(packet)


@pytest.mark.parametrize(
    ("device", "version"),
    [
        ("tun4", 4),
        ("tun6", 6),
        ("tnl6", 6),
        pytest.param("gre4", 4, marks=pytest.mark.soak_on_debug),
        pytest.param("gre6", 4, marks=pytest.mark.soak_on_debug),
    ],
)
def test_sending(device, version):
    # A capture shares each packet, so that it is copied before headers are pushed.
    with target("transmit") as (host, _), Capture(host, device) as capture:
        with host.inside():
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with sender:
            sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            sender.bind((device, 0))
            packet = inner_packet(version)
            sender.send(packet)
            assert capture.frames(lambda frame: len(frame) > 2000), (
                "the capture does not share the packet"
            )
            for failing in each_allocation():
                with failing:
                    try:
                        sender.send(packet)
                    except OSError as error:
                        assert error.errno in NO_MEMORY, str(error)
            wait_until(lambda: outstanding(sender) == 0, "each packet is freed", 5)
        assert host.traffic(device)["tx"]["packets"] > 0


def test_failed_head_reallocation_is_one_drop(drop_monitor):
    """A capture shares the packet's head, so that encapsulation reallocates it."""
    inner = IP(src="10.0.9.2", dst="10.0.1.1") / UDP(sport=9, dport=9)

    def sent():
        return host.traffic("tun4")["tx"]["packets"]

    with target("transmit") as (host, _), contextlib.ExitStack() as stack:
        sender, _ = (stack.enter_context(Capture(host, "tun4")) for _ in range(2))
        lost = []
        # Five rounds, because a page for the slab changes the number of the head's allocation: one
        # round may miss it.
        rounds = (failing for _ in range(5) for failing in each_allocation())
        for number, failing in enumerate(rounds):
            packet = bytes(inner / (b"head %-9d" % number))
            before = sent()
            try:
                with failing:
                    sender.socket.send(packet)
            except OSError as error:
                assert error.errno in NO_MEMORY, str(error)
            else:
                lost += [number] if sent() == before else []
        drops = drop_monitor.drops_for(lambda packet: b"head " in packet)
    assert len(lost) > 5, "the clone and the head are allocated"
    assert [int(packet.partition(b"head ")[2][:9]) for packet, _ in drops] == lost


@pytest.mark.parametrize(
    ("flavour", "version"),
    [
        # Not "gro", because only allocations in the writer's own context can be made to fail.
        ("plain", 4),
        ("plain", 6),
        ("fragments", 6),
        pytest.param("fragments", 4, marks=pytest.mark.soak_on_debug),
    ],
)
def test_receiving(flavour, version):
    device = "tun4" if version == 4 else "tnl6"
    inner = inner_packet(4)[10:]
    if version == 4:
        outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    else:
        outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IPv6(src="2001:db8::2", dst="2001:db8::1")
    remcsum = bytes.fromhex("02040001800000000014001a")
    frame = bytes(outer / UDP(sport=40000, dport=GUE_PORT) / remcsum / inner)
    # The outer headers in the linear part, the rest in pages.
    virtio = struct.pack("<BBHHHH", 0, 0, 60, 0, 0, 0)
    pieces = [virtio, frame[:60], frame[60:90], frame[90:200], frame[200:]]
    with target(flavour) as (host, tap), host.packet_socket("tap0"):
        for failing in each_allocation():
            with failing:
                try:
                    os.writev(tap, pieces)
                except OSError as error:
                    assert error.errno in NO_MEMORY, str(error)
        wait_until(lambda: host.traffic(device)["rx"]["packets"] > 0, "packets are received", 5)


@pytest.mark.usefixtures("own_drop_reasons")
@pytest.mark.parametrize("flavour", ["gro", "fragments"])
def test_forwarding_in_softirqs(flavour, drop_monitor):
    """From one tunnel to another, while captures share each packet, so that it must be copied."""
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    remcsum = bytes.fromhex("02040001800000000014001a")
    inner = IP(src="10.0.9.2", dst="10.0.2.2", ttl=9) / UDP(sport=9, dport=9)
    # A mark, because the monitor may still report another test's packets.
    mark = b"to the %-9s" % flavour.encode()
    # Made once, because scapy takes longer than everything else here.
    payload = mark + struct.pack("!HH", 0, 0xFFFF)
    frame = bytes(outer / UDP(sport=40000, dport=GUE_PORT) / remcsum / inner / payload)

    def send(tap, number):
        # The number and its complement keep the checksum.
        numbered = frame[:-4] + struct.pack("!HH", number, 0xFFFF - number)
        # rfou pulls the GUE header from the pages.
        pieces = [numbered] if flavour == "gro" else [numbered[:44], numbered[44:]]
        os.writev(tap, [bytes(10), *pieces])

    def is_ours(packet):
        return mark in packet

    def is_sent(packet):
        return is_ours(packet) and packet[6:12] == bytes.fromhex(HOST_MAC.replace(":", ""))

    with target(flavour) as (host, tap), contextlib.ExitStack() as stack:
        wire, *_ = (stack.enter_context(Capture(host, name)) for name in ("tap0", "tun4", "gre4"))
        with failing_atomic_allocations(20):
            for number in range(300):
                try:
                    send(tap, number)
                except OSError as refused:
                    assert refused.errno in NO_MEMORY, str(refused)
        reasons = drop_monitor.reasons_for(is_ours)
        ours = {reason for reason in reasons if reason.startswith("RFOU")}
        assert ours == {"RFOU_NO_MEMORY"}, "the reason is memory, not the packet"
        through = len(wire.frames(is_sent, 300, timeout=1))
        assert 0 < through < 300, "some packets are forwarded, some are dropped"
        send(tap, 300)
        assert wire.frames(lambda f: is_sent(f) and f[-4:-2] == struct.pack("!H", 300))


@pytest.mark.parametrize("version", [4, 6])
def test_icmp_error(version):
    """A capture shares the error, which must be copied before the quoted headers are pulled."""
    if version == 4:
        about = IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=40000, dport=GUE_PORT)
        about = about / bytes.fromhex("00040000") / inner_packet(4)[10:]
        error = IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, code=4, nexthopmtu=1300)
        error = error / bytes(about)[:548]
    else:
        about = IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=40000, dport=GUE_PORT)
        about = about / bytes.fromhex("00290000") / inner_packet(6)[10:]
        error = IPv6(src="2001:db8::2", dst="2001:db8::1") / ICMPv6PacketTooBig(mtu=1300)
        error = error / bytes(about)[:1200]
    frame = bytes(Ether(src=PEER_MAC, dst=HOST_MAC) / error)
    # The quoted packet lies in pages.
    virtio = struct.pack("<BBHHHH", 0, 0, 60, 0, 0, 0)
    with target("plain") as (host, tap), host.packet_socket("tap0"):
        for failing in each_allocation():
            with failing:
                try:
                    os.writev(tap, [virtio, frame])
                except OSError as refused:
                    assert refused.errno in NO_MEMORY, str(refused)
        os.writev(tap, [virtio, frame])
        peer = "192.0.2.2" if version == 4 else "2001:db8::2"
        wait_until(
            lambda: "mtu 1300" in host.ip("route", "get", peer).stdout, "the path MTU changes", 5
        )
