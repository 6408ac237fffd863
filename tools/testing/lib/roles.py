# SPDX-License-Identifier: GPL-2.0
"""Races: processes that each repeat some work, side by side; modules loaded by system calls."""

import contextlib
import ctypes
import multiprocessing
import os
import pathlib
import time

from testing.lib import progress
from testing.lib.hosts import libc

SECONDS = float(os.environ.get("RFOU_TIMING_SECONDS", "10"))
# Work that never waits.
QUICK = ("shoot", "send_through", "move_ports", "move_the_same_ports", "change_devices")
# Seconds to wait longer, at most, until all work has had an effect on a busy machine.
PATIENCE = 90
FINIT_MODULE, DELETE_MODULE = 313, 176
O_NONBLOCK = os.O_NONBLOCK


def insmod(path):
    """Loads a module; returns whether that succeeded."""
    with open(path, "rb") as file:
        return libc.syscall(FINIT_MODULE, file.fileno(), b"", 0) == 0


def rmmod(name):
    """Unloads a module; returns whether that succeeded."""
    return libc.syscall(DELETE_MODULE, name.encode(), O_NONBLOCK) == 0


def rmmod_in_use(name):
    """Unloads a module whose users come and go; returns whether that succeeded in time."""
    end = time.monotonic() + 5
    while not (gone := rmmod(name)) and is_loaded(name) and time.monotonic() < end:
        time.sleep(0.01)
    return gone


def is_loaded(name):
    """Returns whether a module is loaded."""
    return pathlib.Path("/sys/module", name).exists()


class Role:
    """A process that repeats work, a generator that yields after each round.

    False stands for a round without effect.
    """

    def __init__(self, work, over):
        self.done = multiprocessing.Value(ctypes.c_long, 0)
        self.name = work.__name__
        self.process = multiprocessing.Process(target=self.run, args=(work, over))
        self.process.start()

    def run(self, work, over):
        """Repeats the work, in the process."""
        if self.name in QUICK:
            # Leaves CPU time for the roles with long rounds.
            os.nice(5)
        steps = work()
        while not over.value:
            # Work may be refused or have no effect.
            with contextlib.suppress(OSError, StopIteration):
                self.done.value += next(steps) is not False
                continue
            steps.close()
            steps = work()

    def join(self):
        """Waits for the process; returns how many rounds had an effect."""
        progress.report(f"{self.name} ends")
        self.process.join(60)
        assert self.process.exitcode == 0, f"{self.name} did not end: {self.process.exitcode}"
        return self.done.value


def all_at_once(works):
    """Runs work side by side for SECONDS, and at most PATIENCE longer until all had an effect.

    Returns how many rounds of each had an effect.
    """
    over = multiprocessing.RawValue(ctypes.c_bool, False)
    start = time.monotonic()
    roles = [Role(work, over) for work in works]
    while True:
        done = {role.name: role.done.value for role in roles}
        progress.report(f"all at once: {done}")
        passed = time.monotonic() - start
        if passed >= SECONDS and all(done.values()) or passed >= SECONDS + PATIENCE:
            break
        time.sleep(0.2)
    over.value = True
    counts = {role.name: role.join() for role in roles}
    print(counts)
    return counts
