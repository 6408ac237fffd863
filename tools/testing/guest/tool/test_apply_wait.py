# SPDX-License-Identifier: GPL-2.0
"""`rfou apply --wait` makes ports and links once their interface or local address exists."""

import json
import os
import socket
import subprocess

import pytest

from testing.lib.hosts import wait_until
from testing.lib.rfou_command import IN_USE, checked

pytestmark = [
    pytest.mark.stock_only,
    pytest.mark.usefixtures("no_links_are_left"),
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

ANY = """
[[port]]
port = 5555
protocol = "ipip"
"""
AT_ADDRESS = """
[[port]]
port = 5556
protocol = "ipip"
local = "192.0.2.9"
"""
AT_INTERFACE = """
[[port]]
port = 5557
encap = "gue"
local = "192.0.2.9"
dev = "late0"
"""
PORTS = f"exclusive = true\n{ANY}{AT_ADDRESS}{AT_INTERFACE}"
LINKS = """
[[link]]
name = "gue0"
remote = "192.0.2.2"
local = "192.0.2.9"

[[link]]
name = "gue1"
id = 1
remote = "192.0.2.2"
dport = 6081
dev = "late0"

[[link]]
name = "gue2"
id = 2
remote = "2001:db8::2"
local = "2001:db8::9"
auth = "cookie8"

[[link.key]]
id = 1
"""
FIRST = "port 5556 ipv4 local 192.0.2.9"
SECOND = "port 5557 ipv4 local 192.0.2.9 dev late0"


class Waiter:
    """A running `rfou apply --wait`, as a service of systemd."""

    def __init__(self, rfou, folder, text, *words):
        self.file = folder / "rfou.toml"
        self.file.write_text(text, encoding="ascii")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.settimeout(20)
        environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
        self.child = rfou.start("apply", "--wait", self.file, *words, **pipes)

    def waits_for(self, *names):
        """Reads states until the command says that it is ready and waits for these."""
        wanted = f"Waiting: {', '.join(names)}" if names else ""
        while True:
            ready, status = self.socket.recv(4096).decode().split("\n")
            assert ready == "READY=1"
            if status == f"STATUS={wanted}":
                return

    def ends(self, status=0):
        """Waits for the end; returns the output's lines and the errors."""
        output, errors = self.child.communicate(timeout=20)
        assert self.child.returncode == status, output + errors
        return output.splitlines(), errors


def numbers(rfou):
    """Returns the numbers of the ports that exist."""
    return [port["port"] for port in rfou.ports()]


def names(rfou):
    """Returns the names of the gue devices that exist."""
    return [link["name"] for link in rfou.json("link show", "link", "show")["links"]]


def add_late0(host):
    """Makes the interface that the file asks for."""
    host.ip("link", "add", "late0", "type", "veth", "peer", "name", "late1")


def test_what_is_missing_is_made_when_it_comes(hosts, rfou, tmp_path):
    key = tmp_path / "key"
    key.write_text("8 bytes.", encoding="ascii")
    key.chmod(0o600)
    waiter = Waiter(rfou, tmp_path, f'{PORTS}{LINKS}file = "{key}"\n')
    waiter.waits_for("link gue0", "link gue1", "link gue2", FIRST, SECOND)
    assert (numbers(rfou), names(rfou)) == ([5555], [])
    # networkd may add such a port once the service is ready. `exclusive` does not delete it then.
    rfou("port", "add", "7000", "--encap", "gue")

    add_late0(hosts[0])
    waiter.waits_for("link gue0", "link gue2", FIRST, SECOND)
    assert names(rfou) == ["gue1"]
    hosts[0].ip("address", "add", "192.0.2.9/24", "dev", "eth0")
    waiter.waits_for("link gue2")
    assert numbers(rfou) == [5555, 5556, 5557, 7000]
    # The address is usable after IPv6's duplicate address detection.
    hosts[0].ip("address", "add", "2001:db8::9/64", "dev", "eth0")
    waiter.waits_for()
    output, errors = waiter.ends()
    assert names(rfou) == ["gue1", "gue0", "gue2"] and numbers(rfou) == [5555, 5556, 5557, 7000]
    [shown] = rfou.json("key show", "key", "show")["keys"]
    assert shown["device"] == "gue2"
    assert output[0] == "added port 5555 ipv4 fou ipip"
    assert f"waiting {SECOND}: interface 'late0' does not exist (argument: dev)" in output
    assert output[-2:] == ["added link gue2", "added key 1 of link gue2"]
    # Each reason is printed once. The port that lacks both gets a second reason later.
    waiting = [line for line in output if line.startswith("waiting ")]
    assert len(waiting) == len(set(waiting)) == 6 and errors == ""
    assert rfou("apply", waiter.file, "--dry-run", "--exclusive", status=None).stdout == (
        "would delete port 7000 ipv4 gue\n"
    )


def test_nothing_else_is_touched_afterwards(hosts, rfou, tmp_path):
    waiter = Waiter(rfou, tmp_path, PORTS, "--json")
    waiter.waits_for(FIRST, SECOND)
    rfou("port", "del", "5555")
    hosts[0].ip("address", "add", "192.0.2.9/24", "dev", "eth0")
    waiter.waits_for(SECOND)
    # The user removes the port on late0 from the file.
    waiter.file.write_text(ANY + AT_ADDRESS, encoding="ascii")
    add_late0(hosts[0])
    waiter.waits_for()
    output, _ = waiter.ends()
    assert numbers(rfou) == [5556]
    first, second = [checked(json.loads(line), "apply") for line in output]
    assert first["waiting"] == [FIRST, SECOND] and second["waiting"] == [SECOND]
    assert [step["done"] for step in first["steps"]] == [True, False, False]


def test_other_errors_still_fail(hosts, rfou, tmp_path):
    with hosts[0].inside():
        program = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    program.bind(("192.0.2.1", 5555))
    waiter = Waiter(rfou, tmp_path, ANY + AT_ADDRESS)
    waiter.waits_for(FIRST)
    program.close()
    hosts[0].ip("address", "add", "192.0.2.9/24", "dev", "eth0")
    _, errors = waiter.ends(IN_USE)
    assert "could not add port 5555" in errors and numbers(rfou) == [5556]
    # Without anything to wait for, the service has failed, and is not ready.
    rfou("port", "add", "5555", "--encap", "gue", "--local", "192.0.2.1")
    other = tmp_path / "other"
    other.mkdir()
    waiter = Waiter(rfou, other, ANY)
    waiter.ends(IN_USE)
    waiter.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        waiter.socket.recv(4096)


def test_a_file_that_is_wrong_for_a_while_is_reported(hosts, rfou, tmp_path):
    waiter = Waiter(rfou, tmp_path, ANY + AT_ADDRESS)
    waiter.waits_for(FIRST)
    right = waiter.file.read_text(encoding="ascii")
    waiter.file.write_text(right + "[[port]]\n", encoding="ascii")
    hosts[0].ip("address", "add", "192.0.2.9/24", "dev", "eth0")
    wait_until(lambda: "rfou.toml:" in os.read(waiter.child.stderr.fileno(), 4096).decode(), "told")
    assert numbers(rfou) == [5555]
    waiter.file.write_text(right, encoding="ascii")
    add_late0(hosts[0])
    waiter.ends()
    assert numbers(rfou) == [5555, 5556]
