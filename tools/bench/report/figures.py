# SPDX-License-Identifier: GPL-2.0
"""Turn what the guests wrote into figures: least of runs, medians of pairs, ratios."""

import collections
import json
import math
import statistics
import zlib

from bench.paths import (
    DEVICE,
    ETHERNET,
    ETHERNET_DEVICES,
    GENEVE_SAMPLE,
    GUE_ETHERNET,
    MODULES,
    REFERENCES,
    RUNS,
    all_paths,
    covering_paths,
    device_paths,
    ethernet_paths,
    protected_paths,
    reassembly_paths,
)
from bench.wire import GUE_PORT, HIGHEST_SOURCE_PORT, LOWEST_SOURCE_PORT

BINS = 256
# Numbers of equal paths through a network that a switch chooses from by its hash.
EQUAL_PATHS = (8, 64)


class MissingError(ValueError):
    """A guest did not measure something, so there is no figure for it."""


def lines_of(file):
    """The JSON objects of a file with one per line."""
    return [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()]


def least(costs):
    """The least of the runs, and the second least relative to it."""
    if len(costs) != RUNS or not all(cost > 0 for cost in costs):
        raise MissingError(f"{RUNS} runs expected, not {costs}")
    first, second, *_ = sorted(costs)
    return first, second / first - 1


def measured(lines):
    """Return the least run of each path and column, and the second least relative to it."""
    found = {}
    for line in lines:
        key = line["path"], line["column"]
        if key in found:
            raise MissingError(f"{key} is measured twice: which run counts?")
        found[key] = least(line["costs"])
    return found


def compared(found, keys, column):
    """A row of figures, with the ratio of `column` to fou. `keys`: {column: (path, column)}."""
    missing = [key for key in keys.values() if key not in found]
    if missing:
        raise MissingError(f"not measured: {missing}")
    row = {name: found[key][0] for name, key in keys.items()}
    row["ratio"] = row[column] / row["fou"]
    row["second run"] = max(found[keys[name]][1] for name in (column, "fou"))
    return row


def keys_of(path):
    """The measurements of a module's path, and of what the path is compared with."""
    keys = {column: (path.name, column) for column in MODULES}
    return keys | {column: (path.reference(column).name, column) for column in REFERENCES}


def instructions(lines):
    """Instructions per packet: {path: {column: number, ..., "ratio": rfou / fou}}."""
    found = measured(lines)
    return {path.name: compared(found, keys_of(path), "rfou") for path in all_paths()}


def device_instructions(lines):
    """Instructions per packet: {path: {column: number, ..., "ratio": device / fou}}.

    "added" is the ratio of what the device and fou's tunnel cost above the plain tunnel.
    """
    found = measured(lines)
    results = {}
    for path in device_paths():
        keys = {DEVICE: (path.name, DEVICE)} | keys_of(path.by_module)
        row = compared(found, keys, DEVICE)
        above = encapsulation(row, "fou")
        row["added"] = encapsulation(row, DEVICE) / above if above > 0 else None
        results[path.name] = row
    return results


def protection(lines):
    """Instructions that a device's protection costs: {path: {"with", "without", "added"}}."""
    found = measured(lines)
    results = {}
    for path in protected_paths():
        names = {"with": path.name, "without": path.unprotected.name}
        missing = [name for name in names.values() if (name, DEVICE) not in found]
        if missing:
            raise MissingError(f"not measured: {missing}")
        cost = {name: found[measured_path, DEVICE][0] for name, measured_path in names.items()}
        results[path.name] = cost | {"added": cost["with"] - cost["without"]}
    return results


def covering(lines):
    """The cost of a keyed hash that covers payloads: {"receive, IPv4": {"per byte", "beside"}}.

    "per byte": added instructions for each byte of a payload; "beside": for a payload of no bytes.
    """
    found = measured(lines)
    results = {}
    for pair in covering_paths():
        added = {}
        for path in pair:
            names = path.name, path.unprotected.name
            missing = [name for name in names if (name, DEVICE) not in found]
            if missing:
                raise MissingError(f"not measured: {missing}")
            covered, plain = (found[name, DEVICE][0] for name in names)
            added[path.size] = covered - plain
        (low, least_added), (high, most_added) = sorted(added.items())
        per_byte = (most_added - least_added) / (high - low)
        results[f"{pair[0].direction}, IPv{pair[0].version}"] = {
            "per byte": per_byte,
            "beside": least_added - per_byte * low,
        }
    return results


def ethernet(lines):
    """Instructions per packet of Ethernet devices: {path: {device: number, ..., ratios}}.

    "ratio": gue device / lesser of VXLAN and Geneve; "sample ratio": sample / Geneve.
    """
    found = measured(lines)
    results = {}
    for path in ethernet_paths():
        if path.encap != GUE_ETHERNET:
            continue
        names = {encap: path.reference(encap).name for encap in ETHERNET_DEVICES}
        missing = [name for name in names.values() if (name, ETHERNET) not in found]
        if missing:
            raise MissingError(f"not measured: {missing}")
        row = {encap: found[name, ETHERNET][0] for encap, name in names.items()}
        row["ratio"] = row[GUE_ETHERNET] / min(row["vxlan"], row["geneve"])
        row["sample ratio"] = row[GENEVE_SAMPLE] / row["geneve"]
        results[path.name] = row
    return results


def reassembly(lines):
    """Instructions of a packet that arrives in fragments: {encap: number, ..., "ratio"}.

    "ratio": packet in GUE fragments / packet in IPv4 fragments.
    """
    found = measured(lines)
    keys = {path.encap: (path.name, DEVICE) for path in reassembly_paths()}
    missing = [key for key in keys.values() if key not in found]
    if missing:
        raise MissingError(f"not measured: {missing}")
    row = {encap: found[key][0] for encap, key in keys.items()}
    row["ratio"] = row["gue-in-pieces"] / row["gue-in-ip-fragments"]
    return row


def encapsulation(row, column):
    """Instructions that UDP and the headers after it add to a packet of the plain tunnel."""
    return row[column] - row["plain"]


def throughput(lines, ours="rfou"):
    """Mbit/s: {scenario: {column: median, ..., "ratio": median of the pairs' ratios}}.

    A pair is a run through the column `ours` and a run through Linux's fou.
    """
    rates = collections.defaultdict(lambda: collections.defaultdict(dict))
    errors = collections.Counter()
    for line in lines:
        rates[line["scenario"]][line["column"]][line["pair"]] = line["mbit"]
        errors[line["scenario"], line["column"]] += line["errors"]
    results = {}
    for name, columns in rates.items():
        if ours not in columns:
            continue
        transport, _, offloads = name.split(", ")
        both = (ours, "fou")
        first, second = (columns[column] for column in both)
        plain = rates[f"{transport}, plain, {offloads}"]["plain"]
        if first.keys() != second.keys() or first.keys() != plain.keys():
            raise MissingError(f"{name}: a pair of runs is not whole")
        ratios = [first[pair] / second[pair] for pair in first]
        row = {column: statistics.median(columns[column].values()) for column in both}
        row["plain"] = statistics.median(plain.values())
        row["ratio"] = statistics.median(ratios)
        row["range"] = [min(ratios), max(ratios)]
        row["pairs"] = len(ratios)
        row["slower pairs"] = sum(ratio < 1 for ratio in ratios)
        row["checksum errors"] = {column: errors[name, column] for column in both}
        results[name] = row
    return results


def chi_square_tail(value, freedom):
    """The chance of a chi-square of at least this value (Wilson and Hilferty's approximation)."""
    scaled = (value / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))
    return math.erfc(scaled / math.sqrt(2 * 2 / (9 * freedom))) / 2


def spread(counts):
    """The spread of flows over source ports, and so over paths of a network."""
    ports = {int(port): count for port, count in counts.items()}
    flows = sum(ports.values())
    width = HIGHEST_SOURCE_PORT - LOWEST_SOURCE_PORT + 1
    bins = [0] * BINS
    for port, count in ports.items():
        bins[(port - LOWEST_SOURCE_PORT) * BINS // width] += count
    expected = flows / BINS
    chi_square = sum((count - expected) ** 2 / expected for count in bins)
    result = {"flows": flows, "ports": len(ports), "chi-square": round(chi_square, 1)}
    result["degrees of freedom"] = BINS - 1
    result["p"] = round(chi_square_tail(chi_square, BINS - 1), 3)
    for paths in EQUAL_PATHS:
        loads = [0] * paths
        for port, count in ports.items():
            # A switch's hash of the outer addresses and ports.
            outer = bytes([192, 0, 2, 1, 192, 0, 2, 2, 17]) + port.to_bytes(2)
            loads[zlib.crc32(outer + GUE_PORT.to_bytes(2)) % paths] += count
        even = [load for load in loads if abs(load * paths / flows - 1) <= 0.2]
        result[f"of {paths} paths within 20 % of their share"] = len(even)
    return result


def growth(lines):
    """Instructions: {"what, by number of ...": {number: {column: value}}}."""
    results = collections.defaultdict(lambda: collections.defaultdict(dict))
    for line in lines:
        name = f"{line['what']}, by number of {line['against']}"
        results[name][line["number"]][line["column"]] = line["value"]
    return results
