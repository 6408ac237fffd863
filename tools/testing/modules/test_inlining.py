"""Inlining in the built modules: a packet pays for no call that its path does not need.

Names the functions that code of a packet's path may call. Any other function of ours that it calls
is a wrapper or a step of the path that the compiler no longer inlines, at a cost for each packet.
"""

import fnmatch

import pytest
from calls import callees

# Code that every packet of its kind runs.
PATHS = {
    "rfou": (
        "net::udp_tunnel::encap_rcv::<*>",
        "net::udp_tunnel::gro_receive::<*>",
        "net::udp_tunnel::gro_receive_v6::<*>",
        "net::udp_tunnel::gro_complete::<*>",
        "net::ip_tunnel::build_header::<*>",
        "<rfou::receive::GueDecapsulator>::decapsulate_with_remote_checksum",
    ),
    "rfou6": ("net::ip6_tunnel::build_header::<*>",),
}
# Steps that are functions of their own because both encapsulations or IP versions share them.
SHARED = (
    "<net::gro::Packet>::patch_remote_checksum",
    "<net::ip_tunnel::FlowIpv4 as net::ip_tunnel::Flow>::set_udp_checksum",
    "<net::skb::Outgoing>::push",
    "<net::skb::Skb>::partial_checksum",
    "net::flow_hash::compute",
    "net::segmentation::of_tcp_in_other",
    "net::skb::decap::keep_partial_checksum",
    "net::udp::flow_source_port",
    "net::udp_tunnel::gro_receive_v6::<*>",
    "rfou*::transmit::push_gue::<*>::{closure#0}",
    "<rfou::receive::GueDecapsulator>::decapsulate_with_remote_checksum",
    "<gue::header::Header>::parse_dialect",
)
# Steps that few packets take: headers out of line, no room, a drop, a lookup after a timeout.
RARE = (
    "<rfou::reason::Reason>::number",
    "net::gro::find_in_fragment",
    "net::ip_tunnel::look_up_segmentation",
    "net::ip_tunnel::source_of_route",
    "net::skb::free_read",
    "net::skb::make_headroom",
    "net::skb::make_tailroom",
    "net::skb::pull_tail",
    "rfou::receive::decapsulate_with_any_remote_checksum",
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
