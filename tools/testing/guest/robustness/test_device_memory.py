# SPDX-License-Identifier: GPL-2.0
"""Failing allocations of gue devices: each request or packet is done or refused as a whole."""

import contextlib
import errno
import os
import socket
import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.hostile.target import (
    DEVICE_PORT,
    HEADER_OF_FRAME,
    HOST_MAC,
    PEER_MAC,
    VARIANT_1_PORT,
    header_with_key,
    outstanding,
    target,
)
from testing.lib import gue_peer
from testing.lib.faults import each_allocation, failing_atomic_allocations, prepare
from testing.lib.fragment_memory import Reassembly
from testing.lib.gue_keys import ACCEPT, BOTH, GueKeys
from testing.lib.gue_link import COOKIE8, HMAC, GueLinks
from testing.lib.gue_values import Header, Outer
from testing.lib.hosts import Capture, wait_until
from testing.lib.netlink import NetlinkError
from testing.lib.rgue_module import reload_rgue

pytestmark = [
    pytest.mark.debug_only,
    pytest.mark.rfou_only,
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

# ENFILE: the kernel could not allocate a socket's inode.
NO_MEMORY = {errno.ENOMEM, errno.ENOBUFS, errno.ENFILE}
PORT = 6080
SOL_PACKET, PACKET_VNET_HDR = 263, 15
LINKS = {
    "IPv4": {"remote": "192.0.2.2", "id": 7, "remcsum": 1},
    "IPv6": {"remote": "2001:db8::2"},
    "external": {"external": True, "remcsum": 1},
}


@pytest.fixture(scope="module", autouse=True)
def faults():
    """Prepares fault injection."""
    prepare()


@pytest.fixture(name="links")
def links_fixture(hosts):
    """Links of the first host."""
    made = GueLinks(hosts[0])
    yield made
    made.close()


@pytest.fixture(name="options", params=LINKS)
def options_fixture(request):
    """The options of a link."""
    return LINKS[request.param]


def attempt(work, *arguments, **options):
    """Returns whether the work was done; None if the answer is lost for lack of memory."""
    try:
        work(*arguments, **options)
    except NetlinkError as error:
        # netdev_register_kobject() goes on without memory for the name, and device_add() refuses a
        # device without a name: of every kind of link.
        nameless = error.errno == errno.EINVAL and error.reason is None
        assert nameless or error.errno in NO_MEMORY, f"the wrong error: {error}"
        return False
    except OSError as error:
        # From the netlink socket: the request was not sent, or the answer not received.
        assert error.errno in NO_MEMORY, f"the wrong error: {error}"
        return None
    return True


def exists(host):
    """Returns whether a host has the device gue0."""
    return "gue0:" in host.proc_net("dev")


def listens(host, external=False):
    """Returns whether a host has a socket on the devices' port; `external`: both or none."""
    found = [f":{PORT:04X} " in host.proc_net(name) for name in ("udp", "udp6")]
    assert not external or found[0] == found[1], "half of an external device"
    return any(found)


def test_making_a_device_and_setting_it_up(hosts, links, options):
    h1 = hosts[0]
    failed = 0
    for failing in each_allocation(stride=5):
        with failing:
            done = attempt(links.add, "gue0", up=True, **options)
        there = exists(h1)
        assert there == listens(h1, "external" in options), (
            f"allocation {failing.number}: half a device"
        )
        assert done is None or done == there, f"allocation {failing.number}: {done}, {there}"
        failed += done is False
        if there:
            assert links.show("gue0")["port"] == PORT
            links.delete("gue0")
    assert failed > 3, f"{failed} failures: the allocations were not reached"
    # The devices that were not made have left no claim to the id and remote.
    links.add("gue0", up=True, **options)
    assert exists(h1) and listens(h1, "external" in options)


def test_setting_a_device_up_and_down(hosts, links, options):
    h1 = hosts[0]
    links.add("gue0", **options)
    failed = 0
    for up in (True, False):
        for failing in each_allocation(stride=3):
            with failing:
                done = attempt(links.up, "gue0", up)
            assert done is None or done == (listens(h1, "external" in options) == up), (
                f"allocation {failing.number}"
            )
            failed += done is False
            links.up("gue0", not up)
        links.up("gue0", up)
    assert failed > 0, "the allocations were not reached"


def test_deleting_a_device(hosts, links, options):
    h1 = hosts[0]
    for failing in each_allocation(stride=3):
        links.add("gue0", up=True, **options)
        with failing:
            done = attempt(links.delete, "gue0")
        there = exists(h1)
        assert there == listens(h1, "external" in options)
        assert done is None or done != there
        if there:
            links.delete("gue0")


def test_showing_a_device(links):
    links.add("gue0", up=True, **LINKS["IPv4"])
    right = links.show("gue0")
    for failing in each_allocation():
        with failing:
            try:
                shown = links.show("gue0")
            except OSError as error:
                assert error.errno in NO_MEMORY, str(error)
                continue
        assert shown == right


def test_change_is_whole_or_none(hosts, links):
    """Receive and `ip link` agree on the device after each refused change."""
    h1, h2 = hosts
    links.add("gue0", up=True, remote="2001:db8::2", ttl=10)
    # Fits every device; the UDP checksum is zero.
    packet = bytes.fromhex("00040000") + bytes(IP(src="10.1.1.2", dst="10.1.1.1") / ICMP())
    outer = IPv6(src="2001:db8::2", dst="2001:db8::1")
    outer = Ether(src=h2.mac("eth0"), dst=h1.mac("eth0")) / outer
    frame = bytes(outer / UDP(sport=50000, dport=PORT, chksum=0) / packet)

    def accepts(sender):
        before = h1.traffic("gue0")["rx"]
        sender.send(frame)

        def counted():
            after = h1.traffic("gue0")["rx"]
            return {name: after[name] - before[name] for name in ("packets", "errors")}

        wait_until(lambda: any(counted().values()), "the device counts the packet", 5)
        return counted()["packets"] == 1

    refused = 0
    with h2.packet_socket("eth0", 0) as sender:
        for new in (1, 0):
            change = {"udp_zero_csum6_rx": new, "ttl": 10 + new, "variant": new}
            for failing in each_allocation():
                with failing:
                    done = attempt(links.set, "gue0", **change)
                shown = links.show("gue0")
                changed = shown["udp_zero_csum6_rx"] == new
                assert shown["ttl"] - 10 == shown["variant"] == shown["udp_zero_csum6_rx"]
                assert accepts(sender) == bool(shown["variant"]), (
                    f"allocation {failing.number}: half a change to {new}"
                )
                assert done is None or done == changed
                refused += done is False
                if changed:
                    links.set("gue0", udp_zero_csum6_rx=1 - new, ttl=11 - new, variant=1 - new)
            links.set("gue0", **change)
    assert refused > 1, f"{refused} refusals: the allocations were not reached"


@pytest.mark.parametrize("auth", [COOKIE8, HMAC])
def test_keys_are_set_and_deleted_whole_or_not(hosts, links, auth):
    h1 = hosts[0]
    links.add("gue0", up=True, remote="192.0.2.2", auth=auth)
    keys = GueKeys(h1)
    keys.set("gue0", 1, b"11111111")
    refused = 0
    # A key more, a key in the place of another, a key less.
    for key_id in (2, 1):
        for failing in each_allocation():
            with failing:
                done = attempt(keys.set, "gue0", key_id, b"22222222")
            shown = {key["key_id"]: key["direction"] for key in keys.dump()}
            changed = shown.get(key_id) == BOTH and len(shown) == key_id
            assert changed or shown == {1: BOTH}, f"allocation {failing.number}: {shown}"
            assert done is None or key_id == 1 or done == changed
            refused += done is False
            if key_id == 2 and changed:
                keys.delete("gue0", 2)
                keys.set("gue0", 1, b"11111111")
    keys.set("gue0", 2, b"22222222", direction=ACCEPT)
    for failing in each_allocation():
        with failing:
            done = attempt(keys.delete, "gue0", 2)
        there = len(keys.dump()) == 2
        assert done is None or done != there
        refused += done is False
        if not there:
            keys.set("gue0", 2, b"22222222", direction=ACCEPT)
    assert refused > 5, f"{refused} refusals: the allocations were not reached"
    keys.close()


def inner_packet(version, to=1, segmented=True):
    """Returns a virtio header and a UDP packet with a partial checksum."""
    if version == 4:
        packet = IP(src="10.0.9.2", dst=f"10.0.{to}.1") / UDP(sport=9, dport=9) / bytes(2000)
    else:
        packet = IPv6(src="fd00:9::2", dst=f"fd00:{to}::1") / UDP(sport=9, dport=9) / bytes(2000)
    start = 20 if version == 4 else 40
    # VIRTIO_NET_HDR_GSO_UDP_L4, with segments of 500 bytes.
    kind = (5, start + 8, 500) if segmented else (0, 0, 0)
    return struct.pack("<BBHHHH", 1, *kind, start, 6) + bytes(packet)


@pytest.mark.parametrize(
    ("device", "version"),
    [
        ("gue4", 4),
        ("grp6", 6),
        ("key6", 4),
        ("ext", 4),
        pytest.param("var4", 6, marks=pytest.mark.soak_on_debug),
        # These devices fragment.
        ("frg4", 6),
        pytest.param("frg6", 4, marks=pytest.mark.soak_on_debug),
    ],
)
def test_sending(device, version):
    # A capture shares each packet, so that it is copied before headers are pushed.
    with target("transmit", rgue=True) as (host, _), Capture(host, device) as capture:
        if device == "ext":
            tunnel = "tunnel_key set id 9 src_ip 192.0.2.1 dst_ip 192.0.2.2"
            host.run("tc", "qdisc", "add", "dev", device, "clsact")
            host.run(*f"tc filter add dev {device} egress matchall action {tunnel}".split())
        with host.inside():
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with sender:
            sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            sender.bind((device, 0))
            packet = inner_packet(version, segmented=not device.startswith("frg"))
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
            before = host.traffic(device)["tx"]
            assert before["errors"] == 0, "a lack of memory is not an error of the packet"
            sender.send(packet)
        wait_until(
            lambda: host.traffic(device)["tx"]["packets"] > before["packets"], "the device works", 5
        )


# Headers with the fields that devices read: a group, and both forms of remote checksums.
HEADERS = {
    "gue4": "01040200 0014001a",
    "grp4": "03048001 00000007 80000000 0014001a",
    "gue6": "02040001 80000000 0014001a",
    "grp6": "02048200 fedcba98 0014001a",
    "key6": header_with_key("key6").hex(),
    "frm4": HEADER_OF_FRAME,
    "ext": "03048001 fedcba98 80000000 0014001a",
}


def frame_to(device, payload, source=40000):
    """Returns a frame for a device of the target."""
    outer = Ether(src=PEER_MAC, dst=HOST_MAC)
    if device.endswith("4"):
        outer /= IP(src="192.0.2.2", dst="192.0.2.1", tos=3)
    else:
        outer /= IPv6(src="2001:db8::2", dst="2001:db8::1", tc=3)
    header = bytes.fromhex(HEADERS[device])
    port = VARIANT_1_PORT if device == "ext" else DEVICE_PORT
    return bytes(outer / UDP(sport=source, dport=port) / header / payload)


@pytest.mark.parametrize("flavour", ["plain", "fragments"])
@pytest.mark.parametrize("device", ["grp4", "grp6", "key6", "frm4", "ext"])
def test_receiving(flavour, device):
    # Not "gro", because only allocations in the writer's own context can be made to fail.
    # The outer ECN field is CE, so receive writes to the inner header.
    inner = IP(src="10.0.9.2", dst="10.0.0.1", tos=2) / UDP(sport=9, dport=9) / bytes(1200)
    frame = frame_to(device, inner)
    # The outer headers in the linear part, the rest in pages.
    virtio = struct.pack("<BBHHHH", 0, 0, 60, 0, 0, 0)
    pieces = [virtio, frame[:60], frame[60:70], frame[70:200], frame[200:]]
    with target(flavour, rgue=True) as (host, tap), host.packet_socket("tap0"):
        for failing in each_allocation():
            with failing:
                try:
                    os.writev(tap, pieces)
                except OSError as error:
                    assert error.errno in NO_MEMORY, str(error)
        before = host.traffic(device)["rx"]["packets"]
        os.writev(tap, pieces)
        wait_until(lambda: host.traffic(device)["rx"]["packets"] > before, "the device works", 5)


@pytest.mark.parametrize(
    "flavour", ["plain", pytest.param("fragments", marks=pytest.mark.soak_on_debug)]
)
@pytest.mark.parametrize("device", ["frg4", "frg6"])
def test_receiving_pieces(flavour, device):
    """A fragment is dropped without memory, and the packet's others wait for the timeout."""
    inner = bytes(IP(src="10.0.9.2", dst="10.0.0.1", tos=2) / UDP(sport=9, dport=9) / bytes(1200))
    ends = ("192.0.2.2", "192.0.2.1") if device == "frg4" else ("2001:db8::2", "2001:db8::1")
    outer = Outer(*ends, sport=40000, dport=DEVICE_PORT)
    # The outer headers in the linear part, the rest in pages.
    virtio = struct.pack("<BBHHHH", 0, 0, 60, 0, 0, 0)

    def send(tap, ident):
        """Sends a packet in three fragments, the last one first."""
        for data in reversed(gue_peer.fragments(Header(group=11), inner, 424, outer, ident=ident)):
            frame = bytes(Ether(src=PEER_MAC, dst=HOST_MAC) / outer.packet(data))
            os.writev(tap, [virtio, frame[:60], frame[60:70], frame[70:200], frame[200:]])

    with target(flavour, rgue=True) as (host, tap), host.packet_socket("tap0"):
        memory = Reassembly(host)
        memory.set_timeout(1)
        for failing in each_allocation():
            with failing:
                try:
                    send(tap, failing.number)
                except OSError as error:
                    assert error.errno in NO_MEMORY, str(error)
        before = host.traffic(device)["rx"]["packets"]
        send(tap, 5000)
        wait_until(lambda: host.traffic(device)["rx"]["packets"] > before, "the device works", 5)
        wait_until(lambda: memory.memory() == 0, "fragments of incomplete packets are freed", 5)


@pytest.fixture(name="own_reasons")
def own_reasons_fixture():
    """The module with its own drop reasons; the default is back afterwards."""
    reload_rgue("own_drop_reasons=1")
    yield
    reload_rgue()


@pytest.mark.usefixtures("own_reasons")
@pytest.mark.parametrize("flavour", ["gro", "fragments"])
def test_forwarding_in_softirqs(flavour, drop_monitor):
    """From one device to another, while captures share each packet, so that it must be copied."""
    # A mark, because the monitor may still report another test's packets.
    mark = b"by gue %-9s" % flavour.encode()
    inner = IP(src="10.0.9.2", dst="10.0.5.2", ttl=9, tos=2) / UDP(sport=9, dport=9)
    frame = frame_to("gue4", inner / (mark + struct.pack("!HH", 0, 0xFFFF)))

    def send(tap, number):
        # The number and its complement keep the checksum.
        numbered = frame[:-4] + struct.pack("!HH", number, 0xFFFF - number)
        # rgue pulls the GUE header from the pages.
        pieces = [numbered] if flavour == "gro" else [numbered[:44], numbered[44:]]
        os.writev(tap, [bytes(10), *pieces])

    def is_ours(packet):
        return mark in packet

    def is_sent(packet):
        return is_ours(packet) and packet[6:12] == bytes.fromhex(HOST_MAC.replace(":", ""))

    with target(flavour, rgue=True) as (host, tap), contextlib.ExitStack() as stack:
        wire, *_ = (stack.enter_context(Capture(host, name)) for name in ("tap0", "gue4", "grp4"))
        with failing_atomic_allocations(20):
            for number in range(300):
                try:
                    send(tap, number)
                except OSError as refused:
                    assert refused.errno in NO_MEMORY, str(refused)
        reasons = drop_monitor.reasons_for(is_ours)
        ours = {reason for reason in reasons if reason.startswith("RGUE")}
        assert ours == {"RGUE_NO_MEMORY"}, "the reason is memory, not the packet"
        through = len(wire.frames(is_sent, 300, timeout=1))
        assert 0 < through < 300, "some packets are forwarded, some are dropped"
        send(tap, 300)
        assert wire.frames(lambda f: is_sent(f) and f[-4:-2] == struct.pack("!H", 300))
