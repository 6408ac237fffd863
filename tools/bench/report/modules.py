# SPDX-License-Identifier: GPL-2.0
"""The memory of a loaded module: the kernel's layout of a module file, section by section.

modules FILE...   the layout of each file

Follows the layout in kernel/module/main.c (`__layout_sections`) and kallsyms.c (`layout_symtab`):
four kinds of memory, each of whole pages. Sections that only initialisation needs are freed after
it, and not counted.
"""

import dataclasses
import pathlib
import struct
import sys

PAGE = 4096
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
SHT_SYMTAB = 2
SHN_UNDEF = 0
SYMBOL_BYTES = 24
KINDS = ("text", "read-only", "read-only after init", "data")
# The loader reads these and does not keep them.
NOT_KEPT = (".modinfo", "__versions")
RO_AFTER_INIT = (".data..ro_after_init", "__jump_table")
# Rows of the report, and the sections that each sums up.
GROUPS = {
    "code": (".text", ".exit.text"),
    "unwind tables": (".orc_unwind", ".orc_unwind_ip", ".orc_header"),
    "places to patch": (
        ".call_sites",
        ".return_sites",
        ".retpoline_sites",
        ".ibt_endbr_seal",
        ".static_call_sites",
        ".altinstructions",
        "__mcount_loc",
        "__patchable_function_entries",
        "__jump_table",
        "__bug_table",
    ),
    "names of functions and data": ("symbols", "symbol names", "symbol types"),
    "constants and strings": (".rodata", "__param", "__ksymtab", "__ksymtab_strings"),
    "variables": (".data", ".bss", ".data..ro_after_init"),
    "struct module": (".gnu.linkonce.this_module",),
}


@dataclasses.dataclass(frozen=True)
class Section:
    """A section header, as far as the layout needs it."""

    name: str
    flags: int
    size: int
    align: int = 1

    @property
    def kept(self):
        """True if the section is in memory after initialisation."""
        wanted = self.flags & SHF_ALLOC and self.name not in NOT_KEPT
        return bool(wanted and not self.name.startswith(".init"))

    @property
    def kind(self):
        """The kind of memory that it is in."""
        if self.flags & SHF_EXECINSTR:
            return "text"
        if not self.flags & SHF_WRITE:
            return "read-only"
        return "read-only after init" if self.name in RO_AFTER_INIT else "data"


def layout(sections, symbols):
    """Memory by kind: {kind: [(name, end)]}; symbols: [(name, number of its section)].

    The last end of a kind is its size before it is rounded up to pages.
    """
    memory = {kind: [] for kind in KINDS}

    def place(kind, name, size, align=1):
        end = memory[kind][-1][1] if memory[kind] else 0
        memory[kind].append((name, -(-end // align) * align + size))

    for section in sections:
        if section.kept:
            place(section.kind, section.name, section.size, section.align)
    # The first symbol is the null one, which the kernel keeps.
    kept = [name for name, _ in symbols[:1]]
    for name, at in symbols[1:]:
        if name and at != SHN_UNDEF and at < len(sections) and sections[at].kept:
            kept.append(name)
    place("data", "symbols", SYMBOL_BYTES * len(kept), 8)
    place("data", "symbol names", sum(len(name) + 1 for name in kept))
    place("data", "symbol types", len(kept))
    return memory


def read(data):
    """The sections and symbols of a 64-bit little-endian ELF file."""
    (start,) = struct.unpack_from("<Q", data, 40)
    size, number, names_at = struct.unpack_from("<HHH", data, 58)
    heads = [struct.unpack_from("<IIQQQQIIQQ", data, start + at * size) for at in range(number)]

    def text(table, offset):
        begin = heads[table][4] + offset
        return data[begin : data.index(b"\0", begin)].decode()

    sections = [Section(text(names_at, h[0]), h[2], h[5], h[8] or 1) for h in heads]
    [table] = [head for head in heads if head[1] == SHT_SYMTAB]
    symbols = []
    for at in range(table[4], table[4] + table[5], SYMBOL_BYTES):
        name, _, _, section = struct.unpack_from("<IBBH", data, at)
        symbols.append((text(table[6], name), section))
    return sections, symbols


def pages(size):
    """A size in bytes of whole pages."""
    return -(-size // PAGE) * PAGE


def composition(data):
    """A module file's memory by group of sections: {group: bytes, ..., "rest of pages": bytes}."""
    memory = layout(*read(data))
    result = dict.fromkeys([*GROUPS, "other"], 0)
    total = 0
    for placed in memory.values():
        end = 0
        for name, next_end in placed:
            [group] = [g for g in GROUPS if name in GROUPS[g]] or ["other"]
            result[group] += next_end - end
            end = next_end
        total += pages(end)
    result["rest of pages"] = total - sum(result.values())
    return result


def loaded_bytes(data):
    """The size of a loaded module file, as lsmod shows it."""
    return sum(composition(data).values())


if __name__ == "__main__":
    for file in sys.argv[1:]:
        parts = layout(*read(pathlib.Path(file).read_bytes()))
        print(f"{file}: {loaded_bytes(pathlib.Path(file).read_bytes())}")
        for memory_kind, placed_parts in parts.items():
            print(f"  {memory_kind}: {pages(placed_parts[-1][1]) if placed_parts else 0}")
            before = 0
            for part, part_end in placed_parts:
                if part_end > before:
                    print(f"    {part_end - before:7} {part}")
                before = part_end
