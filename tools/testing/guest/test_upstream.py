"""The kernel's own tests of fou, from its source, with rfou in fou's place."""

import os
import pathlib

import pytest
from hosts import run

SELFTESTS = pathlib.Path(os.environ["RFOU_KERNEL_SOURCE"], "tools/testing/selftests/net")
# The scripts load modules, of which the debug kernel has none.
pytestmark = pytest.mark.stock_only
MODPROBE = pathlib.Path("/etc/modprobe.d/test.conf")


@pytest.fixture
def modprobe_is_content(module):
    """Scripts load fou and fou6 themselves: rfou, which is loaded, is what they get."""
    if module == "rfou":
        MODPROBE.write_text("install fou /bin/true\ninstall fou6 /bin/true\n", encoding="ascii")
    yield
    MODPROBE.unlink(missing_ok=True)


def passed(output):
    """The lines of a script's output that tell of a test; none may have been skipped."""
    lines = output.splitlines()
    assert not [line for line in lines if "SKIP" in line or "FAIL" in line], output
    return [line for line in lines if "OK" in line or "PASS" in line]


def selftest(script, *arguments):
    """Run one of the scripts where it lies; its output."""
    words = f"cd {SELFTESTS} && exec ./{script} {' '.join(arguments)}"
    done = run("bash", "-c", words, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_fou_mcast_encap(modprobe_is_content):
    found = passed(selftest("fou_mcast_encap.sh"))
    assert len(found) == 2, "over IPv4 and IPv6"


def test_rtnetlink_fou(modprobe_is_content):
    for name in ("vxlan", "dummy"):
        run("modprobe", name, check=False)
    found = passed(selftest("rtnetlink.sh", "-v", "-t", "kci_test_encap"))
    assert [line for line in found if line.strip() == "PASS: fou"], found
