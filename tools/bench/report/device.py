# SPDX-License-Identifier: GPL-2.0
"""The gue device's part of the page, and its tables."""

import statistics

from bench.paths import DEVICE, ETHERNET_DEVICES, SMALL, device_paths
from bench.report.bars import AIMED_ADDED, ratio_text
from bench.report.markdown import table, whole

COLUMNS = (DEVICE, "fou", "rfou", "plain", "vxlan", "geneve")


def by_direction(results):
    """The device beside fou's tunnel, for each direction and IP version."""
    groups = {}
    for path in device_paths():
        group = groups.setdefault((path.direction, f"IPv{path.version}"), [])
        group.append(results["device paths"][path.name])
    rows = []
    for key, group in groups.items():
        ratios = [row["ratio"] for row in group]
        found = [min(ratios), statistics.median(ratios), max(ratios)]
        added = [row["added"] for row in group if row["added"] is not None]
        middle = f"{statistics.median(added):.2f}" if added else "-"
        rows.append([", ".join(key), len(group), *map(ratio_text, found), middle])
    head = ["instructions per packet, gue device / fou", "paths", "least", "median", "highest"]
    return table([*head, "above the plain tunnel, median"], rows)


def section(results):
    """The part of the page."""
    added = [r["added"] for r in results["device paths"].values() if r["added"] is not None]
    reached = sum(value <= AIMED_ADDED for value in added)
    return [
        "## The gue device",
        "",
        "A device of the kind `gue` beside `ipip` (over IPv6: `ip6tnl`) over Linux's fou, GUE: the"
        " same packets, in a guest that has fou.ko and rgue.ko loaded. With an id, the device's"
        " packets have 4 bytes more. Ports and devices have no local address, but for the paths"
        " `gue-local`. *Above the plain tunnel* is the ratio of what the device and"
        f" fou's tunnel cost above the plain tunnel; the aim is {AIMED_ADDED}, which {reached} of"
        f" {len(added)} paths reach.",
        "",
        *by_direction(results),
        "![instructions per packet by path: gue device, fou, VXLAN, Geneve](benchmark/device.svg)",
        "",
        *protection(results["protection"]),
        *covering(results["covering"], results["hashing"]),
        *ethernet(results["ethernet"]),
        "",
        *reassembly(results["reassembly"]),
    ]


def protection(rows):
    """The cost of a cookie and of a keyed hash."""
    return [
        "A device with `auth cookie8`, and one with `auth hmac` that covers no payload, against the"
        " same device without. Each header is 8 or 40 bytes longer. On the paths of GRO, the"
        " generator copies the headers, and the emulator counts an instruction for each byte of the"
        " copy.",
        "",
        *table(
            ["path", "with", "without", "added"],
            [
                [name, whole(row["with"]), whole(row["without"]), f"{row['added']:+.0f}"]
                for name, row in rows.items()
            ],
        ),
    ]


def covering(rows, of_hash):
    """The cost of a keyed hash over payloads."""
    return [
        "A device with `auth hmac cover all` against the same device without: instructions added"
        f" for each byte of a payload; for one of {SMALL} bytes, those in the kernel's functions of"
        " the hash, in its functions of the inner checksum, and in all others. The payload of a"
        " large packet to be sent is not linear, so the device copies it for the hash. On transmit"
        " the device completes the inner checksum before the hash. The device without a hash leaves"
        " the checksum to the network card.",
        "",
        *table(
            [
                "path",
                "added for each byte",
                f"the hash, {SMALL} bytes",
                "the inner checksum",
                "all others",
            ],
            [
                [
                    name,
                    f"{row['per byte']:.2f}",
                    *(f"{of_hash[name][kind]:+.0f}" for kind in ("hash", "checksum", "rest")),
                ]
                for name, row in rows.items()
            ],
        ),
    ]


def ethernet(rows):
    """Ethernet devices beside each other."""
    return [
        "### Ethernet",
        "",
        "Devices that carry Ethernet: the gue device with `mode ethernet`, the sample"
        " `geneve_sample`, VXLAN and Geneve, with the same inner frames, in one guest.",
        "",
        *table(
            [
                "instructions per packet",
                *ETHERNET_DEVICES,
                "gue device / lesser of vxlan and geneve",
                "sample / geneve",
            ],
            [
                [
                    name,
                    *(whole(row[column]) for column in ETHERNET_DEVICES),
                    ratio_text(row["ratio"]),
                    ratio_text(row["sample ratio"]),
                ]
                for name, row in rows.items()
            ],
        ),
    ]


def reassembly(row):
    """The cost of a packet in fragments."""
    return [
        "A packet of 1,400 bytes through the device: whole, in two GUE fragments, which the device"
        " joins, and in two IPv4 fragments, which IP joins.",
        "",
        *table(
            ["instructions per packet", "number"],
            [
                ["whole", whole(row["gue"])],
                ["in two GUE fragments", whole(row["gue-in-pieces"])],
                ["in two IPv4 fragments", whole(row["gue-in-ip-fragments"])],
                ["GUE / IPv4", ratio_text(row["ratio"])],
            ],
        ),
    ]


def instructions(results):
    """Every path of the device."""
    head = [
        "path",
        *COLUMNS,
        "device / fou",
        "device / rfou",
        "above the plain tunnel, device / fou",
    ]
    rows = (
        [
            name,
            *(whole(row[column]) for column in COLUMNS),
            ratio_text(row["ratio"]),
            ratio_text(row[DEVICE] / row["rfou"]),
            "-" if row["added"] is None else f"{row['added']:.2f}",
        ]
        for name, row in results["device paths"].items()
    )
    return [
        "# Instructions per packet: the gue device",
        "",
        "*fou* and *rfou* are tunnels over these modules with the same packets, without an id."
        " *Plain* is the tunnel without UDP; *vxlan* and *geneve* are devices of their own, whose"
        " inner packets have an Ethernet header. The last column has no number where fou's tunnel"
        " costs no more than the plain one.",
        "",
        *table(head, rows),
    ]


def profile(results):
    """Functions whose cost differs between a packet through the device and through fou's tunnel."""
    lines = [
        "# Functions that differ: gue device",
        "",
        "Instructions per packet in functions that a packet through the device and one through"
        " fou's tunnel do not execute alike, callees excluded, of differences of 2 or more.",
        "",
    ]
    for path, found in results["device profile"].items():
        rows = ([f"`{name}` {module}".strip(), fou, ours] for name, module, fou, ours in found)
        lines += [f"## {path}", "", *table(["function", "fou", "gue device"], rows)]
    return lines
