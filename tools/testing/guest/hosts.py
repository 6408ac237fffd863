"""Hosts on one wire: network namespaces joined by veth, and what a user does in them."""

import contextlib
import ctypes
import json
import os
import pathlib
import socket
import subprocess
import time

import fou_netlink

ETH_P_ALL = 0x0003
MS_BIND = 0x1000
MNT_DETACH = 0x2

libc = ctypes.CDLL(None, use_errno=True)


class CommandError(AssertionError):
    """A command failed that a test relies on."""


def run(*command, check=True, stdin=None):
    """Run a command; its completed process, with text output."""
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
        # A host that does not speak unasked: captures hold the test's packets alone.
        self.sysctl("net.ipv6.conf.default.router_solicitations", 0)
        self.sysctl("net.ipv6.conf.default.addr_gen_mode", 1)

    def ip(self, *words, check=True):
        """Run `ip` in this host."""
        return self.run("ip", *words, check=check)

    def batch(self, *lines):
        """Run several `ip` commands in this host at once."""
        with self.inside():
            run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in lines))

    def run(self, *command, check=True):
        """Run a command in this host."""
        with self.inside():
            return run(*command, check=check)

    def start(self, *command, **options):
        """Start a command in this host; it is ended with the host."""
        with self.inside():
            child = subprocess.Popen([str(word) for word in command], text=True, **options)
        self.children.append(child)
        return child

    def sysctl(self, name, value=None):
        """Read, or set, a network variable of this host."""
        path = pathlib.Path("/proc/sys", *name.split("."))
        with self.inside():
            if value is None:
                return path.read_text(encoding="ascii").strip()
            path.write_text(f"{value}\n", encoding="ascii")

    def proc_net(self, name):
        """A file of this host's /proc/net."""
        with self.inside():
            return pathlib.Path("/proc/thread-self/net", name).read_text(encoding="ascii")

    def enter(self):
        """Go into this host for good."""
        with open(f"/run/netns/{self.name}", "rb") as netns:
            os.setns(netns.fileno(), os.CLONE_NEWNET)

    @contextlib.contextmanager
    def inside(self):
        """Sockets that are opened in this context are this host's."""
        with open("/proc/thread-self/ns/net", "rb") as outside:
            self.enter()
            try:
                yield
            finally:
                os.setns(outside.fileno(), os.CLONE_NEWNET)

    def packet_socket(self, device, protocol=ETH_P_ALL):
        """A raw socket on a device, that sees (nothing, with 0) and sends whole frames."""
        # With the protocol told at once it would see every device until it is bound.
        with self.inside():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.bind((device, protocol))
        return raw

    def link(self, device):
        """What `ip` knows of a device."""
        return json.loads(self.ip("-j", "-s", "-d", "link", "show", "dev", device).stdout)[0]

    def mac(self, device):
        """The hardware address of a device."""
        with self.packet_socket(device, 0) as raw:
            return raw.getsockname()[4].hex(":")

    def traffic(self, device):
        """What a device has received (`rx`) and sent (`tx`): packets, errors, drops."""
        # No `ip`, as some tests look after each packet.
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
        """A counter of this host by its name in `nstat`."""
        for file in ("snmp", "netstat"):
            lines = self.proc_net(file).splitlines()
            for heads, values in zip(lines[::2], lines[1::2], strict=True):
                prefix, *names = heads.split()
                names = (prefix.rstrip(":") + name for name in names)
                counters = dict(zip(names, values.split()[1:], strict=True))
                if name in counters:
                    return int(counters[name])
        raise CommandError(f"there is no counter {name}")

    def remove(self):
        """End what runs here and take the namespace away."""
        for child in self.children:
            child.kill()
            child.wait()
        remove_netns(self.name)


def call(name, *arguments):
    """A function of the C library that fails by returning -1."""
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}")


def make_netns(name):
    """What `ip netns add` does, without a process: those take long on the debug kernel."""
    path = pathlib.Path("/run/netns", name)
    path.touch(exist_ok=False)
    with open("/proc/thread-self/ns/net", "rb") as outside:
        os.unshare(os.CLONE_NEWNET)
        try:
            call("mount", b"/proc/thread-self/ns/net", bytes(path), None, MS_BIND, None)
        finally:
            os.setns(outside.fileno(), os.CLONE_NEWNET)


def remove_netns(name):
    """What `ip netns del` does."""
    path = pathlib.Path("/run/netns", name)
    with contextlib.suppress(OSError):
        call("umount2", bytes(path), MNT_DETACH)
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def fallback_devices(where):
    """In this context new namespaces have tunnels' fallback devices, or not.

    `where` is "everywhere", as Debian has it, "first namespace" or "nowhere". Each namespace gets
    seven, and a quarter of what our tests took was their coming and going.
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
    """Two hosts on one wire, by device eth0: 192.0.2.1 and .2, 2001:db8::1 and ::2."""
    # If both ends had the same index, IPv6 would hear of the carrier up to a second later.
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
            # A question for a neighbour that comes before it has joined its group is lost.
            host.sysctl("net.ipv6.neigh.eth0.retrans_time_ms", 20)
            host.sysctl("net.ipv6.neigh.eth0.mcast_solicit", 100)
        yield h1, h2
    finally:
        for host in made:
            host.remove()


def add_nopartial(host, port, version=4):
    """Add a GUE port that computes remote checksums at once; iproute2 cannot ask for one."""
    with host.inside():
        client = fou_netlink.Fou()
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    client.add(
        (fou_netlink.PORT, fou_netlink.be16(port)),
        (fou_netlink.AF, fou_netlink.u8(family)),
        (fou_netlink.TYPE, fou_netlink.u8(fou_netlink.GUE)),
        (fou_netlink.REMCSUM_NOPARTIAL, b""),
    )
    client.close()


def is_udp_to(frame, port):
    """Whether an Ethernet frame is UDP to a port, behind IP without options or extensions.

    For `Capture.frames`: scapy takes milliseconds for a frame, and of some flows there are
    thousands.
    """
    udp, to = bytes([socket.IPPROTO_UDP]), port.to_bytes(2, "big")
    # Slices, as a frame may be cut.
    if frame[12:15] == b"\x08\x00\x45":
        first = not int.from_bytes(frame[20:22], "big") & 0x1FFF
        return first and frame[23:24] == udp and frame[36:38] == to
    return frame[12:14] == b"\x86\xdd" and frame[20:21] == udp and frame[56:58] == to


class Capture:
    """The frames that pass a device from now on."""

    def __init__(self, host, device):
        self.socket = host.packet_socket(device)
        # A burst must fit, or the test sees gaps that the wire did not have.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)

    def frames(self, wanted, count=1, timeout=5.0):
        """The frames for which `wanted(frame)` holds: at least `count`, or those that came."""
        found = []
        deadline = time.monotonic() + timeout
        while len(found) < count:
            # At least one look, at what has come already.
            self.socket.settimeout(max(0, deadline - time.monotonic()))
            try:
                frame = self.socket.recv(1 << 17)
            except (TimeoutError, BlockingIOError):
                break
            if wanted(frame):
                found.append(frame)
        return found

    def close(self):
        """Stop."""
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wait_until(condition, what, timeout=10.0):
    """Wait until a condition holds, or fail saying what did not happen."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(0.05)
