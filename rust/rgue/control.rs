// SPDX-License-Identifier: GPL-2.0

//! Control messages: echo requests and replies between the ends of a tunnel.
//!
//! Each device answers echo requests. [`Peer`] records the requests that a device has sent and the messages that it
//! has accepted. [`send`] makes the messages that leave. [`watch`] asks a silent peer, and does in process context
//! the work that a message causes.

mod counters;
mod peer;
mod questions;
mod send;
mod watch;

pub(crate) use questions::{Asker, Place, Pong, User};
pub(crate) use watch::work;

use crate::{config::Config, demux::Entry, guard, keys::KeyRing, reason::Reason, reassembly};
use gue::{
    control::{Echo, Kind, EXPERIMENTAL},
    DeviceNotes, Header,
};
use kernel::{prelude::*, sync::Arc};
use net::{
    rcu::RcuReader,
    rtnl::{Rtnl, RtnlCell, RtnlValue},
    skb::{OuterSource, RxSkb},
    time::monotonic_ns,
    udp::{self, PortNumber},
    Netns,
};
use peer::{Peer, Standing};
use send::Letter;

/// A device's side of control messages. Receive and the device share it.
#[pin_data]
pub(crate) struct Control {
    /// The configuration, with the peer's place if the peer has moved.
    config: RtnlCell<Config>,
    keys: Option<Arc<KeyRing>>,
    #[pin]
    pub(crate) peer: Peer,
}

/// The reason why the peer is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAsked {
    /// The device has no peer yet.
    NoPeer,
    /// The device never has a single peer: it is external, or has `remote any` without roaming.
    NeverAPeer,
    /// Too many messages were sent.
    Limited,
    /// The message could not be sent.
    Unsent(Reason),
}

impl Control {
    /// Makes the state of a device. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new(config: Config, keys: Option<Arc<KeyRing>>) -> Result<Arc<Self>> {
        let compares_sequences = keys.is_some();
        Arc::pin_init(
            try_pin_init!(Self {
                config: RtnlCell::new(config)?,
                keys,
                peer <- Peer::new(compares_sequences),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Returns the configuration, with the peer's place if the peer has moved.
    pub(crate) fn config(&self) -> Config {
        RcuReader::with(|rcu| *self.config.read(rcu))
    }

    /// Replaces the configuration.
    pub(crate) fn set_config(&self, config: RtnlValue<Config>, rtnl: &mut Rtnl) {
        self.config.replace(config, rtnl);
    }

    /// Sends an echo request to the peer. Returns the request's sequence number. Process context.
    pub(crate) fn ask(&self, netns: &Netns, by: Asker) -> Result<u64, NotAsked> {
        let config = self.config();
        let to = config.peer().ok_or(if config.liveness.roaming {
            NotAsked::NoPeer
        } else {
            NotAsked::NeverAPeer
        })?;
        let now = monotonic_ns();
        let echo = self.peer.ask(to, by, now).ok_or(NotAsked::Limited)?;
        let letter = Letter {
            config: &config,
            keys: self.keys.as_deref(),
            source: None,
            to,
            echo,
        };
        RcuReader::with(|rcu| letter.send(netns.into(), rcu)).map_err(NotAsked::Unsent)?;
        Ok(echo.sequence)
    }

    /// Handles a control message for the device.
    fn receive<const IPV6: bool>(
        &self,
        entry: &Entry,
        skb: &mut RxSkb,
        header: &Header<DeviceNotes>,
        rcu: RcuReader<'_>,
    ) -> Result<(), Reason> {
        guard::check_control::<IPV6>(&entry.guard, skb, header, rcu)
            .inspect_err(|reason| self.peer.counters.count_refusal(*reason))?;
        if guard::is_fragment(&header.fields()) {
            let at = udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes());
            reassembly::read(skb, at, header)?;
            // No message is so long that a sender cuts it.
            return Err(Reason::Control);
        }
        let (echo, from) = read::<IPV6>(skb, header)?;
        let to = skb.outer_destination::<IPV6>().ok_or(Reason::Truncated)?;
        if is_multicast(to) {
            // One request would have many answers.
            return Err(Reason::ControlMulticast);
        }
        let mut config = self.config.read(rcu);
        let mut answers = *config;
        if config.external {
            // An external device has no group of its own: the answer has the group of the request.
            answers.group = header.fields().group;
            config = &answers;
        }
        let outcome = self
            .peer
            .receive(&echo, from, standing(config, from), monotonic_ns());
        if outcome.wakes {
            entry.rx.run_work_now();
        }
        if let Some(answer) = outcome.answer {
            let letter = Letter {
                config,
                keys: self.keys.as_deref(),
                source: Some(to),
                to: from,
                echo: answer,
            };
            let sent = letter.send(skb.netns(rcu), rcu);
            if answer.kind == Kind::EchoReply && sent.is_ok() {
                self.peer.counters.replies.count();
            }
        }
        outcome.dropped.map_or(Ok(()), Err)
    }
}

impl Entry {
    /// Receives a control message. Returns the message if it is dropped, and the reason.
    // Not inlined: data packets should not save registers for it.
    #[cold]
    #[inline(never)]
    pub(crate) fn receive_control<const IPV6: bool>(
        &self,
        mut skb: RxSkb,
        header: &Header<DeviceNotes>,
        rcu: RcuReader<'_>,
    ) -> Result<(), (RxSkb, Reason)> {
        match self.control.receive::<IPV6>(self, &mut skb, header, rcu) {
            Ok(()) => {
                skb.consume();
                Ok(())
            }
            Err(reason) => Err((skb, reason)),
        }
    }
}

/// Reads a message, and the place that it came from.
fn read<const IPV6: bool>(
    skb: &mut RxSkb,
    header: &Header<DeviceNotes>,
) -> Result<(Echo, Place), Reason> {
    if header.proto_ctype() != EXPERIMENTAL {
        return Err(Reason::Control);
    }
    let at = udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes());
    // The packet may be longer than the message, or too short.
    let len = skb.len().min(at.saturating_add(Echo::LEN_BYTES));
    let bytes = skb
        .header(len)
        .map_err(|error| Reason::of(error, Reason::Truncated))?;
    let [high, low, ..] = *bytes else {
        return Err(Reason::Truncated);
    };
    let echo = Echo::parse(bytes.get(at..).ok_or(Reason::Truncated)?)?;
    let address = skb.outer_source::<IPV6>().ok_or(Reason::Truncated)?;
    let port = PortNumber::from_be_bytes([high, low]);
    Ok((echo, Place { address, port }))
}

/// Returns the relation of a message's sender to the device.
fn standing(config: &Config, from: Place) -> Standing {
    if !config.liveness.roaming {
        // The device gets packets from its remote address alone, or has no remote address.
        return if config.peer().is_none() {
            Standing::Anyone
        } else {
            Standing::Peer
        };
    }
    if config.peer() == Some(from) {
        Standing::Peer
    } else {
        Standing::Stranger
    }
}

fn is_multicast(address: OuterSource) -> bool {
    match address {
        OuterSource::V4(address) => address[0] & 0xf0 == 0xe0,
        OuterSource::V6(address) => address[0] == 0xff,
    }
}
