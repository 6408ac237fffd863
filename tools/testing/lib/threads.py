# SPDX-License-Identifier: GPL-2.0
"""Threads that work while a test does something else."""

import threading


class Meanwhile(threading.Thread):
    """Runs in a `with` statement; `run()` returns soon after `over` was set."""

    def __init__(self):
        super().__init__()
        self.over = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
