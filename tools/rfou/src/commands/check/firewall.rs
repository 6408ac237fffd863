// SPDX-License-Identifier: GPL-2.0

//! nftables: rules that drop the packets of a port.

use super::{
    packets::{Fate, Ruleset},
    Item, Status,
};
use crate::port::Family;
use std::{collections::BTreeSet, path::Path, process::Command};

const NAME: &str = "firewall";

/// Follows a packet to each port through the rules of this network namespace.
pub fn check(ports: &BTreeSet<(u16, Family)>) -> Item {
    if ports.is_empty() {
        return Item::new(NAME, Status::Ok, "there is no port");
    }
    let nft = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(nft) = nft else {
        return Item::new(
            NAME,
            Status::Unknown,
            "nft is not installed, so that rules cannot be seen",
        );
    };
    let text = match Command::new(nft).args(["-j", "list", "ruleset"]).output() {
        Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout).into_owned(),
        _ => {
            return Item::new(NAME, Status::Unknown, "only root sees the rules")
                .with_todo("sudo rfou check");
        }
    };
    let Some(ruleset) = Ruleset::parse(&text) else {
        return Item::new(
            NAME,
            Status::Unknown,
            "the answer of nft was not understood",
        );
    };
    judge(&ruleset, ports)
}

fn judge(ruleset: &Ruleset, ports: &BTreeSet<(u16, Family)>) -> Item {
    let mut dropped = Vec::new();
    let mut partly = Vec::new();
    for &(port, family) in ports {
        match ruleset.fate(port, family) {
            Fate::Accepted => (),
            Fate::Depends => partly.push(format!("{port} {family}")),
            Fate::Dropped(by) => dropped.push((port, family, by)),
        }
    }
    if let Some((port, _, by)) = dropped.first() {
        let all: Vec<_> = dropped
            .iter()
            .map(|(port, family, _)| format!("{port} {family}"))
            .collect();
        return Item::todo(
            NAME,
            format!("{by} drops what comes to port {}", all.join(", ")),
            format!("accept it before that, for example 'udp dport {port} accept'"),
        );
    }
    match partly.is_empty() {
        true => Item::new(NAME, Status::Ok, format!("accepts {} ports", ports.len())),
        false => Item::new(
            NAME,
            Status::Note,
            format!(
                "accepts only some of what comes to port {}",
                partly.join(", ")
            ),
        ),
    }
}
