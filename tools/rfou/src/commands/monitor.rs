// SPDX-License-Identifier: GPL-2.0

//! `rfou monitor`.

use crate::{
    cli::MonitorArgs,
    error::{Error, Result},
    links::{self, Link, Links},
    output::{write, Output, Style},
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

/// The time between two looks at ports whose changes the kernel does not tell.
const INTERVAL: Duration = Duration::from_millis(500);
const ENOBUFS: i32 = 105;

struct Monitor {
    output: Output,
    timestamp: bool,
    left: Option<u64>,
    links: BTreeMap<u32, Link>,
}

pub fn run(args: &MonitorArgs, which: Option<Which>, output: Output) -> Result {
    let mut ports = Ports::open(which)?;
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
    let mut known = ports.list()?;
    loop {
        if monitor.left == Some(0) {
            return Ok(());
        }
        let (port_ready, link_ready) = wait(&ports, &links, told)?;
        if !told {
            let now = ports.list()?;
            monitor.compare(&known, &now)?;
            known = now;
        }
        if port_ready {
            match ports.receive() {
                Ok(events) => {
                    for event in events {
                        monitor.port(event)?;
                    }
                }
                Err(error) => monitor.lost("ports", &error)?,
            }
        }
        if link_ready {
            match links.receive() {
                Ok(events) => {
                    for event in events {
                        monitor.link(event)?;
                    }
                }
                Err(error) => monitor.lost("links", &error)?,
            }
        }
    }
}

/// Waits until a socket is readable, or until it is time to look.
fn wait(ports: &Ports, links: &Links, told: bool) -> Result<(bool, bool)> {
    let mut sockets = vec![PollFd::new(links.socket(), PollFlags::IN)];
    if told {
        sockets.push(PollFd::new(ports.socket(), PollFlags::IN));
    }
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: INTERVAL.as_nanos() as _,
    };
    match poll(&mut sockets, (!told).then_some(&timeout)) {
        Err(rustix::io::Errno::INTR) => return Ok((false, false)),
        done => done.map_err(|error| Error::io("waiting for changes", &error.into()))?,
    };
    let ready = |index: usize| {
        let socket: Option<&PollFd<'_>> = sockets.get(index);
        socket.is_some_and(|socket| !socket.revents().is_empty())
    };
    Ok((ready(1), ready(0)))
}

impl Monitor {
    fn port(&mut self, event: ports::Event) -> Result {
        match event {
            ports::Event::Added(port) => self.tell("port-added", "port", &json!(port), &port),
            ports::Event::Deleted(port) => self.tell("port-deleted", "port", &json!(port), &port),
        }
    }

    /// Tells the changes between two looks.
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
                // Counters are no change.
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

    /// Tells that changes were lost because this program read too slowly.
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
            "port-added" | "link-added" => Style::Good,
            "port-deleted" | "link-deleted" => Style::Bad,
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
