# SPDX-License-Identifier: GPL-2.0
"""In a guest that counts instructions: the cost of a packet on each path.

instructions FRAMES OUT COLUMNS [--only-device] [PATTERN]

OUT: a JSON object per line; COLUMNS: plain, fou, rfou, device, ethernet, or several with commas;
--only-device: only the device's paths, and those that they are compared with; PATTERN: of paths,
for a part only.
"""

import fnmatch
import itertools
import json
import pathlib
import sys
import time

from bench.guest import environment as guest
from bench.paths import COUNTS, INCOMING, MODULES, PIECES, RUNS, measured_paths
from testing.lib.hosts import run
from testing.lib.netlink import Fou


class DeliveryError(AssertionError):
    """Packets that were sent did not come out."""


def measure(path, frames):
    """Return the instructions (ns) per packet of each run, and the packets out per packet in."""
    count = COUNTS[path.direction]
    guest.load(frames / path.frames)
    guest.fire(path.kind, max(path.flows, count // 10) * frames_of(path))
    costs = []
    for _ in range(RUNS):
        before = guest.taken_in()
        elapsed, swallowed, segments, _ = guest.fire(path.kind, count * frames_of(path))
        costs.append(elapsed / count)
        if path.direction in INCOMING:
            came = guest.taken_in() - before
            wanted = count if path.direction != "gro" else None
        else:
            came = segments
            wanted = count if path.direction == "transmit" else None
            if path.direction == "gso-segmented" and swallowed != segments:
                raise DeliveryError(f"{path.name}: GSO packets came to the device")
        if came == 0 or wanted not in (None, came):
            raise DeliveryError(f"{path.name}: of {count} packets came {came}")
    return costs, came / count


def frames_of(path):
    """The number of frames that one packet arrives in."""
    return PIECES[path.encap] if path.direction == "reassembly" else 1


def scenes(paths):
    """Group the paths by the devices and ports that they need."""
    key = lambda path: (path.encap, path.version, path.ports, path.both_versions)  # noqa: E731
    return itertools.groupby(sorted(paths, key=lambda path: (*key(path), path.name)), key)


def set_segmentation(on):
    """Let the generator's device segment by itself, or not."""
    words = (word for name in guest.SEGMENTATION for word in (name, "on" if on else "off"))
    run("ethtool", "-K", "bench0", *words)


def observe(module, paths, frames, report):
    """Measure paths by one module, by the device, or by tunnels that need neither."""
    guest.use(module)
    client = Fou() if module in MODULES else None
    for (encap, version, number, both), group in scenes(paths):
        make = guest.maker(module)
        make(encap, version)
        ports = guest.add_ports(client, encap, version, number) if client else []
        other = guest.add_ports(client, encap, 10 - version, 1) if client and both else []
        device_segments = True
        for path in sorted(group, key=lambda path: path.direction):
            if (path.direction != "gso-segmented") != device_segments:
                device_segments = not device_segments
                set_segmentation(device_segments)
                # rfou may use the cached features of a device for up to a second.
                time.sleep(1)
            costs, came = measure(path, frames)
            report(path, module or path.encap, costs, came)
        if not device_segments:
            set_segmentation(True)
        guest.batch("link del tun1")
        if client:
            guest.delete_ports(client, encap, version, ports)
            guest.delete_ports(client, encap, 10 - version, other)
    if client:
        client.close()


def main():
    """Measure the columns that the command line names."""
    frames, file, columns, *words = sys.argv[1:]
    only_device = words[:1] == ["--only-device"]
    [pattern] = words[1 if only_device else 0 :] or ["*"]
    guest.start()
    with open(file, "w", encoding="ascii") as out:

        def report(path, column, costs, came):
            line = {"path": path.name, "column": column, "costs": costs, "came": came}
            print(json.dumps(line), file=out, flush=True)

        for column in columns.split(","):
            module = None if column == "plain" else column
            paths = measured_paths(column, only_device)
            paths = [path for path in paths if fnmatch.fnmatch(path.name, pattern)]
            observe(module, paths, pathlib.Path(frames), report)


if __name__ == "__main__":
    main()
