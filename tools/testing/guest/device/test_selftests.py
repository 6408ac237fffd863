# SPDX-License-Identifier: GPL-2.0
"""Selftests of VXLAN and Geneve from the kernel's source, with a device of kind gue in their place.

The tests change the text of the scripts before the shell runs it: the kind and its options, and the
offsets of inner headers, because GUE's header has another length than Geneve's.
"""

import os
import pathlib
import re

import pytest

from testing.lib.hosts import run

SELFTESTS = pathlib.Path(os.environ["RFOU_KERNEL_SOURCE"], "tools/testing/selftests/net")
# The debug kernel lacks modules of iptables, and needs minutes for each script.
pytestmark = pytest.mark.stock_only


def exchange(text, *exchanges):
    """Returns a text after changes, each a pattern, its replacement and its number of matches."""
    for pattern, new, count in exchanges:
        text, found = re.subn(pattern, new, text)
        assert found == count, f"the script has {pattern} {found} times, not {count}"
    return text


def selftest(name, *exchanges, before=":"):
    """Runs a script with changes, after the commands `before`; returns its output."""
    text = exchange((SELFTESTS / name).read_text(encoding="utf-8"), *exchanges)
    done = run("bash", "-c", f"cd {SELFTESTS} && {before} && eval \"$1\"", f"./{name}", text,
               check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# The inner packet begins after 8 bytes of GUE with a group, 2 of EtherIP, 14 of Ethernet: 2 later
# than in Geneve. With `mode ip` the inner packet begins 14 bytes earlier than in Geneve.
SHIFT = {"ethernet": 2, "ip": -14}


def shifted(mode):
    """Returns a function that changes the offsets of one of the script's cases for Geneve."""

    def moved(offset):
        return f"+ {int(offset[1]) + SHIFT[mode]}"

    return lambda case: case[1] + re.sub(r"\+ (\d+)", moved, case[2])


CASES = [
    pytest.param(mode, outer, inner, marks=[] if quick else pytest.mark.soak_only)
    for mode, outer, inner, quick in (
        ("ethernet", 4, "4", False),
        ("ethernet", 4, "6", True),
        ("ethernet", 4, "other", False),
        ("ethernet", 6, "4", False),
        ("ethernet", 6, "6", False),
        ("ethernet", 6, "other", False),
        ("ip", 4, "4", False),
        ("ip", 4, "6", False),
        ("ip", 6, "4", True),
        ("ip", 6, "6", False),
    )
]


@pytest.mark.parametrize(("mode", "outer", "inner"), CASES)
def test_l2_tos_ttl_inherit(mode, outer, inner):
    """Outer TOS and TTL are the device's random values or the inner header's, also after a tag."""
    vlans = "false true" if mode == "ethernet" else "false"
    output = selftest(
        "l2_tos_ttl_inherit.sh",
        (r"for type in gre vxlan geneve;", "for type in geneve;", 1),
        (r"for outer in 4 6;", f"for outer in {outer};", 1),
        (r"for inner in 4 6 other;", f"for inner in {inner};", 1),
        (r"for vlan in false true;", f"for vlan in {vlans};", 1),
        (r"type \$type \$local_addr", f"type gue mode {mode} id 100 $local_addr", 4),
        (r'geneve="vni 100"', 'geneve=""', 1),
        (r'("geneve" \]; then\n)((?:\s+req\w+="\$\(\(req\w+ \+ \d+\)\)"\n){2})', shifted(mode), 6),
    )
    results = re.findall(r"│\s*(OK|FAIL) │", output)
    assert results == ["OK"] * (2 * len(vlans.split())), output


# Debian's main archive has no netperf, so iperf3 replaces it.
NETSERVER = "#!/bin/sh\nexec iperf3 --server --daemon --port 12865\n"
NETPERF = """#!/bin/sh
[ "$1" = -V ] && exit
while [ "$1" != -H ]; do shift; done
exec iperf3 --client "$2" --port 12865 --time 2 --length 80000
"""


@pytest.mark.soak_only
@pytest.mark.timeout(600)
@pytest.mark.parametrize("options", ["mode ethernet", "mode ip", "mode ip linux-remcsum udpcsum"])
def test_big_tcp_tunnels(tmp_path, options):
    """TCP sends packets of up to 192 KiB, with veth's offloads and with software segmentation."""
    for name, text in (("netserver", NETSERVER), ("netperf", NETPERF)):
        (tmp_path / name).write_text(text, encoding="ascii")
        (tmp_path / name).chmod(0o755)
    output = selftest(
        "big_tcp_tunnels.sh",
        (r"for tunnel in vxlan geneve;", "for tunnel in geneve;", 1),
        (r"type geneve ", f"type gue {options} ", 2),
        before=f"export PATH={tmp_path}:$PATH KSFT_MACHINE_SLOW=yes PACKETS_THRESHOLD=20",
    )
    assert output.count("Captured BIG TCP RX packets") == 8, "both IP versions outside and inside"
