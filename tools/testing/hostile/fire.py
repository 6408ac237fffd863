# SPDX-License-Identifier: GPL-2.0
"""Fire the cannon at a host in this guest: fire CANNON SEED PACKETS [FLAVOUR ...]

Fires PACKETS of each flavour. Prints a line for each: "ok", or "not ok" with the volleys in
question. Each tunnel of the host must receive packets, some of them while captures share them, and
the host must answer as before. With CANNON --replay FILE, fires the packets of one file.
"""

import contextlib
import pathlib
import re
import socket
import struct
import subprocess
import sys

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from testing.hostile.target import (
    DEVICES,
    GUE_PORT,
    HOST_MAC,
    NO_VIRTIO,
    PEER_MAC,
    TAP_FLAGS,
    TUNNELS,
    target,
    write_frame,
)
from testing.lib import progress
from testing.lib.fragment_memory import Reassembly
from testing.lib.hosts import run
from testing.lib.threads import Meanwhile

RECEIVERS = (*TUNNELS, *DEVICES)
SOL_PACKET, PACKET_STATISTICS, PACKET_VNET_HDR = 263, 6, 15
SO_RCVBUFFORCE = 33
# Packets that each tunnel must receive of a thousand that are fired: half of what is usual.
DELIVERED_PER_THOUSAND = {
    "tun4": 20,
    "tun6": 15,
    "gre4": 8,
    "eth4": 1,
    "tnl6": 35,
    "gre6": 8,
    "eth6": 1,
    "gue4": 5,
    "gue6": 2,
    "grp4": 2,
    "grp6": 2,
    "var4": 4,
    "key4": 0.8,
    "key6": 0.5,
    "frm4": 0.8,
    "frm6": 0.5,
    "frg4": 0.25,
    "frg6": 0.25,
    "reassembly": 12,
}
# The same for the flavour "pieces": all packets are for gue devices, most of them in GUE fragments.
DELIVERED_IN_PIECES = {
    "gue4": 4,
    "gue6": 2,
    "grp4": 4,
    "grp6": 3,
    "key4": 2,
    "key6": 2,
    "frm4": 2,
    "frm6": 2,
    "frg4": 1,
    "frg6": 1,
}
# One packet in five never comes whole. Its pieces are given up soon, so that others have room.
MEMORY_OF_PIECES, SECONDS_OF_PIECES = 400_000, 1
# Fewer packets vary more: a tunnel must receive a fourth as many, and all packets of one tunnel
# may pass while no capture is open. On transmit each tunnel gets its packets at once.
FEW = 20000
FEW_TO_TRANSMIT = 100000
# The host is checked after each round, which limits the volleys in question.
ROUNDS = 8
# Seconds for which captures are open, and then closed.
SHARED_FOR = 0.2
# Seconds that an ordinary packet may take after a round: less than the watchdog waits, so that the
# volleys in question are printed.
PATIENCE = 25


class NotWellError(AssertionError):
    """The host does not work any more, or too few packets reached it."""


class MemoryWatch(Meanwhile):
    """Reads the memory of pieces that wait for the rest of their packets."""

    def __init__(self, host):
        super().__init__()
        self.reassembly = Reassembly(host)
        self.highest = 0

    def run(self):
        """Reads the memory again and again, in the thread."""
        while not self.over.wait(0.02):
            self.highest = max(self.highest, self.reassembly.memory())


class Captures(Meanwhile):
    """Captures on all devices, open for half of the time.

    A packet that a capture holds is a clone of the stack's packet, as with tcpdump. A full capture
    clones no more packets. Closing a capture empties it without reading.
    """

    def __init__(self, host):
        super().__init__()
        self.host = host
        self.seen = dict.fromkeys(("tap0", *RECEIVERS), 0)

    def run(self):
        """Opens and closes the captures, in the thread."""
        while not self.over.is_set():
            with contextlib.ExitStack() as stack:
                captures = {}
                for device in self.seen:
                    capture = stack.enter_context(self.host.packet_socket(device))
                    capture.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
                    captures[device] = capture
                self.over.wait(SHARED_FOR)
                for device, capture in captures.items():
                    numbers = capture.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
                    packets, dropped = struct.unpack("=II", numbers)
                    self.seen[device] += packets - dropped
            self.over.wait(SHARED_FOR)


def packet_socket(host, device):
    """Returns a socket on a tunnel device, for packets with a virtio header."""
    with host.inside():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sender.bind((device, 0))
    return sender


def is_well(host, tap):
    """Sends an ordinary packet to a GUE port, after all others; returns whether it arrives."""
    progress.report("an ordinary packet is sent")
    with host.inside():
        inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    inside.bind(("10.0.0.1", 7777))
    inside.settimeout(PATIENCE)
    text = b"are you well?"
    inner = IP(src="10.0.9.2", dst="10.0.0.1") / UDP(sport=7, dport=7777) / text
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    frame = outer / UDP(sport=40000, dport=GUE_PORT) / bytes.fromhex("00040000") / inner
    write_frame(tap, [NO_VIRTIO, bytes(frame)])
    with inside:
        try:
            return inside.recv(100) == text
        except TimeoutError:
            return False


def received(host):
    """Returns how many packets each tunnel has received; how many it and tap0 have sent."""
    tunnels = {name: host.traffic(name) for name in RECEIVERS}
    counts = {name: traffic["rx"]["packets"] for name, traffic in tunnels.items()}
    counts["reassembly"] = host.snmp("IpReasmOKs") + host.snmp("Ip6ReasmOKs")
    wire = host.traffic("tap0")["tx"]
    sent = {name: traffic["tx"]["packets"] for name, traffic in tunnels.items()}
    sent["tap0"] = wire["packets"] + wire["dropped"]
    return counts, sent


def fire(shots, flavour):
    """Fires at a fresh host; returns the cannon's output, packets received, sent and captured.

    `shots(device)` fires a round at each step, and yields the cannon's output.
    """
    said = []
    progress.report(f"cannon, {flavour}: the host is set up")
    with target(flavour, rgue=True) as (host, tap):
        Reassembly(host).set_limit(MEMORY_OF_PIECES)
        Reassembly(host).set_timeout(SECONDS_OF_PIECES)
        if flavour == "scattered":
            # GRO would pull the headers that it reads into the linear part.
            host.run("ethtool", "-K", "tap0", "gro", "off")
        if not is_well(host, tap):
            raise NotWellError("the host does not work before the first shot")
        with Captures(host) as captures, contextlib.ExitStack() as stack:
            memory = stack.enter_context(MemoryWatch(host))
            devices = [tap]
            if flavour == "transmit":
                devices = [stack.enter_context(packet_socket(host, name)) for name in RECEIVERS]
            for device in devices:
                for words in shots(device):
                    said.append(words)
                    if not is_well(host, tap):
                        raise NotWellError(f"{words}: an ordinary packet is not answered any more")
        counts, sent = received(host)
        counts["bytes of pieces"] = memory.highest
        progress.report(f"cannon, {flavour}: the host is taken away")
    return said, counts, sent, captures.seen


def run_cannon(command, device):
    """Runs the cannon at a device; returns its output."""
    command = [str(word) for word in command]
    if progress.PATH:
        command += ["--progress", progress.PATH]
    done = subprocess.run(command, stdin=device, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotWellError(f"the cannon failed: {done.stderr.strip()}")
    return done.stdout.strip()


def salvoes(cannon, seed, flavour, packets, rounds=ROUNDS):
    """Returns shots for `fire`: the packets in rounds, each from where the last one ended.

    On transmit each tunnel gets a share of the packets, in one round.
    """
    if flavour == "transmit":
        packets //= len(RECEIVERS)
        rounds = 1

    def shots(device):
        first = 0
        for _ in range(rounds):
            command = [cannon, "fire", "--seed", seed, "--flavour", flavour, "--first", first]
            command += ["--packets", packets // rounds, "--log", "/dev/kmsg"]
            words = run_cannon(command, device)
            first = int(re.search(r"volleys \d+ to (\d+)", words)[1]) + 1
            yield words

    return shots


def check(packets, flavour, counts, sent, shared):
    """Fails if too few packets reached the tunnels, the wire or the captures."""
    divisor = 1000 if packets >= FEW else 4000
    shares = DELIVERED_IN_PIECES if flavour == "pieces" else DELIVERED_PER_THOUSAND
    least = {name: packets * share // divisor for name, share in shares.items()}
    # Each CPU may go beyond the limit by one more piece.
    if counts["bytes of pieces"] > MEMORY_OF_PIECES + 200_000:
        raise NotWellError(f"pieces take {counts['bytes of pieces']} bytes")
    if flavour == "pieces" and not counts["bytes of pieces"]:
        raise NotWellError(f"no piece waited for others: {counts}")
    if flavour == "transmit":
        least_sent = packets // len(RECEIVERS) // 4
        # A packet of a socket has no tunnel's metadata, so a device in external mode drops it.
        if few := [name for name in RECEIVERS if name != "ext" and sent[name] < least_sent]:
            raise NotWellError(f"hardly any packets were sent by {', '.join(few)}: {sent}")
        if sent["tap0"] <= packets // 4:
            raise NotWellError(f"only {sent['tap0']} packets got to the wire")
    elif few := [name for name, count in least.items() if counts[name] < count]:
        raise NotWellError(f"too few packets got to {', '.join(few)}: {counts}")
    all_shared = packets >= (FEW_TO_TRANSMIT if flavour == "transmit" else FEW)
    # Captures come and go, so a device that gets a few packets may have none of them captured.
    least = {name: least.get(name, 0) // 8 if all_shared else 0 for name in RECEIVERS}
    least["tap0"] = packets // 10
    if few := [name for name, count in least.items() if shared[name] < count]:
        raise NotWellError(f"hardly any packets of {', '.join(few)} were shared: {shared}")


def unload():
    """Unloads the modules; fails if a socket is left."""
    for name in ("rgue", "rfou6", "rfou"):
        if pathlib.Path("/sys/module", name).exists():
            run("rmmod", name)
    for name in ("udp", "udp6"):
        lines = pathlib.Path("/proc/net", name).read_text(encoding="ascii").splitlines()
        if len(lines) != 1:
            raise NotWellError(f"/proc/net/{name} is not empty")


def main():
    """Fires each flavour, and prints a line for each; returns the exit status."""
    cannon = sys.argv[1]
    # The cannon's marks in the log name the volley before a fault of the kernel.
    pathlib.Path("/proc/sys/kernel/printk_devkmsg").write_text("on\n", encoding="ascii")
    if sys.argv[2] == "--replay":
        flavour = run(cannon, "flavour", sys.argv[3]).stdout.strip()
        said, counts, sent, _ = fire(
            lambda device: [run_cannon([cannon, "replay", sys.argv[3]], device)], flavour
        )
        print(f"{'; '.join(said)}; received: {counts}, {sent['tap0']} sent to the wire")
        return 0
    seed, packets = int(sys.argv[2]), int(sys.argv[3])
    failed = 0
    for flavour in sys.argv[4:] or TAP_FLAGS:
        try:
            said, counts, left, shared = fire(salvoes(cannon, seed, flavour, packets), flavour)
            check(packets, flavour, counts, left, shared)
        except NotWellError as error:
            print(f"not ok cannon, {flavour}, seed {seed}: {error}", flush=True)
            failed = 1
            continue
        numbers = [map(int, re.findall(r"(\d+) (?:sent|refused)", words)) for words in said]
        sent, refused = map(sum, zip(*numbers, strict=True))
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        print(
            f"ok cannon, {flavour}, seed {seed}: {sent} sent, {refused} refused;"
            f" received: {shown}; {left['tap0']} to the wire; shared: {sum(shared.values())}",
            flush=True,
        )
    progress.report("the module is unloaded")
    try:
        unload()
        print("ok the module can be unloaded after the cannon")
    except AssertionError as error:
        print(f"not ok the module after the cannon: {error}")
        failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
