# SPDX-License-Identifier: GPL-2.0
"""BPF programs at tc hooks: compiles and attaches them, and reads their global variables."""

import json
import os

from testing.lib.hosts import run


def compiled(source, folder):
    """Compiles a C file of BPF programs into a folder, in about 10 s; returns the object's path."""
    target = folder / source.with_suffix(".o").name
    include = f"/usr/include/{os.uname().machine}-linux-gnu"
    run("clang", "-O2", "-g", "-Wall", "-Werror", "-target", "bpf", f"-I{include}", "-c", source,
        "-o", target)  # fmt: skip
    return target


def attach(host, hook, program, section, device="gue0"):
    """Attaches a program to a tc hook of the host's device, in place of any other."""
    host.run("tc", "qdisc", "replace", "dev", device, "clsact")
    host.run("tc", "filter", "del", "dev", device, hook, check=False)
    host.run("tc", "filter", "add", "dev", device, hook, "bpf", "da", "obj", program, "sec",
             section)  # fmt: skip


def notes_of(number):
    """Returns the bytes of a map with one value, given its id."""
    [entry] = json.loads(run("bpftool", "-j", "map", "dump", "id", number).stdout)
    return bytes(int(byte, 16) for byte in entry["value"])


def all_notes():
    """Returns the ids of the maps that hold programs' global variables, the oldest first."""
    maps = json.loads(run("bpftool", "-j", "map", "list").stdout)
    return sorted(each["id"] for each in maps if each.get("name", "").endswith(".bss"))


def last_notes():
    """Returns the global variables of the program that was loaded last, as bytes."""
    return notes_of(all_notes()[-1])
