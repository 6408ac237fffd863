// SPDX-License-Identifier: GPL-2.0

//! The work of a device: asks a peer that is silent, and does what messages have led to.
//!
//! A device has one work, whatever it has to do, and none runs for a device that neither has a keepalive nor has
//! got a message.

use super::Asker;
use crate::{device::Gue, family};
use net::{netdev::Device, rtnl::Rtnl, time::monotonic_ns};

/// The time after which the work asks for RTNL again, in milliseconds.
const RETRY_MS: u32 = 5;

/// Does what there is to do for a device that is up. Process context without RTNL.
pub(crate) fn work(dev: &Device<Gue>) {
    let control = dev.data().control();
    let config = control.config();
    let mut next = None;
    if config.liveness.keepalive != 0 && config.peer().is_some() {
        let received = dev.received_packets();
        let tick = control
            .peer
            .tick(received, &config.liveness, monotonic_ns());
        if tick.asks {
            // A message that cannot be sent now is sent the next time.
            let _ = control.ask(dev.link_net(), Asker::Keepalive);
        }
        next = Some(tick.next_ms);
    }
    // A task that waits for this work holds RTNL.
    if control.peer.has_news() && Rtnl::try_lock(|rtnl| settle(dev, rtnl)).is_none() {
        next = Some(RETRY_MS);
    }
    if let Some(ms) = next {
        dev.run_work_in(ms);
    }
}

/// Moves the peer, sets the carrier, and tells users.
fn settle(dev: &Device<Gue>, rtnl: &mut Rtnl) {
    let peer = &dev.data().control().peer;
    let news = peer.take_news();
    if let Some(place) = news.moves_to {
        // Without memory the peer stays where it was, and is asked again for its next message.
        let moved = dev.data().move_peer(dev, place, rtnl);
        peer.end_move(place);
        if moved.is_ok() {
            peer.counters.moves.count();
            family::peer_moved(dev, rtnl);
            dev.run_work_now();
        }
    }
    if let Some(alive) = news.alive {
        dev.set_carrier(alive, rtnl);
        family::peer_lives(dev, alive, rtnl);
    }
    while let Some(pong) = peer.take_pong() {
        family::pong(dev, &pong, rtnl);
    }
}
