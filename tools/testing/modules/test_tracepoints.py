# SPDX-License-Identifier: GPL-2.0
"""Tracepoints in the built modules: one that is off costs a path one instruction, a `nop`.

The entries of `__jump_table` say where the code tests a static key. The kernel writes a jump there
when the key is turned on.
"""

import collections
import fnmatch
import re

import pytest

from testing.modules.calls import demangled, output_of

# By module and tracepoint: patterns of the functions that test the tracepoint's key, and how many
# functions match. Each function tests the key once.
SITES = {
    "rfou": {
        "rfou_receive": {
            "net::udp_tunnel::hooks::encap_rcv::<rfou::receive::FouDecapsulator, *>": 2,
            "net::udp_tunnel::hooks::encap_rcv::<rfou::receive::GueDecapsulator, *>": 2,
            "<rfou::receive::GueDecapsulator>::receive_remcsum::<*>": 2,
            "rfou::receive::shorten_gso": 1,
        },
        "rfou_drop": {"<rfou::records::Records>::dropped": 1},
        "rfou_transmit": {"net::ip_tunnel::hooks::build_header::<*>": 2},
    },
    "rfou6": {"rfou6_transmit": {"net::ip_tunnel::hooks::build_header::<*>": 2}},
}
# `objdump -dr`: a function, an instruction, and a relocation.
FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$")
INSTRUCTION = re.compile(r"^\s+([0-9a-f]+):\s+(\S.*)$")
# `objdump -r`: an entry of `__jump_table` has a place of code, the target, and the key.
ENTRY = re.compile(r"^[0-9a-f]+ R_X86_64_PC(?:32|64)\s+(\S+?)(?:\+0x([0-9a-f]+))?$")
KEY = re.compile(r"^(?:__tracepoint_)(\w+)$")
NOPS = ("nop", "xchg   %ax,%ax", "data16 nop")


class Code:
    """The code of a module: instructions by their place, and the functions that have them."""

    def __init__(self, file):
        self.instructions, self.functions, self.uses = {}, {}, collections.defaultdict(set)
        begins, function = {}, None
        text = output_of("objdump", "-dr", "--no-show-raw-insn", "-j", ".text", file)
        for line in text.splitlines():
            if found := FUNCTION.match(line):
                function = found[2]
                begins[function] = int(found[1], 16)
            elif "R_X86_64_" in line:
                if used := re.search(r"\s__tracepoint_(\w+)[+-]", line):
                    self.uses[used[1]].add(function)
            elif found := INSTRUCTION.match(line):
                self.instructions[int(found[1], 16)] = found[2].strip()
                self.functions[int(found[1], 16)] = function
        self.begins = begins

    def place(self, symbol, offset):
        """Returns the place in the section of a symbol and an offset."""
        return self.begins.get(symbol, 0) + offset


def sites(file):
    """Returns the code, and for each tracepoint the places in the code that test its key."""
    code, found = Code(file), collections.defaultdict(list)
    lines = output_of("objdump", "-r", "-j", "__jump_table", file).splitlines()
    entries = [entry for line in lines if (entry := ENTRY.match(line))]
    assert len(entries) % 3 == 0
    for at, _, key in zip(entries[::3], entries[1::3], entries[2::3], strict=True):
        if name := KEY.match(key[1]):
            found[name[1]].append(code.place(at[1], int(at[2] or "0", 16)))
    return code, found


@pytest.mark.parametrize(
    ("module", "event"), [(module, event) for module in SITES for event in SITES[module]]
)
def test_path_tests_a_tracepoint_by_one_nop(module, event):
    code, found = sites(f"build/stock/{module}.ko")
    assert set(found) == set(SITES[module])
    for place in found[event]:
        assert code.instructions[place].startswith(NOPS), code.instructions[place]
    functions = [code.functions[place] for place in found[event]]
    names = demangled(set(functions))
    counts = collections.Counter(names[function] for function in functions)
    assert set(counts.values()) == {1}, f"a packet may test the key twice: {counts}"
    for pattern, number in SITES[module][event].items():
        matching = fnmatch.filter(counts, pattern.replace("[", "[[]"))
        assert len(matching) == number, f"{pattern} in {counts}"
    assert len(counts) == sum(SITES[module][event].values()), counts


@pytest.mark.parametrize("module", SITES)
def test_no_path_reads_a_tracepoint(module):
    """Only functions of TRACE_EVENT's macros may refer to it; they run while the event is on."""
    code, _ = sites(f"build/stock/{module}.ko")
    for event in SITES[module]:
        own = {f"rust_do_trace_{event}", f"__traceiter_{event}"}
        strays = {name for name in code.uses[event] - own if "rust_trace_" not in name}
        assert not strays, f"{event}: {strays}"
