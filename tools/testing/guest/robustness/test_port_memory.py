# SPDX-License-Identifier: GPL-2.0
"""Failing allocations in the family `rfou`: a request is done or refused, and listeners know."""

import errno

import pytest

from testing.lib import netlink as nl
from testing.lib import ports
from testing.lib.faults import each_allocation, prepare
from testing.lib.netlink import NetlinkError
from testing.lib.ports import PORT_ADDED, PORT_DELETED, Listener, Rfou

pytestmark = [pytest.mark.debug_only, pytest.mark.rfou_only]

# ENFILE: the kernel could not allocate a socket's inode.
NO_MEMORY = {errno.ENOMEM, errno.ENOBUFS, errno.ENFILE}
ASKED = (
    *ports.gue(5555),
    (ports.LOCAL_V4, nl.v4("192.0.2.1")),
    (ports.PEER_V4, nl.v4("192.0.2.2")),
    (ports.PEER_PORT, nl.be16(7)),
)
NAMED = tuple(pair for pair in ASKED if pair[0] != ports.ENCAP)


@pytest.fixture(scope="module", autouse=True)
def faults():
    """Prepares fault injection."""
    prepare()


@pytest.fixture(name="clients")
def clients_fixture(hosts):
    """A client and a listener in the first host."""
    with hosts[0].inside():
        made = Rfou(), Listener()
    yield made
    for client in made:
        client.close()


def attempt(work, *arguments):
    """Returns whether the work was done; None if the answer is lost for lack of memory."""
    try:
        work(*arguments)
    except NetlinkError as error:
        assert error.errno in NO_MEMORY, f"the wrong error: {error}"
        return False
    except OSError as error:
        assert error.errno in NO_MEMORY, f"the wrong error: {error}"
        return None
    return True


def heard(listener):
    """Returns the next notification's command, "lost" for ENOBUFS, or None."""
    try:
        message = listener.receive(0)
    except OSError as error:
        assert error.errno == errno.ENOBUFS, str(error)
        return "lost"
    return message and message[0]


def test_changing_a_port_while_a_program_listens(clients):
    """The listener gets a notification of each change, or ENOBUFS if it missed one."""
    rfou, listener = clients
    # Attempts may differ in their allocations, so that the message's never has its turn.
    assert any(
        lost_messages(clients, PORT_ADDED, lambda: rfou.add(*ASKED), lambda: rfou.delete(*NAMED))
        for _ in range(3)
    ), "no allocation for a message was reached"
    rfou.add(*ASKED)
    assert heard(listener) == PORT_ADDED
    assert any(
        lost_messages(clients, PORT_DELETED, lambda: rfou.delete(*NAMED), lambda: rfou.add(*ASKED))
        for _ in range(3)
    ), "no allocation for a message was reached"
    rfou.delete(*NAMED)


def lost_messages(clients, command, change, undo):
    """Lets each allocation of a change fail; returns the number of messages that were lost."""
    rfou, listener = clients
    lost = 0
    for failing in each_allocation():
        before = len(rfou.dump())
        with failing:
            done = attempt(change)
        after = len(rfou.dump())
        assert done is None or done == (before != after), f"allocation {failing.number}"
        told = heard(listener)
        if before == after:
            assert told is None, "nothing changed"
            continue
        assert told in (command, "lost"), f"allocation {failing.number} is not told"
        lost += told == "lost"
        undo()
        assert heard(listener) is not None
    return lost


def test_showing_ports(clients):
    rfou, _ = clients
    rfou.add(*ASKED)
    right = rfou.get(*NAMED).attributes
    for show in (lambda: rfou.get(*NAMED), lambda: rfou.dump()[0]):
        for failing in each_allocation():
            with failing:
                try:
                    shown = show()
                except OSError as error:
                    assert error.errno in NO_MEMORY, str(error)
                    continue
            assert shown.attributes == right
    rfou.delete(*NAMED)
