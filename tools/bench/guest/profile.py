# SPDX-License-Identifier: GPL-2.0
"""In a guest under the profiling plugin: send packets on each profiled path.

profile FRAMES SYMBOLS COLUMN   SYMBOLS: file for the kernel's symbols; COLUMN: fou, rfou, device,
ethernet or hashing
"""

import pathlib
import sys

from bench.guest import environment as guest
from bench.paths import MODULES, PROFILE_COUNTS, RUNS, profiled_paths
from testing.lib.netlink import Fou


def main():
    """Send the packets of each profiled path of a column."""
    frames, symbols, column = sys.argv[1:]
    guest.start()
    guest.use(column)
    client = Fou() if column in MODULES else None
    pathlib.Path("/proc/sys/kernel/kptr_restrict").write_text("0\n", encoding="ascii")
    pathlib.Path(symbols).write_bytes(pathlib.Path("/proc/kallsyms").read_bytes())
    for path in profiled_paths(column):
        guest.maker(column)(path.encap, path.version)
        ports = guest.add_ports(client, path.encap, path.version, path.ports) if client else []
        guest.load(pathlib.Path(frames) / path.frames)
        # Each run is a section of what the plugin counts; the first fills caches.
        for _ in range(1 + RUNS):
            guest.fire(path.kind, PROFILE_COUNTS[path.direction])
        guest.batch("link del tun1")
        if client:
            guest.delete_ports(client, path.encap, path.version, ports)


if __name__ == "__main__":
    main()
