"""Tell by function what the profiling plugin counted.

symbols.py SYMBOLS COUNTS SYMBOLS COUNTS   of Linux's fou, and of rfou; where they differ
"""

import bisect
import collections
import pathlib
import re
import sys

from paths import profiled_paths


def demangled(name):
    """The last words of a Rust symbol of version 0, short enough for a table."""
    if not name.startswith("_R"):
        return name
    words, at = [], 0
    while found := re.compile(r"(\d+)_?").search(name, at):
        length = int(found[1])
        word = name[found.end() : found.end() + length]
        at = found.end() + length if len(word) == length and word.isidentifier() else found.end()
        if at == found.end() + length and word.isidentifier():
            words.append(word)
    return "::".join(words) if words else name


def by_function(symbols, counts):
    """Instructions by section and function: {section: {(function, module): instructions}}."""
    found = []
    for line in pathlib.Path(symbols).read_text(encoding="ascii").splitlines():
        address, kind, name, *module = line.split()
        if kind in "tTwW":
            found.append(
                (int(address, 16), demangled(name), module[0].strip("[]") if module else "")
            )
    found.sort()
    addresses = [address for address, _, _ in found]
    totals = collections.defaultdict(collections.Counter)
    for line in pathlib.Path(counts).read_text(encoding="ascii").splitlines():
        section, address, number = line.split()
        at = bisect.bisect_right(addresses, int(address, 16)) - 1
        where = found[at][1:] if at >= 0 else ("user space", "")
        totals[int(section)][where] += int(number)
    return totals


def profiles(symbols, counts):
    """Instructions per packet: {path: {(function, module): instructions}}."""
    totals = by_function(symbols, counts)
    return {
        path.name: {where: n / count for where, n in totals[2 * number + 1].items()}
        for number, (path, count) in enumerate(profiled_paths())
    }


if __name__ == "__main__":
    FOU, RFOU = (profiles(*sys.argv[at : at + 2]) for at in (1, 3))
    for name, rfou in RFOU.items():
        fou = FOU[name]
        print(f"{name}: {sum(fou.values()):.1f} {sum(rfou.values()):.1f}")
        for key in sorted({*fou, *rfou}, key=lambda key: -max(fou.get(key, 0), rfou.get(key, 0))):
            was, now = fou.get(key, 0), rfou.get(key, 0)
            if abs(now - was) >= 1:
                print(f"{was:10.1f} {now:10.1f} {now - was:+9.1f}  {key[0]} {key[1]}")
