# SPDX-License-Identifier: GPL-2.0
"""Functions of a built module, and the functions that each of them calls."""

import collections
import re
import subprocess

# Lines of `objdump -dr`: a section, a function, a branch to the first byte of a function, and the
# relocation of a branch, which names a function or a place in a section.
SECTION = re.compile(r"^Disassembly of section (\S+):$")
BEGIN = re.compile(r"^([0-9a-f]+) <(.+)>:$")
BRANCH = re.compile(r"^\s+[0-9a-f]+:\s+(?:\w+ )*(?:call|j[a-z]+)\s+[0-9a-f]+ <([^>+]+)>$")
RELOCATION = re.compile(r"^\s+[0-9a-f]+: R_X86_64_(?:PLT32|PC32)\s+([^\s+-]+)([+-]0x[0-9a-f]+)$")
# A branch's displacement counts from the byte after it.
DISPLACEMENT_BYTES = 4


def output_of(*command, stdin=None):
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=True)
    return done.stdout


def demangled(names):
    """Rust's symbols as a reader of the source writes them: {symbol: name}; C's stay."""
    names = sorted(names)
    lines = output_of("llvm-cxxfilt", stdin="\n".join(names)).splitlines()
    return dict(zip(names, lines, strict=True))


def callees(file):
    """The module's own functions, each with those that it calls or jumps to, demangled."""
    begins, branches, section, caller = {}, collections.defaultdict(set), None, None
    for line in output_of("objdump", "-dr", "--no-show-raw-insn", file).splitlines():
        if found := SECTION.match(line):
            section = found[1]
        elif found := BEGIN.match(line):
            caller = found[2]
            begins[section, int(found[1], 16)] = caller
        elif found := BRANCH.match(line):
            branches[caller].add(found[1])
        elif found := RELOCATION.match(line):
            place = found[1], int(found[2], 16) + DISPLACEMENT_BYTES
            branches[caller].add(place if found[1].startswith(".") else found[1])
    own = {name for name in begins.values() if not name.startswith("__pfx_")}
    names = demangled(own)
    result = {}
    for one in own:
        called = {begins.get(other, other) for other in branches[one]}
        result[names[one]] = {names[other] for other in called & own - {one}}
    return result
