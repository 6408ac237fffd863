"""In a guest under the profiling plugin: send packets on each path that is to be profiled.

profile.py FRAMES SYMBOLS MODULE   SYMBOLS: where to write the kernel's symbols to
"""

import pathlib
import sys

import guest
from fou_netlink import Fou
from paths import profiled_paths


def main():
    """Send them."""
    frames, symbols, module = sys.argv[1:]
    guest.start()
    guest.use(module)
    client = Fou()
    pathlib.Path("/proc/sys/kernel/kptr_restrict").write_text("0\n", encoding="ascii")
    pathlib.Path(symbols).write_bytes(pathlib.Path("/proc/kallsyms").read_bytes())
    for path, count in profiled_paths():
        guest.tunnel(path.encap, path.version)
        ports = guest.add_ports(client, path.encap, path.version, path.ports)
        guest.load(pathlib.Path(frames) / path.frames)
        # The first time caches are filled; a section of its own, too.
        for _ in range(2):
            guest.fire(path.kind, count)
        guest.batch("link del tun1")
        guest.delete_ports(client, path.version, ports)


if __name__ == "__main__":
    main()
