"""Make results.json, benchmark.md and plots of what was measured.

report.py FOLDER KERNEL VERSION
"""

import collections
import datetime
import json
import math
import pathlib
import statistics
import sys
import zlib

import matplotlib
from paths import all_paths
from symbols import profiles

matplotlib.use("svg")
# Words stay words, and files small.
matplotlib.rcParams["svg.fonttype"] = "none"
from matplotlib import pyplot  # noqa: E402

COLUMNS = ("fou", "rfou")
COLOURS = {"fou": "#888888", "rfou": "#b7410e", "plain": "#4477aa"}
BINS = 256
FUNCTIONS_SHOWN = 14


def lines_of(file):
    """The JSON objects of a file with one a line."""
    return [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()]


def ratio(one, other):
    """Rounded so that nobody reads more out of it than is in it."""
    return round(one / other, 4) if other else None


def instructions(folder):
    """Instructions per packet: {path: {column: number, ...}}, and how well the least repeats."""
    measured, apart = {}, 0.0
    for file in sorted(folder.glob("instructions-*.jsonl")):
        for line in lines_of(file):
            costs = line["costs"]
            # What else the kernel has to do adds to a run and never takes from it.
            measured[line["path"], line["column"]] = min(costs)
            second = sorted(costs)[1]
            apart = max(apart, (second - min(costs)) / min(costs))
    results = {}
    for path in all_paths():
        row = {column: measured[path.name, column] for column in COLUMNS}
        for reference in ("plain", "vxlan", "geneve"):
            row[reference] = measured[path.reference(reference).name, reference]
        row = {column: round(value, 1) for column, value in row.items()}
        row["ratio"] = ratio(row["rfou"], row["fou"])
        row["encapsulation"] = {name: round(row[name] - row["plain"], 1) for name in COLUMNS}
        results[path.name] = row
    return results, apart


def throughput(folder):
    """Mbit/s: {scenario: {column: median, ...}}, ratios pair by pair."""
    rates = collections.defaultdict(lambda: collections.defaultdict(dict))
    errors = collections.Counter()
    for line in lines_of(folder / "throughput.jsonl"):
        rates[line["scenario"]][line["column"]][line["pair"]] = line["mbit"]
        errors[line["scenario"], line["column"]] += line["errors"]
    results = {}
    for name, columns in rates.items():
        if "plain" in columns:
            continue
        plain = rates[name.replace(name.split(", ")[1], "plain")]["plain"]
        ratios = [columns["rfou"][pair] / columns["fou"][pair] for pair in columns["rfou"]]
        row = {column: round(statistics.median(columns[column].values())) for column in COLUMNS}
        row["plain"] = round(statistics.median(plain.values()))
        row["ratio"] = round(statistics.median(ratios), 3)
        row["range"] = [round(min(ratios), 3), round(max(ratios), 3)]
        row["checksum errors"] = {column: errors[name, column] for column in COLUMNS}
        results[name] = row
    return results


def spread(counts):
    """How evenly flows are spread over source ports, and by them over paths of a network."""
    ports = {int(port): count for port, count in counts.items()}
    flows = sum(ports.values())
    low, high = 32768, 60999
    bins = [0] * BINS
    for port, count in ports.items():
        bins[(port - low) * BINS // (high - low + 1)] += count
    expected = flows / BINS
    chi_square = sum((count - expected) ** 2 / expected for count in bins)
    # Wilson and Hilferty's approximation of its tail.
    freedom = BINS - 1
    scaled = (chi_square / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))
    tail = math.erfc(scaled / math.sqrt(2 * 2 / (9 * freedom))) / 2
    result = {"flows": flows, "ports": len(ports), "chi-square": round(chi_square, 1)}
    result |= {"degrees of freedom": freedom, "p": round(tail, 3)}
    for paths in (8, 64):
        loads = [0] * paths
        for port, count in ports.items():
            # A switch's hash of the outer addresses and ports.
            key = bytes([192, 0, 2, 1, 192, 0, 2, 2, 17]) + port.to_bytes(2) + (6080).to_bytes(2)
            loads[zlib.crc32(key) % paths] += count
        even = [load for load in loads if abs(load * paths / flows - 1) <= 0.2]
        result[f"of {paths} paths within 20 % of their share"] = len(even)
    return result


def growth(folder):
    """Instructions: {"what, against": {number: {column: value}}}."""
    results = collections.defaultdict(lambda: collections.defaultdict(dict))
    for line in lines_of(folder / "growth.jsonl"):
        name = f"{line['what']}, by number of {line['against']}"
        results[name][line["number"]][line["column"]] = round(line["value"], 1)
    return results


def profile(folder):
    """Where instructions go: {path: [(function, fou, rfou)]}, of those that differ most."""
    files = [
        folder / f"profile-{column}.{kind}" for column in COLUMNS for kind in ("symbols", "counts")
    ]
    fou, rfou = profiles(*files[:2]), profiles(*files[2:])
    results = {}
    for name, ours in rfou.items():
        theirs = fou[name]
        keys = sorted({*ours, *theirs}, key=lambda key: -abs(ours.get(key, 0) - theirs.get(key, 0)))  # noqa: B023
        results[name] = [
            (" ".join(key).strip(), round(theirs.get(key, 0), 1), round(ours.get(key, 0), 1))
            for key in keys[:FUNCTIONS_SHOWN]
            if abs(ours.get(key, 0) - theirs.get(key, 0)) >= 2
        ]
    return results


def bars(paths, rates):
    """What the figures are held against, and whether they hold."""
    ratios = [row["ratio"] for row in paths.values()]
    costs = [row["encapsulation"] for row in paths.values()]
    return {
        "paths with rfou/fou above 1.00": sum(value > 1.0 for value in ratios),
        "paths with rfou/fou above 1.005": sum(value > 1.005 for value in ratios),
        "paths": len(ratios),
        "median rfou/fou": round(statistics.median(ratios), 4),
        "highest rfou/fou": max(ratios),
        "paths where the encapsulation costs more than fou's": sum(
            cost["rfou"] > cost["fou"] for cost in costs
        ),
        "median rfou/fou of the encapsulation's cost": ratio(
            statistics.median(cost["rfou"] / cost["fou"] for cost in costs if cost["fou"] > 0), 1
        ),
        "median throughput rfou/fou": round(
            statistics.median(row["ratio"] for row in rates.values()), 3
        ),
        "lowest throughput rfou/fou": min(row["ratio"] for row in rates.values()),
    }


def plot_paths(paths, file):
    """Ratios of all paths."""
    names = sorted(paths, key=lambda name: paths[name]["ratio"])
    figure, axes = pyplot.subplots(figsize=(8, 0.16 * len(names) + 1))
    axes.barh(names, [paths[name]["ratio"] - 1 for name in names], left=1, color=COLOURS["rfou"])
    axes.axvline(1, color=COLOURS["fou"])
    axes.tick_params(axis="y", labelsize=6)
    axes.set_xlabel("instructions per packet, rfou / fou")
    axes.margins(y=0.01)
    figure.savefig(file, bbox_inches="tight")


def plot_throughput(rates, file):
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
    figure.savefig(file, bbox_inches="tight")


def plot_growth(results, file):
    """A small plot for each thing that might grow."""
    figure, all_axes = pyplot.subplots((len(results) + 2) // 3, 3, figsize=(10, 7))
    for axes in all_axes.flat[len(results) :]:
        axes.remove()
    for axes, (name, numbers) in zip(all_axes.flat, results.items(), strict=False):
        for column in COLUMNS:
            values = [row[column] for row in numbers.values()]
            axes.plot(list(numbers), values, "o-", color=COLOURS[column], label=column)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_title(name, fontsize=8)
    all_axes.flat[0].legend()
    figure.tight_layout()
    figure.savefig(file)


def table(head, rows):
    """A Markdown table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [*("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines), ""]


def markdown(results):
    """The report."""
    text = [
        "# How rfou compares with Linux's fou",
        "",
        f"Made by `make bench` on {results['date']}, with linux {results['kernel']} and rfou"
        f" {results['rfou']}, in emulated machines.",
        "",
        "## What is held against it",
        "",
        *table(["figure", "value"], results["bars"].items()),
        "## Instructions per packet",
        "",
        "Counted by an emulator that takes each as a nanosecond. Each figure is the least of five"
        f" runs; the second least is at most {100 * results['repeatability']:.2f} % above it."
        " *Plain* is the tunnel without UDP; *encapsulation* is the cost that UDP and the headers"
        " after it add.",
        "",
        "![ratios](benchmark/paths.svg)",
        "",
        *table(
            [
                "path",
                "rfou",
                "fou",
                "plain",
                "vxlan",
                "geneve",
                "rfou/fou",
                "encapsulation rfou",
                "fou",
            ],
            (
                [
                    name,
                    *(round(row[column]) for column in ("rfou", "fou", "plain", "vxlan", "geneve")),
                    f"{row['ratio']:.3f}",
                    *(round(row["encapsulation"][column]) for column in ("rfou", "fou")),
                ]
                for name, row in results["paths"].items()
            ),
        ),
        "## Throughput",
        "",
        "iperf3 between two namespaces, two CPUs, in Mbit/s: medians. Ratios are of runs next to"
        " each other; *errors* are TCP segments with a wrong checksum.",
        "",
        "![throughput](benchmark/throughput.svg)",
        "",
        *table(
            ["what", "rfou", "fou", "plain", "rfou/fou", "range", "errors rfou", "errors fou"],
            (
                [
                    name,
                    *(row[column] for column in ("rfou", "fou", "plain", "ratio")),
                    "{}..{}".format(*row["range"]),
                    *(row["checksum errors"][column] for column in ("rfou", "fou")),
                ]
                for name, row in results["throughput"].items()
            ),
        ),
        "## Load spreading",
        "",
        "Source ports of small UDP packets, each of a flow of its own, through GUE.",
        "",
        *table(
            ["figure", *results["load spreading"]],
            zip(
                next(iter(results["load spreading"].values())),
                *(row.values() for row in results["load spreading"].values()),
                strict=True,
            ),
        ),
        "## Growth",
        "",
        "In instructions.",
        "",
        "![growth](benchmark/growth.svg)",
        "",
    ]
    for name, numbers in results["growth"].items():
        rows = ([column, *(round(row[column]) for row in numbers.values())] for column in COLUMNS)
        text += table([name, *numbers], rows)
    text += ["## Memory", ""]
    text += table(["figure", *COLUMNS], results["memory"])
    text += [
        "## Where the instructions go",
        "",
        "Functions in which the two differ, per packet.",
        "",
    ]
    for name, functions in results["profile"].items():
        text += [f"### {name}", "", *table(["function", "fou", "rfou"], functions)]
    return "\n".join(text)


def main():
    """Make them."""
    folder = pathlib.Path(sys.argv[1])
    paths, repeatability = instructions(folder)
    rates, grown = throughput(folder), growth(folder)
    other = json.loads((folder / "other.json").read_text(encoding="ascii"))
    results = {
        "kernel": sys.argv[2],
        "rfou": sys.argv[3],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "bars": bars(paths, rates),
        "repeatability": round(repeatability, 5),
        "paths": paths,
        "throughput": rates,
        "load spreading": {
            f"{column}, {version}": spread(counts)
            for column in COLUMNS
            for version, counts in other[column]["source ports"].items()
        },
        "growth": grown,
        "memory": [
            [
                "bytes per port, its socket included",
                *(round(other[c]["bytes per port"]) for c in COLUMNS),
            ],
            [
                "bytes of the modules, loaded",
                *(sum(other[c]["module sizes"].values()) for c in COLUMNS),
            ],
        ],
        "profile": profile(folder),
    }
    plots = folder / "benchmark"
    plots.mkdir(exist_ok=True)
    plot_paths(paths, plots / "paths.svg")
    plot_throughput(rates, plots / "throughput.svg")
    plot_growth(grown, plots / "growth.svg")
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="ascii")
    (folder / "benchmark.md").write_text(markdown(results), encoding="ascii")
    for figure, value in results["bars"].items():
        print(f"{figure}: {value}")


if __name__ == "__main__":
    main()
