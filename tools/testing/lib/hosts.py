# SPDX-License-Identifier: GPL-2.0
"""Hosts on one wire: network namespaces joined by veth; commands, sockets, captures in them."""

import contextlib
import ctypes
import json
import os
import pathlib
import socket
import subprocess
import time

from testing.lib import netlink

ETH_P_ALL = 0x0003
MS_BIND = 0x1000
MNT_DETACH = 0x2
SO_RCVBUFFORCE = 33

libc = ctypes.CDLL(None, use_errno=True)


class CommandError(AssertionError):
    """A command failed on which a test relies."""


def run(*command, check=True, stdin=None):
    """Runs a command; returns the completed process, with text output."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, input=stdin, check=False)
    if check and done.returncode != 0:
        raise CommandError(
            f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


class Host:
    """A network namespace by its name."""

    def __init__(self, name):
        self.name = name
        self.children = []
        make_netns(name)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        # Captures hold only the test's packets if the host sends nothing unasked.
        self.sysctl("net.ipv6.conf.default.router_solicitations", 0)
        self.sysctl("net.ipv6.conf.default.addr_gen_mode", 1)

    def ip(self, *words, check=True):
        """Runs `ip` in this host."""
        return self.run("ip", *words, check=check)

    def batch(self, *lines):
        """Runs several `ip` commands in this host by one process."""
        with self.inside():
            run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in lines))

    def run(self, *command, check=True):
        """Runs a command in this host."""
        with self.inside():
            return run(*command, check=check)

    def start(self, *command, **options):
        """Starts a command in this host, which `remove` ends."""
        with self.inside():
            child = subprocess.Popen([str(word) for word in command], text=True, **options)
        self.children.append(child)
        return child

    def sysctl(self, name, value=None):
        """Reads or sets a sysctl of this host."""
        path = pathlib.Path("/proc/sys", *name.split("."))
        with self.inside():
            if value is None:
                return path.read_text(encoding="ascii").strip()
            path.write_text(f"{value}\n", encoding="ascii")

    def proc_net(self, name):
        """Returns the text of a file in this host's /proc/net."""
        with self.inside():
            return pathlib.Path("/proc/thread-self/net", name).read_text(encoding="ascii")

    def enter(self):
        """Moves the calling thread into this host."""
        with open(f"/run/netns/{self.name}", "rb") as netns:
            os.setns(netns.fileno(), os.CLONE_NEWNET)

    @contextlib.contextmanager
    def inside(self):
        """In this context, the thread is in this host: sockets that it opens stay there."""
        with open("/proc/thread-self/ns/net", "rb") as outside:
            self.enter()
            try:
                yield
            finally:
                os.setns(outside.fileno(), os.CLONE_NEWNET)

    def packet_socket(self, device, protocol=ETH_P_ALL):
        """Returns a packet socket on a device, for whole frames; with protocol 0 only to send."""
        # With a protocol here, the socket would see every device until bind().
        with self.inside():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.bind((device, protocol))
        return raw

    def link(self, device):
        """Returns what `ip` shows of a device."""
        return json.loads(self.ip("-j", "-s", "-d", "link", "show", "dev", device).stdout)[0]

    def mac(self, device):
        """Returns the hardware address of a device."""
        with self.packet_socket(device, 0) as raw:
            return raw.getsockname()[4].hex(":")

    def traffic(self, device):
        """Returns a device's counters, received (`rx`) and sent (`tx`): packets, errors, drops."""
        # Without `ip`, because some tests call this after each packet.
        for line in self.proc_net("dev").splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == device:
                fields = [int(number) for number in numbers.split()]
                names = ("bytes", "packets", "errors", "dropped")
                rx = dict(zip(names, fields[:4], strict=True))
                tx = dict(zip((*names, "fifo", "collisions"), fields[8:14], strict=True))
                return {"rx": rx, "tx": tx}
        raise CommandError(f"there is no device {device}")

    def snmp(self, name):
        """Returns a counter of this host by its name in `nstat`."""
        for file in ("snmp", "netstat"):
            lines = self.proc_net(file).splitlines()
            for heads, values in zip(lines[::2], lines[1::2], strict=True):
                prefix, *names = heads.split()
                names = (prefix.rstrip(":") + name for name in names)
                counters = dict(zip(names, values.split()[1:], strict=True))
                if name in counters:
                    return int(counters[name])
        for line in self.proc_net("snmp6").splitlines():
            found, value = line.split()
            if found == name:
                return int(value)
        raise CommandError(f"there is no counter {name}")

    def remove(self):
        """Ends the commands in this host and removes the namespace."""
        for child in self.children:
            child.kill()
            child.wait()
        remove_netns(self.name)


def call(name, *arguments):
    """Calls a function of the C library; raises `OSError` if it returns another value than 0."""
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}")


def make_netns(name):
    """Does what `ip netns add` does, without a process: the debug kernel makes processes slowly."""
    path = pathlib.Path("/run/netns", name)
    path.touch(exist_ok=False)
    with open("/proc/thread-self/ns/net", "rb") as outside:
        os.unshare(os.CLONE_NEWNET)
        try:
            call("mount", b"/proc/thread-self/ns/net", bytes(path), None, MS_BIND, None)
        finally:
            os.setns(outside.fileno(), os.CLONE_NEWNET)


def remove_netns(name):
    """Does what `ip netns del` does."""
    path = pathlib.Path("/run/netns", name)
    with contextlib.suppress(OSError):
        call("umount2", bytes(path), MNT_DETACH)
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def fallback_devices(where):
    """In this context, `where` decides which namespaces have tunnels' fallback devices.

    `where` is "everywhere", Debian's default, "first namespace" or "nowhere". A namespace has seven
    of them; making and removing them took a quarter of the tests' time.
    """
    path = pathlib.Path("/proc/sys/net/core/fb_tunnels_only_for_init_net")
    before = path.read_text(encoding="ascii")
    number = ("everywhere", "first namespace", "nowhere").index(where)
    path.write_text(f"{number}\n", encoding="ascii")
    try:
        yield
    finally:
        path.write_text(before, encoding="ascii")


@contextlib.contextmanager
def two_hosts():
    """Makes two hosts on one wire.

      h1                                 h2
    +------------------------+         +------------------------+
    | eth0  192.0.2.1/24     |  veth   | eth0  192.0.2.2/24     |
    |       2001:db8::1/64   |---------|       2001:db8::2/64   |
    +------------------------+         +------------------------+
    """
    # If both ends had the same index, IPv6 would see the carrier up to a second later.
    wire = "link add eth0 index 99 type veth peer name eth0 netns h2"
    made = []
    try:
        for name in ("h1", "h2"):
            made.append(Host(name))
        h1, h2 = made
        for number, host in enumerate(made, start=1):
            host.batch(
                *([wire] if host == h1 else []),
                "link set lo up",
                f"addr add 192.0.2.{number}/24 dev eth0",
                f"addr add 2001:db8::{number}/64 dev eth0 nodad",
                "link set eth0 up",
            )
            # A neighbour solicitation is lost until the neighbour has joined its group.
            host.sysctl("net.ipv6.neigh.eth0.retrans_time_ms", 20)
            host.sysctl("net.ipv6.neigh.eth0.mcast_solicit", 100)
        yield h1, h2
    finally:
        for host in made:
            host.remove()


def add_nopartial(host, port, version=4):
    """Adds a GUE port with `REMCSUM_NOPARTIAL`, which iproute2 cannot set."""
    with host.inside():
        client = netlink.Fou()
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    client.add(
        (netlink.PORT, netlink.be16(port)),
        (netlink.AF, netlink.u8(family)),
        (netlink.TYPE, netlink.u8(netlink.GUE)),
        (netlink.REMCSUM_NOPARTIAL, b""),
    )
    client.close()


def is_udp_to(frame, port):
    """Returns whether a frame is UDP to a port, after an IP header without options or extensions.

    For `Capture.frames` over thousands of frames, because scapy takes milliseconds for each.
    """
    udp, to = bytes([socket.IPPROTO_UDP]), port.to_bytes(2, "big")
    # Slices, because a frame may be cut.
    if frame[12:15] == b"\x08\x00\x45":
        first = not int.from_bytes(frame[20:22], "big") & 0x1FFF
        return first and frame[23:24] == udp and frame[36:38] == to
    return frame[12:14] == b"\x86\xdd" and frame[20:21] == udp and frame[56:58] == to


class Capture:
    """Captures the frames that pass a device from now on."""

    def __init__(self, host, device):
        self.socket = host.packet_socket(device)
        # Room for a burst: a full buffer would look like loss on the wire.
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)

    def frames(self, wanted, count=1, timeout=5.0, enough=lambda found: False):
        """Returns the frames for which `wanted(frame)` holds.

        Ends with `count` frames, when `enough(found)` is true, or when the time is over.
        """
        found = []
        deadline = time.monotonic() + timeout
        while len(found) < count and not enough(found):
            # With timeout 0, the frames that have come already.
            self.socket.settimeout(max(0, deadline - time.monotonic()))
            try:
                frame = self.socket.recv(1 << 17)
            except (TimeoutError, BlockingIOError):
                break
            if wanted(frame):
                found.append(frame)
        return found

    def close(self):
        """Ends the capture."""
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wait_until(condition, what, timeout=10.0):
    """Waits until a condition holds; fails, naming what did not happen, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(0.05)
