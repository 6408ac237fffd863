# SPDX-License-Identifier: GPL-2.0
"""The module `misuse`, safe code that misuses rust/net, does the kernel no harm.

The debug kernel's checkers must report nothing. The module leaks on purpose, so kmemleak runs in
other guests.
"""

import contextlib
import errno
import os
import random
import socket
import struct
import subprocess
import threading
import time

import pytest

from testing.hostile.misuse_packets import HERE, PEER, SENSIBLE, random_order, train
from testing.hostile.target import (
    HOST_MAC,
    PEER_MAC,
    tap_host,
    wait_for_witnesses,
    witness,
)
from testing.lib.checksum import checksum
from testing.lib.hosts import make_netns, remove_netns, wait_until
from testing.lib.misuse_module import MODULE, is_loaded, last_words, load, loaded
from testing.lib.netlink import (
    NETLINK_GENERIC,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    GenericNetlink,
    NetlinkError,
)
from testing.lib.threads import Meanwhile

pytestmark = pytest.mark.rfou_only

KERNEL = os.environ["RFOU_KERNEL"]
# As in the module.
SOCKETS, PACKETS, FAIL_DURING_A_DUMP, TWICE, FAMILY_ALONE, LATE = range(1, 7)
FAIL_AFTER = 100
STEPS = 6
SOCKET_PORTS = range(7001, 7005)
FAMILY_PORT = 7005
TRAINS = {"stock": 600, "debug": 200}[KERNEL]


def family():
    """Returns a netlink socket for the module's family, or None if it is not registered."""
    try:
        return GenericNetlink("misuse")
    except NetlinkError as error:
        assert error.errno == errno.ENOENT
        return None


def has_family():
    """Returns whether the module's netlink family is registered."""
    client = family()
    if client:
        client.close()
    return client is not None


def is_open(host, port):
    """Returns whether a host has a UDP socket on a port."""
    return f":{port:04X} " in host.proc_net("udp")


class Flood(Meanwhile):
    """Sends to ports of another host and of its own."""

    def __init__(self, host, other, ports):
        super().__init__()
        self.targets = [(address, port) for address in (other, "127.0.0.1") for port in ports]
        with host.inside():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def run(self):
        """Sends, in the thread."""
        while not self.over.is_set():
            for target in self.targets:
                # No socket is on the port, or the host has no route any more.
                with contextlib.suppress(OSError):
                    self.socket.sendto(bytes(100), target)
            time.sleep(0.001)

    def __exit__(self, *error):
        super().__exit__(*error)
        self.socket.close()


def test_sockets_close_with_their_namespace(hosts):
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
            # The module's set-up of a new namespace reads the addresses of the old sockets.
            make_netns("after")
            remove_netns("after")
        assert not any(is_open(h1, port) for port in SOCKET_PORTS)
        # Packets still arrive after the module is unloaded.
        time.sleep(0.1)
    said = last_words()
    assert said["received"] > 0, "the tunnels were in use"
    assert said["ended"] >= 1, "the handle of the ended namespace says so"
    assert said["usable"] >= 2, "sockets of the other namespaces can still become a tunnel's socket"


@contextlib.contextmanager
def under_orders(flavour):
    """Makes a host for the module's tunnel; yields the host and the tap device's file.

                               +------------------------------------------------+
    this program          tap  | tap0 --> port 7010: the module --> ip4 ip6 gre |
    192.0.2.2, PEER_MAC  ------|  .1  <-- 10.9.0.0/24, forwarded                |
                               +------------------------------------------------+
    """
    ends = f"local {HERE} remote {PEER}"
    lines = (
        f"route add 10.9.0.0/24 via {PEER} dev tap0",
        f"link add ip4 type ipip {ends}",
        f"link add ip6 type sit {ends}",
        f"link add gre type gre {ends}",
        *(f"link set {name} up" for name in ("ip4", "ip6", "gre")),
    )
    with tap_host("misused", flavour, 2, *lines) as made:
        yield made


@pytest.mark.parametrize("flavour", ["gro", "fragments"])
def test_orders_to_a_tunnel_do_no_harm(flavour):
    rng = random.Random(7)
    ethernet = bytes.fromhex((HOST_MAC + PEER_MAC).replace(":", "") + "0800")
    with loaded(PACKETS), under_orders(flavour) as (host, tap):
        for number in range(TRAINS):
            checked = number % 3 > 0
            order = random_order(rng) if number % 8 else SENSIBLE
            for virtio, packet in train(rng, order, checked):
                cut = 1 << 16 if flavour == "gro" else rng.choice((20, 28, 44, 60, len(packet)))
                # The tap device refuses some virtio headers.
                with contextlib.suppress(OSError):
                    os.writev(tap, [virtio, ethernet + packet[:cut], packet[cut:]])
            # Empties the queue of what the host sends.
            with contextlib.suppress(BlockingIOError):
                while os.read(tap, 1 << 17):
                    pass
        assert host.traffic("tap0")["tx"]["packets"] > 0, "the host forwarded nothing"
    said = last_words()
    assert said["received"] > TRAINS, "the tunnel received too few packets"
    # GRO holds no packet of fragments.
    for what in ("delivered", "in GRO", *(["merged"] if flavour == "gro" else [])):
        assert said[what] > TRAINS // 20, f"too few were {what}"


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "closes"])
def test_failed_init_waits_for_the_dump(reads):
    loading = subprocess.Popen(
        ["insmod", MODULE, f"case={FAIL_DURING_A_DUMP}"], stderr=subprocess.PIPE, text=True
    )
    wait_until(has_family, "the family is there")
    client = family()
    request = struct.pack("=BBH", 1, 1, 0)
    header = struct.pack(
        "=IHHII", 16 + len(request), client.family, NLM_F_REQUEST | NLM_F_DUMP, 77, 0
    )
    # The kernel writes the first messages now, and the next when those are read.
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
            assert entries == 4096, "the dump is complete"
            break
    client.close()
    _, said = loading.communicate(timeout=20)
    assert loading.returncode != 0 and "anceled" in said
    assert not is_loaded() and not has_family()


def test_failed_init_unregisters_everything():
    for count in range(STEPS + 1):
        done = load(FAIL_AFTER + count, check=False)
        # The last one says that no steps are left.
        expected = "canceled" if count < STEPS else "Exchange full"
        assert done.returncode != 0 and expected in done.stderr, f"after {count} steps"
        assert not is_loaded() and not has_family()
    with loaded(TWICE):
        pass


def test_second_registration_is_refused(hosts):
    with hosts[0].inside():
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC).close()
        # The module checks that every second registration is refused.
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


def test_family_registered_during_unload_is_unregistered():
    for _ in range(3):
        with loaded(LATE):
            maker = threading.Thread(target=make_netns, args=("late",))
            maker.start()
        maker.join()
        remove_netns("late")
        assert not has_family()


@pytest.mark.parametrize("version", [4, 6])
def test_icmp_error_that_quotes_udp_in_udp_does_not_recurse(hosts, version):
    """Each level of recursion would take 8 bytes of the quoted packet, and more of the stack."""
    h1, h2 = hosts
    # UDP calls the encapsulations' error handlers only while a tunnel has a socket.
    h1.ip("fou", "add", "port", "5555", "ipproto", "4")
    # Bytes that FOU's and GUE's handlers do not take.
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
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    with loaded(TWICE), h2.inside(), socket.socket(kind[0], socket.SOCK_RAW, kind[1]) as sender:
        before = h1.snmp(counter)
        sender.sendto(message, ("192.0.2.1" if version == 4 else "2001:db8::1", 0))
        wait_until(lambda: h1.snmp(counter) > before, "the error arrives")
