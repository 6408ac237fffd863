# SPDX-License-Identifier: GPL-2.0
"""In a guest that counts instructions: the cost of unused ports, tunnels, namespaces and devices.

growth FRAMES OUT COLUMN...   OUT: a JSON object per line; COLUMN: fou, rfou or device
"""

import json
import pathlib
import sys

from bench.guest import environment as guest
from bench.paths import DEVICE, FULL, RUNS, Path
from bench.wire import GUE_PORT, LOCAL, REMOTE
from testing.lib.hosts import make_netns, remove_netns, run
from testing.lib.netlink import Fou

PORTS = (1, 10, 100, 1000, 10000)
TUNNELS = (1, 10, 100, 1000, 10000)
NAMESPACES = (1, 10, 100, 1000)
DEVICES = (1, 10, 100, 1000, 2000)
COUNT = 4000
RECEIVE = Path("receive", "gue", 4, FULL)
TRANSMIT = Path("transmit", "gue", 4, FULL)


def cost(path, frames):
    """Instructions per packet, the least of several runs."""
    guest.load(frames / path.frames)
    guest.fire(path.kind, COUNT // 10)
    return min(guest.fire(path.kind, COUNT)[0] for _ in range(RUNS)) / COUNT


def timed(work, undo=lambda: None):
    """Return the least time of several runs of `work` in nanoseconds: one for each instruction."""
    costs = []
    for _ in range(RUNS):
        start = guest.now_ns()
        work()
        costs.append(guest.now_ns() - start)
        undo()
    return min(costs)


def with_ports(client, frames, report):
    """Measure, for more and more ports: receive, adding a port, a dump, getting the oldest port."""
    [used] = guest.add_ports(client, RECEIVE.encap, 4, 1)
    further = []
    probe = guest.port_attributes("gue", 4, guest.FURTHER_PORTS - 1)
    key = [pair for pair in probe if pair[0] in (guest.nl.PORT, guest.nl.AF)]
    oldest = [(guest.nl.PORT, guest.nl.be16(used)), (guest.nl.AF, guest.nl.u8(2))]
    for number in PORTS:
        while len(further) < number - 1:
            port = guest.FURTHER_PORTS + len(further)
            client.add(*guest.port_attributes("gue", 4, port))
            further.append(port)
        report("packet received", "ports", number, cost(RECEIVE, frames))
        # The first addition fills caches.
        client.add(*probe)
        client.delete(*key)
        added = timed(lambda: client.add(*probe), undo=lambda: client.delete(*key))
        report("port added", "ports", number, added)
        report("ports listed, each", "ports", number, timed(client.dump_raw) / number)
        report("oldest port shown", "ports", number, timed(lambda: client.get(*oldest)))
    guest.delete_ports(client, "gue", 4, [used, *further])


def with_tunnels(client, frames, report):
    """Measure receive and transmit, for more and more tunnel devices to other hosts."""
    ports = guest.add_ports(client, "gue", 4, 1)
    made = 1
    for number in TUNNELS:
        lines = []
        while made < number:
            remote = f"198.18.{made >> 8}.{made & 255}"
            lines.append(
                f"link add more{made} type ipip local {LOCAL[4]} remote {remote}"
                f" encap gue encap-sport auto encap-dport {GUE_PORT}"
            )
            made += 1
        guest.batch(*lines)
        report("packet received", "tunnels", number, cost(RECEIVE, frames))
        report("packet sent", "tunnels", number, cost(TRANSMIT, frames))
    delete_links(made)
    guest.delete_ports(client, "gue", 4, ports)


def with_namespaces(client, frames, report):
    """Measure receive, for more and more namespaces. The module has state in each."""
    ports = guest.add_ports(client, "gue", 4, 1)
    made = []
    for number in NAMESPACES:
        while len(made) < number - 1:
            made.append(f"more{len(made)}")
            make_netns(made[-1])
        report("packet received", "namespaces", number, cost(RECEIVE, frames))
    for name in made:
        remove_netns(name)
    guest.delete_ports(client, "gue", 4, ports)


def with_devices(frames, report):
    """Measure receive and transmit, for more and more gue devices with other ids or remotes."""
    made = 1
    for number in DEVICES:
        lines = []
        while made < number:
            other = f"remote {REMOTE[4]} id {made}"
            if made % 2:
                other = f"remote 198.18.{made >> 8}.{made & 255}"
            lines += [
                f"link add more{made} type gue {other}",
                f"link set more{made} up",
            ]
            made += 1
        guest.batch(*lines)
        report("packet received", "gue devices", number, cost(RECEIVE, frames))
        report("packet sent", "gue devices", number, cost(TRANSMIT, frames))
    delete_links(made)


def delete_links(made):
    """Delete the further links, all at once: each deletion alone would wait for RCU readers."""
    run("modprobe", "dummy", check=False)
    guest.batch(*(f"link set more{at} group 7" for at in range(1, made)), "link del group 7")


def measure(column, frames, report):
    """Measure how the costs of a column grow with unused ports, tunnels, namespaces, devices."""
    guest.use(column)
    if column == DEVICE:
        guest.gue_device("gue", 4)
        with_devices(frames, report)
    else:
        client = Fou()
        guest.tunnel("gue", 4)
        for part in (with_ports, with_tunnels, with_namespaces):
            part(client, frames, report)
        client.close()
    guest.batch("link del tun1")


def main():
    """Measure the columns that the command line names."""
    frames, file, *columns = sys.argv[1:]
    guest.start()
    with open(file, "w", encoding="ascii") as out:
        for column in columns:

            def report(what, against, number, value):
                line = {"what": what, "against": against, "number": number}
                line |= {"column": column, "value": value}  # noqa: B023
                print(json.dumps(line), file=out, flush=True)

            measure(column, pathlib.Path(frames), report)


if __name__ == "__main__":
    main()
