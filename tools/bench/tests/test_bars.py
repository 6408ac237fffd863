# SPDX-License-Identifier: GPL-2.0
"""Bars: a figure on the limit holds, the next one beyond it is named."""

import pytest
from tools.bench.report.bars import bars

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
