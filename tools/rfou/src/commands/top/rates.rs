// SPDX-License-Identifier: GPL-2.0

//! Counters at two times, and the rates between.

use crate::{
    links::Link,
    port::{Identity, Port},
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Instant};

/// The order of rows by name: ports by number, then devices by name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Order {
    Port(u16, Identity),
    Link(String),
}

/// All counters at one time.
#[derive(Debug)]
pub struct Sample {
    pub time: Instant,
    rows: BTreeMap<Order, Counts>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    name: String,
    /// Tells a device from one of the same name that was made later.
    instance: u32,
    /// Packets and bytes received, packets and bytes sent, drops.
    counts: [u64; 5],
    reasons: BTreeMap<String, u64>,
}

/// Rates per second of a port or device.
#[derive(Clone, Debug, Serialize)]
pub struct Rates {
    pub name: String,
    #[serde(skip)]
    pub order: Order,
    pub rx_packets: f64,
    pub rx_bytes: f64,
    pub tx_packets: f64,
    pub tx_bytes: f64,
    pub drops: f64,
    pub drops_by_reason: Vec<Reason>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    pub reason: String,
    pub packets: f64,
}

impl Sample {
    pub fn new(ports: &[Port], links: &[Link]) -> Self {
        let mut rows = BTreeMap::new();
        for port in ports {
            let counters = port.counters.clone().unwrap_or_default();
            let reasons = counters.drops_by_reason.into_iter();
            let order = Order::Port(port.identity.port, port.identity.clone());
            let counts = Counts {
                name: port.to_string(),
                instance: 0,
                counts: [counters.rx_packets, counters.rx_bytes, 0, 0, counters.drops],
                reasons: reasons.map(|drop| (drop.reason, drop.packets)).collect(),
            };
            rows.insert(order, counts);
        }
        for link in links {
            let counters = link.counters.clone().unwrap_or_default();
            let reasons = BTreeMap::from([
                ("receive errors".to_string(), counters.rx_errors),
                ("send errors".to_string(), counters.tx_errors),
                ("dropped on receive".to_string(), counters.rx_dropped),
                ("dropped on send".to_string(), counters.tx_dropped),
            ]);
            let counts = Counts {
                name: format!("link {}", link.name),
                instance: link.index,
                counts: [
                    counters.rx_packets,
                    counters.rx_bytes,
                    counters.tx_packets,
                    counters.tx_bytes,
                    reasons.values().sum(),
                ],
                reasons,
            };
            rows.insert(Order::Link(link.name.clone()), counts);
        }
        Self {
            time: Instant::now(),
            rows,
        }
    }
}

/// Returns the rates between two samples. The counters of a port or device that is new began at 0.
pub fn rates(before: &Sample, now: &Sample) -> Vec<Rates> {
    let seconds = (now.time - before.time).as_secs_f64().max(1e-3);
    let new = Counts::default();
    now.rows
        .iter()
        .map(|(order, row)| {
            let old = before.rows.get(order);
            let old = old
                .filter(|old| old.instance == row.instance)
                .unwrap_or(&new);
            // Less than before: a port was deleted and made again.
            let per_second =
                |now: u64, old: u64| now.checked_sub(old).unwrap_or(now) as f64 / seconds;
            let rate = |index: usize| per_second(row.counts[index], old.counts[index]);
            let reasons = row.reasons.iter().map(|(reason, &count)| Reason {
                reason: reason.clone(),
                packets: per_second(count, old.reasons.get(reason).copied().unwrap_or(0)),
            });
            Rates {
                name: row.name.clone(),
                order: order.clone(),
                rx_packets: rate(0),
                rx_bytes: rate(1),
                tx_packets: rate(2),
                tx_bytes: rate(3),
                drops: rate(4),
                drops_by_reason: reasons.filter(|reason| reason.packets > 0.0).collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Counters, Drop, Encapsulation, Family, Settings};
    use std::time::Duration;

    fn sample(seconds: u64, packets: u64, drops: u64) -> Sample {
        let port = Port {
            identity: Identity {
                family: Family::Ipv4,
                port: 5555,
                local: None,
                peer: None,
                ifindex: 0,
            },
            settings: Settings {
                encapsulation: Encapsulation::Gue,
                remcsum_nopartial: false,
            },
            counters: Some(Counters {
                rx_packets: packets,
                rx_bytes: packets * 100,
                drops,
                drops_by_reason: vec![Drop {
                    reason: "GUE_BAD_HLEN".into(),
                    packets: drops,
                }],
            }),
        };
        let mut sample = Sample::new(&[port], &[]);
        sample.time += Duration::from_secs(seconds);
        sample
    }

    #[test]
    fn rates_are_differences_over_time() {
        let found = rates(&sample(0, 10, 1), &sample(10, 30, 6));
        assert!((found[0].rx_packets - 2.0).abs() < 0.01);
        assert!((found[0].rx_bytes - 200.0).abs() < 1.0);
        assert!((found[0].drops - 0.5).abs() < 0.01);
        assert_eq!(found[0].drops_by_reason[0].reason, "GUE_BAD_HLEN");
    }

    #[test]
    fn a_port_made_again_counts_from_0() {
        let found = rates(&sample(0, 1000, 0), &sample(10, 10, 0));
        assert!((found[0].rx_packets - 1.0).abs() < 0.01);
        assert!(found[0].drops_by_reason.is_empty());
    }
}
