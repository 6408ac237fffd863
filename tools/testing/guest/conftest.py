# SPDX-License-Identifier: GPL-2.0
"""Fixtures: two fresh hosts for each test, and checks that the last test left nothing."""

import os
import pathlib
import zlib

import pytest

from testing.hostile.target import wait_for_witnesses, witness
from testing.lib import progress
from testing.lib.drop_monitor import DropMonitor
from testing.lib.hosts import Host, fallback_devices, run, two_hosts
from testing.lib.netlink import Fou
from testing.lib.rfou_module import reload_rfou


@pytest.fixture
def hosts():
    """Two hosts on one wire.

      h1                                 h2
    +------------------------+         +------------------------+
    | eth0  192.0.2.1/24     |  veth   | eth0  192.0.2.2/24     |
    |       2001:db8::1/64   |---------|       2001:db8::2/64   |
    +------------------------+         +------------------------+
    """
    with two_hosts() as made:
        yield made


@pytest.fixture
def fou(hosts):
    """A netlink socket in the first host."""
    with hosts[0].inside():
        client = Fou()
    yield client
    client.close()


@pytest.fixture(scope="module")
def drop_monitor():
    """The kernel's drop monitor."""
    run("modprobe", "drop_monitor", check=False)
    monitor = DropMonitor()
    yield monitor
    monitor.close()


@pytest.fixture(scope="session")
def module():
    """The name of the module under test: rfou, or fou for Linux's own."""
    return os.environ["RFOU_MODULE"].split(",")[0]


@pytest.fixture(scope="module")
def own_drop_reasons(module):
    """rfou with its own drop reasons; the default is back afterwards."""
    if module != "rfou":
        yield
        return
    reload_rfou("own_drop_reasons=1")
    yield
    reload_rfou()


def pytest_collection_modifyitems(config, items):
    """Deselects the tests and cases that this run leaves out.

    With Linux's fou, skips the tests marked `rfou_only`.
    """
    kernel, modules = os.environ["RFOU_KERNEL"], os.environ["RFOU_MODULE"].split(",")
    unwanted = {"stock": "debug_only", "debug": "stock_only"}[kernel]

    def is_left_out(item):
        if item.get_closest_marker(unwanted):
            return True
        if item.get_closest_marker("soak_only") and "RFOU_SOAK" not in os.environ:
            return True
        if "RFOU_SOAK" in os.environ or not item.get_closest_marker("soak_on_debug"):
            return False
        # Tests of gue devices beside Linux's fou run nowhere else.
        return kernel == "debug" or (modules[0] == "fou" and "/guest/device/" not in str(item.path))

    left_out = [item for item in items if is_left_out(item)]
    if "RFOU_FEW_CASES" in os.environ:
        left_out += further_cases(item for item in items if item not in left_out)
    if "RFOU_TURN" in os.environ:
        left_out += of_other_turns([item for item in items if item not in left_out])
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    if modules[0] == "fou":
        for item in items:
            if item.get_closest_marker("rfou_only"):
                item.add_marker(pytest.mark.skip(reason="Linux's fou differs here"))


def further_cases(items):
    """Returns the cases of each test of behaviour whose turn comes in another run.

    The debug kernel looks for faults in memory and locking. Cases of one test differ in values,
    such as the IP version, so a run tries every sixth case of a test, or one case if the test has
    fewer than six. RFOU_FEW_CASES is the run's seed: the seed and the test's name choose the cases.
    The guest on the stock kernel tries all cases; `make soak` does so on the debug kernel.
    """
    cases = {}
    for item in items:
        if is_of_behaviour(item):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    seed = int(os.environ["RFOU_FEW_CASES"])
    return [
        item
        for name, of_test in cases.items()
        for number, item in enumerate(of_test, seed + zlib.crc32(name.encode()))
        if number % min(len(of_test), 6)
    ]


def of_other_turns(items):
    """Returns the tests of behaviour whose turn comes in another run.

    RFOU_TURN is K/N: this run has about one in N tests, chosen by K and the test's name.
    """
    turn, turns = map(int, os.environ["RFOU_TURN"].split("/"))
    return [
        item
        for item in items
        if is_of_behaviour(item) and zlib.crc32(item.nodeid.encode()) % turns != turn % turns
    ]


def is_of_behaviour(item):
    """Returns whether a test tries correct use, and not hostile use or failing memory."""
    return "/guest/robustness/" not in str(item.path) and not item.get_closest_marker("debug_only")


def pytest_configure(config):
    """Declares the markers."""
    config.addinivalue_line("markers", "rfou_only: Linux's fou differs here")
    config.addinivalue_line("markers", "shows_both: proves that Linux's fou is wrong here")
    config.addinivalue_line("markers", "stock_only: the debug kernel lacks a feature")
    config.addinivalue_line("markers", "debug_only: needs the debug kernel's checkers")
    config.addinivalue_line("markers", "soak_only: takes minutes; only in `make soak`")
    config.addinivalue_line(
        "markers",
        "soak_on_debug: on the debug kernel and with Linux's fou only in `make soak`, because other"
        " tests run the same code",
    )


def pytest_runtest_logstart(nodeid):
    """Reports a test's start to the watchdog."""
    progress.report(f"{nodeid}: begun")


def pytest_runtest_logreport(report):
    """Reports the end of the set-up, of the test, and of the clean-up to the watchdog."""
    progress.report(f"{report.nodeid}: after its {report.when}")


def pytest_sessionfinish():
    """Tells the watchdog that the tests have ended."""
    progress.end()


def pytest_terminal_summary(terminalreporter):
    """Writes the counts to a file for the caller outside the guest."""
    path = os.environ.get("RFOU_COUNTS")
    if path:
        stats = terminalreporter.stats
        failed = len(stats.get("failed", [])) + len(stats.get("error", []))
        counts = (len(stats.get("passed", [])), failed, len(stats.get("skipped", [])))
        pathlib.Path(path).write_text("{} {} {}\n".format(*counts), encoding="ascii")


@pytest.fixture(autouse=True, scope="session")
def no_fallback_devices():
    """New namespaces without fallback devices."""
    with fallback_devices("first namespace"):
        yield


@pytest.fixture(autouse=True, scope="session")
def no_unit_tests():
    """Turns KUnit's suites off: they ran at the first load; a reload must not run them again."""
    chosen = pathlib.Path("/sys/module/kunit/parameters/filter_glob")
    if chosen.exists():
        chosen.write_text("none", encoding="ascii")


@pytest.fixture(autouse=True, scope="session")
def no_namespace_left():
    """Waits, after the last test, until every namespace has ended.

    Namespaces end one after another, and the kernel reports a leaked reference only after a while.
    """
    yield
    host = Host("last")
    host.ip(*witness("last").split())
    host.remove()
    wait_for_witnesses()


@pytest.fixture(autouse=True)
def no_ports_left():
    """Checks that the test left no port in the initial namespace."""
    yield
    try:
        client = Fou()
    except OSError:
        # No family, no ports.
        return
    ports = client.dump()
    client.close()
    assert ports == [], "the test left a port"
