// SPDX-License-Identifier: GPL-2.0

//! The properties of a `gue` device: names in files and JSON, attributes, defaults.
//!
//! The attributes are those of the kind `gue` of rtnetlink (`Documentation/netlink/rt-link-gue.yaml`).

use crate::{
    keys,
    netlink::{attributes, be16, number, Builder},
    netns,
    ports::address,
};
use serde_json::{json, Map, Value};
use std::net::IpAddr;

/// A property of a device.
pub struct Field {
    pub name: &'static str,
    form: Form,
    pub change: Change,
}

/// The changes of a property that the kernel makes in place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    Always,
    /// From one value to another, but not from a value to none.
    Value,
    Never,
}

/// The form of a property's value, with its attribute numbers.
enum Form {
    /// A number, or none.
    Number(u16),
    /// An address or "any"; IPv4 and IPv6.
    Address(u16, u16),
    /// The name of an interface, or none.
    Device(u16),
    /// A UDP port.
    Port(u16),
    /// A UDP port or "auto".
    SourcePort(u16),
    /// Two UDP ports, or none.
    Range(u16),
    /// One of some words, numbered from 0.
    Word(u16, &'static [&'static str]),
    /// A number up to 255.
    Byte(u16),
    /// A number up to 255, or "inherit" by the second attribute.
    Inherited(u16, u16),
    /// A flow label.
    Label(u16),
    Bool(u16),
    /// The bytes that an HMAC covers: a number or "all"; none without an HMAC.
    Coverage(u16),
    /// A checksum in the header: false, true, or the bytes that it covers, by the second attribute.
    Checksum(u16, u16),
    /// False, true, or the size of the longest packet, by the second attribute.
    Fragment(u16, u16),
    /// True if the attribute is there.
    Flag(u16),
    /// Seconds up to a limit; 0 is off.
    Keepalive(u16),
    /// Seconds. The default is three times the keepalive; without a keepalive, none.
    Dead(u16),
}

const fn field(name: &'static str, form: Form, change: Change) -> Field {
    Field { name, form, change }
}

/// All properties.
pub const FIELDS: &[Field] = &[
    field("id", Form::Number(1), Change::Never),
    field("remote", Form::Address(2, 3), Change::Never),
    field("local", Form::Address(4, 5), Change::Never),
    field("dev", Form::Device(6), Change::Never),
    field("port", Form::Port(7), Change::Never),
    field("dport", Form::Port(8), Change::Always),
    field("sport", Form::SourcePort(9), Change::Always),
    field("srcport", Form::Range(10), Change::Always),
    field("mode", Form::Word(11, &["ip", "ethernet"]), Change::Never),
    field("variant", Form::Byte(12), Change::Always),
    field("external", Form::Flag(13), Change::Never),
    field("ttl", Form::Inherited(14, 15), Change::Always),
    field("tos", Form::Inherited(16, 17), Change::Always),
    field(
        "df",
        Form::Word(18, &["unset", "set", "inherit"]),
        Change::Always,
    ),
    field("flowlabel", Form::Label(19), Change::Always),
    field("udpcsum", Form::Bool(20), Change::Always),
    field("udp6zerocsumtx", Form::Bool(21), Change::Always),
    field("udp6zerocsumrx", Form::Bool(22), Change::Always),
    field(
        "remcsum",
        Form::Word(23, &["off", "draft", "linux"]),
        Change::Always,
    ),
    field("auth", Form::Word(24, keys::AUTHS), Change::Never),
    field("cover", Form::Coverage(25), Change::Value),
    field("headercsum", Form::Checksum(26, 27), Change::Always),
    field("crc", Form::Checksum(28, 29), Change::Always),
    field("fragment", Form::Fragment(30, 31), Change::Always),
    field("keepalive", Form::Keepalive(32), Change::Always),
    field("dead", Form::Dead(33), Change::Always),
    field("roaming", Form::Bool(34), Change::Always),
];

/// The number that stands for a coverage of the whole payload.
const COVER_ALL: u16 = 65535;

/// The longest time, in seconds, after which a peer is taken for dead.
const MAX_DEAD: u64 = 65535;

/// The UDP port of GUE.
const GUE_PORT: u16 = 6080;

/// Returns the property of an attribute of the kernel.
pub fn named(attribute: u16) -> Option<&'static str> {
    FIELDS
        .iter()
        .find(|field| field.attributes().contains(&Some(attribute)))
        .map(|field| field.name)
}

impl Field {
    pub fn find(name: &str) -> Option<&'static Field> {
        FIELDS.iter().find(|field| field.name == name)
    }

    fn attributes(&self) -> [Option<u16>; 2] {
        match self.form {
            Form::Address(a, b)
            | Form::Inherited(a, b)
            | Form::Checksum(a, b)
            | Form::Fragment(a, b) => [Some(a), Some(b)],
            Form::Number(a)
            | Form::Device(a)
            | Form::Port(a)
            | Form::SourcePort(a)
            | Form::Range(a)
            | Form::Word(a, _)
            | Form::Byte(a)
            | Form::Label(a)
            | Form::Bool(a)
            | Form::Coverage(a)
            | Form::Flag(a)
            | Form::Keepalive(a)
            | Form::Dead(a) => [Some(a), None],
        }
    }

    /// Returns the default value for a device with the properties `others`. `Null` stands for no value.
    pub fn default(&self, others: &Map<String, Value>) -> Value {
        match self.form {
            Form::Number(_) | Form::Device(_) | Form::Range(_) => Value::Null,
            Form::Address(..) => json!("any"),
            Form::Port(_) if self.name == "port" => {
                others.get("dport").cloned().unwrap_or(json!(GUE_PORT))
            }
            Form::Port(_) => json!(GUE_PORT),
            Form::SourcePort(_) => json!("auto"),
            Form::Word(_, words) => json!(words[0]),
            Form::Byte(_) | Form::Inherited(..) | Form::Label(_) | Form::Keepalive(_) => json!(0),
            Form::Bool(_) | Form::Checksum(..) | Form::Fragment(..) | Form::Flag(_) => {
                json!(false)
            }
            Form::Coverage(_) => match others.get("auth") {
                Some(auth) if auth == "hmac" => json!(0),
                _ => Value::Null,
            },
            Form::Dead(_) => match others.get("keepalive").and_then(Value::as_u64) {
                Some(seconds @ 1..) => json!((3 * seconds).min(MAX_DEAD)),
                _ => Value::Null,
            },
        }
    }

    /// Returns the value in a form that is the same for all values with one meaning: "any" for an unspecified address,
    /// the shortest text of another address, and `true` for a checksum that covers nothing but the header.
    pub fn canonical(&self, value: &Value) -> Value {
        match (&self.form, value.as_str().map(str::parse::<IpAddr>)) {
            (Form::Address(..), Some(Ok(address))) if address.is_unspecified() => json!("any"),
            (Form::Address(..), Some(Ok(address))) => json!(address),
            (Form::Checksum(..), _) if value.as_u64() == Some(0) => json!(true),
            _ => value.clone(),
        }
    }

    /// Checks a value from a file. Fails with a description of the accepted values.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let up_to = |max: u64| value.as_u64().is_some_and(|number| number <= max);
        let port = |value: &Value| {
            value
                .as_u64()
                .is_some_and(|port| (1..=65535).contains(&port))
        };
        let (right, accepted) = match self.form {
            Form::Number(_) => (up_to(u32::MAX.into()), "a number up to 4294967295".into()),
            Form::Address(..) => (
                value
                    .as_str()
                    .is_some_and(|text| parse_address(text).is_some()),
                "an IP address or \"any\"".into(),
            ),
            Form::Device(_) => (value.is_string(), "the name of an interface".into()),
            Form::Port(_) => (port(value), "a UDP port from 1 to 65535".into()),
            Form::SourcePort(_) => (
                port(value) || value == "auto",
                "a UDP port from 1 to 65535 or \"auto\"".into(),
            ),
            Form::Range(_) => (
                value.as_array().is_some_and(|ports| {
                    ports.len() == 2
                        && ports.iter().all(port)
                        && ports[0].as_u64() <= ports[1].as_u64()
                }),
                "two UDP ports, [lowest, highest]".into(),
            ),
            Form::Word(_, words) => (
                value.as_str().is_some_and(|word| words.contains(&word)),
                format!("one of \"{}\"", words.join("\", \"")),
            ),
            Form::Byte(_) if self.name == "variant" => (up_to(1), "0 or 1".into()),
            Form::Byte(_) => (up_to(255), "a number up to 255".into()),
            Form::Inherited(..) => (
                up_to(255) || value == "inherit",
                "a number up to 255 or \"inherit\"".into(),
            ),
            Form::Label(_) => (up_to(0xf_ffff), "a number up to 1048575".into()),
            Form::Bool(_) | Form::Flag(_) => (value.is_boolean(), "true or false".into()),
            Form::Coverage(_) => (
                is_coverage(value),
                "a number of bytes up to 65534 or \"all\"".into(),
            ),
            Form::Checksum(..) => (
                value.is_boolean() || is_coverage(value),
                "true, false, a number of bytes up to 65534 or \"all\"".into(),
            ),
            Form::Fragment(..) => (
                value.is_boolean() || port(value),
                "true, false or a number of bytes from 1 to 65535".into(),
            ),
            Form::Keepalive(_) => (
                up_to(MAX_DEAD - 1),
                "a number of seconds up to 65534; 0 is off".into(),
            ),
            Form::Dead(_) => (
                up_to(MAX_DEAD) && !up_to(1),
                "a number of seconds from 2 to 65535".into(),
            ),
        };
        match right {
            true => Ok(()),
            false => Err(accepted),
        }
    }

    /// Adds the attributes of a checked value. `ipv6` is the IP version of "any".
    pub fn put(
        &self,
        request: Builder,
        value: &Value,
        ipv6: bool,
    ) -> crate::error::Result<Builder> {
        let number = value.as_u64().unwrap_or(0);
        let text = value.as_str().unwrap_or("");
        Ok(match self.form {
            _ if value.is_null() => request,
            Form::Number(at) => request.put_u32(at, number as u32),
            Form::Address(v4, v6) => match parse_address(text).flatten() {
                Some(IpAddr::V4(address)) => request.put(v4, address.octets()),
                Some(IpAddr::V6(address)) => request.put(v6, address.octets()),
                None if ipv6 => request.put(v6, [0; 16]),
                None => request.put(v4, [0; 4]),
            },
            Form::Device(at) => request.put_u32(at, netns::interface_index(text)?),
            Form::Port(at) | Form::SourcePort(at) => request.put_be16(at, number as u16),
            Form::Range(at) => {
                let port = |index: usize| value[index].as_u64().unwrap_or(0) as u16;
                request.put(at, [port(0).to_be_bytes(), port(1).to_be_bytes()].concat())
            }
            Form::Word(at, words) => {
                let index = words.iter().position(|&word| word == text);
                request.put_u8(at, index.unwrap_or(0) as u8)
            }
            Form::Byte(at) => request.put_u8(at, number as u8),
            Form::Inherited(_, inherit) if text == "inherit" => request.put_u8(inherit, 1),
            Form::Inherited(at, inherit) => request.put_u8(at, number as u8).put_u8(inherit, 0),
            Form::Label(at) => request.put(at, (number as u32).to_be_bytes()),
            Form::Bool(at) => request.put_u8(at, value.as_bool().unwrap_or(false).into()),
            Form::Coverage(at) => request.put_u16(at, coverage(value)),
            Form::Keepalive(at) | Form::Dead(at) => request.put_u16(at, number as u16),
            Form::Checksum(at, _) | Form::Fragment(at, _) if *value == false => {
                request.put_u8(at, 0)
            }
            Form::Checksum(at, cover) => request.put_u8(at, 1).put_u16(cover, coverage(value)),
            Form::Fragment(at, size) => request.put_u8(at, 1).put_u16(size, number as u16),
            Form::Flag(at) => match value.as_bool() {
                Some(true) => request.put(at, []),
                _ => request,
            },
        })
    }

    /// Reads the value from a device's attributes.
    fn read(&self, fields: &[(u16, &[u8])]) -> Option<Value> {
        let find = |wanted: u16| fields.iter().find(|at| at.0 == wanted).map(|at| at.1);
        let count = |wanted| find(wanted).and_then(number);
        Some(match self.form {
            Form::Number(at) | Form::Byte(at) | Form::Keepalive(at) | Form::Dead(at) => {
                json!(count(at)?)
            }
            Form::Address(v4, v6) => {
                let address = find(v4).or_else(|| find(v6)).and_then(address)?;
                match address {
                    // IPv6's any address is "::", because "any" alone means IPv4.
                    IpAddr::V4(address) if address.is_unspecified() => json!("any"),
                    address => json!(address),
                }
            }
            Form::Device(at) => match count(at)? {
                0 => return None,
                index => json!(netns::interface_name(index as u32)),
            },
            Form::Port(at) => json!(be16(find(at)?)?),
            Form::SourcePort(at) => match be16(find(at)?)? {
                0 => json!("auto"),
                port => json!(port),
            },
            Form::Range(at) => {
                let bytes = find(at)?;
                json!([be16(bytes.get(..2)?)?, be16(bytes.get(2..)?)?])
            }
            Form::Word(at, words) => json!(words.get(count(at)? as usize)?),
            Form::Inherited(_, inherit) if count(inherit) == Some(1) => json!("inherit"),
            Form::Inherited(at, _) => json!(count(at)?),
            Form::Label(at) => json!(u32::from_be_bytes(find(at)?.try_into().ok()?)),
            Form::Bool(at) => json!(count(at)? != 0),
            Form::Coverage(at) => match count(at)? {
                bytes if bytes == u64::from(COVER_ALL) => json!("all"),
                bytes => json!(bytes),
            },
            Form::Checksum(at, _) if count(at)? == 0 => json!(false),
            Form::Checksum(_, cover) => match count(cover).unwrap_or(0) {
                0 => json!(true),
                bytes if bytes == u64::from(COVER_ALL) => json!("all"),
                bytes => json!(bytes),
            },
            Form::Fragment(at, _) if count(at)? == 0 => json!(false),
            Form::Fragment(_, size) => match count(size).unwrap_or(0) {
                0 => json!(true),
                bytes => json!(bytes),
            },
            Form::Flag(at) => json!(find(at).is_some()),
        })
    }
}

/// Reads an address; the inner `None` is "any".
fn parse_address(text: &str) -> Option<Option<IpAddr>> {
    if text == "any" {
        return Some(None);
    }
    let address: IpAddr = text.parse().ok()?;
    // "::" is any address too, but of a certain IP version.
    Some(Some(address))
}

fn is_coverage(value: &Value) -> bool {
    let is_short = |bytes| bytes < u64::from(COVER_ALL);
    value == "all" || value.as_u64().is_some_and(is_short)
}

/// Returns the number of a checked coverage; 0 for `true`.
fn coverage(value: &Value) -> u16 {
    match value == "all" {
        true => COVER_ALL,
        false => value.as_u64().unwrap_or(0) as u16,
    }
}

/// Reads all properties that the kernel shows.
pub fn read_all(bytes: &[u8]) -> Map<String, Value> {
    let fields = attributes(bytes);
    FIELDS
        .iter()
        .filter_map(|field| Some((field.name.to_string(), field.read(&fields)?)))
        .collect()
}

#[cfg(test)]
mod tests;
