# SPDX-License-Identifier: GPL-2.0
"""Make the report of what was measured.

report figures FOLDER KERNEL VERSION MODULE...   FOLDER/results.json of what the guests wrote there
report pages FOLDER                              FOLDER/benchmark.md and FOLDER/benchmark/ of that

MODULE: a file of fou, fou6, rfou or rfou6.
"""

import datetime
import json
import lzma
import pathlib
import sys

from bench.paths import MODULES
from bench.report import figures, modules, symbols
from bench.report.bars import bars


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


def collect(folder, kernel, version, files):
    """The figures of all that the guests wrote."""
    counts = [
        line for f in sorted(folder.glob("instructions-*.jsonl")) for line in figures.lines_of(f)
    ]
    other = json.loads((folder / "port_cost.json").read_text(encoding="ascii"))
    profiles = {
        module: symbols.profiles(
            folder / f"profile-{module}.symbols", folder / f"profile-{module}.counts"
        )
        for module in MODULES
    }
    return {
        "kernel": kernel,
        "rfou": version,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "paths": figures.instructions(counts),
        "throughput": figures.throughput(figures.lines_of(folder / "throughput.jsonl")),
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
        "profile": {
            name: [
                (function, module, round(fou, 1), round(rfou, 1))
                for function, module, fou, rfou in symbols.differences(
                    profiles["fou"][name], profiles["rfou"][name]
                )
            ]
            for name in profiles["rfou"]
        },
    }


def write_pages(folder):
    """Write the page, its tables and its plots."""
    # Figures alone need no matplotlib.
    from bench.report import page, plots, tables  # noqa: PLC0415

    results = json.loads((folder / "results.json").read_text(encoding="ascii"))
    plots.draw(results, folder / "benchmark")
    for name, lines in tables.all_tables(results).items():
        (folder / "benchmark" / name).write_text("\n".join(lines), encoding="utf-8")
    (folder / "benchmark.md").write_text("\n".join(page.page(results)), encoding="utf-8")
    for bar in bars(results):
        print(f"{'holds' if bar.holds else 'MISSED'}: {bar.what} {bar.limit}: {bar.value}")


def main():
    """Make what is wanted."""
    what, folder, *words = sys.argv[1:]
    folder = pathlib.Path(folder)
    if what == "figures":
        kernel, version, *files = words
        results = collect(folder, kernel, version, [pathlib.Path(file) for file in files])
        text = json.dumps(results, indent=1)
        (folder / "results.json").write_text(text + "\n", encoding="ascii")
    else:
        write_pages(folder)


if __name__ == "__main__":
    main()
