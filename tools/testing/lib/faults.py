# SPDX-License-Identifier: GPL-2.0
"""Makes allocations fail: the n-th one of some work, for each n in turn, or a share of all."""

import contextlib
import os
import pathlib

from testing.lib import progress

FAIL_NTH = "/proc/thread-self/fail-nth"
KNOBS = pathlib.Path("/sys/kernel/debug")
SITES = ("failslab", "fail_page_alloc")


def prepare():
    """Lets any allocation fail, also one that may sleep, without a message in the log."""
    for name in SITES:
        for knob in ("ignore-gfp-wait", "cache-filter"):
            path = KNOBS / name / knob
            if path.exists():
                path.write_text("N\n", encoding="ascii")
        (KNOBS / name / "verbose").write_text("0\n", encoding="ascii")
    # Also allocations of a single page.
    (KNOBS / "fail_page_alloc" / "min-order").write_text("0\n", encoding="ascii")


class FailingAllocation:
    """In this context, the n-th allocation of this thread fails; sets `hit` if there was one."""

    def __init__(self, number):
        self.number = number
        self.hit = False

    def __enter__(self):
        # Opened first, so that only the work's allocations count.
        self.file = os.open(FAIL_NTH, os.O_RDWR)
        os.pwrite(self.file, b"%d" % self.number, 0)
        return self

    def __exit__(self, *_):
        self.hit = int(os.pread(self.file, 20, 0)) == 0
        os.pwrite(self.file, b"0", 0)
        os.close(self.file)


def each_allocation(limit=2000, stride=1):
    """Yields a `FailingAllocation` for the first, second, ... until one is not reached.

    `make test` takes one in `stride`, `make soak` all.
    """
    if "RFOU_SOAK" in os.environ:
        stride = 1
    for number in range(1, limit + 1, stride):
        progress.report(f"allocation {number} fails")
        failing = FailingAllocation(number)
        yield failing
        if not failing.hit:
            assert number > 1, "not even the first allocation failed"
            return
    raise AssertionError(f"more than {limit} allocations")


@contextlib.contextmanager
def failing_atomic_allocations(percent):
    """In this context, a share of the allocations that must not sleep fail, in softirqs too."""
    settings = {"ignore-gfp-wait": "Y", "interval": 1, "space": 0, "times": -1}
    try:
        for site in SITES:
            for knob, value in (*settings.items(), ("probability", percent)):
                (KNOBS / site / knob).write_text(f"{value}\n", encoding="ascii")
        yield
    finally:
        for site in SITES:
            for knob, value in (("probability", 0), ("times", 1), ("ignore-gfp-wait", "N")):
                (KNOBS / site / knob).write_text(f"{value}\n", encoding="ascii")
