# SPDX-License-Identifier: GPL-2.0
"""The page that a reader opens first: summary, bars, plots, how to repeat it."""

import statistics

from bench.paths import RUNS, all_paths
from bench.report import device
from bench.report.bars import AIMED_RATIO, bars, ratio_text
from bench.report.figures import encapsulation
from bench.report.markdown import table, whole

WORST = 5
# The most misses that are named, so that they do not fill the page.
MISSES_SHOWN = 8

TABLES = (
    ("instructions.md", "instructions per packet, every path, VXLAN and Geneve beside them"),
    ("device.md", "instructions per packet, gue device, VXLAN and Geneve beside it"),
    ("throughput.md", "throughput, every scenario"),
    ("growth.md", "growth with the number of ports, tunnels, network namespaces and gue devices"),
    ("load-spreading.md", "source ports: how flows are spread over a network's paths"),
    ("memory.md", "memory: ports, and what the loaded modules are made of"),
    ("profile-receive.md", "functions that differ: receive"),
    ("profile-gro.md", "functions that differ: GRO"),
    ("profile-transmit.md", "functions that differ: transmit"),
    ("profile-gso.md", "functions that differ: GSO"),
    ("profile-device.md", "functions that differ: gue device"),
)


def summary(results):
    """A few lines that answer the first questions."""
    paths, rates, memory = results["paths"], results["throughput"], results["memory"]
    ratios = [row["ratio"] for row in paths.values()]
    added = [
        encapsulation(row, "rfou") / encapsulation(row, "fou")
        for row in paths.values()
        if encapsulation(row, "fou") > 0
    ]
    speeds = [row["ratio"] for row in rates.values()]
    sizes = {module: sum(memory["module sizes"][module].values()) for module in ("fou", "rfou")}
    ports = memory["bytes per port"]
    return table(
        ["rfou beside Linux's fou", "rfou / fou"],
        [
            [f"instructions per packet, median of {len(ratios)} paths", _median(ratios)],
            [
                "instructions that the encapsulation adds to the plain tunnel, median",
                _median(added),
            ],
            [f"paths above {AIMED_RATIO}, the aim", sum(r > AIMED_RATIO for r in ratios)],
            [f"throughput, median of {len(speeds)} scenarios", f"{statistics.median(speeds):.3f}"],
            ["memory of a port", f"{ports['rfou'] / ports['fou']:.2f}"],
            ["memory of the loaded modules", f"{sizes['rfou'] / sizes['fou']:.2f}"],
        ],
    )


def _median(ratios):
    return ratio_text(statistics.median(ratios))


def by_direction(results):
    """Ratios of each direction and IP version: the least, the median, the highest."""
    groups = {}
    for path in all_paths():
        group = groups.setdefault((path.direction, f"IPv{path.version}"), [])
        group.append(results["paths"][path.name]["ratio"])
    rows = (
        [", ".join(key), len(group), ratio_text(min(group)), _median(group), ratio_text(max(group))]
        for key, group in groups.items()
    )
    return table(
        ["instructions per packet, rfou / fou", "paths", "least", "median", "highest"], rows
    )


def worst(results):
    """The paths with the highest ratios."""
    paths = sorted(results["paths"].items(), key=lambda item: -item[1]["ratio"])[:WORST]
    rows = (
        [name, whole(row["rfou"]), whole(row["fou"]), ratio_text(row["ratio"])]
        for name, row in paths
    )
    return table([f"the {WORST} worst paths", "rfou", "fou", "rfou / fou"], rows)


def held_against(results):
    """The bars, and the figures that miss them."""
    found = bars(results)
    rows = (
        [bar.what, bar.limit, bar.value, "yes" if bar.holds else f"no: {len(bar.misses)}"]
        for bar in found
    )
    lines = table(["bar", "limit", "measured", "holds"], rows)
    for bar in found:
        if bar.misses:
            lines += [f"Beyond “{bar.what}”:", ""]
            lines += [f"- {name}: {value}" for name, value in bar.misses[:MISSES_SHOWN]]
            if len(bar.misses) > MISSES_SHOWN:
                lines.append(f"- and {len(bar.misses) - MISSES_SHOWN} more, in the tables")
            lines.append("")
    return lines


def page(results):
    """The whole page."""
    rows = [*results["paths"].values(), *results["device paths"].values()]
    apart = max(row["second run"] for row in rows)
    pairs = max(row["pairs"] for row in results["throughput"].values())
    return [
        "# How rfou compares with Linux's fou",
        "",
        f"Measured on {results['date']} with linux {results['kernel']} and rfou {results['rfou']},"
        " in emulated machines.",
        "",
        "## Summary",
        "",
        *summary(results),
        *by_direction(results),
        *worst(results),
        "![instructions per packet, rfou / fou, by path](benchmark/paths.svg)",
        "",
        "![throughput by scenario](benchmark/throughput.svg)",
        "",
        *device.section(results),
        "## Bars",
        "",
        *held_against(results),
        "## How it is measured",
        "",
        "- **Instructions.** The guest has one CPU, and its clock counts executed instructions. A"
        " device of the benchmark's own makes and swallows the packets, by the same instructions"
        f" for both modules. A figure is the least of {RUNS} runs, because other work of the kernel"
        " adds instructions to a run and never removes any. The second least run lies at most"
        f" {100 * apart:.2f} % above the least.",
        "- **Throughput.** iperf3 between two network namespaces, two CPUs. The modules and the"
        f" device take turns; a ratio is the median of the ratios of {pairs} pairs of runs next to"
        " each other. The guest is emulated and may share its machine, so a pair may be off by"
        " tens of percent. The number of slower pairs distinguishes a slower module from noise.",
        "- **Paths.** A path's name has direction, encapsulation, outer IP version, size of the"
        " inner packets, and the numbers of flows and open ports. `gro` merges trains of TCP"
        " segments. `gso` hands a GSO packet to a device that segments by itself; `gso-segmented`"
        " to one that does not.",
        "",
        "`make bench` repeats the measurements in a quarter to half an hour, on a machine that"
        " does nothing else. It writes this page, the tables, the plots and `results.json` to"
        " `build/bench`. `scripts/test/bench --keep` copies the page to `Documentation`. Each part"
        " can be measured alone; `tools/bench/README.md` names the parts.",
        "",
        "## Tables",
        "",
        *(f"- [{title}](benchmark/{file})" for file, title in TABLES),
        "",
    ]
