# SPDX-License-Identifier: GPL-2.0
"""The checkout's folders."""

import os
import pathlib

TOP = pathlib.Path(__file__).parents[3]


def built(name):
    """Returns the path of a file that scripts/build/module built for this guest's kernel."""
    return TOP / "build" / os.environ["RFOU_BUILD"] / name
