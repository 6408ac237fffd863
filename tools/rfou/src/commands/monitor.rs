// SPDX-License-Identifier: GPL-2.0

//! `rfou monitor`.

use crate::{
    cli::MonitorArgs,
    error::{Error, Kind, Result},
    links::{self, Link, Links},
    output::{write, Output, Style},
    peers::{Change, Peer, Peers},
    port::Port,
    ports::{self, Ports, Which},
};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use serde_json::{json, Value};
use std::{
    collections::BTreeMap,
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The time between two looks at the ports, if the kernel does not announce their changes.
const INTERVAL: Duration = Duration::from_millis(500);
const ENOBUFS: i32 = 105;

struct Monitor {
    output: Output,
    timestamp: bool,
    left: Option<u64>,
    links: BTreeMap<u32, Link>,
}

/// The sockets on which the kernel announces changes.
struct Sockets {
    ports: Ports,
    links: Links,
    /// Opened with the first device, because the module may come later than this program.
    peers: Option<Peers>,
}

pub fn run(args: &MonitorArgs, which: Option<Which>, output: Output) -> Result {
    let ports = Ports::open(which)?;
    let links = Links::open()?;
    let told = ports.subscribe()?;
    links.subscribe()?;
    if !told && !output.json {
        eprintln!(
            "rfou: this kernel's module does not tell changes of ports; looking every {} ms",
            INTERVAL.as_millis()
        );
    }
    let mut monitor = Monitor {
        output,
        timestamp: args.timestamp,
        left: args.count,
        links: BTreeMap::new(),
    };
    for link in Links::open()?.list()? {
        monitor.links.insert(link.index, link);
    }
    let mut sockets = Sockets {
        ports,
        links,
        peers: None,
    };
    let mut known = sockets.ports.list()?;
    loop {
        if monitor.left == Some(0) {
            return Ok(());
        }
        match monitor.links.is_empty() {
            true => sockets.peers = None,
            false if sockets.peers.is_none() => sockets.peers = subscribed()?,
            false => (),
        }
        let ready = wait(&sockets, told)?;
        if !told {
            let now = sockets.ports.list()?;
            monitor.compare(&known, &now)?;
            known = now;
        }
        if ready.ports {
            match sockets.ports.receive() {
                Ok(events) => {
                    for event in events {
                        monitor.port(event)?;
                    }
                }
                Err(error) => monitor.lost("ports", &error)?,
            }
        }
        if ready.links {
            match sockets.links.receive() {
                Ok(events) => {
                    for event in events {
                        monitor.link(event)?;
                    }
                }
                Err(error) => monitor.lost("links", &error)?,
            }
        }
        if let (true, Some(peers)) = (ready.peers, &mut sockets.peers) {
            match peers.receive() {
                Ok(changes) => {
                    for (change, peer) in changes {
                        monitor.peer(change, &peer)?;
                    }
                }
                Err(error) => monitor.lost("peers", &error)?,
            }
        }
    }
}

/// Returns a connection with a subscription to changes of peers; `None` if the module is gone by now.
fn subscribed() -> Result<Option<Peers>> {
    let peers = match Peers::open() {
        Err(error) if error.kind == Kind::Unsupported => return Ok(None),
        peers => peers?,
    };
    peers.subscribe()?;
    Ok(Some(peers))
}

/// The sockets that are readable.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    ports: bool,
    links: bool,
    peers: bool,
}

/// Waits until a socket is readable. If the kernel does not announce changes of ports, waits at most [`INTERVAL`].
fn wait(from: &Sockets, told: bool) -> Result<Ready> {
    let mut sockets = vec![PollFd::new(from.links.socket(), PollFlags::IN)];
    if told {
        sockets.push(PollFd::new(from.ports.socket(), PollFlags::IN));
    }
    if let Some(peers) = &from.peers {
        sockets.push(PollFd::new(peers.socket(), PollFlags::IN));
    }
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: INTERVAL.as_nanos() as _,
    };
    match poll(&mut sockets, (!told).then_some(&timeout)) {
        Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
        done => done.map_err(|error| Error::io("waiting for changes", &error.into()))?,
    };
    let ready = |index: usize| {
        let socket: Option<&PollFd<'_>> = sockets.get(index);
        socket.is_some_and(|socket| !socket.revents().is_empty())
    };
    Ok(Ready {
        ports: told && ready(1),
        links: ready(0),
        peers: from.peers.is_some() && ready(1 + usize::from(told)),
    })
}

impl Monitor {
    fn port(&mut self, event: ports::Event) -> Result {
        match event {
            ports::Event::Added(port) => self.tell("port-added", "port", &json!(port), &port),
            ports::Event::Deleted(port) => self.tell("port-deleted", "port", &json!(port), &port),
        }
    }

    /// Prints the changes between two looks.
    fn compare(&mut self, before: &[Port], now: &[Port]) -> Result {
        let same = |a: &Port, b: &Port| a.identity == b.identity && a.settings == b.settings;
        for port in before {
            if !now.iter().any(|other| same(other, port)) {
                self.port(ports::Event::Deleted(port.clone()))?;
            }
        }
        for port in now {
            if !before.iter().any(|other| same(other, port)) {
                self.port(ports::Event::Added(port.clone()))?;
            }
        }
        Ok(())
    }

    fn link(&mut self, event: links::Event) -> Result {
        match event {
            links::Event::Deleted(link) => {
                self.links.remove(&link.index);
                self.tell("link-deleted", "link", &json!(link), &summary(&link))
            }
            links::Event::Set(mut link) => {
                // A change of the counters alone does not count.
                link.counters = None;
                let before = self.links.insert(link.index, link.clone());
                let before = before.map(|before| Link {
                    counters: None,
                    ..before
                });
                match before {
                    Some(before) if before == link => Ok(()),
                    Some(_) => self.tell("link-changed", "link", &json!(link), &summary(&link)),
                    None => self.tell("link-added", "link", &json!(link), &summary(&link)),
                }
            }
        }
    }

    fn peer(&mut self, change: Change, peer: &Peer) -> Result {
        let event = match change {
            Change::Moved => "peer-moved",
            Change::Dead => "peer-dead",
            Change::Alive => "peer-alive",
        };
        let text = format!("peer of {}: {peer}", peer.device);
        self.tell(event, "peer", &json!(peer), &text)
    }

    /// Prints that changes were lost because this program read too slowly.
    fn lost(&mut self, what: &str, error: &io::Error) -> Result {
        if error.raw_os_error() != Some(ENOBUFS) {
            return Err(Error::io(format!("changes of {what}"), error));
        }
        let text = format!("changes of {what} were lost: too many at once");
        self.tell("overrun", "of", &json!(what), &text)
    }

    fn tell(
        &mut self,
        event: &str,
        key: &str,
        value: &Value,
        text: &dyn std::fmt::Display,
    ) -> Result {
        match &mut self.left {
            Some(0) => return Ok(()),
            Some(left) => *left -= 1,
            None => (),
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        if self.output.json {
            let time = now.as_secs_f64();
            return write(&format!(
                "{}\n",
                json!({ "event": event, "time": time, key: value })
            ));
        }
        let style = match event {
            "port-added" | "link-added" | "peer-alive" => Style::Good,
            "port-deleted" | "link-deleted" | "peer-dead" => Style::Bad,
            _ => Style::Note,
        };
        let verb = event.rsplit('-').next().unwrap_or(event);
        let time = match self.timestamp {
            true => format!("{}.{:03} ", now.as_secs(), now.subsec_millis()),
            false => String::new(),
        };
        write(&format!(
            "{time}{} {text}\n",
            self.output.paint(style, verb)
        ))
    }
}

fn summary(link: &Link) -> String {
    let mut text = format!("link {}", link.name);
    for name in ["remote", "id", "port"] {
        if let Some(value) = link.properties.get(name) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), String::from);
            text += &format!(" {name} {value}");
        }
    }
    let up = if link.up { "up" } else { "down" };
    format!("{text} mtu {} {up} state {}", link.mtu, link.state)
}
