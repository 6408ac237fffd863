# SPDX-License-Identifier: GPL-2.0
"""One of two guests on one wire, with rfou or Linux's fou: peer leader|follower [few]

For each kind of tunnel the leader has the follower make one end, makes the other end, and sends in
both directions. It prints a line for each tunnel, "ok" or "not ok". Each tunnel is made twice,
without and with offloads. With "few", each is made once, every other one with offloads.
"""

import contextlib
import hashlib
import itertools
import json
import pathlib
import socket
import sys
import threading
import time

from testing.lib.hosts import CommandError, Host, run
from testing.lib.tunnels import KINDS, OPTIONS, PORT, inner_address, make_end

CONTROL_PORT = 4000
SIZE = 300_000
DATA = bytes(range(251)) * (SIZE // 251)


def wire(number):
    """Makes this guest's host on the wire; scripts/test/interop has a drawing."""
    run("modprobe", "virtio_net", check=False)
    host = Host(f"h{number}")
    deadline = time.monotonic() + 10
    while True:
        names = [path.name for path in pathlib.Path("/sys/class/net").iterdir()]
        devices = [name for name in names if name.startswith("eth")]
        if devices:
            break
        if time.monotonic() > deadline:
            raise CommandError("there is no network device")
        time.sleep(0.1)
    run("ip", "link", "set", devices[0], "netns", host.name, "name", "eth0")
    host.sysctl("net.ipv6.conf.default.addr_gen_mode", 1)
    host.batch(
        "link set lo up",
        f"addr add 192.0.2.{number}/24 dev eth0",
        f"addr add 2001:db8::{number}/64 dev eth0 nodad",
        "link set eth0 up",
    )
    return host


class Peer:
    """This end of the tunnels."""

    def __init__(self, number):
        self.number = number
        self.host = wire(number)
        self.offloads = None

    def set_up(self, kind, encap, options, offloads):
        """Makes this end of a tunnel."""
        if offloads != self.offloads:
            self.host.run("ethtool", "-K", "eth0", "gro", offloads, "gso", offloads)
            self.offloads = offloads
        make_end(self.host, self.number, kind, encap, options)
        # Counts only the errors of this tunnel.
        self.errors = self.checksum_errors()

    def tear_down(self, kind):
        """Removes this end, or the part that was made."""
        family = "-6" if KINDS[kind][0] == 6 else ""
        lines = f"link del tun1\nfou del port {PORT} {family}\n"
        with self.host.inside():
            run("ip", "-force", "-batch", "-", stdin=lines, check=False)

    def checksum_errors(self):
        """Returns how many wrong checksums of TCP and UDP this host has seen."""
        counters = ("TcpInCsumErrors", "UdpInCsumErrors", "Udp6InCsumErrors")
        return sum(map(self.host.snmp, counters))

    def listen(self, kind):
        """Accepts one connection in the tunnel; `received` waits for the bytes."""
        family = socket.AF_INET if KINDS[kind][1] == 4 else socket.AF_INET6
        with self.host.inside():
            listener = socket.create_server((inner_address(kind, self.number), 5000), family=family)
        listener.settimeout(30)
        self.digest = None

        def receive():
            digest = hashlib.sha256()
            with contextlib.suppress(OSError), listener, listener.accept()[0] as connection:
                connection.settimeout(30)
                while chunk := connection.recv(1 << 16):
                    digest.update(chunk)
                self.digest = digest.hexdigest()

        self.thread = threading.Thread(target=receive, daemon=True)
        self.thread.start()

    def received(self):
        """Returns what is wrong with the received bytes or checksums, or an empty string."""
        self.thread.join()
        if self.digest != hashlib.sha256(DATA).hexdigest():
            return "the bytes sent by TCP did not arrive unchanged"
        more = self.checksum_errors() - self.errors
        return f"{more} wrong checksums" if more else ""

    def send(self, kind):
        """Pings the other end, and sends by TCP; returns why that failed, or an empty string."""
        target = inner_address(kind, 3 - self.number)
        family = socket.AF_INET if KINDS[kind][1] == 4 else socket.AF_INET6
        if self.host.run(
            "ping", "-n", "-c", 2, "-i", "0.01", "-W", 3, target, check=False
        ).returncode:
            return "no answer to echo"
        try:
            with self.host.inside():
                sender = socket.socket(family, socket.SOCK_STREAM)
            with sender:
                sender.settimeout(30)
                sender.connect((target, 5000))
                sender.sendall(DATA)
        except OSError as error:
            return str(error)
        return ""


def follow():
    """Follows the leader's requests."""
    peer = Peer(2)
    with peer.host.inside():
        server = socket.create_server(("192.0.2.2", CONTROL_PORT))
    connection, _ = server.accept()
    with connection, connection.makefile("rw", encoding="ascii") as control:
        for line in control:
            name, *arguments = json.loads(line)
            try:
                answer = getattr(peer, name)(*arguments)
            except (AssertionError, OSError) as error:
                answer = f"the other end: {error}"
            control.write(json.dumps(answer) + "\n")
            control.flush()
    return 0


def tunnels(few):
    """Yields the tunnels to try: kind, encapsulation, options, and offloads on or off."""
    combinations = [
        each for each in itertools.product(KINDS, ("fou", "gue"), OPTIONS)
        if each[1:] != ("fou", "remcsum")
    ]  # fmt: skip
    for odd, offloads in enumerate(("on", "off")):
        for number, each in enumerate(combinations):
            if not few or number % 2 == odd:
                yield *each, offloads


def lead(few):
    """Tries all tunnels; returns the exit status."""
    peer = Peer(1)
    deadline = time.monotonic() + 120
    while True:
        try:
            with peer.host.inside():
                connection = socket.create_connection(("192.0.2.2", CONTROL_PORT), timeout=5)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
    connection.settimeout(90)
    control = connection.makefile("rw", encoding="ascii")

    def tell(*words):
        control.write(json.dumps(words) + "\n")
        control.flush()

    def answer():
        return json.loads(control.readline())

    def ask(*words):
        tell(*words)
        return answer()

    failed = False
    for kind, encap, options, offloads in tunnels(few):
        why = []
        tell("set_up", kind, encap, options, offloads)
        peer.set_up(kind, encap, options, offloads)
        why.append(answer())
        why.append(ask("listen", kind))
        why.append(peer.send(kind))
        why.append(ask("received"))
        peer.listen(kind)
        why.append(ask("send", kind))
        why.append(peer.received())
        tell("tear_down", kind)
        peer.tear_down(kind)
        why.append(answer())
        wrong = "; ".join(filter(None, why))
        failed = failed or bool(wrong)
        name = f"{kind}, {encap}, {options}, GSO and GRO {offloads}"
        print(f"not ok {name}: {wrong}" if wrong else f"ok {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(lead(sys.argv[2:] == ["few"]) if sys.argv[1] == "leader" else follow())
