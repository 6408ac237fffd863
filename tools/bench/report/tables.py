# SPDX-License-Identifier: GPL-2.0
"""The long tables that the page links to, a file each."""

from bench.paths import DEVICE, MODULES, all_paths
from bench.report import device
from bench.report.bars import ratio_text
from bench.report.figures import encapsulation
from bench.report.markdown import table, whole

COLUMNS = ("rfou", "fou", "plain", "vxlan", "geneve")


def instructions(results):
    """Every path."""
    head = ["path", *COLUMNS, "rfou / fou", "encapsulation, rfou", "encapsulation, fou"]
    rows = (
        [
            name,
            *(whole(row[column]) for column in COLUMNS),
            ratio_text(row["ratio"]),
            *(whole(encapsulation(row, column)) for column in ("rfou", "fou")),
        ]
        for name, row in results["paths"].items()
    )
    return [
        "# Instructions per packet",
        "",
        "*Plain* is the tunnel without UDP. *Encapsulation* is the cost that UDP and the headers"
        " after it add to the plain tunnel.",
        "",
        *table(head, rows),
    ]


def throughput(results):
    """Every scenario."""
    return [
        "# Throughput",
        "",
        "Mbit/s, the medians of all runs. *rfou / fou* and *device / fou* are the medians of the"
        " ratios of pairs of runs next to each other, *range* the least and the highest of them."
        " *Checksum errors* are TCP segments that arrived with a wrong checksum.",
        "",
        *scenarios(results["throughput"], "rfou"),
        "## The gue device",
        "",
        *scenarios(results["device throughput"], DEVICE),
    ]


def scenarios(rates, ours):
    """A table of scenarios: a column beside Linux's fou."""
    head = ["scenario", ours, "fou", "plain", f"{ours} / fou", "range", "slower pairs"]
    head += [f"checksum errors, {ours}", "checksum errors, fou"]
    rows = (
        [
            name,
            *(whole(row[column]) for column in (ours, "fou", "plain")),
            f"{row['ratio']:.3f}",
            "{:.3f} to {:.3f}".format(*row["range"]),
            f"{row['slower pairs']} of {row['pairs']}",
            *(row["checksum errors"][column] for column in (ours, "fou")),
        ]
        for name, row in rates.items()
    )
    return table(head, rows)


def load_spreading(results):
    """Source ports."""
    spread = results["load spreading"]
    figures = list(next(iter(spread.values())))
    rows = ([figure, *(column[figure] for column in spread.values())] for figure in figures)
    return [
        "# Load spreading",
        "",
        "Source ports of small UDP packets through GUE; each packet is of a flow of its own."
        " Chi-square compares 256 equal ranges of source ports; p is the chance of as uneven a"
        " spread from a perfect hash.",
        "",
        *table(["figure", *spread], rows),
    ]


def growth(results):
    """Costs by the number of things that are not used."""
    lines = ["# Growth", "", "In instructions.", "", "![growth](growth.svg)", ""]
    for name, numbers in results["growth"].items():
        columns = next(iter(numbers.values()))
        rows = ([column, *(whole(row[column]) for row in numbers.values())] for column in columns)
        lines += table([name, *numbers], rows)
    return lines


def memory(results):
    """Ports and modules."""
    sizes, made_of = results["memory"]["module sizes"], results["memory"]["made of"]
    ports = results["memory"]["bytes per port"]
    names = ["fou", "fou6", "rfou", "rfou6"]
    total = [sum(sizes[module].values()) for module in MODULES]
    rows = [[group, *(whole(made_of[name][group]) for name in names)] for group in made_of["fou"]]
    rows.append(["*all*", *(whole(sum(made_of[name].values())) for name in names)])
    return [
        "# Memory",
        "",
        *table(
            ["bytes", *MODULES],
            [
                ["a port, its socket included", *(whole(ports[module]) for module in MODULES)],
                ["the loaded modules, with the part for IPv6", *map(whole, total)],
            ],
        ),
        "## What the loaded modules are made of",
        "",
        "A loaded module has memory of up to four kinds (code; read-only data; data that is"
        " read-only after initialisation; data), each of whole pages of 4,096 bytes. The kernel"
        " frees initialisation code and data. *Names* are the symbols that stack traces show: each"
        " takes an entry of 24 bytes and the name itself. A function has two, because objtool adds"
        " a symbol for the padding before the function. A Rust function's name holds crates,"
        " modules and type arguments, and is about three times as long as a name in C.",
        "",
        *table(["bytes", *names], rows),
    ]


def profile(results, word):
    """Functions that differ on the paths of a direction."""
    lines = [
        f"# Functions that differ: {word}",
        "",
        "Instructions per packet in functions that both modules do not execute alike, callees"
        " excluded, of differences of 2 or more.",
        "",
    ]
    for path in all_paths():
        if path.direction.split("-")[0] == word and path.name in results["profile"]:
            rows = (
                [f"`{name}` {module}".strip(), fou, rfou]
                for name, module, fou, rfou in results["profile"][path.name]
            )
            lines += [f"## {path.name}", "", *table(["function", "fou", "rfou"], rows)]
    return lines


def all_tables(results):
    """The lines of each file."""
    files = {
        "instructions.md": instructions(results),
        "throughput.md": throughput(results),
        "load-spreading.md": load_spreading(results),
        "growth.md": growth(results),
        "memory.md": memory(results),
        "device.md": device.instructions(results),
        "profile-device.md": device.profile(results),
    }
    for word in ("receive", "gro", "transmit", "gso"):
        files[f"profile-{word}.md"] = profile(results, word)
    return files
