# SPDX-License-Identifier: GPL-2.0
"""Selftests and tools from the kernel's source, with rfou in fou's place."""

import json
import os
import pathlib

import pytest

from testing.lib import netlink as nl
from testing.lib.hosts import run

SOURCE = pathlib.Path(os.environ["RFOU_KERNEL_SOURCE"])
SELFTESTS = SOURCE / "tools/testing/selftests/net"
# The scripts load modules that the debug kernel lacks.
pytestmark = pytest.mark.stock_only
MODPROBE = pathlib.Path("/etc/modprobe.d/test.conf")


@pytest.fixture(scope="module")
def modprobe_is_content(module):
    """No-op `modprobe fou` and `fou6`, which the scripts call: rfou is loaded already."""
    if module == "rfou":
        MODPROBE.write_text("install fou /bin/true\ninstall fou6 /bin/true\n", encoding="ascii")
    yield
    MODPROBE.unlink(missing_ok=True)


def passed(output):
    """Returns the lines of passed tests; fails if a test failed or was skipped."""
    lines = output.splitlines()
    assert not [line for line in lines if "SKIP" in line or "FAIL" in line], output
    return [line for line in lines if "OK" in line or "PASS" in line]


def selftest(script, *arguments, before=":", check=True):
    """Runs a script in its folder; returns its output."""
    words = f"cd {SELFTESTS} && {before} && exec ./{script} {' '.join(arguments)}"
    done = run("bash", "-c", words, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    print(done.stderr)
    return done.stdout


def test_fou_mcast_encap(modprobe_is_content):
    found = passed(selftest("fou_mcast_encap.sh"))
    assert len(found) == 2, "over IPv4 and IPv6"


def test_rtnetlink_fou(modprobe_is_content):
    for name in ("vxlan", "dummy"):
        run("modprobe", name, check=False)
    found = passed(selftest("rtnetlink.sh", "-v", "-t", "kci_test_encap"))
    assert [line for line in found if line.strip() == "PASS: fou"], found


PMTU_CASES = [
    (inner, f"{encap}{outer}") for encap in ("fou", "gue") for outer in (4, 6) for inner in (4, 6)
]
# Without nexthop objects, for which pmtu.sh would run each case again: 50 s more.
NO_NEXTHOP = 'ip() { [ "$1" != nexthop ] && command ip "$@"; }; export -f ip'


@pytest.fixture(scope="module")
def pmtu(modprobe_is_content):
    """The output of pmtu.sh for its cases of FOU and GUE."""
    names = [f"pmtu_ipv{inner}_{encap}_exception" for inner, encap in PMTU_CASES]
    return selftest("pmtu.sh", *names, before=NO_NEXTHOP, check=False)


@pytest.mark.parametrize(("inner", "encap"), PMTU_CASES)
def test_pmtu_exception(pmtu, inner, encap):
    case = f"TEST: IPv{inner} over {encap}: PMTU exceptions "
    found = [line for line in pmtu.splitlines() if line.startswith(case)]
    assert [line.removeprefix(case).strip() for line in found] == ["[ OK ]"], pmtu


def ynl(host, *words):
    """Runs the kernel's netlink command in a host; returns the answer."""
    # Without the schema, whose check needs one more Python package.
    done = host.run(
        "python3",
        "-B",
        SOURCE / "tools/net/ynl/pyynl/cli.py",
        "--spec",
        SOURCE / "Documentation/netlink/specs/fou.yaml",
        "--no-schema",
        "--output-json",
        *words,
    )
    return json.loads(done.stdout)


def test_ynl_adds_shows_and_deletes(hosts, fou):
    host, _ = hosts
    direct = {"port": 5555, "af": 2, "ipproto": 4, "type": 1}
    gue = {"port": 5556, "af": 10, "type": 2, "peer-v6": "20010db8" + "0" * 23 + "2"}
    gue["peer-port"] = 7777
    selected = '{"port": 5555, "af": 2}'
    requests = [("add", json.dumps(direct)), ("add", json.dumps(gue)), ("get", selected)]
    *_, got = ynl(host, *(word for request in requests for word in ("--multi", *request)))
    zeros = {"peer-port": 0, "ifindex": 0}
    assert got == zeros | direct | {"local-v4": 0, "peer-v4": 0}
    # The local address that routing chooses for the peer.
    gue |= {"ipproto": 0, "local-v6": "20010db8" + "0" * 23 + "1"}
    assert ynl(host, "--dump", "get") == [zeros | gue, got]
    ynl(host, "--do", "del", "--json", selected)
    [left] = fou.dump()
    assert dict(left)[nl.PORT] == nl.be16(5556)
