# SPDX-License-Identifier: GPL-2.0
"""The module `misuse`: loads it for a case, and reads the counters that it logs."""

import contextlib
import pathlib
import re

from testing.lib.checkout import built
from testing.lib.hosts import run

MODULE = built("misuse/misuse.ko")


def load(case, check=True):
    """Loads the module for one case."""
    return run("insmod", MODULE, f"case={case}", check=check)


def is_loaded():
    """Returns whether the module is loaded."""
    return pathlib.Path("/sys/module/misuse").exists()


@contextlib.contextmanager
def loaded(case):
    """In this context, the module is loaded."""
    load(case)
    try:
        yield
    finally:
        if is_loaded():
            run("rmmod", "misuse")


def last_words():
    """Returns the counters in the last line of counters that the module logged."""
    lines = [line for line in run("dmesg").stdout.splitlines() if "misuse: received" in line]
    said = lines[-1].partition("misuse: ")[2]
    return {name: int(number) for name, number in re.findall(r"(\w[\w ]*) (\d+)", said)}
