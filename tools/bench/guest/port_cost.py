# SPDX-License-Identifier: GPL-2.0
"""In a guest: the spread of flows over source ports, and the memory of ports and modules.

port_cost FRAMES OUT   OUT: a JSON object
"""

import json
import pathlib
import re
import sys

from bench.guest import environment as guest
from bench.paths import MODULES, SPREAD_FLOWS
from bench.wire import HIGHEST_SOURCE_PORT, LOWEST_SOURCE_PORT
from testing.lib.netlink import Fou

PORTS = 2000
SLAB = re.compile(r"^Slab:\s+(\d+) kB$", re.MULTILINE)


def source_ports(version, frames):
    """The number of packets with each source port; each packet is of a flow of its own."""
    guest.tunnel("gue", version)
    guest.load(frames / "spread")
    guest.fire("transmit", SPREAD_FLOWS)
    text = (guest.DEBUGFS / "ports").read_text(encoding="ascii")
    guest.batch("link del tun1")
    counts = [int(word) for word in text.split()]
    assert sum(counts) == SPREAD_FLOWS, "each packet has a source port"
    assert sum(counts[LOWEST_SOURCE_PORT : HIGHEST_SOURCE_PORT + 1]) == SPREAD_FLOWS, (
        "each source port is in the local range"
    )
    return {port: count for port, count in enumerate(counts) if count}


def slab_kib():
    """Memory in slabs at this moment."""
    return int(SLAB.search(pathlib.Path("/proc/meminfo").read_text(encoding="ascii"))[1])


def bytes_per_port(client):
    """Memory of a port, its socket included."""
    before = slab_kib()
    ports = guest.add_ports(client, "gue", 4, PORTS)
    after = slab_kib()
    guest.delete_ports(client, "gue", 4, ports)
    return (after - before) * 1024 / PORTS


def module_size(names):
    """Bytes of loaded modules' code and data, as lsmod shows them."""
    lines = pathlib.Path("/proc/modules").read_text(encoding="ascii").splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines if line.split()[0] in names}


def main():
    """Measure both modules."""
    frames = pathlib.Path(sys.argv[1])
    guest.start()
    results = {}
    for module in MODULES:
        guest.use(module)
        client = Fou()
        results[module] = {
            "source ports": {f"v{version}": source_ports(version, frames) for version in (4, 6)},
            "bytes per port": bytes_per_port(client),
            "module sizes": module_size({module, f"{module}6"}),
        }
        client.close()
    pathlib.Path(sys.argv[2]).write_text(json.dumps(results), encoding="ascii")


if __name__ == "__main__":
    main()
