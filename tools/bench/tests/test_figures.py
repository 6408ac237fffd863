# SPDX-License-Identifier: GPL-2.0
"""Arithmetic of the report: a wrong figure looks like a right one."""

import math

import pytest
from tools.bench.paths import REFERENCES, RUNS, Path, all_paths
from tools.bench.report import figures
from tools.bench.wire import HIGHEST_SOURCE_PORT, LOWEST_SOURCE_PORT


def counts(fou=100.0, rfou=90.0):
    """Lines as a guest writes them, of each path and reference once."""
    lines = []
    for path in all_paths():
        for column, cost in (("fou", fou), ("rfou", rfou)):
            lines.append({"path": path.name, "column": column, "costs": [cost] * RUNS})
    for name in {path.reference(e).name: e for path in all_paths() for e in REFERENCES}.items():
        lines.append({"path": name[0], "column": name[1], "costs": [80.0] * RUNS})
    return lines


def test_one_disturbed_run_is_no_figure():
    lines = counts()
    lines[1]["costs"] = [900.0, 90.5, 90.0, 91.0, 92.0]
    [row] = [row for name, row in figures.instructions(lines).items() if name == lines[1]["path"]]
    assert row["rfou"] == 90.0, "the least of the runs counts"
    assert row["second run"] == pytest.approx(0.5 / 90), "the second least, not the disturbed one"


def test_ratio_is_rfou_by_fou():
    for name, row in figures.instructions(counts(fou=100.0, rfou=90.0)).items():
        assert row["ratio"] == pytest.approx(0.9), name
        assert figures.encapsulation(row, "rfou") == 10, name
        assert figures.encapsulation(row, "fou") == 20, name


def test_reference_has_the_same_packets():
    path = Path("receive", "gue", 6, 1400, flows=1000, ports=1)
    lines = counts()
    for line in lines:
        if line["path"] == path.reference("plain").name:
            line["costs"] = [70.0] * RUNS
    row = figures.instructions(lines)[path.name]
    assert row["plain"] == 70.0
    assert row["vxlan"] == 80.0


@pytest.mark.parametrize("at", [0, 1, -1], ids=["fou", "rfou", "reference"])
def test_path_without_a_measurement_is_an_error(at):
    lines = counts()
    del lines[at]
    with pytest.raises(figures.MissingError, match="not measured"):
        figures.instructions(lines)


@pytest.mark.parametrize(
    "costs", [[1.0] * (RUNS - 1), [1.0] * (RUNS + 1), [], [0.0] * RUNS, [math.nan] * RUNS]
)
def test_other_than_five_real_runs_are_an_error(costs):
    with pytest.raises(figures.MissingError, match="runs"):
        figures.least(costs)


def test_path_measured_twice_is_an_error():
    lines = counts()
    with pytest.raises(figures.MissingError, match="twice"):
        figures.instructions([*lines, lines[0]])


def transfers(fou, rfou, plain=(1000,) * 3, encap="gue"):
    """Lines of paired runs."""
    name = "TCP, {}, GRO and GSO on"
    columns = {"fou": (encap, fou), "rfou": (encap, rfou), "plain": ("plain", plain)}
    return [
        {"scenario": name.format(e), "column": column, "pair": pair, "mbit": mbit, "errors": 1}
        for column, (e, rates) in columns.items()
        for pair, mbit in enumerate(rates)
    ]


def test_throughput_is_the_median_of_pairs():
    # The machine slows down between pairs: rfou is faster in each, and by 10 % in the middle one.
    lines = transfers(fou=(1000, 500, 100), rfou=(1010, 550, 190))
    [row] = figures.throughput(lines).values()
    assert row["ratio"] == pytest.approx(1.1)
    assert row["range"] == pytest.approx([1.01, 1.9])
    assert (row["pairs"], row["slower pairs"]) == (3, 0)
    assert (row["fou"], row["rfou"], row["plain"]) == (500, 550, 1000)
    assert row["checksum errors"] == {"fou": 3, "rfou": 3}


def test_throughput_pairs_runs_by_their_number():
    lines = transfers(fou=(1000, 500, 100), rfou=(500, 250, 50))
    [row] = figures.throughput(list(reversed(lines))).values()
    assert row["range"] == pytest.approx([0.5, 0.5])
    assert row["slower pairs"] == 3


def test_half_a_pair_is_an_error():
    with pytest.raises(figures.MissingError, match="pair"):
        figures.throughput(transfers(fou=(1000, 500, 100), rfou=(1010, 550)))


def test_spread_of_a_flow_for_each_port_is_even():
    width = HIGHEST_SOURCE_PORT - LOWEST_SOURCE_PORT + 1
    result = figures.spread({LOWEST_SOURCE_PORT + port: 1 for port in range(width)})
    assert result["flows"] == result["ports"] == width
    assert result["chi-square"] < 1 and result["p"] == 1
    assert result["of 64 paths within 20 % of their share"] == 64


def test_spread_over_one_port_is_uneven():
    result = figures.spread({str(HIGHEST_SOURCE_PORT): 10000})
    # All in one of 256 bins: (n - n/256)^2 / (n/256) + 255 * n/256.
    assert result["chi-square"] == pytest.approx(255 * 10000)
    assert result["p"] == 0
    assert result["of 8 paths within 20 % of their share"] == 0


@pytest.mark.parametrize(
    ("value", "tail"), [(255, 0.4883), (293.2478, 0.05), (310.4574, 0.01), (219.0, 0.9500)]
)
def test_chi_square_tail_agrees_with_tables(value, tail):
    assert figures.chi_square_tail(value, 255) == pytest.approx(tail, abs=0.001)


def test_growth_keeps_modules_and_numbers_apart():
    lines = [
        {"what": "port added", "against": "ports", "number": n, "column": c, "value": v}
        for n, c, v in ((1, "fou", 10), (1, "rfou", 11), (10, "fou", 20), (10, "rfou", 21))
    ]
    assert figures.growth(lines) == {
        "port added, by number of ports": {1: {"fou": 10, "rfou": 11}, 10: {"fou": 20, "rfou": 21}}
    }
