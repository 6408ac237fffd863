# SPDX-License-Identifier: GPL-2.0
"""The module rgue under test: how to load it again."""

import os

from testing.lib.hosts import run


def reload_rgue(*parameters):
    """Unloads the module, and loads it with these parameters."""
    run("rmmod", "rgue")
    run("insmod", os.environ["RGUE_MODULE_FILE"], *parameters)
