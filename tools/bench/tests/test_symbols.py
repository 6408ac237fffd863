# SPDX-License-Identifier: GPL-2.0
"""Profiles: each instruction counts for the right function, run and path."""

import pytest

from bench.paths import COVERING, DEVICE, HASHING, PROFILE_COUNTS, RUNS, profiled_paths
from bench.report import symbols

# MOST_SECTIONS of plugin/profile.c.
MOST_SECTIONS = 512
KALLSYMS = """\
ffffffff81000000 T memcpy
ffffffff81000100 t helper
ffffffff81000100 d not_code
ffffffffc0000040 t .Ltmp3\t[rfou]
ffffffffc0000000 t _RNvCs4fqI2P2rA04_3net4push\t[rfou]
"""


def test_address_belongs_to_the_function_at_or_before_it():
    functions = symbols.read_symbols(KALLSYMS)
    counts = (
        "0 ffffffff81000000 5",
        "0 ffffffff810000ff 2",
        "0 ffffffff81000100 3",
        "1 ffffffffc0000050 7",
        "0 401000 9",
    )
    totals = symbols.by_function(functions, "\n".join(counts))
    assert totals == {
        0: {("memcpy", ""): 7, ("helper", ""): 3, ("user space", ""): 9},
        1: {("_RNvCs4fqI2P2rA04_3net4push", "rfou"): 7},
    }


def test_rust_symbols_are_demangled_and_c_symbols_stay():
    generic = (
        "_RINvNtCsltdHADE6yf3_3net10udp_tunnel9encap_rcv"
        "NtNtCseYMcOgSAH3E_4rfou7receive15FouDecapsulatorKb0_EBM_"
    )
    names = symbols.demangled(["memcpy", "_RNvCs4fqI2P2rA04_3net4push", generic, "helper.isra.0"])
    assert names == {
        "memcpy": "memcpy",
        "helper.isra.0": "helper.isra.0",
        "_RNvCs4fqI2P2rA04_3net4push": "net::push",
        generic: "net::udp_tunnel::encap_rcv::<rfou::receive::FouDecapsulator, false>",
    }


@pytest.fixture(params=["fou", DEVICE, HASHING])
def column(request):
    """A column with a profile."""
    return request.param


@pytest.fixture
def files(tmp_path, column):
    """Of each path six runs in `memcpy`: the first costs 1 a packet, the fourth 10, the rest 20."""
    lines = []
    for number, path in enumerate(profiled_paths(column)):
        for run, cost in enumerate((1, 20, 20, 10, 20, 20)):
            section = number * (1 + RUNS) + run
            # Each path has other costs, so that a test notices if paths are mixed up.
            total = (cost + number) * PROFILE_COUNTS[path.direction]
            lines.append(f"{section} ffffffff81000004 {total}")
    (tmp_path / "symbols").write_text(KALLSYMS, encoding="ascii")
    (tmp_path / "counts").write_text("\n".join(lines), encoding="ascii")
    return tmp_path / "symbols", tmp_path / "counts"


def test_profile_is_the_least_run_after_the_first(files, column):
    found = symbols.profiles(*files, column)
    assert list(found) == [path.name for path in profiled_paths(column)]
    for number, profile in enumerate(found.values()):
        assert profile == {("memcpy", ""): 10 + number}


def test_lost_section_is_an_error(files, column):
    text = files[1].read_text(encoding="ascii")
    files[1].write_text(text.rsplit("\n", 1)[0], encoding="ascii")
    with pytest.raises(ValueError, match="sections"):
        symbols.profiles(*files, column)


def test_plugin_has_room_for_all_sections(column):
    assert len(list(profiled_paths(column))) * (1 + RUNS) <= MOST_SECTIONS


def test_differences_are_told_with_their_sides_the_most_first():
    fou = {("a", ""): 10.0, ("b", ""): 3.0, ("same", ""): 50.0}
    rfou = {("a", ""): 12.0, ("c", "rfou"): 9.0, ("same", ""): 51.9}
    assert symbols.differences(fou, rfou) == [
        ("c", "rfou", 0.0, 9.0),
        ("b", "", 3.0, 0.0),
        ("a", "", 10.0, 12.0),
    ]


def test_device_is_compared_with_the_same_path_of_fou():
    fou = {path.name: {("f", ""): 100.0 + at} for at, path in enumerate(profiled_paths("fou"))}
    ours = {path.name: {("f", ""): 50.0} for path in profiled_paths(DEVICE)}
    found = symbols.compared(fou, ours, DEVICE)
    assert found.keys() == ours.keys()
    for path in profiled_paths(DEVICE):
        [(_, _, was, now)] = found[path.name]
        assert (was, now) == (fou[path.by_module.name]["f", ""], 50.0), path.name


def test_hash_and_checksum_are_told_from_the_rest():
    plain = {("memcpy", ""): 100.0, ("transmit", "rgue"): 400.0}
    hashed = plain | {
        ("memcpy", ""): 130.0,
        ("__sha256_update", ""): 50.0,
        ("transmit", "rgue"): 420.0,
        ("skb_checksum", ""): 7.0,
    }
    profile = {
        path.name: hashed if path.encap == COVERING else plain for path in profiled_paths(HASHING)
    }
    found = symbols.hashing(profile)
    assert set(found) == {f"{way}, IPv{v}" for way in ("receive", "transmit") for v in (4, 6)}
    assert all(row == {"hash": 80.0, "checksum": 7.0, "rest": 20.0} for row in found.values())
