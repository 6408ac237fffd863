# SPDX-License-Identifier: GPL-2.0
"""The module rfou under test: its file, and how to load it again."""

import os

from testing.lib.hosts import run


def rfou_file():
    """Returns the path of the rfou.ko under test."""
    return os.environ["RFOU_MODULE_FILE"]


def reload_rfou(*parameters):
    """Unloads the module, and loads it with these parameters."""
    run("rmmod", "rfou")
    run("insmod", rfou_file(), *parameters)
