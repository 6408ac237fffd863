// SPDX-License-Identifier: GPL-2.0

//! Echo requests that have no answer yet.
//!
//! The number of requests that a device remembers is fixed, so that no sender makes the device use more memory.

use net::{skb::OuterSource, time::NS_PER_SECOND, udp::PortNumber};

/// An address and a UDP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: OuterSource,
    pub(crate) port: PortNumber,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) token: u64,
    pub(super) sequence: u64,
    /// In nanoseconds of the monotonic clock.
    pub(super) asked_at: u64,
    /// The last sequence number that was accepted from the peer when the request was sent.
    pub(super) accepted: u64,
    pub(super) to: Place,
}

/// The reason for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Nothing was heard from the peer.
    Keepalive,
    /// A user pings the peer.
    User(User),
}

/// A user's generic netlink socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) portid: u32,
    /// The cookie of the socket's namespace.
    pub(crate) netns: u64,
}

/// The answer to a user's ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pong {
    pub(crate) user: User,
    pub(crate) sequence: u64,
    pub(crate) rtt_ns: u64,
    pub(crate) from: Place,
}

/// The kind of message that made the device challenge its sender. If all slots are taken, a message displaces one of
/// lower rank. So a sender of recorded messages cannot prevent the challenge of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// An old message, from another place than the peer's.
    OldFromElsewhere,
    /// An old message from the peer's place.
    OldFromPeer,
    /// A new message, from another place. Its sender has a key, or has seen the message on its way.
    New,
}

#[derive(Clone, Copy)]
struct Challenge {
    question: Question,
    rank: Rank,
}

#[derive(Clone, Copy)]
enum Ping {
    Free,
    Asked(User, Question),
    Answered(Pong),
}

/// The time after which the reply to a challenge does not count any more.
const CHALLENGE_LIFE_NS: u64 = 5 * NS_PER_SECOND;

/// The least time between two challenges to one place.
const CHALLENGE_GAP_NS: u64 = NS_PER_SECOND;

/// The most challenges at a time, and the most challenges to one place.
const MOST_CHALLENGES: usize = 4;
const MOST_CHALLENGES_OF_A_PLACE: usize = 2;

/// The most keepalives whose answers count: the next keepalive may be sent before the answer comes.
const MOST_KEEPALIVES: usize = 3;

/// The most pings of users at a time.
const MOST_PINGS: usize = 8;

/// The requests of a device.
pub(super) struct Questions {
    keepalives: [Option<Question>; MOST_KEEPALIVES],
    challenges: [Option<Challenge>; MOST_CHALLENGES],
    pings: [Ping; MOST_PINGS],
}

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) rtt_ns: u64,
    /// The last sequence number that was accepted from the peer when the request was sent.
    pub(super) accepted: u64,
    /// The request was a challenge: the sender had to prove that it is the peer.
    pub(super) was_challenge: bool,
    /// A user waits for the answer.
    pub(super) was_ping: bool,
}

impl Questions {
    pub(super) const NONE: Self = Self {
        keepalives: [None; MOST_KEEPALIVES],
        challenges: [None; MOST_CHALLENGES],
        pings: [Ping::Free; MOST_PINGS],
    };

    /// Remembers a request. A keepalive replaces the oldest keepalive. A user's ping takes a free slot, or else
    /// replaces the oldest ping.
    pub(super) fn add(&mut self, by: Asker, question: Question) {
        match by {
            Asker::Keepalive => {
                self.keepalives.rotate_right(1);
                self.keepalives[0] = Some(question);
            }
            Asker::User(user) => {
                let age = |ping: &Ping| match ping {
                    Ping::Free => 0,
                    Ping::Asked(_, question) => question.asked_at.max(1),
                    Ping::Answered(_) => u64::MAX,
                };
                if let Some(oldest) = self.pings.iter_mut().min_by_key(|ping| age(ping)) {
                    *oldest = Ping::Asked(user, question);
                }
            }
        }
    }

    /// Remembers a challenge. Returns `false` if another challenge went to the same place within
    /// [`CHALLENGE_GAP_NS`], or if there is no slot for a message of this rank.
    pub(super) fn challenge(&mut self, question: Question, rank: Rank) -> bool {
        let now = question.asked_at;
        let age = |challenge: &Challenge| now.saturating_sub(challenge.question.asked_at);
        for slot in &mut self.challenges {
            slot.take_if(|challenge| age(challenge) >= CHALLENGE_LIFE_NS);
        }
        let is_same = |challenge: &Challenge| challenge.question.to == question.to;
        let same = || self.challenges.iter().flatten().filter(|old| is_same(old));
        if same().any(|old| age(old) < CHALLENGE_GAP_NS) {
            return false;
        }
        let slot = if same().count() < MOST_CHALLENGES_OF_A_PLACE {
            let rank_of = |slot: &Option<Challenge>| slot.map(|challenge| challenge.rank);
            // `None`, a free slot, is the lowest.
            let lowest = self.challenges.iter_mut().min_by_key(|slot| rank_of(slot));
            lowest.filter(|slot| rank_of(slot) < Some(rank))
        } else {
            let own = self
                .challenges
                .iter_mut()
                .filter(|slot| slot.as_ref().is_some_and(is_same));
            own.min_by_key(|slot| slot.map(|old| old.question.asked_at))
        };
        let Some(slot) = slot else {
            return false;
        };
        *slot = Some(Challenge { question, rank });
        true
    }

    /// Finds the request that a reply answers, and forgets the request. A token counts once, and only from the place
    /// that the request was sent to.
    pub(super) fn answer(&mut self, token: u64, from: Place, now: u64) -> Option<Answered> {
        let fits = |question: &Question| question.token == token && question.to == from;
        let rtt = |question: &Question| now.saturating_sub(question.asked_at);
        for slot in &mut self.keepalives {
            if let Some(question) = slot.take_if(|question| fits(question)) {
                return Some(Answered {
                    rtt_ns: rtt(&question),
                    accepted: question.accepted,
                    was_challenge: false,
                    was_ping: false,
                });
            }
        }
        for slot in &mut self.challenges {
            if let Some(challenge) = slot.take_if(|challenge| fits(&challenge.question)) {
                let rtt_ns = rtt(&challenge.question);
                return (rtt_ns < CHALLENGE_LIFE_NS).then_some(Answered {
                    rtt_ns,
                    accepted: challenge.question.accepted,
                    was_challenge: true,
                    was_ping: false,
                });
            }
        }
        for ping in &mut self.pings {
            match *ping {
                Ping::Asked(user, question) if fits(&question) => {
                    let rtt_ns = rtt(&question);
                    *ping = Ping::Answered(Pong {
                        user,
                        sequence: question.sequence,
                        rtt_ns,
                        from,
                    });
                    return Some(Answered {
                        rtt_ns,
                        accepted: question.accepted,
                        was_challenge: false,
                        was_ping: true,
                    });
                }
                _ => {}
            }
        }
        None
    }

    /// Returns `true` if an answer to a user's ping has come.
    pub(super) fn has_pong(&self) -> bool {
        self.pings
            .iter()
            .any(|ping| matches!(ping, Ping::Answered(_)))
    }

    /// Takes an answer to a user's ping.
    pub(super) fn take_pong(&mut self) -> Option<Pong> {
        self.pings.iter_mut().find_map(|ping| match *ping {
            Ping::Answered(pong) => {
                *ping = Ping::Free;
                Some(pong)
            }
            _ => None,
        })
    }
}
