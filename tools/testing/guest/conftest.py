"""What every guest test starts from: two fresh hosts, and nothing left of the test before."""

import os
import pathlib
import sys

import progress
import pytest
from drop_monitor import DropMonitor
from fou_netlink import Fou
from hosts import Host, fallback_devices, run, two_hosts
from rfou_module import reload_rfou

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "hostile"))

from target import wait_for_witnesses, witness  # noqa: E402


@pytest.fixture
def hosts():
    """Two hosts on one wire, by device eth0: 192.0.2.1 and .2, 2001:db8::1 and ::2."""
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
    """The name of the module under test: rfou, or fou where Linux's own is the yardstick."""
    return os.environ["RFOU_MODULE"]


@pytest.fixture(scope="module")
def own_drop_reasons(module):
    """Drops have rfou's own names, as with the module parameter; the default is back afterwards."""
    if module != "rfou":
        yield
        return
    reload_rfou("own_drop_reasons=1")
    yield
    reload_rfou()


def pytest_collection_modifyitems(config, items):
    """Leave out what has no meaning for this module, or too little for this kernel's time."""
    unwanted = {"stock": ["debug_only"], "debug": ["stock_only"]}[os.environ["RFOU_KERNEL"]]
    few = os.environ["RFOU_KERNEL"] == "debug" or os.environ["RFOU_MODULE"] == "fou"
    if few and "RFOU_SOAK" not in os.environ:
        unwanted.append("soak_on_debug")
    left_out = [item for item in items if any(map(item.get_closest_marker, unwanted))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    if os.environ["RFOU_MODULE"] == "fou":
        for item in items:
            if item.get_closest_marker("rfou_only"):
                item.add_marker(pytest.mark.skip(reason="Linux's fou does this otherwise"))


def pytest_configure(config):
    """Say which markers there are."""
    config.addinivalue_line("markers", "rfou_only: Linux's fou does this otherwise")
    config.addinivalue_line("markers", "shows_both: Linux's fou is wrong here, and shown to be")
    config.addinivalue_line("markers", "stock_only: the debug kernel has not what it takes")
    config.addinivalue_line("markers", "debug_only: needs the debug kernel's checkers")
    config.addinivalue_line(
        "markers",
        "soak_on_debug: left to `make soak` there, and with Linux's fou: others take the same way",
    )


def pytest_runtest_logstart(nodeid):
    """Show the watchdog that the tests go on."""
    progress.report(f"{nodeid}: begun")


def pytest_runtest_logreport(report):
    """Show it after the set-up, the test itself, and the clean-up."""
    progress.report(f"{report.nodeid}: after its {report.when}")


def pytest_sessionfinish():
    """End the watch."""
    progress.end()


def pytest_terminal_summary(terminalreporter):
    """Leave the counts for the caller outside the guest."""
    path = os.environ.get("RFOU_COUNTS")
    if path:
        stats = terminalreporter.stats
        failed = len(stats.get("failed", [])) + len(stats.get("error", []))
        counts = (len(stats.get("passed", [])), failed, len(stats.get("skipped", [])))
        pathlib.Path(path).write_text("{} {} {}\n".format(*counts), encoding="ascii")


@pytest.fixture(autouse=True, scope="session")
def no_fallback_devices():
    """A new namespace has no devices but its tests'."""
    with fallback_devices("first namespace"):
        yield


@pytest.fixture(autouse=True, scope="session")
def no_unit_tests():
    """KUnit's suites ran when the guest started: a test that loads a module means the module."""
    chosen = pathlib.Path("/sys/module/kunit/parameters/filter_glob")
    if chosen.exists():
        chosen.write_text("none", encoding="ascii")


@pytest.fixture(autouse=True, scope="session")
def no_namespace_left():
    """When the tests are over, wait until the last of their namespaces has ended.

    They end one after another, and what holds one is complained of only after a while.
    """
    yield
    host = Host("last")
    host.ip(*witness("last").split())
    host.remove()
    wait_for_witnesses()


@pytest.fixture(autouse=True)
def no_ports_left():
    """A test leaves no port in the initial namespace."""
    yield
    try:
        client = Fou()
    except OSError:
        # Without the family there is no port.
        return
    ports = client.dump()
    client.close()
    assert ports == [], "the test left a port behind"
