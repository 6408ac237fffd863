// SPDX-License-Identifier: GPL-2.0

//! `rfou port`.

use crate::{
    cli::{Encap, Endpoint, PortAdd, PortCommand, PortDel, PortShow},
    error::{Error, Kind, Result},
    netns,
    output::{bytes, table, write, Output},
    port::{Encapsulation, Family, Identity, Port, Settings},
    ports::{Ports, Set, Which},
    protocol,
};
use serde_json::json;

pub fn run(command: &PortCommand, which: Option<Which>, output: Output) -> Result {
    match command {
        PortCommand::Show(args) => show(args, &mut Ports::open(which)?, output),
        PortCommand::Add(args) => add(args, which, output),
        PortCommand::Del(args) => del(args, which, output),
    }
}

fn show(args: &PortShow, ports: &mut Ports, output: Output) -> Result {
    let mut shown = ports.list()?;
    if let Some(wanted) = args.port {
        shown.retain(|port| port.identity.port == wanted);
        if shown.is_empty() {
            return Err(absent(wanted).argument("PORT"));
        }
    }
    shown.sort_by(|a, b| a.identity.cmp(&b.identity));
    shown.sort_by_key(|port| port.identity.port);
    if args.statistics && !ports.has_counters() && !output.json {
        eprintln!("rfou: this kernel's module has no counters of ports");
    }
    if !args.statistics {
        for port in &mut shown {
            port.counters = None;
        }
    }
    output.print(&json!({ "ports": shown }), || text(&shown, output))
}

/// Returns ports as a table, each followed by the line of its counters.
fn text(ports: &[Port], output: Output) -> String {
    if ports.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = ports.iter().map(row).collect();
    let heading = [
        "PORT", "FAMILY", "ENCAP", "PROTOCOL", "LOCAL", "PEER", "DEV", "OPTIONS",
    ];
    let table = table(output, &heading, &rows);
    let mut lines = table.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or(""));
    for (line, port) in lines.zip(ports) {
        text += &format!("{line}\n{}", statistics(port));
    }
    text
}

fn row(port: &Port) -> Vec<String> {
    let (identity, settings) = (&port.identity, &port.settings);
    let none = || "-".to_string();
    let (encap, inner) = match settings.encapsulation {
        Encapsulation::Fou(number) => (
            "fou",
            protocol::name(number).map_or_else(|| number.to_string(), String::from),
        ),
        Encapsulation::Gue => ("gue", none()),
    };
    vec![
        identity.port.to_string(),
        identity.family.to_string(),
        encap.to_string(),
        inner,
        identity
            .local
            .map_or_else(|| "any".into(), |local| local.to_string()),
        identity.peer.map_or_else(
            || "any".into(),
            |peer| std::net::SocketAddr::from(peer).to_string(),
        ),
        match identity.ifindex {
            0 => "any".into(),
            index => netns::interface_name(index),
        },
        match settings.remcsum_nopartial {
            true => "remcsum-nopartial".into(),
            false => none(),
        },
    ]
}

fn statistics(port: &Port) -> String {
    let Some(counters) = &port.counters else {
        return String::new();
    };
    let mut text = format!(
        "       received {} packets, {}; dropped {}",
        counters.rx_packets,
        bytes(counters.rx_bytes),
        counters.drops
    );
    let reasons: Vec<_> = counters
        .drops_by_reason
        .iter()
        .filter(|drop| drop.packets != 0)
        .map(|drop| format!("{} {}", drop.reason, drop.packets))
        .collect();
    if !reasons.is_empty() {
        text += &format!(": {}", reasons.join(", "));
    }
    text + "\n"
}

fn add(args: &PortAdd, which: Option<Which>, output: Output) -> Result {
    let settings = Settings {
        encapsulation: encapsulation(args.encap, args.protocol)?,
        remcsum_nopartial: args.remcsum_nopartial,
    };
    let identity = identity(args.port, &args.endpoint)?;
    let mut ports = Ports::open(which)?;
    let done = match args.replace {
        true => ports.set(&identity, &settings)?,
        false => {
            ports.add(&identity, &settings)?;
            Set::Added
        }
    };
    let result = match done {
        Set::Added => "added",
        Set::Replaced => "replaced",
        Set::Unchanged => "unchanged",
    };
    if !output.json {
        return Ok(());
    }
    let port = ports.find(&identity)?;
    write(&format!("{}\n", json!({ "result": result, "port": port })))
}

/// Reads the format of a port's packets.
pub fn encapsulation(encap: Option<Encap>, protocol: Option<u8>) -> Result<Encapsulation> {
    match (encap, protocol) {
        (Some(Encap::Gue), None) => Ok(Encapsulation::Gue),
        (Some(Encap::Gue), Some(_)) => Err(Error::usage(
            "a GUE port has no protocol of its own: the GUE header names the protocol",
        )
        .argument("--protocol")
        .hint("leave --protocol out")),
        (_, Some(protocol)) => Ok(Encapsulation::Fou(protocol)),
        (_, None) => Err(
            Error::usage("a FOU port needs the IP protocol of its packets")
                .argument("--protocol")
                .hint("for example '--protocol ipip'; a GUE port is '--encap gue'"),
        ),
    }
}

/// Reads which port the words of a command mean.
fn identity(port: u16, endpoint: &Endpoint) -> Result<Identity> {
    let mut identity = identity_without_device(port, endpoint)?;
    if let Some(name) = &endpoint.dev {
        identity.ifindex = netns::interface_index(name).map_err(|error| error.argument("--dev"))?;
    }
    Ok(identity)
}

/// Checks the words, and reads all but the interface.
pub fn identity_without_device(port: u16, endpoint: &Endpoint) -> Result<Identity> {
    let family = family(endpoint)?;
    if endpoint.peer.is_some() != endpoint.peer_port.is_some() {
        let (given, missing) = match endpoint.peer {
            Some(_) => ("--peer", "--peer-port"),
            None => ("--peer-port", "--peer"),
        };
        return Err(Error::usage(format!("{given} needs {missing}")).argument(missing));
    }
    let local = endpoint.local.filter(|local| !local.is_unspecified());
    if endpoint.dev.is_some() && local.is_none() {
        return Err(Error::usage("--dev needs --local").argument("--local"));
    }
    Ok(Identity {
        family,
        port,
        local,
        peer: endpoint.peer.zip(endpoint.peer_port),
        ifindex: 0,
    })
}

fn family(endpoint: &Endpoint) -> Result<Family> {
    let asked = endpoint.ipv6.then_some(("--ipv6", Family::Ipv6));
    let local = endpoint.local.map(|at| ("--local", Family::of(at)));
    let peer = endpoint.peer.map(|at| ("--peer", Family::of(at)));
    let mut named = [asked, local, peer].into_iter().flatten();
    let Some((first, family)) = named.next() else {
        return Ok(Family::Ipv4);
    };
    match named.find(|other| other.1 != family) {
        None => Ok(family),
        Some((other, _)) => {
            Err(Error::usage(format!("{first} and {other} differ in IP version")).argument(other))
        }
    }
}

/// Deletes the only port that the words mean: less words than a port has are enough.
fn del(args: &PortDel, which: Option<Which>, output: Output) -> Result {
    let endpoint = &args.endpoint;
    let asked_family = match (endpoint.ipv6, endpoint.local, endpoint.peer) {
        (false, None, None) => None,
        _ => Some(family(endpoint)?),
    };
    let ifindex = match &endpoint.dev {
        Some(name) => Some(netns::interface_index(name).map_err(|error| error.argument("--dev"))?),
        None => None,
    };
    let mut ports = Ports::open(which)?;
    let mut found = ports.list()?;
    found.retain(|port| {
        let identity = &port.identity;
        let unless_given = |asked: bool, same: bool| !asked || same;
        let local = endpoint.local.filter(|local| !local.is_unspecified());
        identity.port == args.port
            && unless_given(
                asked_family.is_some(),
                Some(identity.family) == asked_family,
            )
            && unless_given(endpoint.local.is_some(), identity.local == local)
            && unless_given(
                endpoint.peer.is_some(),
                identity.peer.map(|peer| peer.0) == endpoint.peer,
            )
            && unless_given(
                endpoint.peer_port.is_some(),
                identity.peer.map(|peer| peer.1) == endpoint.peer_port,
            )
            && unless_given(ifindex.is_some(), Some(identity.ifindex) == ifindex)
    });
    let port = match found.as_slice() {
        [] => return Err(absent(args.port)),
        [port] => port.clone(),
        several => {
            let commands: Vec<_> = several
                .iter()
                .map(|port| format!("'rfou port del {}'", port.identity.arguments()))
                .collect();
            return Err(Error::usage(format!(
                "{} ports have the UDP port {}",
                several.len(),
                args.port
            ))
            .argument("PORT")
            .hint(format!("choose one: {}", commands.join(" or "))));
        }
    };
    ports.delete(&port.identity)?;
    match output.json {
        true => write(&format!(
            "{}\n",
            json!({ "result": "deleted", "port": port })
        )),
        false => Ok(()),
    }
}

fn absent(port: u16) -> Error {
    Error::new(Kind::NotFound, format!("port {port} does not exist"))
        .argument("PORT")
        .hint("'rfou port show' shows those that exist")
}
