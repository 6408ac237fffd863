# SPDX-License-Identifier: GPL-2.0
"""`rfou port` adds, shows and deletes ports; errors name the cause."""

import json
import os
import socket
import subprocess
import time

import pytest

from testing.lib import netlink as nl
from testing.lib.hosts import run
from testing.lib.netlink import Fou
from testing.lib.rfou_command import COPY, IN_USE, NOT_FOUND, OK, PERMISSION, USAGE

pytestmark = pytest.mark.stock_only

PLAIN = {
    "port": 5555,
    "family": "ipv4",
    "encap": "fou",
    "protocol": 4,
    "protocol_name": "ipip",
    "local": None,
    "peer": None,
    "peer_port": None,
    "dev": None,
    "remcsum_nopartial": False,
}
IPV6_PEER = ("--local", "2001:db8::1", "--peer", "2001:db8::2", "--peer-port", "7", "--dev", "eth0")
CASES = [
    (("5555", "--protocol", "ipip"), PLAIN),
    (("5555", "--protocol", "4", "--encap", "fou", "--local", "0.0.0.0"), PLAIN),
    (
        ("5555", "--protocol", "254"),
        PLAIN | {"protocol": 254, "protocol_name": None},
    ),
    (
        ("6080", "--encap", "gue", "--ipv6", "--remcsum-nopartial"),
        PLAIN
        | {
            "port": 6080,
            "family": "ipv6",
            "encap": "gue",
            "protocol": None,
            "protocol_name": None,
            "remcsum_nopartial": True,
        },
    ),
    (
        ("5555", "--protocol", "gre", "--local", "192.0.2.1"),
        PLAIN | {"protocol": 47, "protocol_name": "gre", "local": "192.0.2.1"},
    ),
    (
        ("5555", "--protocol", "gre", "--peer", "192.0.2.2", "--peer-port", "7"),
        PLAIN
        | {
            "protocol": 47,
            "protocol_name": "gre",
            # Chosen by routing.
            "local": "192.0.2.1",
            "peer": "192.0.2.2",
            "peer_port": 7,
        },
    ),
    (
        ("5555", "--protocol", "gre", *IPV6_PEER),
        PLAIN
        | {
            "family": "ipv6",
            "protocol": 47,
            "protocol_name": "gre",
            "local": "2001:db8::1",
            "peer": "2001:db8::2",
            "peer_port": 7,
            "dev": "eth0",
        },
    ),
]


@pytest.mark.parametrize(("words", "expected"), CASES)
def test_a_port_is_added_shown_and_deleted(rfou_by_each_family, words, expected):
    rfou = rfou_by_each_family
    added = rfou.json("port add", "port", "add", *words)
    assert added["result"] == "added"
    added["port"].pop("counters", None)
    assert added["port"] == expected
    assert rfou.ports() == [expected]
    # The number is enough.
    rfou("port", "del", words[0])
    assert rfou.ports() == []


def test_text_is_a_table_without_colours_in_a_pipe(rfou):
    rfou("port", "add", "5555", "--protocol", "ipip")
    rfou("port", "add", "6080", "--encap", "gue", "--ipv6", "--local", "2001:db8::1")
    heading, *lines = rfou("port", "show").stdout.splitlines()
    assert heading.split()[:6] == ["PORT", "FAMILY", "ENCAP", "PROTOCOL", "LOCAL", "PEER"]
    assert [line.split()[:6] for line in lines] == [
        ["5555", "ipv4", "fou", "ipip", "any", "any"],
        ["6080", "ipv6", "gue", "-", "2001:db8::1", "any"],
    ]
    assert rfou("port", "show", "6080").stdout.splitlines()[1:] == lines[1:]
    assert "\x1b[1m" in rfou("port", "show", "--color", "always").stdout


def test_command_and_ip_fou_show_the_same_ports(hosts, rfou):
    hosts[0].ip("fou", "add", "port", "7000", "ipproto", "47")
    assert [(port["port"], port["protocol"]) for port in rfou.ports()] == [(7000, 47)]
    rfou("port", "add", "7001", "--encap", "gue")
    assert "port 7001 gue" in hosts[0].ip("fou", "show").stdout
    rfou("port", "del", "7000")


WRONG = [
    (("port", "add", "0", "--encap", "gue"), "<PORT>"),
    (("port", "add", "65536", "--encap", "gue"), "<PORT>"),
    (("port", "add", "http", "--encap", "gue"), "<PORT>"),
    (("port", "add", "--encap", "gue"), "<PORT>"),
    (("port", "add", "5555"), "--protocol"),
    (("port", "add", "5555", "--encap", "gue", "--protocol", "4"), "--protocol"),
    (("port", "add", "5555", "--encap", "vxlan"), "--encap"),
    (("port", "add", "5555", "--protocol", "0"), "--protocol"),
    (("port", "add", "5555", "--protocol", "256"), "--protocol"),
    (("port", "add", "5555", "--protocol", "ipx"), "--protocol"),
    (("port", "add", "5555", "--protocol", "4", "--local", "here"), "--local"),
    (("port", "add", "5555", "--protocol", "4", "--peer", "192.0.2.2"), "--peer-port"),
    (("port", "add", "5555", "--protocol", "4", "--peer-port", "7"), "--peer"),
    (("port", "add", "5555", "--protocol", "4", "--dev", "eth0"), "--local"),
    (("port", "add", "5555", "--protocol", "4", "-6", "--local", "192.0.2.1"), "--local"),
    (("port", "add", "5555", "--protocl", "4"), "--protocl"),
    (("port", "ad", "5555", "--what"), "--what"),
    (("port", "remove", "5555"), "remove"),
    (("prot", "show"), "prot"),
    (("apply",), "<FILE>"),
    (("completions", "tcsh"), "tcsh"),
    (("monitor", "--count", "0"), "--count"),
    (("--color", "green", "check"), "--color"),
]


@pytest.mark.parametrize(("words", "at_fault"), WRONG)
def test_wrong_words_are_named(rfou, words, at_fault):
    error = rfou.refused(*words, status=USAGE)
    assert error["kind"] == "usage"
    assert at_fault in error["message"] + error.get("argument", "")


def test_a_mistyped_word_gets_a_suggestion(rfou):
    assert "'port'" in rfou("prot", "show", status=USAGE).stderr
    assert "--protocol" in rfou("port", "add", "1", "--protocl", "4", status=USAGE).stderr


def test_error_says_whether_rfou_or_another_program_has_the_port(hosts, rfou_by_each_family):
    rfou = rfou_by_each_family
    rfou("port", "add", "5555", "--protocol", "ipip")
    error = rfou.refused("port", "add", "5555", "--protocol", "gre", status=IN_USE)
    assert "fou ipip exists already" in error["message"] and "--replace" in error["hint"]
    with hosts[0].inside():
        program = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    program.bind(("0.0.0.0", 6000))
    error = rfou.refused("port", "add", "6000", "--protocol", "gre", status=IN_USE)
    assert "another program" in error["message"] and "sport = :6000" in error["hint"]
    program.close()


def test_replace_changes_what_differs_and_nothing_else(rfou_by_each_family):
    rfou = rfou_by_each_family
    words = ("port", "add", "5555", "--replace", "--protocol")
    results = [
        rfou.json("port add", *words, protocol)["result"] for protocol in ("ipip", "ipip", "gre")
    ]
    assert results == ["added", "unchanged", "replaced"]
    assert [port["protocol"] for port in rfou.ports()] == [47]


def test_absent_things_are_named(rfou):
    error = rfou.refused("port", "del", "5555", status=NOT_FOUND)
    assert error["argument"] == "PORT" and "5555" in error["message"]
    rfou.refused("port", "show", "5555", status=NOT_FOUND)
    words = ("port", "add", "5555", "--protocol", "4", "--local", "192.0.2.1", "--dev", "eth7")
    error = rfou.refused(*words, status=NOT_FOUND)
    assert error["argument"] == "--dev" and "eth7" in error["message"]
    error = rfou.refused("--netns", "h7", "port", "show", status=NOT_FOUND)
    assert error["argument"] == "--netns" and "h7" in error["message"]
    rfou.refused("--netns", "../h1", "port", "show", status=USAGE)


def test_an_address_of_another_host_is_refused_with_the_kernels_reason(rfou, module):
    words = ("port", "add", "5555", "--protocol", "4", "--local", "203.0.113.1")
    error = rfou.refused(*words, status=1)
    if module == "rfou":
        assert "not configured in this network namespace" in error["message"]


def test_one_of_several_ports_with_a_number_must_be_chosen(rfou_by_each_family):
    rfou = rfou_by_each_family
    rfou("port", "add", "5555", "--protocol", "ipip", "--local", "192.0.2.1")
    rfou("port", "add", "5555", "--protocol", "ipip", "--local", "2001:db8::1")
    error = rfou.refused("port", "del", "5555", status=USAGE)
    assert "--local 192.0.2.1" in error["hint"] and "--local 2001:db8::1" in error["hint"]
    rfou("port", "del", "5555", "--ipv6", "--local", "2001:db8::1")
    rfou("port", "del", "5555", "--local", "192.0.2.1")
    assert rfou.ports() == []


def test_a_namespace_is_chosen_by_its_name(hosts, rfou):
    rfou("--netns", "h2", "port", "add", "5555", "--protocol", "ipip")
    assert rfou.ports() == []
    assert "port 5555" in hosts[1].ip("fou", "show").stdout


def test_other_users_see_and_cannot_change(hosts, rfou):
    rfou("port", "add", "5555", "--protocol", "ipip")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answers = []
        try:
            hosts[0].enter()
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            for words in (
                ("show", "--json"),
                ("add", "5556", "--encap", "gue", "--json"),
                ("del", "5555", "--json"),
            ):
                done = run(COPY, "port", *words, *rfou.options, check=False)
                answers.append((done.returncode, done.stdout + done.stderr))
        finally:
            os.write(write, json.dumps(answers).encode())
            os._exit(0)
    os.waitpid(child, 0)
    (seen, ports), *refused = json.loads(os.read(read, 1 << 16))
    assert seen == OK and json.loads(ports)["ports"][0]["port"] == 5555
    for status, text in refused:
        error = json.loads(text)["error"]
        assert status == PERMISSION and "root" in error["hint"], text
    assert [port["port"] for port in rfou.ports()] == [5555]


def test_thousands_of_ports_are_shown_at_once(hosts, rfou):
    with hosts[0].inside():
        client = Fou()
    for number in range(2000):
        client.add(
            (nl.PORT, nl.be16(10000 + number)), (nl.TYPE, nl.u8(nl.DIRECT)), (nl.IPPROTO, nl.u8(4))
        )
    client.close()
    begin = time.monotonic()
    shown = rfou("port", "show", "-s").stdout
    seconds = time.monotonic() - begin
    assert sum(line[:1].isdigit() for line in shown.splitlines()) == 2000
    assert seconds < 2, f"{seconds:.1f} s for 2,000 ports"
    assert len(rfou.ports()) == 2000


def test_the_command_starts_at_once(hosts):
    def fastest(*command):
        times = []
        for _ in range(5):
            begin = time.monotonic()
            hosts[0].run(*command)
            times.append(time.monotonic() - begin)
        return min(times)

    seconds = fastest(COPY, "--version") - fastest("true")
    # QEMU's translation included: a real machine takes a tenth of this.
    assert seconds < 0.1, f"{seconds:.3f} s longer than `true`"


def test_a_reader_that_goes_away_is_no_error(hosts, rfou):
    rfou("port", "add", "5555", "--protocol", "ipip")
    with hosts[0].inside():
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {COPY} port show | true; echo ${{PIPESTATUS[0]}}"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout == "0\n" and done.stderr == ""
