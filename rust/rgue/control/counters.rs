// SPDX-License-Identifier: GPL-2.0

//! Counters of control messages.

use crate::reason::Reason;
use core::sync::atomic::{AtomicU64, Ordering};

/// A counter that any CPU may increment.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a device.
#[derive(Default)]
pub(super) struct Counters {
    /// Moves of the peer.
    pub(super) moves: Counter,
    /// Messages whose sequence numbers were old.
    pub(super) replays: Counter,
    auth_failures: Counter,
    /// Requests that were accepted.
    pub(super) requests: Counter,
    /// Replies that were sent.
    pub(super) replies: Counter,
    /// Messages that were not sent because of a limit.
    pub(super) limited: Counter,
}

impl Counters {
    /// Counts a message whose protecting fields were refused.
    pub(super) fn count_refusal(&self, reason: Reason) {
        if reason.is_of_auth() {
            self.auth_failures.count();
        }
    }

    /// Returns the values, with two values of the peer.
    pub(super) fn read(&self, last_heard_ms: Option<u64>, rtt_ns: Option<u64>) -> Counts {
        Counts {
            last_heard_ms,
            rtt_ns,
            moves: self.moves.get(),
            replays: self.replays.get(),
            auth_failures: self.auth_failures.get(),
            requests: self.requests.get(),
            replies: self.replies.get(),
            limited: self.limited.get(),
        }
    }
}

/// The values of [`Counters`] at one time, for users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Milliseconds since the peer was last heard; `None`: never.
    pub(crate) last_heard_ms: Option<u64>,
    /// The last round-trip time; `None`: none was measured.
    pub(crate) rtt_ns: Option<u64>,
    pub(crate) moves: u64,
    pub(crate) replays: u64,
    pub(crate) auth_failures: u64,
    pub(crate) requests: u64,
    pub(crate) replies: u64,
    pub(crate) limited: u64,
}
