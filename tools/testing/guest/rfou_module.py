"""The module rfou under test: its file, and loading it anew."""

import os

from hosts import run


def rfou_file():
    """The rfou.ko under test."""
    return os.environ["RFOU_MODULE_FILE"]


def reload_rfou(*parameters):
    """Take the module out, and in again with these parameters."""
    run("rmmod", "rfou")
    run("insmod", rfou_file(), *parameters)
