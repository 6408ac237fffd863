# SPDX-License-Identifier: GPL-2.0
"""The kernel's own ynl, unmodified, with a spec of this checkout."""

import importlib
import os
import pathlib
import subprocess
import sys

from testing.lib.checkout import TOP

PYYNL = pathlib.Path(os.environ["RFOU_KERNEL_SOURCE"], "tools/net/ynl/pyynl")


def spec(family):
    """Returns the path of a family's spec."""
    return str(TOP / "Documentation" / "netlink" / f"{family}.yaml")


def library():
    """Returns ynl's library."""
    if str(PYYNL) not in sys.path:
        sys.path.append(str(PYYNL))
    return importlib.import_module("lib")


def connect(host, family):
    """Returns a `YnlFamily` in a host."""
    made = library().YnlFamily
    # A module that was loaded again has another family id than the one that ynl has cached.
    importlib.import_module("lib.ynl").GenlProtocol.genl_family_name_to_id = {}
    with host.inside():
        return made(spec(family), schema="")


def start(host, family, *words):
    """Starts ynl in a host, with JSON as output, in a pipe."""
    # Unbuffered, so that a notification is printed when it arrives.
    ynl = [sys.executable, "-u", PYYNL / "cli.py", "--spec", spec(family), "--no-schema"]
    return host.start(*ynl, "--output-json", *words, stdout=subprocess.PIPE)
