# SPDX-License-Identifier: GPL-2.0
"""Make the report of what was measured.

report figures FOLDER KERNEL VERSION MODULE...   FOLDER/results.json of what the guests wrote there
report pages FOLDER                              FOLDER/benchmark.md and FOLDER/benchmark/ of that
report device FOLDER                             print what was measured of the gue device

MODULE: a file of fou, fou6, rfou or rfou6.
"""

import datetime
import json
import lzma
import pathlib
import sys

from bench.paths import DEVICE, ETHERNET, ETHERNET_DEVICES, HASHING, MODULES
from bench.report import figures, modules, symbols
from bench.report.bars import bars, device_bars


def made_of(files, sizes):
    """The parts of each module's memory, which add up to the sizes that lsmod showed."""
    result = {}
    for file in files:
        name = file.name.split(".")[0]
        data = file.read_bytes()
        parts = modules.composition(lzma.decompress(data) if file.suffix == ".xz" else data)
        if sum(parts.values()) != sizes[name]:
            raise ValueError(f"{name}: {parts} is not what lsmod showed, {sizes[name]}")
        result[name] = parts
    return result


def counted(folder):
    """All lines that the guests wrote about instructions per packet."""
    files = sorted(folder.glob("instructions-*.jsonl"))
    return [line for file in files for line in figures.lines_of(file)]


def profiles(folder, column):
    """The counts of the profiling plugin on the paths of a column."""
    files = (folder / f"profile-{column}.{part}" for part in ("symbols", "counts"))
    return symbols.profiles(*files, column)


def differing(folder, fou, column):
    """Functions in which a column differs from Linux's fou: {path: [(name, module, fou, ours)]}."""
    found = symbols.compared(fou, profiles(folder, column), column)
    return {
        path: [(name, module, round(was, 1), round(now, 1)) for name, module, was, now in rows]
        for path, rows in found.items()
    }


def collect(folder, kernel, version, files):
    """The figures of all that the guests wrote."""
    counts = counted(folder)
    transfers = figures.lines_of(folder / "throughput.jsonl")
    other = json.loads((folder / "port_cost.json").read_text(encoding="ascii"))
    fou = profiles(folder, "fou")
    return {
        "kernel": kernel,
        "rfou": version,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "paths": figures.instructions(counts),
        "device paths": figures.device_instructions(counts),
        "protection": figures.protection(counts),
        "covering": figures.covering(counts),
        "hashing": symbols.hashing(profiles(folder, HASHING)),
        "ethernet": figures.ethernet(counts),
        "reassembly": figures.reassembly(counts),
        "throughput": figures.throughput(transfers),
        "device throughput": figures.throughput(transfers, DEVICE),
        "growth": figures.growth(figures.lines_of(folder / "growth.jsonl")),
        "load spreading": {
            f"{module}, {version}": figures.spread(counts)
            for module in MODULES
            for version, counts in other[module]["source ports"].items()
        },
        "memory": {
            figure: {module: other[module][figure] for module in MODULES}
            for figure in ("bytes per port", "module sizes")
        }
        | {"made of": made_of(files, other["fou"]["module sizes"] | other["rfou"]["module sizes"])},
        "profile": differing(folder, fou, "rfou"),
        "device profile": differing(folder, fou, DEVICE),
        "ethernet profile": symbols.compared_ethernet(profiles(folder, ETHERNET)),
    }


def print_device(folder):
    """Print the device's figures and bars, of the parts that were measured."""
    results = {}
    if list(folder.glob("instructions-*.jsonl")):
        counts = counted(folder)
        results["device paths"] = figures.device_instructions(counts)
        results["protection"] = figures.protection(counts)
        results["covering"] = figures.covering(counts)
        results["ethernet"] = figures.ethernet(counts)
        results["reassembly"] = figures.reassembly(counts)
    if (folder / f"profile-{DEVICE}.counts").exists():
        results["device profile"] = differing(folder, profiles(folder, "fou"), DEVICE)
    if (folder / f"profile-{HASHING}.counts").exists():
        results["hashing"] = symbols.hashing(profiles(folder, HASHING))
    if (folder / f"profile-{ETHERNET}.counts").exists():
        results["ethernet profile"] = symbols.compared_ethernet(profiles(folder, ETHERNET))
    if (folder / "growth.jsonl").exists():
        results["growth"] = figures.growth(figures.lines_of(folder / "growth.jsonl"))
    if (folder / "throughput.jsonl").exists():
        transfers = figures.lines_of(folder / "throughput.jsonl")
        results["device throughput"] = figures.throughput(transfers, DEVICE)
    print_figures(results)
    tell(device_bars(results))


def print_figures(results):
    """Print the device's figures."""
    for name, row in results.get("device paths", {}).items():
        added = "" if row["added"] is None else f", {row['added']:.2f} above the plain tunnel"
        costs = ", ".join(
            f"{c} {row[c]:.0f}" for c in row if c not in ("ratio", "added", "second run")
        )
        print(f"{row['ratio']:.4f}{added}: {name}: {costs}")
    for name, row in results.get("protection", {}).items():
        print(f"{row['added']:+.0f}: {name}: {row['with']:.0f}, without {row['without']:.0f}")
    for name, row in results.get("covering", {}).items():
        print(f"hash of all payload, {name}: {row['per byte']:.2f} a byte, {row['beside']:+.0f}")
    for name, row in results.get("hashing", {}).items():
        costs = ", ".join(f"{kind} {value:+.0f}" for kind, value in row.items())
        print(f"hash of 64 bytes, {name}: {costs}")
    for name, row in results.get("ethernet", {}).items():
        costs = ", ".join(f"{c} {row[c]:.0f}" for c in ETHERNET_DEVICES)
        print(f"{row['ratio']:.4f}, sample {row['sample ratio']:.4f}: {name}: {costs}")
    if "reassembly" in results:
        print(", ".join(f"{name} {value:.4g}" for name, value in results["reassembly"].items()))
    for name, row in results.get("device throughput", {}).items():
        print(
            f"{row['ratio']:.3f}: {name}: slower in {row['slower pairs']} of {row['pairs']} pairs"
        )


def tell(found):
    """Print bars, and the figures that miss them."""
    for bar in found:
        print(f"{'holds' if bar.holds else 'MISSED'}: {bar.what} {bar.limit}: {bar.value}")
        for name, value in bar.misses:
            print(f"    {name}: {value}")


def write_pages(folder):
    """Write the page, its tables and its plots."""
    # Figures alone need no matplotlib.
    from bench.report import page, plots, tables  # noqa: PLC0415

    results = json.loads((folder / "results.json").read_text(encoding="ascii"))
    plots.draw(results, folder / "benchmark")
    for name, lines in tables.all_tables(results).items():
        (folder / "benchmark" / name).write_text("\n".join(lines), encoding="utf-8")
    (folder / "benchmark.md").write_text("\n".join(page.page(results)), encoding="utf-8")
    tell(bars(results))


def main():
    """Make the report that the command line names."""
    what, folder, *words = sys.argv[1:]
    folder = pathlib.Path(folder)
    if what == "figures":
        kernel, version, *files = words
        results = collect(folder, kernel, version, [pathlib.Path(file) for file in files])
        text = json.dumps(results, indent=1)
        (folder / "results.json").write_text(text + "\n", encoding="ascii")
    elif what == "device":
        print_device(folder)
    else:
        write_pages(folder)


if __name__ == "__main__":
    main()
