// SPDX-License-Identifier: GPL-2.0

//! `rfou ping`.

mod statistics;

use crate::{
    cli::PingArgs,
    error::{Error, Result},
    netlink::Refusal,
    output::{write, Output, Style},
    peers::{self, milliseconds, Peers, Pong},
};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use serde_json::{json, Value};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe,
};
use statistics::Statistics;
use std::{
    collections::VecDeque,
    os::unix::net::UnixStream,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The exit status if no answer came.
const SILENT: u8 = 1;

/// A request without an answer.
struct Request {
    /// The kernel's number.
    sequence: u64,
    /// The number that is printed: 1, 2, and so on.
    number: u64,
    deadline: Instant,
}

struct Ping<'a> {
    args: &'a PingArgs,
    output: Output,
    peers: Peers,
    /// The number of requests so far, including those that were not sent.
    number: u64,
    awaited: VecDeque<Request>,
    statistics: Statistics,
}

pub fn run(args: &PingArgs, output: Output) -> Result<u8> {
    let stop = signals().map_err(|error| Error::io("signals", &error))?;
    let mut ping = Ping {
        args,
        output,
        peers: Peers::open()?,
        number: 0,
        awaited: VecDeque::new(),
        statistics: Statistics::default(),
    };
    let done = ping.all(&stop);
    // An error before the first request, such as a wrong name, has no statistics.
    if done.is_ok() || ping.number > 1 {
        ping.summary()?;
    }
    done?;
    Ok(match ping.statistics.received() {
        0 => SILENT,
        _ => 0,
    })
}

/// Returns a stream that is readable after Ctrl-C.
fn signals() -> std::io::Result<UnixStream> {
    let (stop, signalled) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, signalled.try_clone()?)?;
    }
    Ok(stop)
}

impl Ping<'_> {
    /// Sends all requests. Returns when each is answered or lost, or after a signal.
    fn all(&mut self, stop: &UnixStream) -> Result {
        let interval = Duration::from_secs_f64(self.args.interval);
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            self.give_up(now)?;
            let is_due = match self.args.count {
                Some(count) => self.number < count,
                None => true,
            };
            if is_due && now >= next {
                next = now + interval;
                self.ask()?;
            } else {
                let until = [
                    is_due.then_some(next),
                    self.awaited.front().map(|request| request.deadline),
                ];
                let Some(until) = until.into_iter().flatten().min() else {
                    return Ok(());
                };
                if self.wait(stop, until - now)? {
                    return Ok(());
                }
            }
        }
    }

    /// Sends a request.
    fn ask(&mut self) -> Result {
        self.number += 1;
        match self.peers.ping(&self.args.device) {
            Ok(sequence) => {
                self.statistics.sent += 1;
                self.awaited.push_back(Request {
                    sequence,
                    number: self.number,
                    deadline: Instant::now() + Duration::from_secs_f64(self.args.timeout),
                });
                // On the same machine the answer may be there already.
                match self.peers.has_pongs() {
                    true => self.answers(),
                    false => Ok(()),
                }
            }
            Err(refusal) if peers::is_transient(&refusal) => self.not_sent(&refusal),
            Err(refusal) => Err(peers::to_error(&refusal)),
        }
    }

    fn not_sent(&mut self, refusal: &Refusal) -> Result {
        self.statistics.not_sent += 1;
        let error = peers::to_error(refusal);
        let text = format!("seq={} not sent: {error}", self.number);
        let value = json!({ "seq": self.number, "error": error });
        self.tell("not-sent", value, &self.output.paint(Style::Bad, &text))
    }

    /// Waits for answers. Returns `true` if a signal came.
    fn wait(&mut self, stop: &UnixStream, time: Duration) -> Result<bool> {
        // Rounded up: a wait that ends a moment too early costs another turn of the loop.
        let time = time + Duration::from_micros(1);
        let timeout = Timespec {
            tv_sec: time.as_secs() as _,
            tv_nsec: time.subsec_nanos().into(),
        };
        let mut sockets = [
            PollFd::new(self.peers.socket(), PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut sockets, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(false),
            done => done.map_err(|error| Error::io("waiting for answers", &error.into()))?,
        };
        let [answered, stopped] = sockets.map(|socket| !socket.revents().is_empty());
        if answered {
            self.answers()?;
        }
        Ok(stopped)
    }

    fn answers(&mut self) -> Result {
        let pongs = self.peers.pongs();
        let pongs = pongs.map_err(|error| Error::io("receiving answers", &error))?;
        pongs.iter().try_for_each(|pong| self.answer(pong))
    }

    /// Prints the first answer to a request of this program. Ignores other answers.
    fn answer(&mut self, pong: &Pong) -> Result {
        let is_its = |request: &Request| request.sequence == pong.sequence;
        let Some(place) = self.awaited.iter().position(is_its) else {
            return Ok(());
        };
        let number = self
            .awaited
            .remove(place)
            .map_or(0, |request| request.number);
        self.statistics.receive(pong.rtt_ns);
        let mut text = String::from("from");
        if let Some(address) = pong.from {
            text += &format!(" {address}");
        }
        if let Some(port) = pong.port {
            text += &format!(" port {port}");
        }
        text += &format!(": seq={number} time={} ms", milliseconds(pong.rtt_ns));
        let value = json!({
            "seq": number, "from": pong.from, "port": pong.port, "rtt_ns": pong.rtt_ns,
        });
        self.tell("reply", value, &text)
    }

    /// Gives up the requests whose deadline has passed.
    fn give_up(&mut self, now: Instant) -> Result {
        while let Some(request) = self.awaited.front() {
            if request.deadline > now {
                break;
            }
            let number = request.number;
            self.awaited.pop_front();
            let text = format!("seq={number} no answer");
            let text = self.output.paint(Style::Note, &text);
            self.tell("no-answer", json!({ "seq": number }), &text)?;
        }
        Ok(())
    }

    fn summary(&self) -> Result {
        let (device, statistics) = (&self.args.device, &self.statistics);
        let text = format!("\n--- {device} ping statistics ---\n{statistics}");
        let mut value = json!(statistics);
        value["device"] = json!(device);
        self.tell("summary", value, &text)
    }

    fn tell(&self, event: &str, mut value: Value, text: &str) -> Result {
        if !self.output.json {
            return write(&format!("{text}\n"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        value["event"] = json!(event);
        value["time"] = json!(now.unwrap_or_default().as_secs_f64());
        write(&format!("{value}\n"))
    }
}
