# SPDX-License-Identifier: GPL-2.0
"""Inlining in the built modules: a packet pays for no call that its path does not need.

Lists the functions of ours that the code of a packet's path may call. If this code calls another
one, the compiler no longer inlines a wrapper or a step of the path, which costs each packet.
"""

import fnmatch

import pytest

from testing.modules.calls import callees

# Code that every packet of its kind runs.
PATHS = {
    "rfou": (
        "net::udp_tunnel::hooks::encap_rcv::<*>",
        "net::udp_tunnel::hooks::gro_receive::<*>",
        "net::udp_tunnel::hooks::gro_receive_v6::<*>",
        "net::udp_tunnel::hooks::gro_complete::<*>",
        "net::ip_tunnel::hooks::build_header::<*>",
        "<rfou::receive::GueDecapsulator>::receive_remcsum::<*>",
    ),
    "rfou6": ("net::ip_tunnel::hooks::build_header::<*>",),
}
# Steps that are functions of their own because both encapsulations or IP versions share them.
SHARED = (
    "<gue::header::Header>::parse_variant_0::<*>",
    "<net::gro::receive::Patch>::write_remote_checksum",
    "<net::ip_tunnel::FlowIpv4 as net::ip_tunnel::Flow>::set_udp_checksum",
    "<net::skb::SkBuff>::keep_partial_checksum",
    "<net::skb::SkBuff>::partial_checksum",
    "<net::skb::xmit::TxSkb>::push",
    "<rfou::receive::GueDecapsulator>::receive_remcsum::<*>",
    "net::flow_hash::compute",
    "net::gro::receive::receive_any::<*>",
    "net::segmentation::of_tcp_in_other",
    "net::udp_tunnel::hooks::gro_receive_v6::<*>",
    "net::udp_xmit::flow_source_port",
    "rfou::receive::shorten_gso",
)
# Steps that few packets take: a GSO packet's count, headers out of line, no room, a drop, a lookup
# after a timeout, a trace event.
RARE = (
    "<net::gro::skb::GroSkb>::find_in_fragment",
    "<net::ip_tunnel::FlowIpv4>::look_up_segmentation",
    "<net::ip_tunnel::FlowIpv4>::source_of_route",
    "<net::skb::SkBuff>::make_tailroom",
    "<net::skb::SkBuff>::pull_tail",
    "<net::skb::decap::RxSkb>::decapsulate_with_any_remote_checksum",
    "<net::skb::xmit::TxSkb>::make_headroom",
    "<rfou::reason::Reason as core::convert::From<*>>::from",
    "<rfou::reason::Reason>::of",
    "<rfou::records::Records>::dropped",
    "<rfou::records::Records>::hit_receive",
    "rfou*::transmit::hit_tracepoint",
)


def matching(names, patterns):
    """The names that one of the patterns matches. Brackets stand for themselves."""
    patterns = [pattern.replace("[", "[[]") for pattern in patterns]
    return {name for name in names if any(fnmatch.fnmatchcase(name, p) for p in patterns)}


@pytest.fixture(scope="module", params=sorted(PATHS))
def module(request):
    """A module's name, and its functions with those that they call."""
    return request.param, callees(f"build/stock/{request.param}.ko")


@pytest.mark.parametrize(
    ("name", "pattern"), [(name, pattern) for name in PATHS for pattern in PATHS[name]]
)
def test_path_is_found_in_the_module(name, pattern):
    assert matching(callees(f"build/stock/{name}.ko"), [pattern]), (
        f"{name}.ko has no {pattern}: which function is the packet's path now?"
    )


def test_path_calls_only_steps_that_are_meant_to_be_functions(module):
    name, calls = module
    for function in sorted(matching(calls, PATHS[name])):
        surplus = calls[function] - matching(calls[function], SHARED + RARE)
        assert not surplus, f"{function} calls what was inlined into it: {sorted(surplus)}"


def test_shared_step_calls_only_steps_that_are_meant_to_be_functions(module):
    _, calls = module
    for function in sorted(matching(calls, SHARED)):
        surplus = calls[function] - matching(calls[function], SHARED + RARE)
        assert not surplus, f"{function} calls what was inlined into it: {sorted(surplus)}"


def test_helper_in_c_is_inlined_wherever_it_is_called(module):
    _, calls = module
    called = {other for others in calls.values() for other in others}
    helpers = sorted(name for name in called if name.startswith("rust_helper_"))
    assert not helpers, f"functions of rust/helpers that are called: {helpers}"
