"""Hosts on one wire: network namespaces joined by veth, and what a user does in them."""

import contextlib
import os
import socket
import subprocess
import time

ETH_P_ALL = 0x0003


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
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words, check=True):
        """Run `ip` in this host."""
        return run("ip", "-n", self.name, *words, check=check)

    def run(self, *command, check=True):
        """Run a command in this host."""
        return run("ip", "netns", "exec", self.name, *command, check=check)

    def start(self, *command, **options):
        """Start a command in this host; it is ended with the host."""
        words = ["ip", "netns", "exec", self.name, *[str(word) for word in command]]
        child = subprocess.Popen(words, text=True, **options)
        self.children.append(child)
        return child

    def sysctl(self, name, value):
        """Set a network variable of this host."""
        self.run("sysctl", "-qw", f"{name}={value}")

    @contextlib.contextmanager
    def inside(self):
        """Sockets that are opened in this context are this host's."""
        with open("/proc/thread-self/ns/net", "rb") as outside:
            with open(f"/run/netns/{self.name}", "rb") as inside:
                os.setns(inside.fileno(), os.CLONE_NEWNET)
            try:
                yield
            finally:
                os.setns(outside.fileno(), os.CLONE_NEWNET)

    def packet_socket(self, device):
        """A raw socket on a device, that sees and sends whole frames."""
        with self.inside():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        raw.bind((device, 0))
        return raw

    def mac(self, device):
        """The hardware address of a device."""
        return self.run("cat", f"/sys/class/net/{device}/address").stdout.strip()

    def counter(self, device, name):
        """A statistics counter of a device."""
        return int(self.run("cat", f"/sys/class/net/{device}/statistics/{name}").stdout)

    def snmp(self, name):
        """A counter as `nstat` knows it, zero included."""
        for line in self.run("nstat", "-asz", name).stdout.splitlines():
            words = line.split()
            if words and words[0] == name:
                return int(words[1])
        raise CommandError(f"nstat knows no {name}")

    def remove(self):
        """End what runs here and take the namespace away."""
        for child in self.children:
            child.kill()
            child.wait()
        run("ip", "netns", "del", self.name, check=False)


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
        while len(found) < count and (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                frame = self.socket.recv(1 << 17)
            except TimeoutError:
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
