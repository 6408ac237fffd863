// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::netlink;

fn named() -> Builder {
    Builder::default()
        .put_u32(attr::IFINDEX, 9)
        .put_string(attr::IFNAME, "gue0")
}

fn heard() -> Builder {
    named()
        .put(attr::REMOTE4, [192, 0, 2, 2])
        .put_be16(attr::REMOTE_PORT, 6081)
        .put_u8(attr::ALIVE, 1)
        .put(attr::LAST_HEARD, 412_u64.to_ne_bytes())
        .put(attr::RTT, 1_234_567_u64.to_ne_bytes())
        .put(attr::MOVES, 1_u64.to_ne_bytes())
        .put(attr::LIMITED, (1_u64 << 40).to_ne_bytes())
}

#[test]
fn a_peer_is_read_as_the_kernel_sends_it() {
    let peer = read(&heard().build()).unwrap();
    let expected = Peer {
        device: "gue0".into(),
        index: 9,
        remote: Some("192.0.2.2".parse().unwrap()),
        port: Some(6081),
        alive: Some(true),
        last_heard_ms: Some(412),
        rtt_ns: Some(1_234_567),
        moves: 1,
        limited: 1 << 40,
        ..Peer::default()
    };
    assert_eq!(peer, expected);
    let peer = read(&named().put(attr::REMOTE6, [1; 16]).build()).unwrap();
    assert_eq!(
        peer.remote,
        Some("101:101:101:101:101:101:101:101".parse().unwrap())
    );
    assert_eq!(
        read(&Builder::default().put_u32(attr::IFINDEX, 9).build()),
        None
    );
}

#[test]
fn text_has_no_word_about_what_is_not_known() {
    let text = |bytes: Builder| read(&bytes.build()).unwrap().to_string();
    assert_eq!(
        text(heard()),
        "192.0.2.2 port 6081, alive, heard 412 ms ago, rtt 1.234 ms"
    );
    assert_eq!(text(named()), "none, never heard");
    assert_eq!(
        text(
            named()
                .put(attr::REMOTE4, [192, 0, 2, 2])
                .put_u8(attr::ALIVE, 0)
        ),
        "192.0.2.2, dead, never heard"
    );
}

#[test]
fn times_have_three_decimals() {
    for (ns, text) in [
        (0, "0.000"),
        (999, "0.000"),
        (1_000, "0.001"),
        (12_345_678, "12.345"),
    ] {
        assert_eq!(milliseconds(ns), text);
    }
}

#[test]
fn a_pong_has_its_request_and_its_time() {
    let bytes = Builder::default()
        .put_u32(attr::IFINDEX, 9)
        .put(attr::SEQUENCE, u64::MAX.to_ne_bytes())
        .put(attr::RTT, 5_u64.to_ne_bytes())
        .put(attr::REMOTE4, [192, 0, 2, 2])
        .put_be16(attr::REMOTE_PORT, 6080);
    let pong = Pong {
        sequence: u64::MAX,
        rtt_ns: 5,
        from: Some("192.0.2.2".parse().unwrap()),
        port: Some(6080),
    };
    assert_eq!(read_pong(&bytes.build()), Some(pong));
    assert_eq!(read_pong(&named().build()), None);
}

#[test]
fn a_refusal_names_the_argument_and_some_pass() {
    let refusal = |errno| Refusal {
        errno,
        text: Some("told".into()),
        path: vec![],
    };
    let error = to_error(&refusal(ENODEV));
    assert_eq!(
        (error.kind, error.argument.as_deref()),
        (Kind::NotFound, Some("DEVICE"))
    );
    for errno in [EAGAIN, ENETDOWN, EHOSTUNREACH, EDESTADDRREQ, ENOKEY] {
        assert!(is_transient(&refusal(errno)));
        assert_eq!(to_error(&refusal(errno)).message, "told");
    }
    for errno in [ENODEV, EOPNOTSUPP, 1, 22] {
        assert!(!is_transient(&refusal(errno)));
    }
}

#[test]
fn numbers_are_those_of_the_spec() {
    let spec = include_str!("../../../../Documentation/netlink/gue.yaml");
    let names = netlink::tests::names_in_spec(spec, "link");
    for (number, name) in [
        (attr::IFINDEX, "ifindex"),
        (attr::IFNAME, "ifname"),
        (attr::REMOTE4, "remote4"),
        (attr::REMOTE6, "remote6"),
        (attr::REMOTE_PORT, "remote-port"),
        (attr::ALIVE, "alive"),
        (attr::LAST_HEARD, "last-heard"),
        (attr::RTT, "rtt"),
        (attr::MOVES, "moves"),
        (attr::REPLAYS, "replays"),
        (attr::AUTH_FAILURES, "auth-failures"),
        (attr::REQUESTS, "requests"),
        (attr::REPLIES, "replies"),
        (attr::LIMITED, "limited"),
        (attr::SEQUENCE, "sequence"),
    ] {
        assert_eq!(names[usize::from(number) - 1], name);
    }
    let operations = spec.split("\noperations:").nth(1).unwrap();
    let first = operations.split("      value: 4").next().unwrap();
    assert_eq!(first.matches("      name: ").count(), usize::from(PEER_GET));
    let names: Vec<_> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("      name: "))
        .collect();
    for (command, name) in [
        (PEER_GET, "peer-get"),
        (PING, "ping"),
        (PONG, "pong"),
        (PEER_MOVED, "peer-moved"),
        (PEER_DEAD, "peer-dead"),
        (PEER_ALIVE, "peer-alive"),
    ] {
        assert_eq!(names[usize::from(command) - 1], name);
    }
}
