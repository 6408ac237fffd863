# SPDX-License-Identifier: GPL-2.0
"""rfou in place of Linux's fou: load, unload, install, uninstall."""

import os
import pathlib
import socket

import pytest

from testing.lib.checkout import TOP
from testing.lib.hosts import run
from testing.lib.nfqueue import Queue
from testing.lib.rfou_module import rfou_file

pytestmark = pytest.mark.rfou_only


def loaded(name):
    """Returns whether a module is loaded."""
    return pathlib.Path(f"/sys/module/{name}").exists()


def kernel_log():
    """Returns the kernel's log."""
    return run("dmesg").stdout


@pytest.fixture
def without_rfou():
    """The kernel without rfou. Afterwards rfou is loaded, and Linux's fou is not."""
    run("rmmod", "rfou")
    yield
    for name in ("fou6", "fou", "rfou"):
        if loaded(name):
            run("rmmod", name)
    run("insmod", rfou_file())


def has_family():
    """Returns whether the netlink family `fou` is registered."""
    return "Name: fou" in run("genl", "ctrl", "list").stdout


def test_linux_fou_is_refused_while_rfou_is_loaded(hosts):
    before = kernel_log().splitlines()
    done = run("modprobe", "fou", check=False)
    assert done.returncode != 0 and not loaded("fou")
    assert "resource busy" in done.stderr
    said = [line for line in kernel_log().splitlines() if line not in before]
    assert not any("fou" in line for line in said), "Linux's fou logs nothing"
    hosts[0].ip("fou", "add", "port", "5555", "ipproto", "4")
    assert "port 5555" in hosts[0].ip("fou", "show").stdout, "rfou works as before"


def test_rfou_is_refused_while_linux_fou_is_loaded(without_rfou):
    run("modprobe", "fou")
    for _ in range(2):
        done = run("insmod", rfou_file(), check=False)
        # The module loader turns EEXIST, its own code for "loaded already", into EBUSY.
        assert done.returncode != 0 and "resource busy" in done.stderr
        assert not loaded("rfou")
    assert "rmmod" in kernel_log().splitlines()[-1], "the log says what to do"
    assert run("ip", "fou", "show").returncode == 0, "Linux's fou works as before"
    # The refused load left nothing registered: fou can be unloaded, and rfou loaded.
    run("rmmod", "fou")
    assert not has_family()
    run("insmod", rfou_file())
    assert has_family()


def test_rfou6_is_refused_while_linux_fou6_is_loaded(without_rfou):
    run("rmmod", "rfou6")
    run("modprobe", "fou6")
    try:
        done = run("insmod", os.environ["RFOU6_MODULE_FILE"], check=False)
        assert done.returncode != 0 and not loaded("rfou6")
        assert "rmmod fou6" in kernel_log().splitlines()[-1], "the log says what to do"
    finally:
        run("rmmod", "fou6")
        run("insmod", os.environ["RFOU6_MODULE_FILE"])


def test_unloading_closes_ports(hosts, without_rfou):
    assert not has_family()
    assert run("ip", "fou", "show", check=False).returncode != 0
    run("insmod", rfou_file())
    for host in hosts:
        host.ip("fou", "add", "port", "5555", "ipproto", "4")
        host.ip("-6", "fou", "add", "port", "5556", "ipproto", "41")
    run("rmmod", "rfou")
    for host in hosts:
        assert ":15B3" not in host.proc_net("udp")
        assert ":15B4" not in host.proc_net("udp6")
        # Without the module, a tunnel cannot have this encapsulation.
        words = ["link", "add", "tun1", "type", "ipip", "remote", "192.0.2.9", "local", "192.0.2.1"]
        assert host.ip(*words, "encap", "fou", "encap-dport", "5555", check=False).returncode != 0


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("encap", ["fou", "gue"])
def test_unloading_under_traffic(hosts, encap):
    h1, h2 = hosts
    how = ["gue"] if encap == "gue" else ["ipproto", "4"]
    for number, host in enumerate(hosts, start=1):
        # With TSO, veth would pass packets on without GRO.
        host.run("ethtool", "-K", "eth0", "gro", "on", "tso", "off")
        host.ip("fou", "add", "port", "5555", *how)
        host.batch(
            f"link add tun1 type ipip local 192.0.2.{number} remote 192.0.2.{3 - number}"
            f" encap {encap} encap-dport 5555",
            f"addr add 10.1.1.{number}/24 dev tun1",
            "link set tun1 up",
        )
    floods = [
        host.start("ping", "-n", "-qf", f"10.1.1.{3 - number}")
        for number, host in enumerate(hosts, start=1)
    ]
    for _ in range(5):
        run("rmmod", "rfou")
        run("insmod", rfou_file())
        for host in hosts:
            host.ip("fou", "add", "port", "5555", *how)
    h1.run("ping", "-n", "-c", "2", "-i", "0.01", "-W", "5", "10.1.1.2")
    assert all(flood.poll() is None for flood in floods), "the floods have not ended"
    assert h2.traffic("tun1")["tx"]["packets"] > 0


@pytest.mark.parametrize("version", [4, 6])
def test_packet_waits_in_a_queue_while_the_module_is_unloaded(hosts, without_rfou, version):
    """Early demux finds the socket of a connected port; the queued packet keeps a reference.

    h1 -- UDP --> h2: early demux [queue] --> the closed socket
    """
    h1, h2 = hosts
    run("insmod", rfou_file())
    h2.batch(
        # UDP calls encapsulation hooks only while some socket in the kernel has one.
        "link add vx0 type vxlan id 1 dstport 4789",
        "link set vx0 up",
    )
    ends = ("192.0.2.1", "192.0.2.2") if version == 4 else ("2001:db8::1", "2001:db8::2")
    port = ["port", 5555, "local", ends[1], "peer", ends[0], "peer_port", 4444]
    h2.ip(f"-{version}", "fou", "add", *port, "ipproto", 4)
    h2.run(
        "nft",
        "table inet t { chain c { type filter hook input priority 0;"
        " udp dport 5555 queue num 7; }; }",
    )
    with h2.inside():
        queue = Queue(7)
    with h1.inside():
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with queue, sender:
        sender.bind(("", 4444))
        sender.connect((ends[1], 5555))
        sender.send(bytes(100))
        packet = queue.packet()
        run("rmmod", "rfou")
        # A call of unloaded code would kill this process.
        queue.accept(packet)
    h1.run("ping", "-n", "-c", "1", "-W", "5", ends[1])


def test_modinfo():
    shown = run("modinfo", rfou_file()).stdout
    assert "license:        GPL" in shown
    assert "alias:          net-pf-16-proto-16-family-fou" in shown
    assert f"vermagic:       {os.uname().release} " in shown


@pytest.mark.parametrize("name", ["rfou", "rfou6"])
def test_module_shows_the_version_of_the_source(name):
    version = (TOP / "VERSION").read_text()
    file = os.environ[f"{name.upper()}_MODULE_FILE"]
    assert run("modinfo", "-F", "version", file).stdout == version, "in the file"
    assert pathlib.Path(f"/sys/module/{name}/version").read_text() == version, "when it is loaded"


@pytest.fixture
def few_modules(tmp_path):
    """A module tree with the IP modules only: depmod would need minutes to read all modules."""
    tree = pathlib.Path("/lib/modules", os.uname().release)
    for part in ("kernel/net/ipv4", "kernel/net/ipv6"):
        run("mkdir", "-p", tmp_path / part)
        # Without subfolders, which hold netfilter's modules.
        run(
            "find",
            tree / part,
            "-maxdepth",
            "1",
            "-type",
            "f",
            "-exec",
            "cp",
            "-t",
            tmp_path / part,
            "{}",
            "+",
        )
    run("mount", "--bind", tmp_path, tree)
    yield
    run("umount", tree)


def ip_has_installed_plugin():
    """Returns whether `ip` knows the link kind gue from its own folder of plug-ins."""
    shown = run("env", "--unset=IP_LIB_DIR", "ip", "link", "help", "gue", check=False)
    return "linux-remcsum" in shown.stdout


@pytest.mark.soak_on_debug
def test_modprobe_aliases_and_autoload(without_rfou, few_modules):
    run(TOP / "scripts/build/install-module", pathlib.Path(rfou_file()).parent)
    assert ip_has_installed_plugin()
    for ask in (["modprobe", "rfou"], ["modprobe", "fou"], ["ip", "fou", "show"]):
        run(*ask)
        assert loaded("rfou") and not loaded("fou"), f"after {' '.join(ask)}"
        run("rmmod", "rfou")
    # Linux's fou6 depends on fou.
    for ask in (["modprobe", "rfou6"], ["modprobe", "fou6"]):
        run("rmmod", "rfou6")
        run(*ask)
        assert loaded("rfou6") and loaded("rfou"), f"after {' '.join(ask)}"
        assert not loaded("fou6") and not loaded("fou")
        run("rmmod", "rfou")
    # After an uninstall, modprobe loads Linux's fou.
    run(TOP / "scripts/build/uninstall-module")
    assert not ip_has_installed_plugin()
    assert run("modprobe", "rfou", check=False).returncode != 0
    run("modprobe", "fou")
    assert loaded("fou") and not loaded("rfou")


def test_package_removal_unloads_rfou_once_unused(hosts):
    """The maintainer scripts run debian/unload, which looks for users in every namespace."""
    unload = TOP / "debian/unload"
    port = ["port", "5555", "ipproto", "4"]
    hosts[1].ip("fou", "add", *port)
    said = run(unload, "rfou").stderr
    assert loaded("rfou") and "stays until they are deleted" in said, "a port uses it"
    hosts[1].ip("fou", "del", *port)
    tunnel = "link add tun1 type ipip local 192.0.2.2 remote 192.0.2.1"
    hosts[1].batch(f"{tunnel} encap gue encap-dport 5555")
    assert "rmmod rgue rfou6 rfou" in run(unload, "rfou").stderr, "the user is told what to do"
    assert loaded("rfou"), "a tunnel uses it"
    hosts[1].ip("link", "del", "tun1")
    try:
        run(unload, "rfou")
        assert not loaded("rfou") and not loaded("rfou6")
        assert run(unload, "rfou").stderr == "", "nothing is left to do"
    finally:
        for name in ("RFOU_MODULE_FILE", "RFOU6_MODULE_FILE", "RGUE_MODULE_FILE"):
            if name in os.environ:
                run("insmod", os.environ[name], check=False)
