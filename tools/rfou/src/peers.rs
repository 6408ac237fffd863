// SPDX-License-Identifier: GPL-2.0

//! The peers of `gue` devices, by the generic netlink family `gue`
//! (`Documentation/netlink/gue.yaml`): shown, pinged, and told when they move, die or come back.

use crate::{
    error::{Error, Kind, Result},
    genl,
    netlink::{attributes, be16, number, string, Builder, Refusal, Socket},
    ports,
};
use serde::Serialize;
use std::{fmt, net::IpAddr};

const PEER_GET: u8 = 4;
const PING: u8 = 5;
const PONG: u8 = 6;
const PEER_MOVED: u8 = 7;
const PEER_DEAD: u8 = 8;
const PEER_ALIVE: u8 = 9;

mod attr {
    pub const IFINDEX: u16 = 1;
    pub const IFNAME: u16 = 2;
    pub const REMOTE4: u16 = 8;
    pub const REMOTE6: u16 = 9;
    pub const REMOTE_PORT: u16 = 10;
    pub const ALIVE: u16 = 11;
    pub const LAST_HEARD: u16 = 12;
    pub const RTT: u16 = 13;
    pub const MOVES: u16 = 14;
    pub const REPLAYS: u16 = 15;
    pub const AUTH_FAILURES: u16 = 16;
    pub const REQUESTS: u16 = 17;
    pub const REPLIES: u16 = 18;
    pub const LIMITED: u16 = 19;
    pub const SEQUENCE: u16 = 20;
}

const ENOENT: i32 = 2;
const EAGAIN: i32 = 11;
const ENODEV: i32 = 19;
const EOPNOTSUPP: i32 = 95;
const ENETDOWN: i32 = 100;
const ENETUNREACH: i32 = 101;
const ENOBUFS: i32 = 105;
const EDESTADDRREQ: i32 = 89;
const EHOSTUNREACH: i32 = 113;
const ENOKEY: i32 = 126;

/// The peer of a device. A value is `None` if the kernel does not show it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Peer {
    pub device: String,
    #[serde(rename = "ifindex")]
    pub index: u32,
    pub remote: Option<IpAddr>,
    pub port: Option<u16>,
    pub alive: Option<bool>,
    pub last_heard_ms: Option<u64>,
    pub rtt_ns: Option<u64>,
    pub moves: u64,
    pub replays: u64,
    pub auth_failures: u64,
    pub requests: u64,
    pub replies: u64,
    pub limited: u64,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.remote, self.port) {
            (None, _) => write!(f, "none")?,
            (Some(remote), None) => write!(f, "{remote}")?,
            (Some(remote), Some(port)) => write!(f, "{remote} port {port}")?,
        }
        match self.alive {
            Some(true) => write!(f, ", alive")?,
            Some(false) => write!(f, ", dead")?,
            None => (),
        }
        match self.last_heard_ms {
            Some(time) => write!(f, ", heard {time} ms ago")?,
            None => write!(f, ", never heard")?,
        }
        match self.rtt_ns {
            Some(time) => write!(f, ", rtt {} ms", milliseconds(time)),
            None => Ok(()),
        }
    }
}

/// Returns a time in nanoseconds as milliseconds with three decimals.
pub fn milliseconds(ns: u64) -> String {
    let us = ns / 1000;
    format!("{}.{:03}", us / 1000, us % 1000)
}

/// A change of a peer that the kernel announced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    Moved,
    Dead,
    Alive,
}

/// The answer of a peer to an echo request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pong {
    /// The kernel's number of the request.
    pub sequence: u64,
    pub rtt_ns: u64,
    pub from: Option<IpAddr>,
    pub port: Option<u16>,
}

/// A connection to the family.
pub struct Peers(genl::Family);

impl Peers {
    pub fn open() -> Result<Self> {
        match genl::Family::open("gue") {
            Ok(family) => Ok(Self(family)),
            Err(refusal) if refusal.errno == ENOENT => Err(Error::new(
                Kind::Unsupported,
                "the kernel has no peers of gue devices: no module rgue is loaded",
            )
            .hint("'modprobe rgue' loads it; 'rfou check' says what is missing")),
            Err(refusal) => Err(ports::to_error(&refusal, None)),
        }
    }

    /// Returns the peers of all devices; none if the module is too old to know peers.
    pub fn list(&mut self) -> Result<Vec<Peer>> {
        match self.0.dump(PEER_GET) {
            Ok(answers) => Ok(answers.iter().filter_map(|answer| read(answer)).collect()),
            Err(refusal) if refusal.errno == EOPNOTSUPP => Ok(Vec::new()),
            Err(refusal) => Err(ports::to_error(&refusal, None)),
        }
    }

    /// Sends an echo request to a device's peer; returns the kernel's number of the request.
    pub fn ping(&mut self, device: &str) -> Result<u64, Refusal> {
        let request = Builder::default().put_string(attr::IFNAME, device);
        let answers = self.0.call(PING, 0, request)?;
        let fields = answers.first().map(|answer| attributes(answer));
        let sequence = fields.iter().flatten().find(|at| at.0 == attr::SEQUENCE);
        sequence
            .and_then(|at| number(at.1))
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData).into())
    }

    /// Waits for answers of peers.
    pub fn pongs(&mut self) -> std::io::Result<Vec<Pong>> {
        let messages = self.0.receive()?;
        let pongs = messages.iter().filter(|message| message.0 == PONG);
        Ok(pongs.filter_map(|message| read_pong(&message.1)).collect())
    }

    /// Returns `true` if answers were read already, so that the caller must not wait for the socket.
    pub fn has_pongs(&self) -> bool {
        self.0.has_messages()
    }

    /// Subscribes to changes of peers. Returns `false` if the module is too old to announce them.
    pub fn subscribe(&self) -> Result<bool> {
        self.0
            .join("peers")
            .map_err(|error| Error::io("subscribing to changes of peers", &error))
    }

    /// Waits for changes.
    pub fn receive(&mut self) -> std::io::Result<Vec<(Change, Peer)>> {
        let messages = self.0.receive()?;
        let change = |command| match command {
            PEER_MOVED => Some(Change::Moved),
            PEER_DEAD => Some(Change::Dead),
            PEER_ALIVE => Some(Change::Alive),
            _ => None,
        };
        Ok(messages
            .iter()
            .filter_map(|(command, bytes)| Some((change(*command)?, read(bytes)?)))
            .collect())
    }

    /// Returns the socket, to wait for it.
    pub fn socket(&self) -> &Socket {
        &self.0.socket
    }
}

/// Returns `true` if a refused ping may succeed later, for example because the device is down now.
pub fn is_transient(refusal: &Refusal) -> bool {
    matches!(
        refusal.errno,
        EAGAIN | ENOBUFS | ENETDOWN | ENETUNREACH | EHOSTUNREACH | EDESTADDRREQ | ENOKEY
    )
}

/// Maps the refusal of a ping to a message with the way out.
pub fn to_error(refusal: &Refusal) -> Error {
    let error = ports::to_error(refusal, None);
    match refusal.errno {
        ENODEV => error
            .argument("DEVICE")
            .hint("'rfou link show' shows the gue devices"),
        EOPNOTSUPP => {
            let mut error = error.argument("DEVICE");
            if refusal.text.is_none() {
                error.message = "the module rgue cannot ping: it is of an older version".into();
            }
            error
        }
        _ => error,
    }
}

fn remote(fields: &[(u16, &[u8])]) -> (Option<IpAddr>, Option<u16>) {
    let find = |wanted| fields.iter().find(|at| at.0 == wanted).map(|at| at.1);
    let address = find(attr::REMOTE4).or_else(|| find(attr::REMOTE6));
    (
        address.and_then(ports::address),
        find(attr::REMOTE_PORT).and_then(be16),
    )
}

/// Reads a peer's attributes.
fn read(bytes: &[u8]) -> Option<Peer> {
    let fields = attributes(bytes);
    let find = |wanted| fields.iter().find(|at| at.0 == wanted).map(|at| at.1);
    let count = |wanted| find(wanted).and_then(number);
    let (remote, port) = remote(&fields);
    Some(Peer {
        device: string(find(attr::IFNAME)?),
        index: count(attr::IFINDEX)? as u32,
        remote,
        port,
        alive: count(attr::ALIVE).map(|alive| alive != 0),
        last_heard_ms: count(attr::LAST_HEARD),
        rtt_ns: count(attr::RTT),
        moves: count(attr::MOVES).unwrap_or(0),
        replays: count(attr::REPLAYS).unwrap_or(0),
        auth_failures: count(attr::AUTH_FAILURES).unwrap_or(0),
        requests: count(attr::REQUESTS).unwrap_or(0),
        replies: count(attr::REPLIES).unwrap_or(0),
        limited: count(attr::LIMITED).unwrap_or(0),
    })
}

fn read_pong(bytes: &[u8]) -> Option<Pong> {
    let fields = attributes(bytes);
    let find = |wanted| fields.iter().find(|at| at.0 == wanted).map(|at| at.1);
    let (from, port) = remote(&fields);
    Some(Pong {
        sequence: find(attr::SEQUENCE).and_then(number)?,
        rtt_ns: find(attr::RTT).and_then(number)?,
        from,
        port,
    })
}

#[cfg(test)]
mod tests;
