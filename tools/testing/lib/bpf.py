# SPDX-License-Identifier: GPL-2.0
"""BPF programs at tc hooks: compiled, attached, and asked for what they noted."""

import json
import os

from testing.lib.hosts import run


def compiled(source, folder):
    """Returns the object of a C file's programs, compiled in a folder, in about 10 s."""
    target = folder / source.with_suffix(".o").name
    include = f"/usr/include/{os.uname().machine}-linux-gnu"
    run("clang", "-O2", "-g", "-Wall", "-Werror", "-target", "bpf", f"-I{include}", "-c", source,
        "-o", target)  # fmt: skip
    return target


def attach(host, hook, program, section, device="gue0"):
    """Makes a program the only one of a hook of the host's device."""
    host.run("tc", "qdisc", "replace", "dev", device, "clsact")
    host.run("tc", "filter", "del", "dev", device, hook, check=False)
    host.run("tc", "filter", "add", "dev", device, hook, "bpf", "da", "obj", program, "sec",
             section)  # fmt: skip


def notes_of(number):
    """Returns the bytes of a map with one value, given its id."""
    [entry] = json.loads(run("bpftool", "-j", "map", "dump", "id", number).stdout)
    return bytes(int(byte, 16) for byte in entry["value"])


def all_notes():
    """Returns the ids of the maps of what programs noted in variables, the oldest first."""
    maps = json.loads(run("bpftool", "-j", "map", "list").stdout)
    return sorted(each["id"] for each in maps if each.get("name", "").endswith(".bss"))


def last_notes():
    """Returns the bytes that the last loaded section has noted."""
    return notes_of(all_notes()[-1])
