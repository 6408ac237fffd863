# SPDX-License-Identifier: GPL-2.0
"""Fixtures: the command in the first host, with each family of generic netlink."""

import json
import shutil

import pytest

from testing.lib.netlink import GenericNetlink
from testing.lib.rfou_command import COPY, RFOU, Command


def families():
    """Returns the families through which this kernel shows ports."""
    try:
        GenericNetlink("rfou").close()
    except OSError:
        return ["fou"]
    return ["fou", "rfou"]


@pytest.fixture(autouse=True, scope="session")
def command():
    """Copies the command, because each start would read it over 9P. Fails if it is not built."""
    assert RFOU.exists(), "the command is not built: run scripts/build/tool"
    shutil.copy(RFOU, COPY)


@pytest.fixture
def rfou(hosts):
    """The command in the first host, with the best family that the kernel has."""
    return Command(hosts[0])


@pytest.fixture
def no_links_are_left(hosts):
    """Deletes the gue devices that a test left."""
    yield
    for host in hosts:
        for link in json.loads(host.ip("-j", "link", "show", "type", "gue").stdout or "[]"):
            if link:
                host.ip("link", "del", link["ifname"])


@pytest.fixture(params=families())
def rfou_by_each_family(request, hosts):
    """The command in the first host, with one family."""
    return Command(hosts[0], request.param)
