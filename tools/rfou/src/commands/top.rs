// SPDX-License-Identifier: GPL-2.0

//! `rfou top`.

mod rates;
mod screen;

use crate::{
    cli::{Sort, TopArgs},
    error::{Error, Kind, Result},
    links::Links,
    output::{bytes, table, write, Output},
    ports::{Ports, Which},
};
use rates::{rates, Rates, Sample};
use serde_json::json;
use std::{
    io::{self, IsTerminal},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Reads counters.
struct Source {
    ports: Option<Ports>,
    links: Links,
}

impl Source {
    fn open(which: Option<Which>) -> Result<Self> {
        let ports = match Ports::open(which) {
            Err(error) if error.kind != Kind::Unsupported => return Err(error),
            ports => ports.ok(),
        };
        Ok(Self {
            ports,
            links: Links::open()?,
        })
    }

    fn sample(&mut self) -> Result<Sample> {
        let ports = match &mut self.ports {
            Some(ports) => ports.list()?,
            None => Vec::new(),
        };
        Ok(Sample::new(&ports, &self.links.list()?))
    }

    /// Returns a warning if there are no ports, or if ports have no counters.
    fn warning(&self) -> Option<&'static str> {
        match &self.ports {
            None => Some("no module rfou is loaded: there are no ports"),
            Some(ports) if !ports.has_counters() => {
                Some("this kernel's module has no counters of ports")
            }
            Some(_) => None,
        }
    }
}

pub fn run(args: &TopArgs, which: Option<Which>, output: Output) -> Result {
    let mut source = Source::open(which)?;
    if args.batch || output.json {
        return batch(args, &mut source, output);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Error::usage("top needs a terminal").hint("--batch and --json print lines"));
    }
    screen::run(args, &mut source, output.color)
}

/// Prints a table or an object for each interval.
fn batch(args: &TopArgs, source: &mut Source, output: Output) -> Result {
    if let (Some(warning), false) = (source.warning(), output.json) {
        eprintln!("rfou: {warning}");
    }
    let mut before = source.sample()?;
    let mut left = args.count;
    while left != Some(0) {
        thread::sleep(Duration::from_secs_f64(args.delay));
        let now = source.sample()?;
        let seconds = (now.time - before.time).as_secs_f64();
        let mut rows = rates(&before, &now);
        sort(&mut rows, args.sort, false);
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = time.unwrap_or_default().as_secs_f64();
        let value = json!({ "time": time, "seconds": seconds, "rows": rows });
        output.print(&value, || {
            let cells: Vec<_> = rows.iter().map(cells).collect();
            table(output, &HEADING, &cells) + "\n"
        })?;
        before = now;
        left = left.map(|left| left - 1);
    }
    write("")
}

const HEADING: [&str; 6] = [
    "NAME", "RX PKT/S", "RX B/S", "TX PKT/S", "TX B/S", "DROPS/S",
];

fn cells(row: &Rates) -> Vec<String> {
    vec![
        row.name.clone(),
        format!("{:.0}", row.rx_packets),
        bytes(row.rx_bytes as u64),
        format!("{:.0}", row.tx_packets),
        bytes(row.tx_bytes as u64),
        format!("{:.0}", row.drops),
    ]
}

/// Sorts: names upwards, rates downwards.
fn sort(rows: &mut [Rates], key: Sort, reverse: bool) {
    rows.sort_by(|a, b| {
        let rate = |row: &Rates| match key {
            Sort::Name => 0.0,
            Sort::RxPackets => row.rx_packets,
            Sort::RxBytes => row.rx_bytes,
            Sort::TxPackets => row.tx_packets,
            Sort::TxBytes => row.tx_bytes,
            Sort::Drops => row.drops,
        };
        // Equal rates stay in the order of names, so that lines do not jump.
        rate(b).total_cmp(&rate(a)).then(a.order.cmp(&b.order))
    });
    if reverse {
        rows.reverse();
    }
}
