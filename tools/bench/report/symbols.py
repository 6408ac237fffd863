# SPDX-License-Identifier: GPL-2.0
"""Attribute to functions what the profiling plugin counted.

symbols SYMBOLS COUNTS COLUMN SYMBOLS COUNTS   of Linux's fou, and of rfou or the device; shows
                                               where they differ
"""

import bisect
import collections
import pathlib
import subprocess
import sys

from bench.paths import (
    COVERING,
    ETHERNET,
    GENEVE_SAMPLE,
    GUE_ETHERNET,
    HASHING,
    PROFILE_COUNTS,
    RUNS,
    profiled_paths,
)

# Smaller differences, in instructions per packet, are not shown.
LEAST_SHOWN = 2
# The beginnings of the names of the functions that compute a hash, use the FPU for it, and copy and
# wipe its state. On receive, the generator's copy of the longer header counts here, too.
HASH_FUNCTIONS = (
    "sha256_",
    "__sha256_",
    "hmac_sha256_",
    "__hmac_sha256_",
    "kernel_fpu_",
    "irq_fpu_usable",
    "__local_bh_",
    "memcpy",
    "memset",
)
# The beginnings of the names of the functions that complete an inner checksum.
CHECKSUM_FUNCTIONS = (
    "skb_checksum",
    "__skb_checksum",
    "csum_partial",
    "skb_csum_hwoffload_help",
    "skb_ensure_writable",
)


def demangled(names):
    """Rust's symbols as a reader of the source writes them: {symbol: name}; C's stay."""
    names = sorted(set(names))
    lines = "\n".join(names)
    done = subprocess.run(["llvm-cxxfilt"], input=lines, capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.splitlines(), strict=True))


def read_symbols(text):
    """Functions of /proc/kallsyms in the order of their addresses: [(address, name, module)]."""
    found = []
    for line in text.splitlines():
        address, kind, name, *module = line.split()
        # Labels of the compiler begin with a dot.
        if kind in "tTwW" and not name.startswith("."):
            found.append((int(address, 16), name, module[0].strip("[]") if module else ""))
    return sorted(found)


def by_function(symbols, counts):
    """Instructions by section and function: {section: {(function, module): instructions}}."""
    addresses = [address for address, _, _ in symbols]
    totals = collections.defaultdict(collections.Counter)
    for line in counts.splitlines():
        section, address, number = line.split()
        at = bisect.bisect_right(addresses, int(address, 16)) - 1
        where = symbols[at][1:] if at >= 0 else ("user space", "")
        totals[int(section)][where] += int(number)
    return totals


def least_run(totals, number):
    """Return the path's run with the fewest instructions, except its first run."""
    first = number * (1 + RUNS)
    return min((totals[first + run] for run in range(1, 1 + RUNS)), key=lambda run: run.total())


def profiles(symbols, counts, column):
    """Instructions per packet, of a column: {path: {(function, module): instructions}}."""
    functions = read_symbols(pathlib.Path(symbols).read_text(encoding="ascii"))
    totals = by_function(functions, pathlib.Path(counts).read_text(encoding="ascii"))
    paths = list(profiled_paths(column))
    if len(totals) != len(paths) * (1 + RUNS):
        raise ValueError(f"{len(totals)} sections of {len(paths) * (1 + RUNS)}")
    return {
        path.name: {
            where: n / PROFILE_COUNTS[path.direction]
            for where, n in least_run(totals, number).items()
        }
        for number, path in enumerate(paths)
    }


def differences(fou, ours):
    """Functions that differ, the most first: [(function, module, fou's, ours)]."""
    names = demangled(name for name, _ in (*fou, *ours))
    costs = collections.defaultdict(lambda: [0.0, 0.0])
    for column, profile in enumerate((fou, ours)):
        for (name, module), number in profile.items():
            costs[names[name], module][column] += number
    rows = [(*where, *both) for where, both in costs.items() if differ(*both)]
    return sorted(rows, key=lambda row: -abs(row[3] - row[2]))


def differ(one, other):
    """Return True if the numbers differ by enough to be shown."""
    return abs(one - other) >= LEAST_SHOWN


def compared(fou, ours, column):
    """Differences from Linux's fou on each path of a column: {path: [row of `differences`]}."""
    return {
        path.name: differences(fou[path.by_module.name], ours[path.name])
        for path in profiled_paths(column)
    }


def compared_ethernet(profile):
    """Differences of the gue device from the lesser of VXLAN and Geneve, and of the sample from
    Geneve, on each of their paths."""
    found = {}
    against = {GUE_ETHERNET: ("vxlan", "geneve"), GENEVE_SAMPLE: ("geneve",)}
    for path in profiled_paths(ETHERNET):
        if path.encap in against:
            others = [profile[path.reference(encap).name] for encap in against[path.encap]]
            least = min(others, key=lambda counts: sum(counts.values()))
            found[path.name] = differences(least, profile[path.name])
    return found


def hashing(profile):
    """What a keyed hash over a short payload adds, in instructions by the kind of functions.

    {"receive, IPv4": {"hash", "checksum", "rest"}}: the hash, the inner checksum, and all others.
    """
    found = {}
    for path in profiled_paths(HASHING):
        if path.encap != COVERING:
            continue
        added = collections.Counter(profile[path.name])
        added.subtract(profile[path.unprotected.name])
        hash_, checksum = (
            sum(n for (name, _), n in added.items() if name.startswith(functions))
            for functions in (HASH_FUNCTIONS, CHECKSUM_FUNCTIONS)
        )
        found[f"{path.direction}, IPv{path.version}"] = {
            "hash": hash_,
            "checksum": checksum,
            "rest": added.total() - hash_ - checksum,
        }
    return found


if __name__ == "__main__":
    COLUMN = sys.argv[3]
    FOU, OURS = profiles(*sys.argv[1:3], "fou"), profiles(*sys.argv[4:6], COLUMN)
    for path_name, rows in compared(FOU, OURS, COLUMN).items():
        print(f"{path_name}: {sum(OURS[path_name].values()):.1f}")
        for function, owner, was, now in rows:
            print(f"{was:10.1f} {now:10.1f} {now - was:+9.1f}  {function} {owner}")
