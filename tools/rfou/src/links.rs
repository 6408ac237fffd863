// SPDX-License-Identifier: GPL-2.0

//! The kernel's `gue` devices, by rtnetlink.

pub mod field;

use crate::{
    error::{Error, Kind, Result},
    keys,
    netlink::{attributes, number, string, Builder, Refusal, Socket, NETLINK_ROUTE},
    ports,
};
use serde::Serialize;
use serde_json::{Map, Value};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTNLGRP_LINK: u32 = 1;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFF_UP: u32 = 1;
const EOPNOTSUPP: i32 = 95;

mod attr {
    pub const IFNAME: u16 = 3;
    pub const MTU: u16 = 4;
    pub const OPERSTATE: u16 = 16;
    pub const LINKINFO: u16 = 18;
    pub const STATS64: u16 = 23;
    pub const INFO_KIND: u16 = 1;
    pub const INFO_DATA: u16 = 2;
}

/// The kind of the devices.
const KIND: &str = "gue";

/// A device's counters (`struct rtnl_link_stats64`).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counters {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

/// A device as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    pub name: String,
    #[serde(rename = "ifindex")]
    pub index: u32,
    pub up: bool,
    pub state: &'static str,
    pub mtu: u32,
    #[serde(flatten)]
    pub properties: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
}

impl Link {
    /// Returns `true` if the device has a method of security, and thus needs keys.
    pub fn has_auth(&self) -> bool {
        let auth = self.properties.get("auth");
        auth.is_some_and(|auth| auth != "none")
    }
}

/// A device as the file asks for it.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: String,
    pub up: bool,
    pub mtu: Option<u32>,
    /// The properties that are not the default.
    pub properties: Map<String, Value>,
    pub keys: Vec<keys::Wanted>,
}

impl Wanted {
    /// Returns the device's name for messages.
    pub fn name(&self) -> String {
        name(&self.name)
    }
}

/// Returns the name of a device for messages. No port has the same name.
pub fn name(device: &str) -> String {
    format!("link {device}")
}

/// A change of the devices that the kernel announced.
#[derive(Debug)]
pub enum Event {
    Set(Link),
    Deleted(Link),
}

/// A connection to rtnetlink.
pub struct Links {
    socket: Socket,
}

impl Links {
    pub fn open() -> Result<Self> {
        let socket = Socket::open(NETLINK_ROUTE);
        Ok(Self {
            socket: socket.map_err(|error| Error::io("rtnetlink", &error))?,
        })
    }

    /// Returns all `gue` devices.
    pub fn list(&mut self) -> Result<Vec<Link>> {
        let kind = Builder::default().put_string(attr::INFO_KIND, KIND);
        let asked = Builder::default().put_nest(attr::LINKINFO, kind);
        let answers = self.socket.dump(RTM_GETLINK, &message(0, 0, 0, asked));
        let answers = answers.map_err(|refusal| ports::to_error(&refusal, None))?;
        Ok(answers.iter().filter_map(|answer| read(answer)).collect())
    }

    pub fn add(&mut self, wanted: &Wanted) -> Result {
        let mut request = Builder::default().put_string(attr::IFNAME, &wanted.name);
        if let Some(mtu) = wanted.mtu {
            request = request.put_u32(attr::MTU, mtu);
        }
        let mut names: Vec<_> = wanted.properties.keys().map(String::as_str).collect();
        let external = wanted.properties.get("external").and_then(Value::as_bool);
        if !names.contains(&"remote") && external != Some(true) {
            // The kernel requires a remote address, which may be "any".
            names.push("remote");
        }
        let request = request.put_nest(attr::LINKINFO, info(wanted, &names)?);
        let up = if wanted.up { IFF_UP } else { 0 };
        let body = message(0, up, IFF_UP, request);
        self.call(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body)
    }

    /// Changes the properties `names` in place, and the MTU and the state (up or down) if they differ.
    pub fn change(&mut self, link: &Link, wanted: &Wanted, names: &[&str]) -> Result {
        let mut request = Builder::default();
        if let Some(mtu) = wanted.mtu.filter(|&mtu| mtu != link.mtu) {
            request = request.put_u32(attr::MTU, mtu);
        }
        let mut names = names.to_vec();
        if names.contains(&"srcport") && !wanted.properties.contains_key("srcport") {
            // The kernel ends the use of a range when it gets a source port, which may be "auto".
            names.push("sport");
        }
        if !names.is_empty() {
            request = request.put_nest(attr::LINKINFO, info(wanted, &names)?);
        }
        let up = if wanted.up { IFF_UP } else { 0 };
        let mask = if wanted.up != link.up { IFF_UP } else { 0 };
        self.call(
            RTM_NEWLINK,
            0,
            &message(link.index, up & mask, mask, request),
        )
    }

    pub fn delete(&mut self, link: &Link) -> Result {
        let body = message(link.index, 0, 0, Builder::default());
        self.call(RTM_DELLINK, 0, &body)
    }

    fn call(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result {
        let done = self.socket.call(kind, flags, body);
        done.map(drop).map_err(|refusal| to_error(&refusal))
    }

    /// Subscribes to changes of devices.
    pub fn subscribe(&self) -> Result {
        self.socket
            .join(RTNLGRP_LINK)
            .map_err(|error| Error::io("subscribing to changes of devices", &error))
    }

    /// Waits for changes.
    pub fn receive(&mut self) -> std::io::Result<Vec<Event>> {
        let messages = self.socket.receive()?;
        Ok(messages
            .iter()
            .filter_map(|message| {
                let link = read(&message.payload)?;
                match message.kind {
                    RTM_NEWLINK => Some(Event::Set(link)),
                    RTM_DELLINK => Some(Event::Deleted(link)),
                    _ => None,
                }
            })
            .collect())
    }

    /// Returns the socket, to wait for changes.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// Returns the attributes of the kind and of the named properties, defaults included.
fn info(wanted: &Wanted, names: &[&str]) -> Result<Builder> {
    let ipv6 = ["local", "remote"].iter().any(|&name| {
        let text = wanted.properties.get(name).and_then(Value::as_str);
        text.is_some_and(|text| text.contains(':'))
    });
    let mut data = Builder::default();
    for field in field::FIELDS {
        if names.contains(&field.name) {
            let value = wanted.properties.get(field.name).cloned();
            let value = value.unwrap_or_else(|| field.default(&wanted.properties));
            data = field
                .put(data, &value, ipv6)
                .map_err(|error| error.argument(field.name))?;
        }
    }
    Ok(Builder::default()
        .put_string(attr::INFO_KIND, KIND)
        .put_nest(attr::INFO_DATA, data))
}

/// Returns a message with `struct ifinfomsg`.
fn message(index: u32, flags: u32, change: u32, attributes: Builder) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for number in [index, flags, change] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes.extend_from_slice(&attributes.build());
    bytes
}

/// Reads a device; `None` if it is of another kind.
fn read(message: &[u8]) -> Option<Link> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(
            message.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    let fields = attributes(message.get(16..)?);
    let find = |wanted| fields.iter().find(|at| at.0 == wanted).map(|at| at.1);
    let info = attributes(find(attr::LINKINFO)?);
    let inside = |wanted| info.iter().find(|at| at.0 == wanted).map(|at| at.1);
    if string(inside(attr::INFO_KIND)?) != KIND {
        return None;
    }
    let states = [
        "unknown",
        "not-present",
        "down",
        "lower-layer-down",
        "testing",
        "dormant",
        "up",
    ];
    let state = find(attr::OPERSTATE).and_then(number).unwrap_or(0) as usize;
    Some(Link {
        name: string(find(attr::IFNAME)?),
        index: word(4)?,
        up: word(8)? & IFF_UP != 0,
        state: states.get(state).unwrap_or(&states[0]),
        mtu: find(attr::MTU).and_then(number).unwrap_or(0) as u32,
        properties: field::read_all(inside(attr::INFO_DATA).unwrap_or(&[])),
        counters: find(attr::STATS64).map(read_counters),
    })
}

fn read_counters(bytes: &[u8]) -> Counters {
    let count = |index: usize| {
        bytes
            .get(index * 8..index * 8 + 8)
            .and_then(number)
            .unwrap_or(0)
    };
    Counters {
        rx_packets: count(0),
        tx_packets: count(1),
        rx_bytes: count(2),
        tx_bytes: count(3),
        rx_errors: count(4),
        tx_errors: count(5),
        rx_dropped: count(6),
        tx_dropped: count(7),
    }
}

/// Maps a refusal to a message that names the property at fault.
fn to_error(refusal: &Refusal) -> Error {
    let mut error = ports::to_error(refusal, None);
    if let [attr::LINKINFO, attr::INFO_DATA, property, ..] = refusal.path[..] {
        error.argument = field::named(property).map(String::from);
    }
    let unknown = refusal.errno == EOPNOTSUPP
        && refusal
            .text
            .as_ref()
            .is_none_or(|text| text.contains("nknown device type"));
    if unknown {
        error = Error::new(
            Kind::Unsupported,
            "the kernel has no gue devices: no module rgue is loaded",
        )
        .hint("'modprobe rgue' loads it; 'rfou check' says what is missing");
    }
    error
}
