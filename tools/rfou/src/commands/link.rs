// SPDX-License-Identifier: GPL-2.0

//! `rfou link`.

use crate::{
    cli::{LinkCommand, LinkShow},
    error::{Error, Kind, Result},
    links::{field::FIELDS, Link, Links},
    output::{bytes, Output, Style},
    peers::{Peer, Peers},
};
use serde::Serialize;
use serde_json::{json, Value};

pub fn run(command: &LinkCommand, output: Output) -> Result {
    match command {
        LinkCommand::Show(args) => show(args, output),
        LinkCommand::Add(_) => Err(Error::usage(
            "'ip' adds, changes and deletes gue devices, and so does 'rfou apply'",
        )
        .hint("for example 'ip link add gue0 type gue id 5 local 192.0.2.1 remote 192.0.2.2'")),
    }
}

fn show(args: &LinkShow, output: Output) -> Result {
    let mut links = Links::open()?.list()?;
    if let Some(name) = &args.name {
        links.retain(|link| link.name == *name);
        if links.is_empty() {
            return Err(
                Error::new(Kind::NotFound, format!("there is no gue device '{name}'"))
                    .argument("NAME")
                    .hint("'rfou link show' shows those that exist"),
            );
        }
    }
    let mut peers = Vec::new();
    if !args.statistics {
        for link in &mut links {
            link.counters = None;
        }
    } else if !links.is_empty() {
        peers = match Peers::open() {
            // The module is gone by now.
            Err(error) if error.kind == Kind::Unsupported => Vec::new(),
            peers => peers?.list()?,
        };
    }
    let shown: Vec<_> = links
        .iter()
        .map(|link| Shown {
            link,
            peer: peers.iter().find(|peer| peer.index == link.index),
        })
        .collect();
    output.print(&json!({ "links": shown }), || {
        shown.iter().map(|shown| shown.text(output)).collect()
    })
}

/// A device with its peer.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    link: &'a Link,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a Peer>,
}

impl Shown<'_> {
    fn text(&self, output: Output) -> String {
        let mut text = text(self.link, output);
        if let Some(peer) = self.peer {
            text += &format!(
                "       peer {peer}, {} moves\n\
                 \x20      echo requests {}, replies {}, limited {}; {} replays, {} auth failures\n",
                peer.moves,
                peer.requests,
                peer.replies,
                peer.limited,
                peer.replays,
                peer.auth_failures
            );
        }
        text
    }
}

/// Returns a device as a line of its state, a line of its properties, and its counters.
fn text(link: &Link, output: Output) -> String {
    let up = if link.up { "up" } else { "down" };
    let mut text = format!(
        "{}: {up} state {} mtu {}\n      ",
        output.paint(Style::Bold, &link.name),
        link.state,
        link.mtu
    );
    for field in FIELDS {
        let value = link.properties.get(field.name);
        let Some(value) = value.filter(|value| **value != field.default(&link.properties)) else {
            continue;
        };
        text += &match value {
            Value::String(word) => format!(" {} {word}", field.name),
            Value::Bool(true) => format!(" {}", field.name),
            Value::Array(ports) => {
                let ports: Vec<_> = ports.iter().map(Value::to_string).collect();
                format!(" {} {}", field.name, ports.join("-"))
            }
            other => format!(" {} {other}", field.name),
        };
    }
    text.push('\n');
    if let Some(counters) = &link.counters {
        text += &format!(
            "       received {} packets, {}; {} errors, {} dropped\n",
            counters.rx_packets,
            bytes(counters.rx_bytes),
            counters.rx_errors,
            counters.rx_dropped
        );
        text += &format!(
            "       sent {} packets, {}; {} errors, {} dropped\n",
            counters.tx_packets,
            bytes(counters.tx_bytes),
            counters.tx_errors,
            counters.tx_dropped
        );
    }
    text
}
