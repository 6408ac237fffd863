# SPDX-License-Identifier: GPL-2.0
"""`rfou apply` brings the system into the state of a file, also after errors and kills."""

import re
import socket

import pytest

from testing.lib.hosts import run, wait_until
from testing.lib.rfou_command import COPY, FAILED, IN_USE, NOT_FOUND, USAGE, WOULD_CHANGE

pytestmark = pytest.mark.stock_only

FILE = """
exclusive = true

[[port]]
port = 5555
protocol = "ipip"

[[port]]
port = 5556
protocol = 47
local = "192.0.2.1"

[[port]]
port = 6080
encap = "gue"
family = "ipv6"
remcsum-nopartial = true
"""
NUMBERS = [5555, 5556, 6080]


@pytest.fixture
def file(tmp_path):
    """A file for `rfou apply`."""
    path = tmp_path / "rfou.toml"
    path.write_text(FILE, encoding="ascii")
    return path


def numbers(rfou):
    """Returns the numbers of the ports that exist."""
    return [port["port"] for port in rfou.ports()]


def test_a_file_is_applied_once(rfou_by_each_family, file):
    rfou = rfou_by_each_family
    rfou("port", "add", "7000", "--encap", "gue")
    rfou("port", "add", "5555", "--protocol", "gre")
    dry = rfou("apply", file, "--dry-run", status=WOULD_CHANGE).stdout
    assert numbers(rfou) == [5555, 7000], "a dry run changes nothing"
    assert dry.splitlines() == [
        "would delete port 7000 ipv4 gue",
        "would change port 5555 ipv4: fou gre -> fou ipip",
        "would add port 5556 ipv4 local 192.0.2.1 fou gre",
        "would add port 6080 ipv6 gue remcsum-nopartial",
    ]
    done = rfou.json("apply", "apply", file)
    assert [step["action"] for step in done["steps"]] == ["delete", "change", "add", "add"]
    ports = rfou.ports()
    assert [port["port"] for port in ports] == NUMBERS
    assert ports[0]["protocol_name"] == "ipip" and ports[2]["remcsum_nopartial"]
    assert rfou("apply", file).stdout == "nothing to change\n"
    assert rfou("apply", "--dry-run", "-", stdin=FILE).stdout == "nothing to change\n"


def test_ports_that_do_not_differ_are_not_touched(hosts, rfou, file):
    rfou("apply", file)
    before = udp_sockets(hosts[0])
    rfou("apply", "-", stdin=FILE.replace("protocol = 47", 'protocol = "esp"'))
    after = udp_sockets(hosts[0])
    assert before[5555] == after[5555] and before[6080] == after[6080]


def udp_sockets(host):
    """Returns the memory addresses of the UDP sockets, by port number."""
    found = {}
    for name in ("udp", "udp6"):
        for line in host.proc_net(name).splitlines()[1:]:
            fields = line.split()
            found[int(fields[1].split(":")[1], 16)] = fields[11]
    return found


def test_other_ports_are_left_alone_and_named(rfou):
    rfou("port", "add", "7000", "--encap", "gue", "--ipv6")
    text = FILE.replace("exclusive = true", "")
    done = rfou("apply", "-", stdin=text)
    assert "left alone port 7000 ipv6 gue" in done.stdout
    assert "'rfou port del 7000 --ipv6'" in done.stdout
    assert numbers(rfou) == [*NUMBERS, 7000]
    rfou("apply", "--exclusive", "-", stdin=text)
    assert numbers(rfou) == NUMBERS


def test_errors_are_reported_and_the_rest_is_applied(hosts, rfou, file):
    with hosts[0].inside():
        program = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    program.bind(("192.0.2.1", 5556))
    text = FILE + '\n[[port]]\nport = 5557\nprotocol = 4\nlocal = "192.0.2.1"\ndev = "eth7"\n'
    # The first error determines the exit status.
    done = rfou.json("apply", "apply", "-", stdin=text, status=IN_USE)
    wrong = [(step["object"], step["error"]) for step in done["steps"] if not step["done"]]
    assert [error["kind"] for _, error in wrong] == ["in-use", "not-found"]
    assert "5556" in wrong[0][0] and "5557" in wrong[1][0] and "eth7" in wrong[1][1]["message"]
    assert numbers(rfou) == [5555, 6080]
    told = rfou("apply", file, status=IN_USE).stderr
    assert "could not add port 5556" in told and "another program" in told
    program.close()
    assert rfou("apply", file).stdout.splitlines() == [
        "added port 5556 ipv4 local 192.0.2.1 fou gre"
    ]


WRONG = [
    ("[[port]]\nport = 70000\nprotocol = 4", ":2: "),
    ("\n\n[[port]]\nport = 5555", ":3: a FOU port needs the IP protocol"),
    ("[[port]]\nport = 1\nprotocol = 4\npeer = '192.0.2.2'", "peer-port"),
    ("[[port]]\nport = 1\nencap = 'gue'\nlocal = '2001:db8::1'\nfamily = 'ipv4'", "family"),
    ("[[port]]\nport = 1\nencap = 'gue'\ncolour = 1", "`colour`"),
    ("[[port]]\nport = 1\nencap = 'gue'\n[[port]]\nport = 1\nencap = 'gue'", "twice"),
    ("[[ports]]\nport = 1", "`ports`"),
    ("[[port]\n", ":1: "),
    ("[[link]]\nname = 'gue0'\nremot = '192.0.2.2'", "did you mean 'remote'"),
    ("[[link]]\nname = 'gue0'\nttl = 256", "ttl must be a number up to 255"),
    ("[[link]]\nremote = '192.0.2.2'", "needs a name"),
    ("[[link]]\nname = 'a-very-long-name'", "1 to 15"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_a_wrong_file_changes_nothing_and_the_place_is_named(rfou, text, told):
    text = f'[[port]]\nport = 5000\nencap = "gue"\n{text}'
    told = re.sub(r":(\d+): ", lambda found: f":{int(found[1]) + 3}: ", told)
    error = rfou.refused("apply", "-", stdin=text, status=USAGE)
    assert told in error["message"] + error.get("argument", ""), error
    assert rfou.ports() == []


def test_a_file_that_cannot_be_read_is_named(rfou, tmp_path):
    error = rfou.refused("apply", tmp_path / "absent.toml", status=NOT_FOUND)
    assert "absent.toml" in error["message"] and error["argument"] == "FILE"
    rfou.refused("apply", tmp_path, status=FAILED)


def test_applying_the_file_from_system_changes_nothing(rfou, file, tmp_path):
    rfou("apply", file)
    saved = tmp_path / "saved.toml"
    rfou("apply", "--from-system", saved)
    assert rfou("apply", "--exclusive", saved).stdout == "nothing to change\n"
    rfou.refused("apply", "--from-system", saved, status=IN_USE)
    rfou("apply", "--from-system", "--force", saved)
    printed = rfou.json("apply --from-system", "apply", "--from-system")["text"]
    assert printed == saved.read_text(encoding="ascii") == rfou("apply", "--from-system").stdout
    # An empty file with `exclusive` removes all; the saved file brings all back.
    before = rfou.ports()
    rfou("apply", "-", stdin="exclusive = true")
    assert rfou.ports() == []
    rfou("apply", saved)
    assert rfou.ports() == before


def test_an_apply_killed_at_each_step_is_completed_by_the_next(rfou, file):
    rfou("port", "add", "7000", "--encap", "gue")
    rfou("port", "add", "5555", "--protocol", "gre")
    begin = rfou("apply", "--from-system").stdout
    states = set()
    for step in range(1, 40):
        rfou("apply", "--exclusive", "-", stdin=begin)
        # Kills the command when it sends request number `step`.
        kill = f"inject=sendto:signal=SIGKILL:when={step}"
        with rfou.host.inside():
            done = run("strace", "-o/dev/null", "-e", kill, COPY, "apply", file, check=False)
        states.add(tuple(numbers(rfou)))
        rfou("apply", file)
        assert numbers(rfou) == NUMBERS, f"after a kill at request {step}"
        assert rfou("apply", file).stdout == "nothing to change\n"
        if done.returncode == 0:
            break
    else:
        pytest.fail("the command never ended by itself")
    # Before, after, and between any two of the steps.
    assert len(states) >= 4, states


def test_two_applies_at_once_both_succeed(rfou, file):
    other = FILE.replace("5555", "5600")
    for _ in range(5):
        first = rfou.start("apply", file)
        second = rfou.start("apply", file)
        assert [first.wait(), second.wait()] == [0, 0]
        assert numbers(rfou) == NUMBERS
        rfou("apply", "-", stdin=other)


def test_an_apply_waits_for_the_one_before(rfou, file):
    with rfou.host.inside():
        holder = rfou.host.start("flock", "/run/rfou/apply.lock", "sleep", "30")
    wait_until(locked, "the lock is held")
    waiting = rfou.start("apply", file, stderr=-1)
    line = waiting.stderr.readline()
    assert "waiting for another" in line and numbers(rfou) == []
    rfou("apply", "--dry-run", file, status=WOULD_CHANGE)
    run("pkill", "-P", holder.pid)
    assert waiting.wait() == 0 and numbers(rfou) == NUMBERS


def locked():
    """Returns whether the lock is held."""
    return run("flock", "-n", "/run/rfou/apply.lock", "true", check=False).returncode != 0
