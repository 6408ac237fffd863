# SPDX-License-Identifier: GPL-2.0
"""`rfou check`, manual pages, completions, and the systemd service."""

import pathlib

import pytest

from testing.lib.checkout import TOP
from testing.lib.hosts import run
from testing.lib.rfou_command import FAILED, NOT_FOUND

pytestmark = pytest.mark.stock_only


def item(answer, name):
    """Returns an item of `rfou check`."""
    return next(item for item in answer["items"] if item["name"] == name)


def test_check_says_what_is_missing(rfou, module):
    # Any exit status, because it depends on what this guest lacks.
    answer = rfou.json("check", "check", status=rfou("check", status=None).returncode)
    assert item(answer, "kernel")["status"] == "ok"
    assert item(answer, "Linux's fou")["status"] == ("ok" if module == "rfou" else "todo")
    assert item(answer, module if module == "rfou" else "Linux's fou")["text"]
    assert answer["ok"] == all(item["status"] != "todo" for item in answer["items"])


FIREWALLS = [
    ("", "ok"),
    ("policy drop;", "todo"),
    ("policy drop; udp dport { 53, 5555 } accept", "ok"),
    ("policy drop; udp dport 53 accept", "todo"),
    ("policy drop; ct state established,related accept\n iifname lo accept", "todo"),
    ("policy drop; ip saddr 192.0.2.2 accept", "note"),
    ("udp dport 5000-6000 drop", "todo"),
    ("tcp dport 5555 drop", "ok"),
    ("ct state invalid drop", "ok"),
    ("policy drop; udp dport vmap { 5555 : accept, 53 : drop }", "ok"),
]


@pytest.mark.parametrize(("rules", "status"), FIREWALLS)
def test_check_sees_rules_that_drop_a_port(hosts, rfou, rules, status):
    rfou("port", "add", "5555", "--protocol", "ipip")
    chain = f"chain input {{\n type filter hook input priority 0\n {rules}\n }}"
    with hosts[0].inside():
        run("nft", "-f", "-", stdin=f"table inet filter {{\n {chain}\n }}")
    answer = rfou.json("check", "check", status=rfou("check", status=None).returncode)
    found = item(answer, "firewall")
    assert found["status"] == status, found
    if status == "todo":
        assert "udp dport 5555 accept" in found["todo"]
        rfou("check", status=FAILED)


def test_check_looks_at_the_ports_of_a_file(hosts, rfou, tmp_path):
    file = tmp_path / "rfou.toml"
    file.write_text("[[port]]\nport = 7000\nencap = 'gue'\n", encoding="ascii")
    chain = "chain i {\n type filter hook input priority 0\n udp dport 7000 reject\n }"
    with hosts[0].inside():
        run("nft", "-f", "-", stdin=f"table ip f {{\n {chain}\n }}")
    answer = rfou.json("check", "check", "--config", file, status=FAILED)
    assert "7000" in item(answer, "firewall")["text"]


def test_each_command_has_a_manual_page(rfou, tmp_path):
    rfou("man", "--dir", tmp_path)
    pages = {path.name for path in tmp_path.iterdir()}
    assert {"rfou.8", "rfou-port-add.8", "rfou-apply.8", "rfou.toml.5"} <= pages
    assert rfou("man").stdout == (tmp_path / "rfou.8").read_text(encoding="utf-8")
    assert rfou("man", "rfou.toml").stdout.count(".TP") > 20
    assert "port\\-add" in rfou("man", "port-add").stdout
    error = rfou.refused("man", "rfou-vxlan", status=NOT_FOUND)
    assert "rfou-port-add.8" in error["hint"]


def test_bash_completes_words_and_options(tmp_path, rfou):
    script = tmp_path / "rfou"
    script.write_text(rfou("completions", "bash").stdout, encoding="utf-8")
    test = f"""
        source {script}
        COMP_WORDS=(rfou port add --pro) COMP_CWORD=3
        _rfou rfou --pro add
        echo "${{COMPREPLY[@]}}"
        COMP_WORDS=(rfou po) COMP_CWORD=1
        _rfou rfou po rfou
        echo "${{COMPREPLY[@]}}"
    """
    assert run("bash", "-c", test).stdout.split() == ["--protocol", "port"]
    assert rfou("completions", "zsh").stdout.startswith("#compdef rfou")
    assert "complete -c rfou" in rfou("completions", "fish").stdout


def test_the_service_is_valid_and_starts_before_networkd(rfou, tmp_path):
    unit = tmp_path / "rfou.service"
    text = (TOP / "configs/rfou.service").read_text(encoding="ascii")
    unit.write_text(text.replace("/usr/bin/rfou", "/tmp/rfou"), encoding="ascii")
    done = run("systemd-analyze", "verify", "--man=no", unit, check=False)
    assert done.returncode == 0, done.stderr
    assert "systemd-networkd.service" in text.split("Before=")[1].splitlines()[0]
    # The command accepts the command lines of the unit.
    for name in ("ExecStart", "ExecReload"):
        command = text.split(f"{name}=/usr/bin/rfou ")[1].splitlines()[0].split()
        assert command[0] == "apply" and pathlib.Path(command[-1]).is_absolute()
        rfou(*command, status=NOT_FOUND)
