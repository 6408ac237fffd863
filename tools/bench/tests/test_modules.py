# SPDX-License-Identifier: GPL-2.0
"""Layout of a loaded module's memory: its sum is what lsmod shows."""

import struct

import pytest
from tools.bench.report.modules import Section, composition, layout, loaded_bytes, read

W, A, X = 1, 2, 4


def sizes(sections, symbols=(("", 0),)):
    """The size of each kind of memory before it is rounded up."""
    memory = layout([Section("", 0, 0), *sections], list(symbols))
    return {kind: placed[-1][1] if placed else 0 for kind, placed in memory.items()}


# The null symbol: an entry, an empty name, a type.
NULL = 24 + 1 + 1


def test_sections_go_to_memory_of_their_kind():
    found = sizes(
        [
            Section(".text", A | X, 100),
            Section(".rodata", A, 10),
            Section(".data..ro_after_init", A | W, 5),
            Section(".data", A | W, 7),
        ]
    )
    # The symbol's entry begins at a multiple of 8 after the data.
    wanted = {"text": 100, "read-only": 10, "read-only after init": 5, "data": 8 + NULL}
    assert found == wanted


@pytest.mark.parametrize(
    "section",
    [
        Section(".init.text", A | X, 100),
        Section(".init.data", A | W, 100),
        Section(".modinfo", A, 100),
        Section(".debug_info", 0, 100),
    ],
    ids=lambda section: section.name,
)
def test_what_is_not_kept_takes_nothing(section):
    assert sizes([section]) == {
        "text": 0,
        "read-only": 0,
        "read-only after init": 0,
        "data": NULL,
    }


def test_section_begins_at_a_multiple_of_its_alignment():
    found = sizes([Section(".rodata", A, 3), Section(".orc_unwind_ip", A, 8, align=4)])
    assert found["read-only"] == 12


def test_symbols_of_kept_sections_alone_are_kept():
    sections = [Section(".text", A | X, 100), Section(".init.text", A | X, 100)]
    symbols = [
        ("", 0),
        ("kept", 1),
        ("of_init", 2),
        ("undefined", 0),
        ("", 1),
        ("absolute", 0xFFF1),
    ]
    assert sizes(sections, symbols)["data"] == 2 * 24 + (1 + 5) + 2


def elf(text_bytes, rodata_bytes):
    """A file with a section of code, one of constants, and a symbol `f` in the code."""
    names = b"\0.text\0.rodata\0.symtab\0.strtab\0"
    strings, symbols = b"\0f\0", bytes(24) + struct.pack("<IBBHQQ", 1, 2, 0, 1, 0, 0)
    body = names + strings + symbols
    at = [64, 64 + len(names), 64 + len(names) + len(strings)]
    heads = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 1, A | X, 0, 0, text_bytes, 0, 0, 16, 0),
        (7, 1, A, 0, 0, rodata_bytes, 0, 0, 1, 0),
        (15, 2, 0, 0, at[2], len(symbols), 4, 1, 8, 24),
        (23, 3, 0, 0, at[1], len(strings), 0, 0, 1, 0),
        (0, 3, 0, 0, at[0], len(names), 0, 0, 1, 0),
    ]
    table = b"".join(struct.pack("<IIQQQQIIQQ", *head) for head in heads)
    head = bytearray(64)
    struct.pack_into("<Q", head, 40, 64 + len(body))
    struct.pack_into("<HHH", head, 58, 64, len(heads), len(heads) - 1)
    return bytes(head) + body + table


def test_file_is_read():
    sections, symbols = read(elf(100, 10))
    assert [section.name for section in sections][1:3] == [".text", ".rodata"]
    assert symbols == [("", 0), ("f", 1)]


@pytest.mark.parametrize(("text", "pages"), [(4096, 3), (4097, 4), (1, 3)])
def test_each_kind_of_memory_is_rounded_up_to_pages(text, pages):
    assert loaded_bytes(elf(text, 10)) == pages * 4096


def test_composition_adds_up_to_the_size():
    parts = composition(elf(5000, 10))
    assert parts["code"] == 5000
    assert parts["constants and strings"] == 10
    assert parts["names of functions and data"] == 2 * 24 + 3 + 2
    assert sum(parts.values()) == 4 * 4096
