# SPDX-License-Identifier: GPL-2.0
"""Memory of the built modules once they are loaded, against the bar and its parts."""

import pathlib

import pytest

from bench.report.modules import composition, loaded_bytes

# The present size of both. The stock kernel's fou and fou6 take 45056 bytes. Without the family
# rfou and its counters rfou took 28672 bytes less, and 90112, twice Linux's, was the aim. Trace
# events take 24576 bytes: code, data, names, and a page of static keys in each module.
MOST_BYTES = 147456


def module(name):
    """The bytes of a module file for the stock kernel."""
    return pathlib.Path("build/stock", f"{name}.ko").read_bytes()


def test_modules_take_no_more_memory_than_they_did():
    sizes = {name: loaded_bytes(module(name)) for name in ("rfou", "rfou6")}
    parts = {name: composition(module(name)) for name in sizes}
    assert sum(sizes.values()) <= MOST_BYTES, f"{sizes}, made of {parts}"


@pytest.mark.parametrize("name", ["rfou", "rfou6"])
def test_module_keeps_no_label_of_the_compiler(name):
    assert b"\0.Ltmp" not in module(name), "each label is 32 bytes of kernel memory"
