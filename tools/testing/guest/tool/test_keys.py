# SPDX-License-Identifier: GPL-2.0
"""`rfou key` sets and deletes keys, and shows them without secrets; errors name the cause.

h1: gue0 10.1.1.1 -- eth0 ===== eth0 -- gue0 10.1.1.2 :h2
"""

import json
import os

import pytest

from testing.lib.rfou_command import (
    COPY,
    FAILED,
    NOT_FOUND,
    OK,
    PERMISSION,
    USAGE,
    Command,
    checked,
)
from testing.lib.ynl import connect

pytestmark = [
    pytest.mark.stock_only,
    pytest.mark.usefixtures("no_links_are_left"),
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

LENGTHS = {"cookie8": 8, "cookie16": 16, "cookie32": 32, "hmac": 32}
SECRET = "a secret of an hmac's key, 33 byt"
HEX = SECRET.encode().hex()
SET = ("key", "set", "gue0", "--key-id")


def add(host, auth="hmac", name="gue0", remote="192.0.2.2"):
    """Makes a device with an auth."""
    host.ip("link", "add", name, "type", "gue", "remote", remote, "auth", auth)


@pytest.fixture
def tunnel(hosts):
    """Makes devices with auth hmac on both hosts, without keys.

    Returns a function that pings, and returns whether an answer came.
    """
    for number, host in enumerate(hosts, start=1):
        add(host, remote=f"192.0.2.{3 - number}")
        host.batch(f"addr add 10.1.1.{number}/24 dev gue0", "link set gue0 addrgenmode none up")

    def answers():
        ping = ("ping", "-n", "-q", "-c", 1, "-W", "0.5", "10.1.1.2")
        return hosts[0].run(*ping, check=False).returncode == 0

    return answers


@pytest.fixture
def key_file(tmp_path):
    """Returns a function that makes a file with a secret and a mode."""

    def make(secret=SECRET, mode=0o600, name="key"):
        path = tmp_path / name
        path.write_text(secret, encoding="ascii")
        path.chmod(mode)
        return path

    return make


def keys(rfou, *device):
    """Returns the directions of the keys, by key id."""
    found = rfou.json("key show", "key", "show", *device)["keys"]
    return {key["key_id"]: key["direction"] for key in found}


@pytest.mark.parametrize("auth", LENGTHS)
def test_a_key_is_set_shown_without_its_secret_and_deleted(hosts, rfou, key_file, auth):
    add(hosts[0], auth)
    assert rfou("key", "show", "gue0").stdout == "", "a new device has no key"
    secret = SECRET[: LENGTHS[auth]]
    expected = {
        "device": "gue0",
        "ifindex": hosts[0].link("gue0")["ifindex"],
        "key_id": 4294967295,
        "direction": ["accept", "send"],
        "nat": False,
        "auth": auth,
    }
    done = rfou.json("key set", *SET, "4294967295", "--file", key_file(secret))
    assert done == {"result": "set", "key": expected}
    assert rfou.json("key show", "key", "show") == {"keys": [expected]}
    assert rfou("key", "show").stdout.splitlines() == [
        "DEVICE  KEY-ID      AUTH" + " " * (len(auth) - 2) + "DIRECTION  OPTIONS",
        f"gue0    4294967295  {auth}  both       -",
    ]
    for shown in (
        rfou("key", "show", "--json").stdout,
        rfou("link", "show", "--json").stdout,
        rfou("apply", "--from-system").stdout,
        hosts[0].ip("-d", "-s", "link", "show", "gue0").stdout,
    ):
        assert secret not in shown and secret.encode().hex() not in shown
    done = rfou.json("key del", "key", "del", "gue0", "--key-id", "4294967295")
    assert done == {"result": "deleted", "key": expected}
    assert keys(rfou) == {}


def test_a_secret_is_the_same_from_each_source(hosts, rfou, tunnel, key_file):
    other = Command(hosts[1])
    other(*SET, "1", "--file", key_file())
    assert not tunnel(), "this host has no key"
    spaced = f" {HEX[:20]}\n{HEX[20:].upper()}\n"
    for number, (words, stdin) in enumerate(
        [
            (("--file", key_file(name="raw")), None),
            (("--hex", "--file", key_file(spaced, name="hex")), None),
            ((), SECRET),
            (("--file", "-"), SECRET),
            (("--hex",), spaced),
        ]
    ):
        rfou(*SET, "1", stdin=SECRET[::-1])
        assert not tunnel(), f"case {number}: another secret"
        rfou(*SET, "1", *words, stdin=stdin)
        assert tunnel(), f"case {number}: the same secret"
    # All bytes of the input count.
    rfou(*SET, "1", stdin=f"{SECRET}\n")
    assert not tunnel()


def test_pings_are_answered_during_a_rotation(hosts, rfou, tunnel, key_file):
    ends = (rfou, Command(hosts[1]))
    for end in ends:
        end(*SET, "1", "--file", key_file())
    new = key_file(SECRET[::-1], name="new")
    for words in (("--accept",), ()):
        for end in ends:
            end(*SET, "2", "--file", new, *words)
            assert tunnel()
    assert keys(rfou) == {1: ["accept"], 2: ["accept", "send"]}
    for end in ends:
        end("key", "del", "gue0", "--key-id", "1")
        assert tunnel()
    assert keys(rfou) == {2: ["accept", "send"]}


def test_a_key_is_for_one_direction_if_asked(hosts, rfou):
    add(hosts[0])
    rfou(*SET, "1", "--accept", stdin=SECRET)
    assert keys(rfou) == {1: ["accept"]}
    rfou(*SET, "1", "--send", stdin=SECRET)
    assert keys(rfou) == {1: ["send"]}
    rfou(*SET, "2", "--accept", "--nat", stdin=SECRET[::-1])
    [first, second] = rfou.json("key show", "key", "show")["keys"]
    assert (first["nat"], second["nat"]) == (False, True)
    assert "accept     nat" in rfou("key", "show").stdout


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_may_use_is_refused(hosts, rfou, key_file, mode):
    add(hosts[0])
    file = key_file(mode=mode)
    error = rfou.refused(*SET, "1", "--file", file, status=USAGE)
    assert error["argument"] == "--file" and f"mode {mode:o}" in error["message"]
    assert keys(rfou) == {}
    assert error["hint"].startswith(f"'chmod 600 {file}'")
    hosts[0].run("chmod", "600", file)
    rfou(*SET, "1", "--file", file)


WRONG = [
    (("set", "gue0"), "--key-id"),
    (("set", "--key-id", "1"), "<DEVICE>"),
    (("set", "gue0", "--key-id", "4294967296"), "--key-id"),
    (("set", "gue0", "--key-id", "one"), "--key-id"),
    (("set", "a-very-long-name", "--key-id", "1"), "<DEVICE>"),
    (("set", "gue0", "--key-id", "1", "--secret", "00"), "--secret"),
    (("set", "gue0", "--key-id", "1", "--accept", "--send"), "--send"),
    (("set", "gue0", "--key-id", "1", "--nat"), "--nat"),
    (("set", "gue0", "--key-id", "1"), "standard input: the secret is empty"),
    (("set", "gue0", "--key-id", "1", "--hex"), "standard input: the secret is empty"),
    (("set", "gue0", "--key-id", "1", "--file", "-"), "--file"),
    (("del", "gue0"), "--key-id"),
    (("del", "--key-id", "1"), "<DEVICE>"),
    (("new",), "--auth"),
    (("new", "--auth", "none"), "--auth"),
    (("get",), "get"),
]


@pytest.mark.parametrize(("words", "at_fault"), WRONG)
def test_wrong_words_are_named(rfou, words, at_fault):
    error = rfou.refused("key", *words, status=USAGE, stdin="")
    assert at_fault in error["message"] + error.get("argument", "")


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        ("0" * 63, ("--hex",), "odd"),
        ("0x" + "0" * 32, ("--hex",), "byte 2 is not a hexadecimal digit"),
        ("0" * 258, ("--hex",), "at most 128 bytes"),
        ("0" * 129, (), "at most 128 bytes"),
        ("0" * 5000, (), "at most 128 bytes"),
    ],
)
def test_a_wrong_secret_is_refused_and_not_shown(hosts, rfou, text, words, told):
    add(hosts[0])
    error = rfou.refused(*SET, "1", *words, status=USAGE, stdin=text)
    assert told in error["message"] and error["argument"] == "--file"
    assert "000" not in error["message"]
    assert keys(rfou) == {}


def test_a_terminal_is_not_read_unasked(hosts, rfou):
    add(hosts[0])
    done = hosts[0].run(
        "script", "-qec", f"{COPY} key set gue0 --key-id 1", "/dev/null", check=False
    )
    assert done.returncode == USAGE
    assert "no file with the secret is given" in done.stdout
    assert keys(rfou) == {}


def test_absent_things_are_named(hosts, rfou, tmp_path):
    add(hosts[0])
    hosts[0].ip("link", "add", "gue1", "type", "gue", "remote", "192.0.2.3")
    for device, status in (("gue9", NOT_FOUND), ("eth0", NOT_FOUND), ("gue1", FAILED)):
        error = rfou.refused("key", "set", device, "--key-id", "1", status=status, stdin=SECRET)
        assert error["argument"] == "DEVICE" and "hint" in error, error
    error = rfou.refused("key", "show", "gue9", status=NOT_FOUND)
    assert error["argument"] == "DEVICE" and "gue9" in error["message"]
    assert rfou("key", "show", "gue1").stdout == ""
    error = rfou.refused(*SET, "1", "--file", tmp_path / "absent", status=NOT_FOUND)
    assert error["argument"] == "--file" and "absent" in error["message"]
    assert rfou.refused(*SET, "1", "--file", tmp_path, status=FAILED)["argument"] == "--file"
    for words in (("del", "gue0"), ("del", "gue0", "--json")):
        done = rfou("key", *words, "--key-id", "7", status=NOT_FOUND)
        assert done.stdout == "" and "--key-id" in done.stderr


@pytest.mark.parametrize(
    ("auth", "length"),
    [("cookie8", 7), ("cookie8", 9), ("cookie16", 32), ("cookie32", 31), ("hmac", 7)],
)
def test_a_secret_of_another_length_is_refused_by_the_kernel(hosts, rfou, auth, length):
    add(hosts[0], auth)
    error = rfou.refused(*SET, "1", status=FAILED, stdin=SECRET[:length])
    assert error["argument"] == "--file" and error["message"]
    assert keys(rfou) == {}


def test_a_forgotten_hex_gets_a_hint(hosts, rfou):
    add(hosts[0], "cookie8")
    error = rfou.refused(*SET, "1", status=FAILED, stdin="0011223344556677\n")
    assert "--hex" in error["hint"]
    rfou(*SET, "1", "--hex", stdin="0011223344556677\n")
    error = rfou.refused(*SET, "1", status=FAILED, stdin="eight by\n")
    assert "newline" in error["hint"]


def test_a_device_has_eight_keys(hosts, rfou):
    add(hosts[0])
    for number in range(8):
        rfou(*SET, number, "--accept", stdin=SECRET)
    error = rfou.refused(*SET, 8, status=FAILED, stdin=SECRET)
    assert error["argument"] == "--key-id" and "rfou key del" in error["hint"]
    rfou(*SET, 7, stdin=SECRET)
    assert sorted(keys(rfou)) == list(range(8))
    rfou("key", "del", "gue0", "--key-id", 0)
    rfou(*SET, 8, "--accept", stdin=SECRET)


def test_nat_is_refused_for_cookies_and_for_equal_keys(hosts, rfou):
    add(hosts[0])
    add(hosts[0], "cookie32", "gue1", "192.0.2.3")
    words = ("key", "set", "gue1", "--key-id", "1", "--accept", "--nat")
    error = rfou.refused(*words, status=None, stdin=SECRET[:32])
    assert error["argument"] == "--nat"
    rfou(*SET, "1", "--send", "--nat", stdin=SECRET)
    rfou.refused(*SET, "2", "--accept", "--nat", status=None, stdin=SECRET)
    assert keys(rfou) == {1: ["send"]}


def test_other_users_see_and_cannot_change(hosts, rfou):
    add(hosts[0])
    rfou(*SET, "1", stdin=SECRET)
    done = rfou.by_another_user("key", "show", "--json")
    assert done.returncode == OK
    assert [key["key_id"] for key in json.loads(done.stdout)["keys"]] == [1]
    for words in (("set", "gue0", "--key-id", "2"), ("del", "gue0", "--key-id", "1")):
        done = rfou.by_another_user("key", *words, "--json", stdin=SECRET)
        error = checked(json.loads(done.stderr), "error")["error"]
        assert done.returncode == PERMISSION and "root" in error["hint"]
    assert keys(rfou) == {1: ["accept", "send"]}


def test_keys_belong_to_one_namespace(hosts, rfou):
    for number, host in enumerate(hosts, start=1):
        add(host, remote=f"192.0.2.{3 - number}")
        rfou("--netns", host.name, *SET, number, stdin=SECRET)
    assert keys(rfou) == {1: ["accept", "send"]}
    assert keys(Command(hosts[1])) == {2: ["accept", "send"]}


def test_new_secrets_are_random_and_fit(hosts, rfou):
    for number, (auth, length) in enumerate(LENGTHS.items()):
        printed = rfou("key", "new", "--auth", auth).stdout
        assert len(bytes.fromhex(printed)) == length and printed.endswith("\n")
        made = rfou.json("key new", "key", "new", "--auth", auth)
        assert made["auth"] == auth and len(made["secret"]) == 2 * length
        assert made["secret"] != printed.strip()
        add(hosts[0], auth, f"gue{number}", f"192.0.2.{10 + number}")
        rfou("key", "set", f"gue{number}", "--key-id", "1", "--hex", stdin=printed)
    assert len(rfou.json("key show", "key", "show")["keys"]) == len(LENGTHS)


def test_properties_of_the_link_are_shown(hosts, rfou):
    options = "remote 192.0.2.2 auth hmac cover all headercsum crc 20"
    hosts[0].ip("link", "add", "gue0", "type", "gue", *options.split())
    assert rfou("link", "show").stdout.splitlines()[1] == f"       {options}"
    [link] = rfou.json("link show", "link", "show")["links"]
    assert (link["auth"], link["cover"]) == ("hmac", "all")
    assert (link["headercsum"], link["crc"]) == (True, 20)
    hosts[0].ip("link", "set", "gue0", "type", "gue", "cover", "0", "nocrc", "headercsum", "all")
    [link] = rfou.json("link show", "link", "show")["links"]
    assert (link["cover"], link["headercsum"], link["crc"]) == (0, "all", False)


def test_ynl_sets_and_shows_the_same_keys(hosts, rfou):
    add(hosts[0])
    ynl = connect(hosts[0], "gue")
    named = {"ifname": "gue0", "key-id": 7}
    ynl.do("key-set", named | {"secret": SECRET.encode(), "direction": ["accept"], "nat": True})
    [key] = rfou.json("key show", "key", "show")["keys"]
    [dumped] = ynl.dump("key-get", {})
    assert dumped == ynl.do("key-get", named)
    assert "secret" not in dumped
    assert key == {
        "device": dumped["ifname"],
        "ifindex": dumped["ifindex"],
        "key_id": dumped["key-id"],
        "direction": sorted(dumped["direction"]),
        "nat": "nat" in dumped,
        "auth": dumped["auth"],
    }
    ynl.do("key-del", {"ifindex": key["ifindex"], "key-id": 7})
    assert keys(rfou) == {}
