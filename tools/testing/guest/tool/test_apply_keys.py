# SPDX-License-Identifier: GPL-2.0
"""`rfou apply` and keys: set from files of their own, rotated, left alone or removed."""

import os

import pytest

from testing.lib.rfou_command import FAILED, NOT_FOUND, USAGE, WOULD_CHANGE

pytestmark = [
    pytest.mark.stock_only,
    pytest.mark.usefixtures("no_links_are_left"),
    pytest.mark.skipif(
        "rgue" not in os.environ["RFOU_MODULE"].split(","), reason="needs --module rgue"
    ),
]

SECRET = "a secret of an hmac's key"
LINK = """
[[link]]
name = "gue0"
remote = "192.0.2.2"
auth = "hmac"
cover = "all"
headercsum = true
crc = 20
"""
NOTHING = "nothing to change\n"


@pytest.fixture
def key(tmp_path):
    """Returns a function that makes a file with a secret, and returns the key's TOML table."""

    def make(number, *more, mode=0o600):
        path = tmp_path / f"gue0-{number}"
        path.write_text(f"{SECRET} {number}", encoding="ascii")
        path.chmod(mode)
        lines = ["[[link.key]]", f"id = {number}", f'file = "{path}"', *more]
        return "\n".join(lines) + "\n"

    return make


def keys(rfou):
    """Returns the directions of the keys, by key id."""
    found = rfou.json("key show", "key", "show")["keys"]
    return {key["key_id"]: key["direction"] for key in found}


def apply(rfou, text, *words, status=0):
    """Applies a file; returns the lines of what was done."""
    return rfou("apply", "-", *words, stdin=text, status=status).stdout.splitlines()


def test_keys_are_set_once_after_their_device(rfou, key):
    text = LINK + key(1, 'direction = "accept"') + key(2)
    steps = ["link gue0", "key 2 of link gue0", "key 1 of link gue0"]
    planned = apply(rfou, text, "--dry-run", status=WOULD_CHANGE)
    assert planned == [f"would add {step}" for step in steps]
    assert apply(rfou, text) == [f"added {step}" for step in steps]
    assert keys(rfou) == {1: ["accept"], 2: ["accept", "send"]}
    assert apply(rfou, text) == [NOTHING.strip()]
    assert apply(rfou, text, "--rekey") == [
        "changed key 2 of link gue0: secret",
        "changed key 1 of link gue0: secret",
    ]
    [link] = rfou.json("link show", "link", "show")["links"]
    assert (link["auth"], link["cover"]) == ("hmac", "all")
    assert (link["headercsum"], link["crc"]) == (True, 20)


def test_a_rotation_needs_one_step_and_a_removal_needs_exclusive(rfou, key):
    apply(rfou, LINK + key(1))
    assert apply(rfou, LINK + key(1, 'direction = "accept"') + key(2)) == [
        "added key 2 of link gue0"
    ]
    assert keys(rfou) == {1: ["accept"], 2: ["accept", "send"]}
    [left, nothing] = apply(rfou, LINK + key(2))
    assert left.startswith("left alone key 1 of link gue0") and nothing == NOTHING.strip()
    assert "'rfou key del gue0 --key-id 1'" in left
    assert apply(rfou, LINK + key(2), "--exclusive") == ["deleted key 1 of link gue0"]
    assert apply(rfou, LINK, "--exclusive") == [NOTHING.strip()], "the keys stay"
    assert keys(rfou) == {2: ["accept", "send"]}


def test_properties_of_checksums_change_in_place_and_auth_does_not(rfou):
    apply(rfou, LINK)
    changed = LINK.replace("crc = 20", 'crc = "all"').replace("headercsum = true", "")
    assert apply(rfou, changed) == ["changed link gue0: headercsum true -> false, crc 20 -> all"]
    assert apply(rfou, changed) == [NOTHING.strip()]
    cookie = changed.replace("hmac", "cookie8").replace('cover = "all"', "")
    done = rfou.json("apply", "apply", "-", stdin=cookie, status=FAILED)
    [step] = done["steps"]
    assert "auth" in step["error"]["argument"] and not step["done"]


def test_a_file_that_others_may_use_is_refused_and_the_next_run_completes(rfou, key, tmp_path):
    text = LINK + key(1, mode=0o644) + key(2, 'direction = "accept"')
    done = rfou.json("apply", "apply", "-", stdin=text, status=USAGE)
    [wrong] = [step for step in done["steps"] if not step["done"]]
    assert wrong["object"] == "key 1 of link gue0" and wrong["error"]["argument"] == "file"
    assert "chmod 600" in wrong["error"]["hint"]
    assert keys(rfou) == {2: ["accept"]}
    (tmp_path / "gue0-1").chmod(0o600)
    assert apply(rfou, text) == ["added key 1 of link gue0"]
    (tmp_path / "gue0-1").unlink()
    assert apply(rfou, text) == [NOTHING.strip()], "the secret is read only if it is needed"
    rfou("apply", "-", "--rekey", stdin=text, status=NOT_FOUND)


def test_the_file_from_system_names_key_files_and_has_no_secret(rfou, key):
    apply(rfou, LINK + key(7))
    text = rfou("apply", "--from-system").stdout
    assert SECRET not in text and SECRET.encode().hex() not in text
    assert 'file = "/etc/rfou/keys/gue0-7"' in text
    assert "# The kernel shows no secret" in text
    assert apply(rfou, text, "--exclusive") == [NOTHING.strip()]


WRONG = [
    ("secret = '00'", "a secret has no place in this file"),
    ("file = '/k'", "missing field `id`"),
    ("id = 1", "missing field `file`"),
    ("id = 1\nfile = 'k'", "file must be a path from the root on"),
    ("id = 1\nfile = '/k'\nnat = true", "nat needs the direction"),
    ("id = 1\nfile = '/k'\n[[link.key]]\nid = 2\nfile = '/k'", "the keys 1 and 2 send"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_a_wrong_key_changes_nothing(rfou, text, told):
    error = rfou.refused("apply", "-", stdin=f"{LINK}[[link.key]]\n{text}\n", status=USAGE)
    assert told in error["message"]
    assert rfou.json("link show", "link", "show")["links"] == []
