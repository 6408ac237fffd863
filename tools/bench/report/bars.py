# SPDX-License-Identifier: GPL-2.0
"""The bars that the figures are compared with, and the figures that miss them."""

import dataclasses
import statistics

from bench.paths import (
    DEVICE,
    GENEVE_SAMPLE,
    GUE_ETHERNET,
    device_paths,
    ethernet_paths,
    protected_paths,
)

MOST_RATIO, AIMED_RATIO = 1.008, 1.005
MOST_MEDIAN_RATIO = 1.0
LEAST_THROUGHPUT = 1.0
# Multiple of the memory of fou and fou6.
MOST_MEMORY = 2.0
# The gue device's highest ratio to fou's tunnel, by the first word of a path's direction.
MOST_BY_DEVICE = {"receive": 0.95, "gro": 0.97, "transmit": 1.0, "gso": 1.0}
# Instructions per packet that a protection may add, by the encapsulation of a path.
MOST_ADDED = {"gue-cookie": 40, "gue-hmac": 60}
# The length of the protecting field. On the paths of GRO, the generator copies it with the other
# headers, by one instruction, which the emulator counts once for each byte.
COPIED_BYTES = {"gue-cookie": 8, "gue-hmac": 40}
# Instructions per packet that a keyed hash over the payload may add beside the hash itself and the
# inner checksum.
MOST_BESIDE_HASH = 100
# The highest ratio of a packet in two GUE fragments to the same packet in two IPv4 fragments.
MOST_REASSEMBLY = 1.5
# The aim for the ratio of what the device and fou's tunnel cost above the plain tunnel. It is not a
# bar, because other parts of the stack contribute to these costs.
AIMED_ADDED = 0.6
# The highest ratio to the cost with one device on the port.
MOST_GROWTH = 1.02
# The highest ratio of the gue device to the lesser of VXLAN and Geneve, of the sample to Geneve.
MOST_BY_ETHERNET, MOST_BY_SAMPLE = 1.0, 1.02
# The number of functions that are named for a path that misses its bar.
FUNCTIONS_SHOWN = 3


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
    """A ratio, with as many digits as agree between runs."""
    return f"{value:.4f}"


def above(rows, most):
    """Names and ratios above a limit, the highest first: (("name", "ratio"), ...)."""
    found = [(name, row["ratio"]) for name, row in rows.items() if row["ratio"] > most]
    found.sort(key=lambda pair: -pair[1])
    return tuple((name, ratio_text(ratio)) for name, ratio in found)


def slower(rates):
    """Scenarios with a median below the bar, lowest first, with the number of slower pairs."""
    found = [item for item in rates.items() if item[1]["ratio"] < LEAST_THROUGHPUT]
    found.sort(key=lambda item: item[1]["ratio"])
    return tuple(
        (name, f"{row['ratio']:.3f}, slower in {row['slower pairs']} of {row['pairs']} pairs")
        for name, row in found
    )


def single(name, value, text, beyond):
    """The misses of a bar with one figure: this figure if it is beyond the limit, else none."""
    return ((name, text),) if beyond(value) else ()


def bars(results):
    """All bars."""
    return [*module_bars(results), *device_bars(results)]


def module_bars(results):
    """The bars of rfou."""
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


def device_bars(results):
    """The bars of the gue device, for the parts that were measured."""
    found = []
    if "device paths" in results:
        found += [device_paths_bar(results, word) for word in MOST_BY_DEVICE]
    if "protection" in results:
        found += [protection_bar(results["protection"], encap) for encap in MOST_ADDED]
    if "hashing" in results:
        found.append(hashing_bar(results["hashing"]))
    if "ethernet" in results:
        found += ethernet_bars(results["ethernet"], results.get("ethernet profile", {}))
    if "reassembly" in results:
        found.append(reassembly_bar(results["reassembly"]))
    growth = results.get("growth", {})
    found += [growth_bar(name, rows) for name, rows in growth.items() if is_of_device(rows)]
    rates = results.get("device throughput")
    if rates:
        found.append(
            Bar(
                "throughput, gue device/fou, median of pairs, every scenario",
                f"≥ {LEAST_THROUGHPUT:.2f}",
                f"lowest {min(row['ratio'] for row in rates.values()):.3f}",
                slower(rates),
            )
        )
    return found


def device_paths_bar(results, word):
    """The bar of the device's paths of a direction. A miss names functions that cost the most."""
    rows = results["device paths"]
    paths = {path.name: path for path in device_paths() if path.direction.split("-")[0] == word}
    most = MOST_BY_DEVICE[word]
    misses = above({name: rows[name] for name in paths}, most)
    profile = results.get("device profile", {})
    return Bar(
        f"instructions per packet, gue device/fou, {word}",
        f"≤ {most:.2f}",
        f"highest {ratio_text(max(rows[name]['ratio'] for name in paths))}",
        tuple(
            (name, ratio + costs_above(profile.get(paths[name].profiled.name, ())))
            for name, ratio in misses
        ),
    )


def ethernet_bars(rows, profile):
    """The bars of Ethernet devices. A miss names functions that cost the most."""
    paths = {path.name: path for path in ethernet_paths()}
    found = []
    for what, encap, name, most in (
        (
            "gue device of mode ethernet/the lesser of VXLAN and Geneve",
            GUE_ETHERNET,
            "ratio",
            MOST_BY_ETHERNET,
        ),
        ("geneve_sample/Geneve", GENEVE_SAMPLE, "sample ratio", MOST_BY_SAMPLE),
    ):
        ratios = {path: {"ratio": row[name]} for path, row in rows.items()}
        misses = []
        for path, ratio in above(ratios, most):
            measured = paths[path].reference(encap).profiled.name if path in paths else None
            misses.append((path, ratio + costs_above(profile.get(measured, ()), "the other")))
        found.append(
            Bar(
                f"instructions per packet, {what}, every path",
                f"≤ {most:.2f}",
                f"highest {ratio_text(max(row['ratio'] for row in ratios.values()))}",
                tuple(misses),
            )
        )
    return found


def protection_bar(rows, encap):
    """The bar of the instructions that a protection adds to each packet of the device."""
    added = {
        path.name: rows[path.name]["added"]
        - (COPIED_BYTES[encap] if path.direction == "gro" else 0)
        for path in protected_paths()
        if path.encap == encap
    }
    most = MOST_ADDED[encap]
    misses = [(name, f"{value:+.0f}") for name, value in added.items() if value > most]
    return Bar(
        f"instructions per packet that {encap} adds to the gue device, beside the generator's copy",
        f"≤ {most}",
        f"highest {max(added.values()):+.0f}",
        tuple(misses),
    )


def hashing_bar(rows):
    """The bar of the instructions that a keyed hash over payload adds beside hash and checksum."""
    added = {name: row["rest"] for name, row in rows.items()}
    misses = [(name, f"{value:+.0f}") for name, value in added.items() if value > MOST_BESIDE_HASH]
    return Bar(
        "instructions per packet that gue-hmac-all adds to the gue device, beside the hash and the"
        " inner checksum",
        f"≤ {MOST_BESIDE_HASH}",
        f"highest {max(added.values()):+.0f}",
        tuple(misses),
    )


def reassembly_bar(row):
    """The bar of the cost of a packet in two fragments."""
    text = ratio_text(row["ratio"])
    return Bar(
        "instructions per packet, in two GUE fragments/in two IPv4 fragments",
        f"≤ {MOST_REASSEMBLY:.2f}",
        text,
        single("reassembly", row["ratio"], text, lambda value: value > MOST_REASSEMBLY),
    )


def costs_above(functions, other="fou"):
    """The functions that cost more than in the other column, as text, largest difference first."""
    more = [(now - was, name) for name, _, was, now in functions if now > was]
    more.sort(reverse=True)
    text = ", ".join(f"`{name}` +{cost:.0f}" for cost, name in more[:FUNCTIONS_SHOWN])
    return f"; above {other}: {text}" if text else ""


def is_of_device(rows):
    """True if a table of growth has the device's figures."""
    return all(DEVICE in row for row in rows.values())


def growth_bar(name, rows):
    """The bar of a cost that must not grow with the number of devices: {number: {column: cost}}."""
    grown = max(row[DEVICE] for row in rows.values()) / rows[min(rows, key=int)][DEVICE]
    return Bar(
        f"growth of the cost, gue device, {name}",
        f"≤ {MOST_GROWTH:.2f}",
        f"{grown:.4f}",
        single("the most", grown, f"{grown:.4f}", lambda value: value > MOST_GROWTH),
    )
