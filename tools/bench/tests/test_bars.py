# SPDX-License-Identifier: GPL-2.0
"""Bars: a figure on the limit holds, the next one beyond it is named."""

import pytest

from bench.paths import DEVICE, device_paths, protected_paths
from bench.report.bars import COPIED_BYTES, MOST_ADDED, bars, device_bars

RATE = {"range": [1, 1], "pairs": 9, "slower pairs": 2}


def results(ratios=(1.0,), speeds=(1.0,), rfou=90112):
    """Figures with these ratios."""
    return {
        "paths": {f"path {at}": {"ratio": ratio} for at, ratio in enumerate(ratios)},
        "throughput": {f"speed {at}": RATE | {"ratio": ratio} for at, ratio in enumerate(speeds)},
        "memory": {"module sizes": {"fou": {"fou": 24576, "fou6": 20480}, "rfou": {"rfou": rfou}}},
    }


def missed(**figures):
    """The numbers of the bars that do not hold, and their misses."""
    return {at: bar.misses for at, bar in enumerate(bars(results(**figures))) if not bar.holds}


def test_figures_on_their_limits_hold():
    assert missed(ratios=(1.008, 0.9, 0.9), speeds=(1.0,), rfou=2 * 45056) == {}


def test_path_above_its_bar_is_named_though_it_rounds_to_the_limit():
    assert missed(ratios=(0.9, 1.00801, 0.9)) == {0: (("path 1", "1.0080"),)}


def test_worst_path_comes_first():
    assert [name for name, _ in missed(ratios=(1.01, 1.02, 0.9))[0]] == ["path 1", "path 0"]


def test_median_of_paths_above_one_is_missed():
    assert list(missed(ratios=(0.9, 1.001, 1.002))) == [1]


def test_slower_scenario_is_named_with_its_pairs():
    assert missed(speeds=(1.1, 0.9, 1.0)) == {2: (("speed 1", "0.900, slower in 2 of 9 pairs"),)}


def test_slower_median_scenario_is_missed():
    assert list(missed(speeds=(1.1, 0.9, 0.9))) == [2, 3]


@pytest.mark.parametrize(("rfou", "beyond"), [(90112, []), (90113, [4])])
def test_memory_is_at_most_twice_fous(rfou, beyond):
    assert list(missed(rfou=rfou)) == beyond


BARS = ("receive", "gro", "transmit", "gso")
LIMITS = {"receive": 0.95, "gro": 0.97, "transmit": 1.0, "gso": 1.0, "gso-segmented": 1.0}


def device_results(**ratios):
    """Figures of the device on their limits; paths with an id have `ratios` by direction."""
    rows = {path.name: {"ratio": LIMITS[path.direction]} for path in device_paths()}
    for path in device_paths():
        if path.direction in ratios and path.encap == "gue-id":
            rows[path.name]["ratio"] = ratios[path.direction]
    return {"device paths": rows}


def device_misses(results):
    """The misses of the bars that do not hold, by what the bar is about."""
    return {bar.what: bar.misses for bar in device_bars(results) if not bar.holds}


def test_device_on_its_limits_holds():
    assert len(device_bars(device_results())) == len(BARS)
    assert device_misses(device_results()) == {}


@pytest.mark.parametrize(("direction", "limit"), LIMITS.items())
def test_device_above_its_bar_is_named(direction, limit):
    [(what, misses)] = device_misses(device_results(**{direction: limit + 0.0001})).items()
    assert what.endswith(direction.split("-")[0])
    assert {(name.split(", ")[0], name.split(", ")[1]) for name, _ in misses} == {
        (direction, "gue-id")
    }
    assert all(value == f"{limit + 0.0001:.4f}" for _, value in misses)


def test_miss_names_the_functions_that_cost_more_than_with_fou():
    results = device_results(receive=0.96)
    path = "receive, gue-id, v6, 1400 B, 1 flow, 1 port"
    functions = [("less", "", 900.0, 0.0), ("a", "", 1.0, 41.0), ("b", "rgue", 0.0, 30.0)]
    functions += [("c", "", 5.0, 25.0), ("d", "", 0.0, 10.0)]
    results["device profile"] = {path: functions}
    results["device profile"][path.replace("v6", "v4")] = functions[:2]
    [misses] = device_misses(results).values()
    named = {
        name for name, value in misses if value == "0.9600; above fou: `a` +40, `b` +30, `c` +20"
    }
    # Paths of other sizes and numbers of flows execute the same functions.
    assert named == {name for name, _ in misses if ", v6, " in name}
    assert len(named) == 4
    others = {value for name, value in misses if name not in named}
    assert others == {"0.9600; above fou: `a` +40"}


def test_packet_costs_at_most_a_hundred_instructions_beside_its_hash():
    rows = {
        "receive, IPv4": {"hash": 900, "checksum": 0, "rest": 100},
        "transmit, IPv4": {"hash": 9, "checksum": 200, "rest": 101},
    }
    [bar] = device_bars({"hashing": rows})
    assert bar.misses == (("transmit, IPv4", "+101"),)


@pytest.mark.parametrize(("ratio", "misses"), [(1.5, ()), (1.5001, (("reassembly", "1.5001"),))])
def test_packet_in_pieces_costs_at_most_half_as_much_again_as_by_ip(ratio, misses):
    [bar] = device_bars({"reassembly": {"ratio": ratio}})
    assert bar.misses == misses


def growth(*costs):
    """Figures of the device with more and more devices, and of ports, which are the modules'."""
    numbers = (1, 10, 2000)
    name = "packet received, by number of "
    return {
        "growth": {
            f"{name}gue devices": {
                str(n): {DEVICE: c} for n, c in zip(numbers, costs, strict=True)
            },
            f"{name}ports": {1: {"fou": 1, "rfou": 1}, 10: {"fou": 2, "rfou": 2}},
        }
    }


@pytest.mark.parametrize(
    ("costs", "misses"),
    [
        ((1000, 1010, 1020), ()),
        ((1000, 900, 1000), ()),
        ((1000, 1000, 1021), (("the most", "1.0210"),)),
        ((1000, 1030, 1000), (("the most", "1.0300"),)),
    ],
)
def test_cost_with_more_devices_is_at_most_two_percent_above(costs, misses):
    [bar] = device_bars(growth(*costs))
    assert bar.misses == misses


def test_device_slower_than_fou_is_named():
    rates = {f"speed {at}": RATE | {"ratio": ratio} for at, ratio in enumerate((1.0, 0.999))}
    [bar] = device_bars({"device throughput": rates})
    assert bar.misses == (("speed 1", "0.999, slower in 2 of 9 pairs"),)


@pytest.mark.parametrize(("encap", "most"), MOST_ADDED.items())
def test_protection_that_adds_too_much_is_named(encap, most):
    def results(added):
        def of(path):
            if path.encap != encap:
                return 0
            return added + (COPIED_BYTES[encap] if path.direction == "gro" else 0)

        return {"protection": {path.name: {"added": of(path)} for path in protected_paths()}}

    assert device_misses(results(most)) == {}
    [misses] = device_misses(results(most + 1)).values()
    assert {name.split(", ")[1] for name, _ in misses} == {encap}
    assert {value for _, value in misses} == {f"+{most + 1}"}


def test_ethernet_devices_above_their_bars_are_named():
    rows = {
        "on both limits": {"ratio": 1.0, "sample ratio": 1.02},
        "slow": {"ratio": 1.0001, "sample ratio": 1.0},
        "slow sample": {"ratio": 0.9, "sample ratio": 1.0201},
    }
    gue, sample = device_bars({"ethernet": rows})
    assert gue.misses == (("slow", "1.0001"),)
    assert sample.misses == (("slow sample", "1.0201"),)
    assert not any(bar.misses for bar in device_bars({"ethernet": {"on": rows["on both limits"]}}))


def test_miss_of_an_ethernet_device_names_functions():
    paths = {"gue-ethernet": "ratio", "geneve-sample": "sample ratio"}
    name = "receive, {}, v6, 1400 B, 1 flow, 1 port"
    rows = {name.format("gue-ethernet"): dict.fromkeys(paths.values(), 1.5)}
    profile = {name.format(encap): [(encap, "", 1.0, 8.0)] for encap in paths}
    bars = device_bars({"ethernet": rows, "ethernet profile": profile})
    for bar, encap in zip(bars, paths, strict=True):
        assert bar.misses[0][1] == f"1.5000; above the other: `{encap}` +7"
