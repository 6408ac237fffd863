// SPDX-License-Identifier: GPL-2.0

//! The summary of `rfou ping`.

use crate::peers::milliseconds;
use serde::{ser::SerializeStruct, Serialize, Serializer};
use std::fmt;

/// Counts of requests, and the times of their answers.
#[derive(Debug, Default)]
pub struct Statistics {
    pub sent: u64,
    /// Requests that the kernel refused to send.
    pub not_sent: u64,
    times: Vec<u64>,
}

/// Times in nanoseconds.
#[derive(Debug, Eq, PartialEq, Serialize)]
struct Times {
    min: u64,
    avg: u64,
    max: u64,
    /// The standard deviation, under the name that ping(8) has for it.
    mdev: u64,
}

impl Statistics {
    pub fn receive(&mut self, time_ns: u64) {
        self.times.push(time_ns);
    }

    pub fn received(&self) -> usize {
        self.times.len()
    }

    /// Returns the share of requests that were not answered; `None` if none was sent.
    fn loss_percent(&self) -> Option<f64> {
        let lost = self.sent.saturating_sub(self.times.len() as u64);
        (self.sent > 0).then(|| 100.0 * lost as f64 / self.sent as f64)
    }

    fn times(&self) -> Option<Times> {
        let (&min, &max) = (self.times.iter().min()?, self.times.iter().max()?);
        let count = self.times.len() as f64;
        let avg = self.times.iter().sum::<u64>() as f64 / count;
        let squares = self.times.iter().map(|&time| (time as f64 - avg).powi(2));
        Some(Times {
            min,
            avg: avg as u64,
            max,
            mdev: (squares.sum::<f64>() / count).sqrt() as u64,
        })
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} received", self.sent, self.times.len())?;
        match self.loss_percent() {
            Some(loss) if loss.fract() == 0.0 => write!(f, ", {loss:.0}% loss")?,
            Some(loss) => write!(f, ", {loss:.1}% loss")?,
            None => (),
        }
        if self.not_sent > 0 {
            write!(f, ", {} not sent", self.not_sent)?;
        }
        let Some(times) = self.times() else {
            return Ok(());
        };
        let values = [times.min, times.avg, times.max, times.mdev].map(milliseconds);
        write!(f, "\nrtt min/avg/max/mdev = {} ms", values.join("/"))
    }
}

impl Serialize for Statistics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Statistics", 5)?;
        object.serialize_field("sent", &self.sent)?;
        object.serialize_field("received", &self.times.len())?;
        object.serialize_field("not_sent", &self.not_sent)?;
        object.serialize_field("loss_percent", &self.loss_percent())?;
        object.serialize_field("rtt_ns", &self.times())?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(sent: u64, not_sent: u64, times: &[u64]) -> Statistics {
        Statistics {
            sent,
            not_sent,
            times: times.to_vec(),
        }
    }

    #[test]
    fn text_is_as_that_of_ping() {
        assert_eq!(
            made(4, 0, &[100_000, 300_000, 200_000]).to_string(),
            "4 sent, 3 received, 25% loss\nrtt min/avg/max/mdev = 0.100/0.200/0.300/0.081 ms"
        );
        assert_eq!(
            made(3, 1, &[]).to_string(),
            "3 sent, 0 received, 100% loss, 1 not sent"
        );
        assert_eq!(
            made(3, 0, &[1, 1]).to_string().lines().next(),
            Some("3 sent, 2 received, 33.3% loss")
        );
        assert_eq!(
            made(0, 2, &[]).to_string(),
            "0 sent, 0 received, 2 not sent"
        );
    }

    #[test]
    fn json_has_the_names_of_the_schema() {
        let expected = json!({
            "sent": 4, "received": 2, "not_sent": 0, "loss_percent": 50.0,
            "rtt_ns": { "min": 100, "avg": 150, "max": 200, "mdev": 50 },
        });
        assert_eq!(
            serde_json::to_value(made(4, 0, &[100, 200])).unwrap(),
            expected
        );
        let silent = serde_json::to_value(made(0, 1, &[])).unwrap();
        assert_eq!(silent["rtt_ns"], json!(null));
        assert_eq!(silent["loss_percent"], json!(null));
    }
}
