"""Fire the cannon at a host in this guest: fire.py CANNON SEED PACKETS [FLAVOUR ...]

PACKETS of each flavour. A line for each, "ok" or "not ok"; the host must have taken in packets by
each of its tunnels, and be as well as before. fire.py CANNON --replay FILE fires one file.
"""

import os
import pathlib
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "guest"))

from hosts import run  # noqa: E402
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402
from target import GUE_PORT, HOST_MAC, PEER_MAC, TAP_FLAGS, TUNNELS, target  # noqa: E402

SOL_PACKET, PACKET_VNET_HDR = 263, 15
NO_VIRTIO = bytes(10)
# Of a thousand packets, this many come out of each tunnel at least; so few are not to be missed.
DELIVERED_PER_THOUSAND = 1


class NotWellError(AssertionError):
    """The host did not come through."""


def packet_socket(host, device):
    """A socket on a tunnel, for packets with a virtio header."""
    with host.inside():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sender.bind((device, 0))
    return sender


def is_well(host, tap):
    """Whether an ordinary packet through a GUE port arrives; after it, all that came before has."""
    with host.inside():
        inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    inside.bind(("10.0.0.1", 7777))
    inside.settimeout(60)
    text = b"are you well?"
    inner = IP(src="10.0.9.2", dst="10.0.0.1") / UDP(sport=7, dport=7777) / text
    outer = Ether(src=PEER_MAC, dst=HOST_MAC) / IP(src="192.0.2.2", dst="192.0.2.1")
    frame = outer / UDP(sport=40000, dport=GUE_PORT) / bytes.fromhex("00040000") / inner
    os.writev(tap, [NO_VIRTIO, bytes(frame)])
    with inside:
        try:
            return inside.recv(100) == text
        except TimeoutError:
            return False


def received(host):
    """How many packets each tunnel has taken in, and how many were sent to the wire."""
    counts = {name: host.link(name)["stats64"]["rx"]["packets"] for name in TUNNELS}
    wire = host.link("tap0")["stats64"]["tx"]
    return counts, wire["packets"] + wire["dropped"]


def fire(command, flavour):
    """Run the cannon at a fresh host; what it says and what came of it."""
    said = []
    with target(flavour) as (host, tap):
        if flavour == "scattered":
            # GRO would make the headers that it reads linear.
            host.run("ethtool", "-K", "tap0", "gro", "off")
        if not is_well(host, tap):
            raise NotWellError("the host does not work before a shot is fired")
        # A capture makes the stack's packets shared, as tcpdump does.
        with host.packet_socket("tap0"):
            if flavour == "transmit":
                for device in TUNNELS:
                    with packet_socket(host, device) as sender:
                        said.append(run_cannon(command, sender))
            else:
                said.append(run_cannon(command, tap))
        if not is_well(host, tap):
            raise NotWellError("an ordinary packet is not answered any more")
        counts, wire = received(host)
    return "; ".join(said), counts, wire


def run_cannon(command, device):
    """The cannon with a device to fire at."""
    done = subprocess.run(command, stdin=device, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotWellError(f"the cannon failed: {done.stderr.strip()}")
    return done.stdout.strip()


def unload():
    """Whether nothing holds the module any more."""
    if pathlib.Path("/sys/module/rfou").exists():
        run("rmmod", "rfou6", "rfou")
    for name in ("udp", "udp6"):
        lines = pathlib.Path("/proc/net", name).read_text(encoding="ascii").splitlines()
        if len(lines) != 1:
            raise NotWellError(f"/proc/net/{name} is not empty")


def main():
    """Fire, and report."""
    cannon = sys.argv[1]
    # Every mark is wanted: what was fired when the kernel complained is found by them.
    pathlib.Path("/proc/sys/kernel/printk_devkmsg").write_text("on\n", encoding="ascii")
    if sys.argv[2] == "--replay":
        flavour = run(cannon, "flavour", sys.argv[3]).stdout.strip()
        said, counts, wire = fire([cannon, "replay", sys.argv[3]], flavour)
        print(f"{said}; received by tunnel: {counts}, {wire} sent to the wire")
        return 0
    seed, packets = int(sys.argv[2]), int(sys.argv[3])
    failed = 0
    for flavour in sys.argv[4:] or TAP_FLAGS:
        number = packets // len(TUNNELS) if flavour == "transmit" else packets
        command = [cannon, "fire", "--seed", seed, "--flavour", flavour, "--packets", number]
        command = [*map(str, command), "--log", "/dev/kmsg"]
        try:
            said, counts, wire = fire(command, flavour)
            least = packets * DELIVERED_PER_THOUSAND // 1000
            few = [name for name, count in counts.items() if count < least]
            if flavour == "transmit":
                few = [] if wire > packets // 4 else ["the wire"]
            if few:
                raise NotWellError(f"fewer than {least} packets got to {', '.join(few)}: {counts}")
        except NotWellError as error:
            print(f"not ok cannon, {flavour}, seed {seed}: {error}", flush=True)
            failed = 1
            continue
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        print(
            f"ok cannon, {flavour}, seed {seed}: {said}; by tunnel: {shown}; {wire} sent",
            flush=True,
        )
    try:
        unload()
        print("ok the module can be unloaded after the cannon")
    except AssertionError as error:
        print(f"not ok the module after the cannon: {error}")
        failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
