// SPDX-License-Identifier: GPL-2.0

//! The keys of `gue` devices, by the generic netlink family `gue`
//! (`Documentation/netlink/gue.yaml`).

use crate::{
    error::{Error, Kind, Result},
    genl,
    netlink::{attributes, number, string, Builder, Refusal},
    ports,
    secret::{self, Secret},
};
use serde::{Deserialize, Serialize, Serializer};
use std::{fmt, path::PathBuf};

const KEY_GET: u8 = 1;
const KEY_SET: u8 = 2;
const KEY_DEL: u8 = 3;

mod attr {
    pub const IFINDEX: u16 = 1;
    pub const IFNAME: u16 = 2;
    pub const KEY_ID: u16 = 3;
    pub const SECRET: u16 = 4;
    pub const DIRECTION: u16 = 5;
    pub const NAT: u16 = 6;
    pub const AUTH: u16 = 7;
}

const ENOENT: i32 = 2;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const EOPNOTSUPP: i32 = 95;

/// Keys of a device.
pub const MAX: usize = 8;

/// The values of a device's property `auth`, by their numbers.
pub const AUTHS: &[&str] = &["none", "cookie8", "cookie16", "cookie32", "hmac"];

/// The use of a key; the numbers are those of the kernel.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Receive packets with this key.
    Accept = 1,
    /// Send packets with this key.
    Send = 2,
    #[default]
    Both = 3,
}

impl Direction {
    pub fn sends(self) -> bool {
        self != Direction::Accept
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Direction::Accept => &["accept"],
            Direction::Send => &["send"],
            Direction::Both => &["accept", "send"],
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Both => "both",
            other => other.names()[0],
        })
    }
}

impl Serialize for Direction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

/// The properties of a key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Settings {
    pub direction: Direction,
    /// The outer addresses count as zero.
    pub nat: bool,
}

/// A key as the kernel shows it: without its secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Key {
    pub device: String,
    #[serde(rename = "ifindex")]
    pub index: u32,
    #[serde(rename = "key_id")]
    pub id: u32,
    #[serde(flatten)]
    pub settings: Settings,
    pub auth: &'static str,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} of link {}", self.id, self.device)
    }
}

/// A key as the file asks for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    pub id: u32,
    pub settings: Settings,
    pub file: PathBuf,
    pub form: secret::Form,
}

/// A connection to the family.
pub struct Keys(genl::Family);

impl Keys {
    pub fn open() -> Result<Self> {
        match genl::Family::open("gue") {
            Ok(family) => Ok(Self(family)),
            Err(refusal) if refusal.errno == ENOENT => Err(Error::new(
                Kind::Unsupported,
                "the kernel has no keys of gue devices: no module rgue is loaded, or an old one",
            )
            .hint("'modprobe rgue' loads it; 'rfou check' says what is missing")),
            Err(refusal) => Err(ports::to_error(&refusal, None)),
        }
    }

    /// Returns the keys of all devices, by device and number.
    pub fn list(&mut self) -> Result<Vec<Key>> {
        let answers = self.0.dump(KEY_GET);
        let answers = answers.map_err(|refusal| to_error(&refusal))?;
        let mut keys: Vec<_> = answers.iter().filter_map(|answer| read(answer)).collect();
        keys.sort_by(|a, b| (&a.device, a.id).cmp(&(&b.device, b.id)));
        Ok(keys)
    }

    /// Returns a key.
    pub fn get(&mut self, device: &str, id: u32) -> Result<Key> {
        let answers = self.0.call(KEY_GET, 0, name(device, id));
        let answers = answers.map_err(|refusal| to_error(&refusal))?;
        let key = answers.first().and_then(|answer| read(answer));
        key.ok_or_else(|| Error::new(Kind::Failed, "the kernel's answer has no key"))
    }

    /// Gives a device a key, or replaces the one with this number.
    pub fn set(&mut self, device: &str, id: u32, settings: Settings, secret: &Secret) -> Result {
        let request = request(device, id, settings, secret);
        let done = self.0.call(KEY_SET, 0, request).map(drop);
        done.map_err(|refusal| {
            let error = to_error(&refusal);
            match secret.advice() {
                Some(advice) if refusal.errno == EINVAL && is_of_secret(&refusal) => {
                    error.hint(advice)
                }
                _ => error,
            }
        })
    }

    /// Takes a key from a device.
    pub fn delete(&mut self, device: &str, id: u32) -> Result {
        let done = self.0.call(KEY_DEL, 0, name(device, id)).map(drop);
        done.map_err(|refusal| to_error(&refusal))
    }
}

/// Returns the attributes that name a key.
fn name(device: &str, id: u32) -> Builder {
    Builder::default()
        .put_string(attr::IFNAME, device)
        .put_u32(attr::KEY_ID, id)
}

fn request(device: &str, id: u32, settings: Settings, secret: &Secret) -> Builder {
    let request = name(device, id)
        .put(attr::SECRET, secret.bytes())
        .put_u8(attr::DIRECTION, settings.direction as u8);
    match settings.nat {
        true => request.put(attr::NAT, []),
        false => request,
    }
}

/// Reads a key's attributes.
fn read(bytes: &[u8]) -> Option<Key> {
    let fields = attributes(bytes);
    let find = |wanted| fields.iter().find(|at| at.0 == wanted).map(|at| at.1);
    let count = |wanted| find(wanted).and_then(number);
    Some(Key {
        device: string(find(attr::IFNAME)?),
        index: count(attr::IFINDEX)? as u32,
        id: count(attr::KEY_ID)? as u32,
        settings: Settings {
            direction: match count(attr::DIRECTION) {
                Some(1) => Direction::Accept,
                Some(2) => Direction::Send,
                _ => Direction::Both,
            },
            nat: find(attr::NAT).is_some(),
        },
        auth: count(attr::AUTH)
            .and_then(|auth| AUTHS.get(auth as usize))
            .unwrap_or(&"unknown"),
    })
}

fn is_of_secret(refusal: &Refusal) -> bool {
    refusal.path.first() == Some(&attr::SECRET)
}

/// Maps a refusal to a message that names the argument at fault.
fn to_error(refusal: &Refusal) -> Error {
    let mut error = ports::to_error(refusal, None);
    let named = match refusal.path.first() {
        Some(&(attr::IFINDEX | attr::IFNAME)) => Some("DEVICE"),
        Some(&attr::KEY_ID) => Some("--key-id"),
        Some(&attr::SECRET) => Some("--file"),
        Some(&attr::DIRECTION) => Some("--accept, --send"),
        Some(&attr::NAT) => Some("--nat"),
        _ => match refusal.errno {
            ENODEV | EOPNOTSUPP => Some("DEVICE"),
            ENOENT | ENOSPC => Some("--key-id"),
            _ => None,
        },
    };
    error.argument = named.map(String::from);
    match refusal.errno {
        ENODEV => error.hint("'rfou link show' shows the gue devices"),
        ENOENT => error.hint("'rfou key show' shows the keys"),
        ENOSPC => error.hint("'rfou key del' takes one away"),
        EOPNOTSUPP => {
            error.kind = Kind::Failed;
            error.hint("a device has keys if it is made with auth: 'ip link add ... auth hmac'")
        }
        _ => error,
    }
}

#[cfg(test)]
mod wiped;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink;

    fn shown(direction: u8) -> Builder {
        name("gue0", 7)
            .put_u32(attr::IFINDEX, 9)
            .put_u8(attr::DIRECTION, direction)
            .put_u8(attr::AUTH, 4)
    }

    #[test]
    fn a_key_is_read_as_the_kernel_sends_it() {
        for (number, direction) in [
            (1, Direction::Accept),
            (2, Direction::Send),
            (3, Direction::Both),
        ] {
            let key = read(&shown(number).build()).unwrap();
            assert_eq!((key.device.as_str(), key.index, key.id), ("gue0", 9, 7));
            assert_eq!(key.settings.direction, direction);
            assert_eq!((key.settings.nat, key.auth), (false, "hmac"));
            assert_eq!(direction as u8, number);
        }
        assert!(
            read(&shown(1).put(attr::NAT, []).build())
                .unwrap()
                .settings
                .nat
        );
        assert_eq!(
            read(&Builder::default().put_u32(attr::IFINDEX, 9).build()),
            None
        );
    }

    #[test]
    fn json_has_the_names_of_the_schema() {
        let key = read(&shown(3).build()).unwrap();
        let expected = serde_json::json!({
            "device": "gue0", "ifindex": 9, "key_id": 7, "direction": ["accept", "send"],
            "nat": false, "auth": "hmac",
        });
        assert_eq!(serde_json::to_value(key).unwrap(), expected);
    }

    #[test]
    fn a_request_has_the_secret_and_the_settings() {
        let secret = Secret::random(16).unwrap();
        let settings = Settings {
            direction: Direction::Send,
            nat: true,
        };
        let bytes = request("gue0", u32::MAX, settings, &secret).build();
        let sent = attributes(&bytes);
        assert_eq!(sent[0], (2, &b"gue0\0"[..]));
        assert_eq!(sent[1], (3, &[255; 4][..]));
        assert_eq!(sent[2], (4, secret.bytes()));
        assert_eq!(sent[3..], [(5, &[2][..]), (6, &[][..])]);
        let bytes = request("gue0", 0, Settings::default(), &secret).build();
        assert_eq!(attributes(&bytes)[3..], [(5, &[3][..])]);
    }

    #[test]
    fn a_refusal_names_the_argument_and_the_way_out() {
        let refused = |errno, path: &[u16]| {
            to_error(&Refusal {
                errno,
                text: Some("told".into()),
                path: path.to_vec(),
            })
        };
        for (errno, path, kind, argument) in [
            (ENODEV, &[][..], Kind::NotFound, "DEVICE"),
            (ENODEV, &[1], Kind::NotFound, "DEVICE"),
            (EOPNOTSUPP, &[2], Kind::Failed, "DEVICE"),
            (ENOENT, &[3], Kind::NotFound, "--key-id"),
            (ENOSPC, &[], Kind::Failed, "--key-id"),
            (EINVAL, &[4], Kind::Failed, "--file"),
            (EINVAL, &[6], Kind::Failed, "--nat"),
        ] {
            let error = refused(errno, path);
            assert_eq!(
                (error.kind, error.argument.as_deref()),
                (kind, Some(argument))
            );
            assert_eq!(error.message, "told");
            assert_eq!(error.hint.is_some(), errno != EINVAL);
        }
        assert_eq!(refused(1, &[]).kind, Kind::Permission);
    }

    #[test]
    fn numbers_are_those_of_the_spec() {
        let spec = include_str!("../../../Documentation/netlink/gue.yaml");
        let names = netlink::tests::names_in_spec(spec, "link");
        for (number, name) in [
            (attr::IFINDEX, "ifindex"),
            (attr::IFNAME, "ifname"),
            (attr::KEY_ID, "key-id"),
            (attr::SECRET, "secret"),
            (attr::DIRECTION, "direction"),
            (attr::NAT, "nat"),
            (attr::AUTH, "auth"),
        ] {
            assert_eq!(names[usize::from(number) - 1], name);
        }
        let operations = spec.split("\noperations:").nth(1).unwrap();
        let found = ["key-get", "key-set", "key-del"].map(|name| operations.find(name).unwrap());
        assert!(
            found.is_sorted(),
            "{KEY_GET}, {KEY_SET}, {KEY_DEL}: {found:?}"
        );
    }
}
