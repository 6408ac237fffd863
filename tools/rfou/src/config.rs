// SPDX-License-Identifier: GPL-2.0

//! The file of `rfou apply`: rfou.toml(5).

mod key;

use crate::{
    cli::{Encap, Endpoint},
    commands::port::{encapsulation, identity_without_device},
    error::{Error, Result},
    keys::Key,
    links::{
        field::{Field, FIELDS},
        Link, Wanted,
    },
    netns,
    port::{Encapsulation, Family, Identity, Port, Settings},
    protocol,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::net::IpAddr;
use toml::Spanned;

/// The file, checked.
#[derive(Debug)]
pub struct Config {
    /// Remove what is not in the file.
    pub exclusive: bool,
    pub ports: Vec<WantedPort>,
    pub links: Vec<Wanted>,
}

/// A port as the file asks for it.
#[derive(Debug)]
pub struct WantedPort {
    identity: Identity,
    dev: Option<String>,
    pub settings: Settings,
}

impl WantedPort {
    /// Returns the port's identity. Fails if the interface does not exist.
    pub fn identity(&self) -> Result<Identity> {
        let ifindex = match &self.dev {
            Some(name) => netns::interface_index(name).map_err(|error| error.argument("dev"))?,
            None => 0,
        };
        Ok(Identity {
            ifindex,
            ..self.identity.clone()
        })
    }

    /// Returns the port's name, even if its interface does not exist.
    pub fn name(&self) -> String {
        match &self.dev {
            Some(dev) => format!("{} dev {dev}", self.identity),
            None => self.identity.to_string(),
        }
    }

    pub fn port(&self) -> u16 {
        self.identity.port
    }

    pub fn family(&self) -> Family {
        self.identity.family
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    port: Vec<Spanned<PortEntry>>,
    #[serde(default)]
    link: Vec<Spanned<toml::Table>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PortEntry {
    port: std::num::NonZeroU16,
    encap: Option<EncapWord>,
    #[serde(default, deserialize_with = "read_protocol")]
    protocol: Option<u8>,
    family: Option<FamilyWord>,
    local: Option<IpAddr>,
    peer: Option<IpAddr>,
    peer_port: Option<std::num::NonZeroU16>,
    dev: Option<String>,
    #[serde(default)]
    remcsum_nopartial: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EncapWord {
    Fou,
    Gue,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum FamilyWord {
    Ipv4,
    Ipv6,
}

/// Reads a protocol's name or number.
fn read_protocol<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    protocol::parse(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

impl Config {
    /// Reads a file's text; `name` is for messages.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            Error::usage(format!("{name}:{line}: {}", error.message().trim_end()))
                .hint("rfou.toml(5) describes the file; 'rfou man rfou.toml' prints the page")
        })?;
        let at = |start: usize, error: Error| {
            let line = line_of(text, start);
            let mut error = error.context(format!("{name}:{line}"));
            error.message = error.message.replace("--", "");
            error.argument = error
                .argument
                .map(|argument| argument.trim_start_matches("--").to_lowercase());
            error.hint = None;
            error
        };
        let mut config = Config {
            exclusive: file.exclusive,
            ports: Vec::new(),
            links: Vec::new(),
        };
        for entry in &file.port {
            let start = entry.span().start;
            let port = port(entry.get_ref()).map_err(|error| at(start, error))?;
            let same =
                |other: &WantedPort| other.identity == port.identity && other.dev == port.dev;
            if config.ports.iter().any(same) {
                let error = Error::usage(format!("{} is in the file twice", port.name()));
                return Err(at(start, error));
            }
            config.ports.push(port);
        }
        for entry in &file.link {
            let start = entry.span().start;
            let link = link(entry.get_ref()).map_err(|error| at(start, error))?;
            if config.links.iter().any(|other| other.name == link.name) {
                let error = Error::usage(format!("link '{}' is in the file twice", link.name));
                return Err(at(start, error));
            }
            config.links.push(link);
        }
        Ok(config)
    }

    /// Keeps only the ports and devices with these names, and removes nothing else from the system.
    pub fn keep(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.exclusive = false;
        self.ports.retain(|port| is_kept(&port.name()));
        self.links.retain(|link| is_kept(&link.name()));
    }
}

fn line_of(text: &str, position: usize) -> usize {
    let before = &text.as_bytes()[..position.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

fn port(entry: &PortEntry) -> Result<WantedPort> {
    let endpoint = Endpoint {
        ipv6: entry.family == Some(FamilyWord::Ipv6),
        local: entry.local,
        peer: entry.peer,
        peer_port: entry.peer_port.map(u16::from),
        dev: entry.dev.clone(),
    };
    let wrong_family = |address: &IpAddr| address.is_ipv6();
    if entry.family == Some(FamilyWord::Ipv4)
        && entry.local.iter().chain(&entry.peer).any(wrong_family)
    {
        return Err(Error::usage("an address is not of the family ipv4").argument("family"));
    }
    let encap = entry.encap.map(|encap| match encap {
        EncapWord::Fou => Encap::Fou,
        EncapWord::Gue => Encap::Gue,
    });
    Ok(WantedPort {
        identity: identity_without_device(entry.port.get(), &endpoint)?,
        dev: entry.dev.clone(),
        settings: Settings {
            encapsulation: encapsulation(encap, entry.protocol)?,
            remcsum_nopartial: entry.remcsum_nopartial,
        },
    })
}

fn link(entry: &toml::Table) -> Result<Wanted> {
    let table = serde_json::to_value(entry).map_err(|error| Error::usage(error.to_string()))?;
    let name = match &table["name"] {
        Value::String(name) if (1..16).contains(&name.len()) => name.clone(),
        Value::Null => return Err(Error::usage("a link needs a name").argument("name")),
        _ => return Err(Error::usage("a link's name has 1 to 15 characters").argument("name")),
    };
    let mut wanted = Wanted {
        name: name.clone(),
        up: true,
        mtu: None,
        properties: Map::new(),
        keys: Vec::new(),
    };
    let wrong = |key: &str, accepted: &str| {
        Error::usage(format!("link '{name}': {key} must be {accepted}")).argument(key)
    };
    for (key, value) in table.as_object().into_iter().flatten() {
        match key.as_str() {
            "name" => (),
            "up" => wanted.up = value.as_bool().ok_or_else(|| wrong(key, "true or false"))?,
            "mtu" => {
                let mtu = value.as_u64().filter(|mtu| (68..=65535).contains(mtu));
                wanted.mtu =
                    Some(mtu.ok_or_else(|| wrong(key, "a number from 68 to 65535"))? as u32);
            }
            "key" => {
                let entries = value.as_array();
                let entries = entries.ok_or_else(|| wrong(key, "tables, [[link.key]]"))?;
                wanted.keys = key::read(&name, entries)?;
            }
            _ => {
                let field = Field::find(key).ok_or_else(|| unknown(&name, key))?;
                field
                    .check(value)
                    .map_err(|accepted| wrong(key, &accepted))?;
                // The address "::" is any address, but tells the IP version.
                let shown = field.canonical(value);
                let value = if shown == "any" { value.clone() } else { shown };
                wanted.properties.insert(key.clone(), value);
            }
        }
    }
    key::check(&wanted)?;
    Ok(wanted)
}

/// Returns the error for an unknown key, with the known key that is most like it.
fn unknown(link: &str, key: &str) -> Error {
    let known = ["name", "up", "mtu", "key"]
        .into_iter()
        .chain(FIELDS.iter().map(|field| field.name));
    let near = known
        .map(|name| (strsim::jaro(name, key), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|near| near.0 > 0.7);
    let suggestion = near.map_or_else(String::new, |near| format!("; did you mean '{}'?", near.1));
    Error::usage(format!(
        "link '{link}': there is no key '{key}'{suggestion}"
    ))
    .argument(key)
}

/// Returns the text of a file that describes these ports, devices and keys.
pub fn from_system(ports: &[Port], links: &[Link], keys: &[Key]) -> String {
    let mut text = String::from("# See rfou.toml(5). Written by 'rfou apply --from-system'.\n");
    for port in ports {
        let (identity, settings) = (&port.identity, &port.settings);
        text += &format!("\n[[port]]\nport = {}\n", identity.port);
        match settings.encapsulation {
            Encapsulation::Gue => text += "encap = \"gue\"\n",
            Encapsulation::Fou(number) => {
                text += &match protocol::name(number) {
                    Some(name) => format!("protocol = \"{name}\"\n"),
                    None => format!("protocol = {number}\n"),
                }
            }
        }
        if identity.family == Family::Ipv6 {
            text += "family = \"ipv6\"\n";
        }
        if let Some(local) = identity.local {
            text += &format!("local = \"{local}\"\n");
        }
        if let Some((peer, port)) = identity.peer {
            text += &format!("peer = \"{peer}\"\npeer-port = {port}\n");
        }
        if identity.ifindex != 0 {
            text += &format!("dev = \"{}\"\n", netns::interface_name(identity.ifindex));
        }
        if settings.remcsum_nopartial {
            text += "remcsum-nopartial = true\n";
        }
    }
    for link in links {
        text += &format!("\n[[link]]\nname = {}\n", Value::from(link.name.as_str()));
        if !link.up {
            text += "up = false\n";
        }
        text += &format!("mtu = {}\n", link.mtu);
        for field in FIELDS {
            match link.properties.get(field.name) {
                Some(value) if *value != field.default(&link.properties) => {
                    // Numbers, words, truth values and lists of numbers are the same in TOML.
                    text += &format!("{} = {value}\n", field.name);
                }
                _ => (),
            }
        }
        let keys = keys.iter().filter(|key| key.device == link.name);
        text.extend(keys.map(key::from_system));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Config::parse("f", text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_in_full() {
        let config = Config::parse(
            "f",
            r#"
            exclusive = true
            [[port]]
            port = 5555
            protocol = "ipip"
            local = "192.0.2.1"
            peer = "192.0.2.2"
            peer-port = 7
            [[port]]
            port = 6080
            encap = "gue"
            family = "ipv6"
            remcsum-nopartial = true
            [[link]]
            name = "gue0"
            remote = "2001:DB8::2"
            id = 7
            "#,
        )
        .unwrap();
        assert!(config.exclusive);
        assert_eq!(
            config.ports[0].settings.encapsulation,
            Encapsulation::Fou(4)
        );
        assert_eq!(config.ports[1].name(), "port 6080 ipv6");
        assert_eq!(config.links[0].properties["remote"], "2001:db8::2");
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        assert!(refused("[[port]]\nport = 70000").starts_with("f:2: "));
        assert!(refused("[[port]]\nport = 0\nprotocol=4").starts_with("f:2: "));
        assert!(
            refused("\n[[port]]\nport = 5555").contains("f:2: a FOU port needs the IP protocol")
        );
        assert!(refused("[[port]]\nport = 5555\nprot = 4").contains("unknown field `prot`"));
        assert!(refused("[[port]]\nport = 5555\nprotocol = 'x'").contains("1 to 255"));
        assert!(refused("[[port]]\nport = 1\nprotocol = 4\npeer = '::1'")
            .contains("peer needs peer-port (argument: peer-port)"));
        assert!(refused("[[link]]\nremote = 'any'").contains("a link needs a name"));
        assert!(refused("[[link]]\nname = 'g'\nremot = 'any'").contains("did you mean 'remote'?"));
        assert!(refused("[[link]]\nname = 'g'\nttl = 300").contains("up to 255 or \"inherit\""));
        let twice = "[[port]]\nport = 1\nprotocol = 4\n".repeat(2);
        assert!(refused(&twice).contains("f:4: port 1 ipv4 is in the file twice"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = "[[port]]\nport = 5555\nprotocol = 99\nfamily = 'ipv6'\n\
             local = '2001:db8::1'\npeer = '2001:db8::2'\npeer-port = 9\nremcsum-nopartial = true\n";
        let first = Config::parse("f", config).unwrap();
        let port = |config: &Config| Port {
            identity: config.ports[0].identity().unwrap(),
            settings: config.ports[0].settings,
            counters: None,
        };
        let second = Config::parse("f", &from_system(&[port(&first)], &[], &[])).unwrap();
        assert_eq!(port(&first), port(&second));
    }

    #[test]
    fn the_manual_names_each_key() {
        let page = include_str!("../man/rfou.toml.5");
        let ports = [
            "exclusive",
            "port",
            "encap",
            "protocol",
            "family",
            "local",
            "peer",
            "peer-port",
            "dev",
            "remcsum-nopartial",
            "name",
            "up",
            "mtu",
        ];
        for key in ports
            .into_iter()
            .chain(FIELDS.iter().map(|field| field.name))
            .chain(["id", "file", "hex", "direction", "nat"])
        {
            let entry = format!("\n.B {}\n", key.replace('-', "\\-"));
            assert!(page.contains(&entry), "{key}");
        }
    }
}
