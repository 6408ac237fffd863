# SPDX-License-Identifier: GPL-2.0
"""The bars that the figures are compared with, and the figures that miss them."""

import dataclasses
import statistics

MOST_RATIO, AIMED_RATIO = 1.008, 1.005
MOST_MEDIAN_RATIO = 1.0
LEAST_THROUGHPUT = 1.0
# Multiple of the memory of fou and fou6.
MOST_MEMORY = 2.0


@dataclasses.dataclass(frozen=True)
class Bar:
    """A limit, and the figures that are beyond it."""

    what: str
    limit: str
    value: str
    misses: tuple

    @property
    def holds(self):
        """True if no figure is beyond the limit."""
        return not self.misses


def ratio_text(value):
    """A ratio with the digits that are the same in every run."""
    return f"{value:.4f}"


def above(rows, most):
    """Names and ratios above a limit, the highest first: (("name", "ratio"), ...)."""
    found = [(name, row["ratio"]) for name, row in rows.items() if row["ratio"] > most]
    found.sort(key=lambda pair: -pair[1])
    return tuple((name, ratio_text(ratio)) for name, ratio in found)


def slower(rates):
    """Scenarios with a median below the bar, lowest first, with the number of such pairs."""
    found = [item for item in rates.items() if item[1]["ratio"] < LEAST_THROUGHPUT]
    found.sort(key=lambda item: item[1]["ratio"])
    return tuple(
        (name, f"{row['ratio']:.3f}, slower in {row['slower pairs']} of {row['pairs']} pairs")
        for name, row in found
    )


def single(name, value, text, beyond):
    """The one miss of a bar with one figure, or none."""
    return ((name, text),) if beyond(value) else ()


def bars(results):
    """All bars."""
    paths, rates, memory = results["paths"], results["throughput"], results["memory"]
    ratios = [row["ratio"] for row in paths.values()]
    median = statistics.median(ratios)
    speed = statistics.median(row["ratio"] for row in rates.values())
    lowest = min(row["ratio"] for row in rates.values())
    fou, rfou = (sum(memory["module sizes"][module].values()) for module in ("fou", "rfou"))
    held = f"{rfou / fou:.2f} ({rfou:,} of {fou:,} bytes)"
    return [
        Bar(
            "instructions per packet, rfou/fou, every path",
            f"≤ {MOST_RATIO}",
            f"highest {ratio_text(max(ratios))}",
            above(paths, MOST_RATIO),
        ),
        Bar(
            "the same, median of all paths",
            f"≤ {MOST_MEDIAN_RATIO:.3f}",
            ratio_text(median),
            single("median", median, ratio_text(median), lambda value: value > MOST_MEDIAN_RATIO),
        ),
        Bar(
            "throughput, rfou/fou, median of pairs, every scenario",
            f"≥ {LEAST_THROUGHPUT:.2f}",
            f"lowest {lowest:.3f}",
            slower(rates),
        ),
        Bar(
            "the same, median of all scenarios",
            f"≥ {LEAST_THROUGHPUT:.2f}",
            f"{speed:.3f}",
            single("median", speed, f"{speed:.3f}", lambda value: value < LEAST_THROUGHPUT),
        ),
        Bar(
            "memory of the loaded modules, rfou/fou",
            f"≤ {MOST_MEMORY:.2f}",
            held,
            single("rfou and rfou6", rfou / fou, held, lambda value: value > MOST_MEMORY),
        ),
    ]
