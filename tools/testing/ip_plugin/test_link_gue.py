# SPDX-License-Identifier: GPL-2.0
"""The plug-in for the kind gue in Debian's `ip`, without a kernel that has the kind.

The tests see which words the plug-in refuses, and the bytes that `ip` sends for words that it
accepts. The kernel refuses the kind only after that. Guest tests cover the kernel's side.
"""

import os
import pathlib
import re
import struct
import subprocess

import pytest
import yaml

from testing.lib.netlink import attribute, parse_attributes

PLUGIN = pathlib.Path(os.environ.get("RFOU_IP_PLUGIN", "build/ip-link-gue/link_gue.so"))
SOURCE = pathlib.Path("tools/ip-link-gue")
SPEC = pathlib.Path("Documentation/netlink/rt-link-gue.yaml")
# An ordinary user is refused before the kind is looked up.
BY_THE_KERNEL = "Unknown device type|Operation not permitted"
RTM_NEWLINK, IFLA_IFNAME, IFLA_LINKINFO = 16, 3, 18
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_XSTATS = 1, 2, 3


def run(*command, **environment):
    """Runs a command with the plug-in's folder as that of `ip`."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "IP_LIB_DIR": str(PLUGIN.parent.resolve()), **environment},
    )


def add(words):
    """Runs `ip link add`; returns the completed process."""
    return run("ip", "link", "add", "gue0", "type", "gue", *words.split())


def attribute_names():
    """Returns the names of the kind's attributes by number, as in the spec."""
    sets = {found["name"]: found for found in yaml.safe_load(SPEC.read_text())["attribute-sets"]}
    names = [found["name"] for found in sets["linkinfo-gue-attrs"]["attributes"]]
    return dict(enumerate(names, start=1))


def sent(verb, words):
    """Returns the kind's attributes, as name and bytes, that `ip link` sends."""
    name = ("gue0",) if verb == "add" else ("dev", "lo")
    trace = ("strace", "-e", "trace=sendmsg", "-e", "write=all")
    done = run(*trace, "ip", "link", verb, *name, "type", "gue", *words.split())
    dump = done.stderr.rpartition("sendmsg(")[2]
    rows = re.findall(r"^ \| [0-9a-f]+  ([0-9a-f ]{48})", dump, re.MULTILINE)
    message = bytes.fromhex("".join(rows))
    info = dict(parse_attributes(message[32:]))[IFLA_LINKINFO]
    data = dict(parse_attributes(info)).get(IFLA_INFO_DATA, b"")
    names = attribute_names()
    return [(names[number], value.hex()) for number, value in parse_attributes(data)]


def u16(number):
    """Returns a number of two bytes in the machine's order, in hexadecimal."""
    return struct.pack("=H", number).hex()


ANY6 = "00" * 16
CRC_20 = {"crc": "01", "crc-cover": u16(20)}
ADDRESS6 = "20010db8" + "00" * 11 + "02"


@pytest.mark.parametrize(
    ("words", "attributes"),
    [
        ("remote 192.0.2.2", {"remote": "c0000202"}),
        ("remote 2001:db8::2", {"remote6": ADDRESS6}),
        ("remote any", {"remote": "00000000"}),
        ("remote ::", {"remote6": ANY6}),
        ("remote any local 2001:db8::2", {"local6": ADDRESS6, "remote6": ANY6}),
        ("remote 2001:db8::2 local any", {"remote6": ADDRESS6, "local6": ANY6}),
        ("id 4294967295", {"id": "ffffffff"}),
        ("dev lo", {"link": "01000000"}),
        ("port 6081 dport 6082", {"port": "17c1", "dport": "17c2"}),
        ("sport 7000", {"sport": "1b58"}),
        ("sport auto", {"sport": "0000"}),
        ("srcport 1000 2000", {"sport-range": "03e807d0"}),
        ("mode ip", {"mode": "00"}),
        ("mode ethernet", {"mode": "01"}),
        ("variant 1", {"variant": "01"}),
        ("ttl 64", {"ttl": "40", "ttl-inherit": "00"}),
        ("ttl auto", {"ttl": "00", "ttl-inherit": "00"}),
        ("ttl inherit", {"ttl": "00", "ttl-inherit": "01"}),
        ("tos 0xb8", {"tos": "b8", "tos-inherit": "00"}),
        ("tos inherit", {"tos": "00", "tos-inherit": "01"}),
        ("df unset", {"df": "00"}),
        ("df set", {"df": "01"}),
        ("df inherit", {"df": "02"}),
        ("flowlabel 0xfedcb", {"flowlabel": "000fedcb"}),
        ("udpcsum", {"udp-csum": "01"}),
        ("noudpcsum", {"udp-csum": "00"}),
        ("udp6zerocsumtx noudp6zerocsumrx", {"udp-zero-csum6-tx": "01", "udp-zero-csum6-rx": "00"}),
        ("noudp6zerocsumtx udp6zerocsumrx", {"udp-zero-csum6-tx": "00", "udp-zero-csum6-rx": "01"}),
        ("remcsum", {"remcsum": "01"}),
        ("linux-remcsum", {"remcsum": "02"}),
        ("noremcsum", {"remcsum": "00"}),
        ("nolinux-remcsum", {"remcsum": "00"}),
        ("auth none", {"auth": "00"}),
        ("auth cookie8", {"auth": "01"}),
        ("auth cookie16", {"auth": "02"}),
        ("auth cookie32", {"auth": "03"}),
        ("auth hmac", {"auth": "04"}),
        ("auth hmac cover all", {"auth": "04", "cover": u16(65535)}),
        ("cover 100", {"cover": u16(100)}),
        ("headercsum", {"headercsum": "01", "headercsum-cover": u16(0)}),
        ("headercsum 65534", {"headercsum": "01", "headercsum-cover": u16(65534)}),
        ("headercsum all", {"headercsum": "01", "headercsum-cover": u16(65535)}),
        ("noheadercsum", {"headercsum": "00"}),
        ("crc df set", {"crc": "01", "crc-cover": u16(0), "df": "01"}),
        ("crc 20 headercsum", dict(CRC_20, headercsum="01", **{"headercsum-cover": u16(0)})),
        ("crc all", {"crc": "01", "crc-cover": u16(65535)}),
        ("nocrc", {"crc": "00"}),
        ("fragment df set", {"fragment": "01", "fragment-size": u16(0), "df": "01"}),
        ("fragment 1280", {"fragment": "01", "fragment-size": u16(1280)}),
        ("nofragment", {"fragment": "00"}),
        ("keepalive 5", {"keepalive": u16(5)}),
        ("keepalive 5 dead 20", {"keepalive": u16(5), "dead": u16(20)}),
        ("dead 65535 keepalive 65534", {"dead": u16(65535), "keepalive": u16(65534)}),
        ("keepalive 0", {"keepalive": u16(0)}),
        ("dead 2", {"dead": u16(2)}),
        ("roaming", {"roaming": "01"}),
        ("noroaming", {"roaming": "00"}),
    ],
)
def test_words_become_these_attributes_and_no_others(words, attributes):
    assert sent("set", words) == list(attributes.items())


def shown(folder, attributes, *options, xstats=None):
    """Returns what `ip` prints of a link that it reads from a file instead of a kernel."""
    numbers = {name: number for number, name in attribute_names().items()}
    data = [attribute(numbers[name], bytes.fromhex(value)) for name, value in attributes.items()]
    info = attribute(IFLA_INFO_KIND, b"gue\0") + attribute(IFLA_INFO_DATA, b"".join(data))
    if xstats is not None:
        info += attribute(IFLA_INFO_XSTATS, xstats)
    body = struct.pack("=BxHiII", 0, 0xFFFE, 9, 0, 0) + attribute(IFLA_IFNAME, b"gue0\0")
    body += attribute(IFLA_LINKINFO, info)
    file = folder / "message"
    file.write_bytes(struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, 0, 0, 0) + body)
    return run("ip", "-d", *options, "monitor", "file", str(file)).stdout


HMAC = {"auth": "04", "cover": u16(0)}


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"auth": "00"}, "auth none"),
        ({"auth": "01"}, "auth cookie8"),
        ({"auth": "02"}, "auth cookie16"),
        ({"auth": "03"}, "auth cookie32"),
        (HMAC, "auth hmac cover 0"),
        (HMAC | {"cover": u16(65535)}, "auth hmac cover all"),
        ({"headercsum": "00"}, "noheadercsum"),
        ({"headercsum": "01", "headercsum-cover": u16(0)}, "headercsum"),
        ({"headercsum": "01", "headercsum-cover": u16(65535)}, "headercsum all"),
        (CRC_20, "crc 20"),
        ({"remcsum": "01", "crc": "00"}, "remcsum nocrc"),
        ({"fragment": "00"}, "nofragment"),
        ({"fragment": "01", "fragment-size": u16(0)}, "fragment"),
        ({"fragment": "01", "fragment-size": u16(1280)}, "fragment 1280"),
        ({"keepalive": u16(0), "roaming": "00"}, "keepalive 0 noroaming"),
        (
            {"keepalive": u16(5), "dead": u16(15), "roaming": "01"},
            "keepalive 5 dead 15 roaming",
        ),
    ],
)
def test_attributes_are_printed_as_the_words_that_make_them(tmp_path, attributes, words):
    text = shown(tmp_path, attributes)
    assert re.search(r"^    gue (.*?) *$", text, re.MULTILINE)[1] == words
    assert sent("set", words) == list(attributes.items())


def test_an_auth_of_a_newer_kernel_is_printed_as_unknown(tmp_path):
    assert "gue auth unknown" in shown(tmp_path, {"auth": "05"})


PEER = struct.pack("=8Q", 412, 1234567, 1, 2, 3, 4, 5, 6)
NOBODY = struct.pack("=8Q", 2**64 - 1, *(0,) * 7)


@pytest.mark.parametrize(
    ("xstats", "lines"),
    [
        (
            PEER,
            [
                "peer: heard 412 ms ago rtt 1.234 ms moves 1 replays 2 auth-failures 3",
                "echo: requests 4 replies 5 limited 6",
            ],
        ),
        (
            NOBODY,
            [
                "peer: heard never moves 0 replays 0 auth-failures 0",
                "echo: requests 0 replies 0 limited 0",
            ],
        ),
        # A newer kernel may send more counters. The plug-in prints nothing if there are fewer.
        (PEER + bytes(8), ["peer: heard 412 ms ago", "echo: requests 4 replies 5 limited 6"]),
        (PEER[:-1], []),
    ],
)
def test_extended_statistics_are_two_lines(tmp_path, xstats, lines):
    text = shown(tmp_path, {"roaming": "00"}, "-s", xstats=xstats)
    after = text.partition("    gue noroaming ")[2].splitlines()[1:]
    assert [line.strip()[: len(like)] for line, like in zip(after, lines, strict=False)] == lines
    assert text.count("peer:") == text.count("echo:") == (1 if lines else 0)
    assert "peer:" not in shown(tmp_path, {"roaming": "00"}, xstats=xstats)


def test_external_needs_no_remote():
    assert sent("add", "external") == [("external", "")]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", BY_THE_KERNEL),
        ("id 5", 'argument "remote" is required'),
        ("remote", "Command line is not complete"),
        ("remote 192.0.2", '"192.0.2" is wrong: remote must be an IPv4 or IPv6 address, or any'),
        ("remote 224.0.0.1", '"224.0.0.1" is wrong: remote must not be a multicast address'),
        ("remote ff02::1", '"ff02::1" is wrong: remote must not be a multicast address'),
        ("remote any local 239.1.1.1", "local must not be a multicast address"),
        ("remote 192.0.2.2 local 2001:db8::1", "local must be of the IP version of remote"),
        ("remote any remote any", 'duplicate "remote": "any" is the second value'),
        ("remote any id 4294967296", "id must be a number from 0 to 4294967295"),
        ("remote any id x", '"x" is wrong: id must be a number'),
        ("remote any dev eth9", '"eth9" is wrong: dev names no device'),
        ("remote any port 0", "port must be a number from 1 to 65535"),
        ("remote any dport 65536", "dport must be a number from 1 to 65535"),
        ("remote any sport 0", "sport must be a number from 1 to 65535"),
        ("remote any srcport 0 5", '"0" is wrong: srcport must be a number from 1 to 65535'),
        ("remote any srcport 6 5", '"5" is wrong: srcport must not have its last port below'),
        ("remote any srcport 5", "Command line is not complete"),
        ("remote any srcport 5 6 sport 7", "sport contradicts an earlier argument"),
        ("remote any mode tap", '"tap" is wrong: mode must be ip or ethernet'),
        ("remote any variant 2", "variant must be a number from 0 to 1"),
        ("remote any variant 1 id 5", "id needs a GUE header, and variant 1 has none"),
        ("remote any remcsum variant 1", "remcsum needs a GUE header, and variant 1 has none"),
        ("remote any linux-remcsum variant 1", "linux-remcsum needs a GUE header"),
        ("remote any noremcsum variant 1", BY_THE_KERNEL),
        ("external remote any", "remote cannot be combined with external"),
        ("external id 5", "id cannot be combined with external"),
        ("remote any ttl 256", "ttl must be a number from 1 to 255"),
        ("remote any ttl 0", "ttl must be a number from 1 to 255"),
        ("remote any tos 0x100", "tos must be inherit, a name or a hexadecimal number"),
        ("remote any tos 0x01", "tos must not set the bits of ECN"),
        ("remote any df yes", "df must be unset, set or inherit"),
        ("remote any flowlabel 0x100000", "flowlabel must be a number from 0 to 1048575"),
        ("remote any udpcsum noudpcsum", "noudpcsum contradicts an earlier argument"),
        ("remote any remcsum linux-remcsum", "linux-remcsum contradicts an earlier argument"),
        ("remote any remcsum remcsum", 'duplicate "remcsum"'),
        ("remote any auth md5", '"md5" is wrong: auth must be none, cookie8, cookie16'),
        ("remote any cover 0", "cover needs auth hmac"),
        ("remote any auth cookie8 cover 0", "cover needs auth hmac"),
        ("remote any auth hmac cover 65535", "cover must be all, or a number of bytes from 0"),
        ("remote any auth hmac cover some", '"some" is wrong: cover must be all, or a number'),
        ("remote any headercsum 65535", '"65535" is wrong: headercsum must be all, or a number'),
        ("remote any crc -1", '"-1" is wrong: crc must be all, or a number of bytes'),
        ("remote any crc some", 'gue: unknown argument "some"'),
        ("remote any nocrc 0", 'gue: unknown argument "0"'),
        ("remote any crc nocrc", "nocrc contradicts an earlier argument"),
        ("remote any auth hmac auth hmac", 'duplicate "auth": "hmac" is the second value'),
        ("remote any auth cookie8 variant 1", "auth needs a GUE header, and variant 1 has none"),
        ("remote any headercsum variant 1", "headercsum needs a GUE header, and variant 1 has"),
        ("remote any variant 1 crc all", "crc needs a GUE header, and variant 1 has none"),
        ("remote any auth none noheadercsum nocrc variant 1", BY_THE_KERNEL),
        ("remote any auth hmac cover all headercsum crc 8", BY_THE_KERNEL),
        ("remote any fragment 0", "fragment must be a number from 1 to 65535"),
        ("remote any fragment 65536", "fragment must be a number from 1 to 65535"),
        ("remote any nofragment 1280", 'gue: unknown argument "1280"'),
        ("remote any fragment variant 1", "fragment needs a GUE header, and variant 1 has none"),
        ("remote any nofragment variant 1", BY_THE_KERNEL),
        ("remote any key 1", 'gue: unknown argument "key"'),
        ("remote any keepalive", "Command line is not complete"),
        ("remote any keepalive 65535", "keepalive must be a number from 0 to 65534"),
        ("remote any keepalive soon", '"soon" is wrong: keepalive must be a number'),
        ("remote any keepalive 5 keepalive 5", 'duplicate "keepalive": "5" is the second value'),
        ("remote any keepalive 5 dead 5", "dead must be more seconds than keepalive"),
        ("remote any dead 5", "dead needs keepalive"),
        ("remote any dead 5 keepalive 0", "dead needs keepalive"),
        ("remote any keepalive 1 dead 1", "dead must be a number from 2 to 65535"),
        ("remote any roaming noroaming", "noroaming contradicts an earlier argument"),
        ("remote any variant 1 roaming", "roaming needs a GUE header, and variant 1 has none"),
        ("remote any variant 1 noroaming keepalive 1 dead 2", BY_THE_KERNEL),
    ],
)
def test_refusal_names_the_argument(words, text):
    done = add(words)
    assert done.returncode != 0
    pattern = text if text is BY_THE_KERNEL else re.escape(text)
    assert re.search(pattern, done.stderr), done.stderr
    assert done.stdout == ""


def words_of_help():
    """Returns the words of `ip link help gue`, without values and alternatives in capitals."""
    shown = run("ip", "link", "help", "gue").stdout
    options = shown.partition("Where:")[0].replace("[no]", "")
    return set(re.findall(r"\b[a-z][a-z0-9-]+\b", options)) - {"gue"}


def test_help_names_each_word_and_so_do_the_pages():
    table = (SOURCE / "parse.c").read_text().partition("options[] = {")[2]
    known = re.findall(r'^\t\{ "([^"]+)"', table, re.MULTILINE)
    assert {word.removeprefix("no") for word in known} <= words_of_help()
    for page in (SOURCE / "ip-link-gue.8", pathlib.Path("Documentation/gue-device.rst")):
        text = page.read_text().replace("\\-", "-").replace("\\fR", "").replace("\\fB", "")
        missing = {word for word in words_of_help() if not re.search(rf"\b{word}\b", text)}
        assert not missing, f"{page} does not name {missing}"


def test_help_in_a_command_goes_to_stderr():
    done = add("help")
    assert done.stderr == run("ip", "link", "help", "gue").stdout
    assert done.returncode != 0


def test_numbers_are_the_same_in_spec_and_header():
    header = (SOURCE / "rt_link_gue.h").read_text()
    members = re.search(r"IFLA_GUE_UNSPEC,(.*?)__IFLA_GUE_MAX", header, re.DOTALL)[1]
    names = [name.lower().replace("_", "-") for name in re.findall(r"IFLA_GUE_(\w+)", members)]
    assert dict(enumerate(names, start=1)) == attribute_names()


@pytest.mark.parametrize(
    ("program", "fact"),
    [("true", "no function incomplete_command"), ("tc", "another struct link_util")],
)
def test_plugin_refuses_a_program_that_is_not_this_ip(program, fact):
    done = run(program, LD_PRELOAD=str(PLUGIN))
    assert done.stderr.startswith(f"Error: link_gue.so: {fact} in this ip; build the plug-in")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 1


def test_plugin_uses_no_function_that_it_does_not_check():
    header = (SOURCE / "iproute2.h").read_text()
    checked = set(re.findall(r"^\tFUNCTION\([^,]+, (\w+),", header, re.MULTILINE))
    found = run("nm", "-D", "--undefined-only", str(PLUGIN)).stdout
    undefined = {line.split()[-1] for line in found.splitlines() if " U " in line}
    assert {name for name in undefined if "@" not in name} == checked
