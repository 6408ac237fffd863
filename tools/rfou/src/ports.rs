// SPDX-License-Identifier: GPL-2.0

//! The kernel's ports, by the generic netlink family `rfou`, or `fou` if the kernel lacks it.

mod dialect;

use crate::{
    error::{Error, Kind, Result},
    genl,
    netlink::{Builder, Refusal},
    port::{Identity, Port, Settings},
};
use clap::ValueEnum;
pub use dialect::address;
use dialect::Dialect;

const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EPERM: i32 = 1;
const ENODEV: i32 = 19;
const EEXIST: i32 = 17;
const EOPNOTSUPP: i32 = 95;
const EADDRINUSE: i32 = 98;
const EALREADY: i32 = 114;

/// The family to use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Which {
    Rfou,
    Fou,
}

/// The result of [`Ports::set`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Set {
    Added,
    Replaced,
    Unchanged,
}

/// A change of the ports that the kernel announced.
#[derive(Debug)]
pub enum Event {
    Added(Port),
    Deleted(Port),
}

/// A connection to the family.
pub struct Ports {
    family: genl::Family,
    dialect: &'static Dialect,
}

impl Ports {
    /// Connects to the family `which`, or to `rfou` if the kernel has it, else to `fou`.
    pub fn open(which: Option<Which>) -> Result<Self> {
        let dialects: &[&Dialect] = match which {
            None => &[&dialect::RFOU, &dialect::FOU],
            Some(Which::Rfou) => &[&dialect::RFOU],
            Some(Which::Fou) => &[&dialect::FOU],
        };
        let mut last = None;
        for &dialect in dialects {
            match genl::Family::open(dialect.name) {
                Ok(family) => return Ok(Self { family, dialect }),
                Err(refusal) => last = Some(refusal),
            }
        }
        Err(match last {
            Some(refusal) if refusal.errno != ENOENT => to_error(&refusal, None),
            _ => Error::new(
                Kind::Unsupported,
                "the kernel has no FOU and GUE ports: no module rfou is loaded",
            )
            .hint("'modprobe rfou' loads it; 'rfou check' says what is missing"),
        })
    }

    /// Returns `true` if ports have counters.
    pub fn has_counters(&self) -> bool {
        self.dialect.notifies()
    }

    /// Returns all ports.
    pub fn list(&mut self) -> Result<Vec<Port>> {
        let answers = self.family.dump(self.dialect.get);
        let answers = answers.map_err(|refusal| to_error(&refusal, None))?;
        Ok(answers
            .iter()
            .filter_map(|answer| self.dialect.read(answer))
            .collect())
    }

    /// Opens a port that does not exist yet.
    pub fn add(&mut self, identity: &Identity, settings: &Settings) -> Result {
        let flags = match self.dialect.notifies() {
            true => NLM_F_CREATE | NLM_F_EXCL,
            false => 0,
        };
        match self.try_add(identity, settings, flags) {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.why_not_added(identity, &refusal)),
        }
    }

    /// Opens a port, or changes its settings if the port exists.
    pub fn set(&mut self, identity: &Identity, settings: &Settings) -> Result<Set> {
        match self.find(identity)? {
            None => {
                self.add(identity, settings)?;
                Ok(Set::Added)
            }
            Some(port) if port.settings == *settings => Ok(Set::Unchanged),
            Some(port) => {
                self.replace(&port, settings)?;
                Ok(Set::Replaced)
            }
        }
    }

    /// Changes the settings of a port that exists. If the kernel refuses that, closes the port and opens it
    /// again.
    pub fn replace(&mut self, port: &Port, settings: &Settings) -> Result {
        let identity = &port.identity;
        if self.dialect.notifies() && self.try_add(identity, settings, NLM_F_REPLACE).is_ok() {
            return Ok(());
        }
        match self.delete(identity) {
            // Another program has removed the port.
            Err(error) if error.kind != Kind::NotFound => return Err(error),
            _ => {}
        }
        self.add(identity, settings)
            .map_err(|error| error.context(format!("{identity} is deleted, but not added again")))
    }

    /// Closes a port. `identity` is the identity that the kernel shows.
    pub fn delete(&mut self, identity: &Identity) -> Result {
        let request = self.dialect.identity(identity);
        let done = self.family.call(self.dialect.delete, 0, request);
        done.map(drop).map_err(|refusal| match refusal.errno {
            ENOENT | ESRCH => Error::new(Kind::NotFound, format!("{identity} does not exist")),
            _ => to_error(&refusal, Some(self.dialect)),
        })
    }

    /// Returns the port that a user means by `identity`.
    pub fn find(&mut self, identity: &Identity) -> Result<Option<Port>> {
        let ports = self.list()?;
        Ok(ports.into_iter().find(|port| identity.is(&port.identity)))
    }

    /// Subscribes to changes of ports. Returns `false` if the family does not announce them.
    pub fn subscribe(&self) -> Result<bool> {
        self.family
            .join("ports")
            .map_err(|error| Error::io("subscribing to changes of ports", &error))
    }

    /// Waits for changes.
    pub fn receive(&mut self) -> std::io::Result<Vec<Event>> {
        let messages = self.family.receive()?;
        Ok(messages
            .iter()
            .filter_map(|(command, bytes)| {
                let port = self.dialect.read(bytes)?;
                match *command {
                    dialect::PORT_ADDED => Some(Event::Added(port)),
                    dialect::PORT_DELETED => Some(Event::Deleted(port)),
                    _ => None,
                }
            })
            .collect())
    }

    /// Returns the socket, to wait for changes.
    pub fn socket(&self) -> &crate::netlink::Socket {
        &self.family.socket
    }

    fn try_add(
        &mut self,
        identity: &Identity,
        settings: &Settings,
        flags: u16,
    ) -> Result<(), Refusal> {
        let request: Builder = self
            .dialect
            .settings(self.dialect.identity(identity), settings);
        self.family.call(self.dialect.add, flags, request).map(drop)
    }

    /// Finds out if the UDP port belongs to a port of the kernel or to another program: the family `fou` has
    /// one error number for both.
    fn why_not_added(&mut self, identity: &Identity, refusal: &Refusal) -> Error {
        if !matches!(refusal.errno, EADDRINUSE | EALREADY | EEXIST) {
            return to_error(refusal, Some(self.dialect));
        }
        if let Ok(Some(port)) = self.find(identity) {
            return Error::new(Kind::InUse, format!("{port} exists already"))
                .argument("PORT")
                .hint("'rfou port add --replace' changes it");
        }
        let ports = self.list().unwrap_or_default();
        let near = ports.into_iter().find(|port| {
            port.identity.port == identity.port && port.identity.family == identity.family
        });
        match near {
            Some(port) => Error::new(
                Kind::InUse,
                format!("UDP port {} is in use by {port}", identity.port),
            )
            .argument("PORT")
            .hint(format!(
                "'rfou port del {}' closes it",
                port.identity.arguments()
            )),
            None => Error::new(
                Kind::InUse,
                format!("UDP port {} is in use by another program", identity.port),
            )
            .argument("PORT")
            .hint(format!(
                "'ss --udp --listening --processes sport = :{}' names the program",
                identity.port
            )),
        }
    }
}

/// Maps a refusal to a message. The dialect names the argument at fault.
pub fn to_error(refusal: &Refusal, dialect: Option<&Dialect>) -> Error {
    let text = refusal
        .text
        .clone()
        .unwrap_or_else(|| describe(refusal.errno));
    let mut error = match refusal.errno {
        EPERM => Error::new(Kind::Permission, "not permitted")
            .hint("run the command as root: CAP_NET_ADMIN in the network namespace is needed"),
        ENODEV | ENOENT | ESRCH => Error::new(Kind::NotFound, text),
        EADDRINUSE | EEXIST | EALREADY => Error::new(Kind::InUse, text),
        EOPNOTSUPP => Error::new(Kind::Unsupported, text),
        _ => Error::new(Kind::Failed, text),
    };
    error.errno = Some(refusal.errno);
    let named = refusal.path.first().and_then(|&at| dialect?.argument(at));
    error.argument = named.map(String::from);
    error
}

fn describe(errno: i32) -> String {
    crate::error::describe(&std::io::Error::from_raw_os_error(errno))
}
