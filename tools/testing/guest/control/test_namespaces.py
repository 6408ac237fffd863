# SPDX-License-Identifier: GPL-2.0
"""Ports and network namespaces."""

import pytest

from testing.lib.hosts import Host, run, wait_until
from testing.lib.rfou_module import rfou_file


def test_ports_close_with_their_namespace(hosts):
    _, h2 = hosts
    third = Host("h3")
    h2.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", "h3")
    third.batch(
        *(f"fou add port {number} ipproto 4" for number in range(1, 20)),
        *(f"fou add port {number} ipproto 41 -6" for number in range(1, 20)),
    )
    third.remove()
    # The end of a namespace removes its devices, and their peers. A leaked port does not prevent
    # that, but the debug kernel's checkers report it.
    wait_until(lambda: "v0" not in h2.ip("-br", "link").stdout, "the namespace ends", 30)


@pytest.mark.soak_on_debug
def test_ports_belong_to_one_namespace(hosts):
    hosts[0].ip("fou", "add", "port", "5555", "ipproto", "4")
    assert hosts[1].ip("fou", "show").stdout == ""
    hosts[1].ip("fou", "add", "port", "5555", "ipproto", "4")
    hosts[0].ip("fou", "del", "port", "5555")
    assert len(hosts[1].ip("fou", "show").stdout.splitlines()) == 1


@pytest.mark.rfou_only
@pytest.mark.soak_on_debug
def test_namespaces_come_and_go_while_the_module_does():
    for round_ in range(10):
        host = Host(f"n{round_}")
        host.ip("fou", "add", "port", "5555", "ipproto", "4")
        if round_ % 2:
            run("rmmod", "rfou")
            host.remove()
            run("insmod", rfou_file())
        else:
            host.remove()
