# SPDX-License-Identifier: GPL-2.0
"""Plots of the figures, as SVG."""

import matplotlib

from bench.paths import DEVICE, all_paths, profiled_paths
from bench.report.bars import MOST_RATIO

matplotlib.use("svg")
# Text stays text, files are small, and the same figures give the same file.
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "rfou"
from matplotlib import pyplot  # noqa: E402

COLOURS = {"fou": "#888888", "rfou": "#b7410e", "plain": "#4477aa", DEVICE: "#228833"}
COLOURS |= {"vxlan": "#ccbb44", "geneve": "#aa3377"}
VERSIONS = {4: ("#b7410e", "o"), 6: ("#4477aa", "s")}
# Ratios below are drawn at the edge.
LOWEST_SHOWN = 0.9


def save(figure, file):
    """Write a figure, without the time at which it was made."""
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def paths(rows, file):
    """Ratios: a line of points for each direction and encapsulation, a point for each path."""
    found = list(all_paths())
    lines = sorted({(path.direction, path.encap) for path in found}, reverse=True)
    figure, axes = pyplot.subplots(figsize=(8, 0.27 * len(lines) + 1))
    axes.axvline(1, color=COLOURS["fou"])
    axes.axvline(MOST_RATIO, color=COLOURS["fou"], linestyle=":")
    for version, (colour, marker) in VERSIONS.items():
        points = [(rows[p.name]["ratio"], p) for p in found if p.version == version]
        heights = [
            lines.index((p.direction, p.encap)) + (0.15 if version == 4 else -0.15)
            for _, p in points
        ]
        values = [max(ratio, LOWEST_SHOWN) for ratio, _ in points]
        label = f"over IPv{version}"
        axes.scatter(values, heights, s=14, color=colour, marker=marker, alpha=0.6, label=label)
        for (ratio, _), height in zip(points, heights, strict=True):
            if ratio < LOWEST_SHOWN:
                axes.annotate(f"   {ratio:.3f}", (LOWEST_SHOWN, height), fontsize=6, va="center")
    axes.set_yticks(range(len(lines)), [", ".join(line) for line in lines], fontsize=7)
    axes.set_xlabel("instructions per packet, rfou / fou (dotted: the bar)")
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(fontsize=7, loc="lower center")
    save(figure, file)


def throughput(rates, file):
    """Mbit/s of all scenarios."""
    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(rates) + 1))
    names = list(reversed(rates))
    for number, column in enumerate(("rfou", "fou", "plain")):
        places = [place + 0.27 * (1 - number) for place in range(len(names))]
        values = [rates[name][column] for name in names]
        axes.barh(places, values, height=0.25, color=COLOURS[column], label=column)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("Mbit/s (an emulated machine: compare, do not quote)")
    axes.legend()
    save(figure, file)


def growth(results, file):
    """A small plot for each cost that might grow."""
    figure, all_axes = pyplot.subplots((len(results) + 2) // 3, 3, figsize=(10, 7))
    for axes in all_axes.flat[len(results) :]:
        axes.remove()
    for axes, (name, numbers) in zip(all_axes.flat, results.items(), strict=False):
        for column in next(iter(numbers.values())):
            values = [row[column] for row in numbers.values()]
            places = [int(number) for number in numbers]
            axes.plot(places, values, "o-", color=COLOURS[column], label=column)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_title(name, fontsize=8)
        axes.legend(fontsize=7)
    figure.tight_layout()
    save(figure, file)


def device(rows, file):
    """Instructions of the device and of what it competes with, relative to the plain tunnel."""
    names = [path.name for path in reversed(list(profiled_paths(DEVICE)))]
    figure, axes = pyplot.subplots(figsize=(8, 0.3 * len(names) + 1))
    axes.axvline(1, color=COLOURS["plain"], label="plain")
    for column, marker in (
        (DEVICE, "o"),
        ("fou", "s"),
        ("rfou", "d"),
        ("vxlan", "x"),
        ("geneve", "+"),
    ):
        values = [rows[name][column] / rows[name]["plain"] for name in names]
        axes.scatter(
            values, range(len(names)), s=16, c=COLOURS[column], marker=marker, label=column
        )
    # A GSO packet that is segmented in software costs many times as much.
    axes.set_xlim(right=min(2.5, axes.get_xlim()[1]))
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("instructions per packet, relative to the plain tunnel")
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(fontsize=7)
    save(figure, file)


def draw(results, folder):
    """Draw them all."""
    folder.mkdir(parents=True, exist_ok=True)
    paths(results["paths"], folder / "paths.svg")
    throughput(results["throughput"], folder / "throughput.svg")
    growth(results["growth"], folder / "growth.svg")
    device(results["device paths"], folder / "device.svg")
