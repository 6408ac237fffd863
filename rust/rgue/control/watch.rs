// SPDX-License-Identifier: GPL-2.0

//! The work of a device: sends requests to a silent peer, and does in process context the tasks that messages cause.
//!
//! A device has one work for all of its tasks. The work does not run for a device without a keepalive that has
//! received no message.

use super::Asker;
use crate::{device::Gue, family};
use net::{netdev::Device, rtnl::Rtnl, time::monotonic_ns};

/// The time after which the work tries to take RTNL again, in milliseconds.
const RETRY_MS: u32 = 5;

/// Does the tasks of a device that is up. Process context without RTNL.
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
            // If the request cannot be sent, a later tick sends another one.
            let _ = control.ask(dev.link_net(), Asker::Keepalive);
        }
        next = Some(tick.next_ms);
    }
    // Do not wait for RTNL: the task that holds it may wait for this work.
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
        // If the move fails, the peer stays where it was. Its next message causes another challenge.
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
