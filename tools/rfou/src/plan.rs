// SPDX-License-Identifier: GPL-2.0

//! The difference between a file and the system, as steps.

mod keys;

use crate::{
    config::{Config, WantedPort},
    error::{Error, Kind, Result},
    keys::{Key, Keys},
    links::{
        field::{Change, FIELDS},
        Link, Links, Wanted,
    },
    port::{Identity, Port, Settings},
    ports::Ports,
};
use keys::SetKey;
use serde_json::{json, Value};

const EADDRNOTAVAIL: i32 = 99;

/// The ports, devices and keys that exist.
#[derive(Debug, Default)]
pub struct System {
    pub ports: Vec<Port>,
    pub links: Vec<Link>,
    pub keys: Vec<Key>,
}

/// Options that add steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Remove what is not in the file.
    pub exclusive: bool,
    /// Set all keys anew.
    pub rekey: bool,
}

/// One change of the system.
#[derive(Debug)]
pub enum Step {
    DeletePort(Port),
    /// With the port's name in the file.
    AddPort(String, Identity, Settings),
    /// With the port's name in the file.
    ReplacePort(String, Port, Settings),
    DeleteLink(Link),
    AddLink(Wanted),
    /// With the properties that differ, and their descriptions.
    ChangeLink(Link, Wanted, Vec<&'static str>, Vec<String>),
    SetKey(SetKey),
    DeleteKey(Key),
    /// The file asks for something that cannot be tried.
    Impossible(String, Error),
}

/// The steps, and the objects that are left alone, although they are not in the file.
#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub left: Vec<String>,
    pub left_hints: Vec<String>,
}

/// The connections that steps use.
pub struct Kernel {
    pub ports: Option<Ports>,
    pub links: Links,
    /// Connected when the first key is needed.
    pub keys: Option<Keys>,
}

impl Kernel {
    pub fn keys(&mut self) -> Result<&mut Keys> {
        if self.keys.is_none() {
            self.keys = Some(Keys::open()?);
        }
        let missing = || Error::new(Kind::Unsupported, "the kernel has no keys");
        self.keys.as_mut().ok_or_else(missing)
    }
}

impl Plan {
    /// Compares the file with the system. Removals come first, because they free UDP ports.
    pub fn new(config: &Config, system: &System, how: How) -> Self {
        let mut plan = Plan::default();
        let mut later = Vec::new();
        let mut known = vec![false; system.ports.len()];
        for wanted in &config.ports {
            match compare_port(wanted, &system.ports) {
                Ok((index, step)) => {
                    if let Some(index) = index {
                        known[index] = true;
                    }
                    later.extend(step);
                }
                Err(error) => later.push(Step::Impossible(wanted.name(), error)),
            }
        }
        for link in &system.links {
            if config.links.iter().any(|wanted| wanted.name == link.name) {
                continue;
            }
            match how.exclusive {
                true => plan.steps.push(Step::DeleteLink(link.clone())),
                false => plan.leave(
                    format!("link {}", link.name),
                    format!("ip link del {}", link.name),
                ),
            }
        }
        for (port, _) in system.ports.iter().zip(known).filter(|(_, known)| !known) {
            match how.exclusive {
                true => plan.steps.push(Step::DeletePort(port.clone())),
                false => plan.leave(
                    port.to_string(),
                    format!("rfou port del {}", port.identity.arguments()),
                ),
            }
        }
        plan.steps.extend(later);
        for wanted in &config.links {
            let link = system.links.iter().find(|link| link.name == wanted.name);
            let step = match link {
                None => Some(Step::AddLink(wanted.clone())),
                Some(link) => compare_link(link, wanted),
            };
            let is_possible = !matches!(step, Some(Step::Impossible(..)));
            plan.steps.extend(step);
            if is_possible {
                plan.compare_keys(wanted, &system.keys, how);
            }
        }
        plan
    }

    fn leave(&mut self, what: String, hint: String) {
        self.left.push(what);
        self.left_hints.push(hint);
    }
}

fn compare_port(wanted: &WantedPort, ports: &[Port]) -> Result<(Option<usize>, Option<Step>)> {
    // Compare the port number first, because an interface's index costs a system call.
    let near = |port: &Port| port.identity.port == wanted.port();
    let identity = wanted.identity()?;
    let found = ports
        .iter()
        .position(|port| near(port) && identity.is(&port.identity));
    let Some(index) = found else {
        let step = Step::AddPort(wanted.name(), identity, wanted.settings);
        return Ok((None, Some(step)));
    };
    let port = &ports[index];
    let step = (port.settings != wanted.settings)
        .then(|| Step::ReplacePort(wanted.name(), port.clone(), wanted.settings));
    Ok((Some(index), step))
}

fn compare_link(link: &Link, wanted: &Wanted) -> Option<Step> {
    let mut differ = Vec::new();
    let mut texts = Vec::new();
    let mut fixed = Vec::new();
    for field in FIELDS {
        let find = |properties: &serde_json::Map<String, Value>| {
            let value = properties.get(field.name).cloned();
            field.canonical(&value.unwrap_or_else(|| field.default(properties)))
        };
        let (is, asked) = (find(&link.properties), find(&wanted.properties));
        if is == asked {
            continue;
        }
        let changeable = match field.change {
            Change::Always => true,
            Change::Value => !asked.is_null(),
            Change::Never => false,
        };
        if !changeable {
            fixed.push(field.name);
        }
        differ.push(field.name);
        texts.push(format!("{} {} -> {}", field.name, show(&is), show(&asked)));
    }
    if !fixed.is_empty() {
        let error = Error::new(
            Kind::Failed,
            format!("cannot change in place: {}", texts.join(", ")),
        )
        .argument(fixed.join(", "))
        .hint(format!(
            "'ip link del {}' and a second 'rfou apply' make it anew; its addresses and routes are lost",
            link.name
        ));
        return Some(Step::Impossible(wanted.name(), error));
    }
    if let Some(mtu) = wanted.mtu.filter(|&mtu| mtu != link.mtu) {
        texts.push(format!("mtu {} -> {mtu}", link.mtu));
    }
    if wanted.up != link.up {
        texts.push(if wanted.up { "up" } else { "down" }.to_string());
    }
    (!texts.is_empty()).then(|| Step::ChangeLink(link.clone(), wanted.clone(), differ, texts))
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Step {
    /// Returns the verb and the object: "add", "port 5555 ipv4 fou ipip".
    pub fn describe(&self) -> (&'static str, String) {
        match self {
            Step::DeletePort(port) => ("delete", port.to_string()),
            Step::AddPort(_, identity, settings) => ("add", format!("{identity} {settings}")),
            Step::ReplacePort(_, port, settings) => (
                "change",
                format!("{}: {} -> {settings}", port.identity, port.settings),
            ),
            Step::DeleteLink(link) => ("delete", format!("link {}", link.name)),
            Step::AddLink(wanted) => ("add", wanted.name()),
            Step::ChangeLink(link, _, _, texts) => (
                "change",
                format!("link {}: {}", link.name, texts.join(", ")),
            ),
            Step::SetKey(step) => step.describe(),
            Step::DeleteKey(key) => ("delete", key.to_string()),
            Step::Impossible(name, _) => ("change", name.clone()),
        }
    }

    pub fn json(&self, error: Option<&Error>, done: bool) -> Value {
        let (action, object) = self.describe();
        let mut value = json!({ "action": action, "object": object, "done": done });
        if let Some(error) = error {
            value["error"] = json!(error);
        }
        value
    }

    /// Returns the name in the file of the port or device that has to wait after an error of this step, because an
    /// interface or a local address is not there yet. `None` after other errors.
    pub fn waits(&self, error: &Error) -> Option<String> {
        if error.kind != Kind::NotFound && error.errno != Some(EADDRNOTAVAIL) {
            return None;
        }
        match self {
            Step::AddPort(name, ..) | Step::ReplacePort(name, ..) | Step::Impossible(name, _) => {
                Some(name.clone())
            }
            Step::AddLink(wanted) | Step::ChangeLink(_, wanted, ..) => Some(wanted.name()),
            _ => None,
        }
    }

    /// Returns the name of the device whose key the step sets.
    pub fn device_of_key(&self) -> Option<String> {
        match self {
            Step::SetKey(step) => Some(step.device()),
            _ => None,
        }
    }

    /// Makes the change. It is no error if another program has meanwhile opened the same port, or removed the
    /// port, link or key that the step removes.
    pub fn run(&self, kernel: &mut Kernel) -> Result {
        let unsupported = || Error::new(Kind::Unsupported, "the kernel has no FOU and GUE ports");
        match self {
            Step::DeletePort(port) => {
                let ports = kernel.ports.as_mut().ok_or_else(unsupported)?;
                unless(Kind::NotFound, ports.delete(&port.identity))
            }
            Step::AddPort(_, identity, settings) => {
                let ports = kernel.ports.as_mut().ok_or_else(unsupported)?;
                let Err(error) = ports.add(identity, settings) else {
                    return Ok(());
                };
                match ports.find(identity)? {
                    Some(port) if port.settings == *settings => Ok(()),
                    _ => Err(error),
                }
            }
            Step::ReplacePort(_, port, settings) => {
                let ports = kernel.ports.as_mut().ok_or_else(unsupported)?;
                ports.replace(port, settings)
            }
            Step::DeleteLink(link) => unless(Kind::NotFound, kernel.links.delete(link)),
            Step::AddLink(wanted) => kernel.links.add(wanted),
            Step::ChangeLink(link, wanted, names, _) => kernel.links.change(link, wanted, names),
            Step::SetKey(step) => step.run(kernel),
            Step::DeleteKey(key) => {
                unless(Kind::NotFound, kernel.keys()?.delete(&key.device, key.id))
            }
            Step::Impossible(_, error) => Err(error.clone()),
        }
    }
}

fn unless(kind: Kind, done: Result) -> Result {
    match done {
        Err(error) if error.kind == kind => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Encapsulation, Family};

    fn port(number: u16, encapsulation: Encapsulation) -> Port {
        Port {
            identity: Identity {
                family: Family::Ipv4,
                port: number,
                local: None,
                peer: None,
                ifindex: 0,
            },
            settings: Settings {
                encapsulation,
                remcsum_nopartial: false,
            },
            counters: None,
        }
    }

    fn link(properties: Value) -> Link {
        Link {
            name: "gue0".into(),
            index: 9,
            up: true,
            state: "up",
            mtu: 1464,
            properties: properties.as_object().unwrap().clone(),
            counters: None,
        }
    }

    fn steps(text: &str, system: &System) -> Vec<String> {
        let config = Config::parse("f", text).unwrap();
        let how = How {
            exclusive: config.exclusive,
            rekey: false,
        };
        let plan = Plan::new(&config, system, how);
        plan.steps
            .iter()
            .map(|step| {
                let (verb, object) = step.describe();
                format!("{verb} {object}")
            })
            .collect()
    }

    #[test]
    fn only_what_differs_is_changed() {
        let system = System {
            ports: vec![
                port(5555, Encapsulation::Fou(4)),
                port(6080, Encapsulation::Gue),
                port(7000, Encapsulation::Gue),
            ],
            ..System::default()
        };
        let text = "exclusive = true\n[[port]]\nport = 5555\nprotocol = 'ipip'\n\
            [[port]]\nport = 6080\nprotocol = 'gre'\n[[port]]\nport = 8000\nencap = 'gue'\n";
        assert_eq!(
            steps(text, &system),
            [
                "delete port 7000 ipv4 gue",
                "change port 6080 ipv4: gue -> fou gre",
                "add port 8000 ipv4 gue"
            ]
        );
        let kept = text.replace("exclusive = true", "");
        assert_eq!(steps(&kept, &system).len(), 2, "7000 is left alone");
    }

    #[test]
    fn a_step_waits_for_what_may_come_and_for_nothing_else() {
        let text = "[[port]]\nport = 1\nencap = 'gue'\nlocal = '192.0.2.9'\n\
            [[port]]\nport = 1\nencap = 'gue'\nlocal = '192.0.2.9'\ndev = 'absent0'\n\
            [[link]]\nname = 'gue0'\n";
        let config = Config::parse("f", text).unwrap();
        let plan = Plan::new(&config, &System::default(), How::default());
        let mut no_address = Error::new(Kind::Failed, "");
        no_address.errno = Some(EADDRNOTAVAIL);
        let no_interface = Error::new(Kind::NotFound, "");
        let gue = port(1, Encapsulation::Gue);
        let replaced = Step::ReplacePort("port 1".into(), gue.clone(), gue.settings);
        let port = "port 1 ipv4 local 192.0.2.9";
        let on_device = format!("{port} dev absent0");
        let names = [port, &on_device, "link gue0"];
        for error in [&no_address, &no_interface] {
            let waiting: Vec<_> = plan.steps.iter().map(|step| step.waits(error)).collect();
            assert_eq!(waiting, names.map(|name| Some(name.to_string())));
        }
        for kind in [Kind::Failed, Kind::InUse, Kind::Permission] {
            let error = Error::new(kind, "");
            assert!(plan.steps.iter().all(|step| step.waits(&error).is_none()));
        }
        assert_eq!(replaced.waits(&no_address), Some("port 1".into()));
        let gone = Step::DeleteLink(link(json!({})));
        assert_eq!(gone.waits(&no_interface), None);
    }

    #[test]
    fn links_are_compared_with_their_defaults() {
        let text = "[[link]]\nname = 'gue0'\nremote = '2001:DB8:0::2'\nttl = 64\n";
        let shown = json!({
            "remote": "2001:db8::2", "ttl": 64, "port": 6080, "dport": 6080, "sport": "auto",
            "mode": "ip", "variant": 0, "tos": 0, "df": "unset", "flowlabel": 0, "udpcsum": false,
            "udp6zerocsumtx": false, "udp6zerocsumrx": false, "remcsum": "off",
        });
        let mut system = System {
            links: vec![link(shown)],
            ..System::default()
        };
        assert_eq!(steps(text, &system), [] as [String; 0]);
        system.links[0].properties["ttl"] = json!(1);
        system.links[0].up = false;
        assert_eq!(steps(text, &system), ["change link gue0: ttl 1 -> 64, up"]);
        system.links[0].properties["mode"] = json!("ethernet");
        let config = Config::parse("f", text).unwrap();
        let plan = Plan::new(&config, &system, How::default());
        assert!(matches!(&plan.steps[0], Step::Impossible(_, error)
            if error.argument.as_deref() == Some("mode")));
    }
}
