# SPDX-License-Identifier: GPL-2.0
"""Arithmetic of the report: a wrong figure looks like a right one."""

import itertools
import math

import pytest

from bench.paths import (
    DEVICE,
    ETHERNET,
    RUNS,
    Path,
    all_references,
    covering_paths,
    device_paths,
    ethernet_paths,
    module_paths,
    reassembly_paths,
)
from bench.report import figures
from bench.wire import HIGHEST_SOURCE_PORT, LOWEST_SOURCE_PORT


def counts(fou=100.0, rfou=90.0):
    """Lines as a guest writes them, of each path and reference once."""
    lines = []
    for path in module_paths():
        for column, cost in (("fou", fou), ("rfou", rfou)):
            lines.append({"path": path.name, "column": column, "costs": [cost] * RUNS})
    for path in all_references(module_paths()):
        lines.append({"path": path.name, "column": path.encap, "costs": [80.0] * RUNS})
    return lines


def device_counts(cost=89.0):
    """The same, with each path of the device."""
    lines = [
        {"path": path.name, "column": DEVICE, "costs": [cost] * RUNS} for path in device_paths()
    ]
    return counts() + lines


def row_of(lines, path):
    """The figures of a path of the device."""
    return figures.device_instructions(lines)[path.name]


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


def test_device_is_compared_with_fou_and_with_the_plain_tunnel():
    for row in figures.device_instructions(device_counts(cost=89.0)).values():
        assert row["ratio"] == pytest.approx(0.89)
        assert row["added"] == pytest.approx(9 / 20), "89 - 80 of 100 - 80"


def test_device_with_id_is_compared_with_tunnels_without():
    path = Path("gro", "gue-id", 4, 1400)
    lines = device_counts()
    for line in lines:
        if line["path"] == "gro, gue, v4, 1400 B, 1 flow, 1 port":
            line["costs"] = [{"fou": 200.0, "rfou": 150.0, DEVICE: 1.0}[line["column"]]] * RUNS
    row = row_of(lines, path)
    assert (row[DEVICE], row["fou"], row["rfou"], row["vxlan"]) == (89.0, 200.0, 150.0, 80.0)
    assert row["ratio"] == pytest.approx(89 / 200)


def test_nothing_is_added_where_fou_costs_no_more_than_the_plain_tunnel():
    path = Path("transmit", "gue", 6, 1400)
    lines = device_counts()
    for line in lines:
        if line["path"] == path.name and line["column"] == "fou":
            line["costs"] = [80.0] * RUNS
    assert row_of(lines, path)["added"] is None


def test_device_path_without_a_measurement_is_an_error():
    with pytest.raises(figures.MissingError, match="not measured"):
        figures.device_instructions(device_counts()[:-1])


def test_lines_of_the_device_add_no_path_to_the_figures_of_the_modules():
    assert figures.instructions(counts()).keys() == figures.instructions(device_counts()).keys()


def reassembly_counts():
    """Lines of a packet that comes whole, in GUE fragments and in IPv4 fragments."""
    costs = {"gue": 50.0, "gue-in-pieces": 120.0, "gue-in-ip-fragments": 100.0}
    return [
        {"path": path.name, "column": DEVICE, "costs": [costs[path.encap]] * RUNS}
        for path in reassembly_paths()
    ]


def test_packet_in_gue_fragments_is_compared_with_one_in_ip_fragments():
    row = figures.reassembly(device_counts() + reassembly_counts())
    assert row["ratio"] == pytest.approx(1.2)
    assert row["gue"] == 50.0


@pytest.mark.parametrize("at", range(3))
def test_packet_in_pieces_that_was_not_measured_is_an_error(at):
    lines = reassembly_counts()
    del lines[at]
    with pytest.raises(figures.MissingError, match="not measured"):
        figures.reassembly(lines)


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


def test_throughput_of_the_device_is_paired_with_fou():
    lines = transfers(fou=(1000, 500, 100), rfou=(1, 1, 1))
    name = lines[0]["scenario"]
    for pair, mbit in enumerate((900, 600, 130)):
        line = {"scenario": name, "column": DEVICE, "pair": pair, "mbit": mbit, "errors": 2}
        lines.append(line)
    row = figures.throughput(lines, DEVICE)[name]
    assert row["ratio"] == pytest.approx(1.2)
    assert (row["slower pairs"], row[DEVICE], row["plain"]) == (1, 600, 1000)
    assert row["checksum errors"] == {"fou": 3, DEVICE: 6}
    assert figures.throughput(lines)[name]["rfou"] == 1, "the device's runs are not rfou's"


def test_scenario_that_the_device_does_not_have_is_left_out():
    assert figures.throughput(transfers(fou=(1,) * 3, rfou=(1,) * 3, encap="fou"), DEVICE) == {}


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


def test_ethernet_devices_are_compared_with_the_lesser_reference():
    costs = {"gue-ethernet": 95.0, "geneve-sample": 110.0, "vxlan": 90.0, "geneve": 100.0}
    lines = [
        {"path": path.name, "column": ETHERNET, "costs": [costs[path.encap]] * RUNS}
        for path in ethernet_paths()
    ]
    rows = figures.ethernet(lines)
    assert len(rows) * len(costs) == len(lines)
    for row in rows.values():
        assert row["ratio"] == pytest.approx(95 / 90)
        assert row["sample ratio"] == pytest.approx(1.1)
    with pytest.raises(figures.MissingError, match="not measured"):
        figures.ethernet(lines[:-1])


def test_hash_of_all_payload_has_a_cost_per_byte_and_a_cost_beside():
    lines = [
        {
            "path": named.name,
            "column": DEVICE,
            "costs": [1000.0 + (90 + 12.5 * path.size if named is path else 0)] * RUNS,
        }
        for path in itertools.chain.from_iterable(covering_paths())
        for named in (path, path.unprotected)
    ]
    rows = figures.covering(lines)
    assert set(rows) == {f"{way}, IPv{v}" for way in ("receive", "transmit") for v in (4, 6)}
    for row in rows.values():
        assert row == {"per byte": pytest.approx(12.5), "beside": pytest.approx(90)}
    with pytest.raises(figures.MissingError):
        figures.covering(lines[1:])
