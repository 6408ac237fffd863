"""What every guest test starts from: two fresh hosts, and nothing left of the test before."""

import os
import pathlib

import pytest
from fou_netlink import Fou
from hosts import Host, run


@pytest.fixture
def hosts():
    """Two hosts on one wire, by device eth0: 192.0.2.1 and .2, 2001:db8::1 and ::2."""
    made = []
    try:
        for name in ("h1", "h2"):
            made.append(Host(name))
        h1, h2 = made
        h1.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", "h2")
        for number, host in enumerate(made, start=1):
            host.batch(
                "link set lo up",
                f"addr add 192.0.2.{number}/24 dev eth0",
                f"addr add 2001:db8::{number}/64 dev eth0 nodad",
                "link set eth0 up",
            )
        yield h1, h2
    finally:
        for host in made:
            host.remove()


@pytest.fixture
def fou(hosts):
    """A netlink socket in the first host."""
    with hosts[0].inside():
        client = Fou()
    yield client
    client.close()


@pytest.fixture(scope="session")
def module():
    """The name of the module under test: rfou, or fou where Linux's own is the yardstick."""
    return os.environ["RFOU_MODULE"]


def pytest_collection_modifyitems(items):
    """Tests of what Linux's fou does otherwise are not run against it."""
    if os.environ["RFOU_MODULE"] == "fou":
        for item in items:
            if item.get_closest_marker("rfou_only"):
                item.add_marker(pytest.mark.skip(reason="Linux's fou does this otherwise"))


def pytest_configure(config):
    """Say which markers there are."""
    config.addinivalue_line("markers", "rfou_only: Linux's fou does this otherwise")


def pytest_terminal_summary(terminalreporter):
    """Leave the counts for the caller outside the guest."""
    path = os.environ.get("RFOU_COUNTS")
    if path:
        stats = terminalreporter.stats
        failed = len(stats.get("failed", [])) + len(stats.get("error", []))
        counts = (len(stats.get("passed", [])), failed, len(stats.get("skipped", [])))
        pathlib.Path(path).write_text("{} {} {}\n".format(*counts), encoding="ascii")


@pytest.fixture(autouse=True)
def no_ports_left():
    """A test leaves no port in the initial namespace."""
    yield
    assert run("ip", "fou", "show").stdout == "", "the test left a port behind"
