// SPDX-License-Identifier: GPL-2.0

//! The peer of a device: the requests sent to it, the messages heard from it, and their consequences.
//!
//! A device that has keys accepts each message of its peer once: a new message has a higher sequence number than
//! all earlier ones. A peer whose clock was set back, or that sends from another place, must prove that it is the
//! peer by a reply to a request: the reply has a token that only the receiver of the request can know.

use super::{
    counters::{Counters, Counts},
    questions::{Asker, Place, Pong, Question, Questions, Rank},
};
use crate::{config::Liveness, reason::Reason};
use gue::control::{Echo, Kind};
use kernel::prelude::*;
use net::{
    random::SecretFunction,
    softirq::SoftirqLock,
    time::{wall_clock_ns, NS_PER_MS, NS_PER_SECOND},
};

/// The limit of replies and of users' requests: on average, one in this time.
const INTERVAL_NS: u64 = 10 * NS_PER_MS;

/// The most replies and users' requests at once.
const BURST: u64 = 50;

/// The relation of a message's sender to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The device's peer.
    Peer,
    /// The device has no peer, and never will have one.
    Anyone,
    /// A sender at another place than the peer's. The peer may have moved there.
    Stranger,
}

/// The consequences of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// A message to send back to the sender.
    pub(super) answer: Option<Echo>,
    /// The reason why the message counts as dropped.
    pub(super) dropped: Option<Reason>,
    /// The device's work has something to do.
    pub(super) wakes: bool,
}

impl Outcome {
    fn dropped(reason: Reason) -> Self {
        Self {
            dropped: Some(reason),
            ..Self::default()
        }
    }
}

/// The state of the peer.
#[pin_data]
pub(crate) struct Peer {
    /// Computes the token of a request from its sequence number.
    token_of: SecretFunction,
    /// The device has keys, so that nobody else can make sequence numbers.
    compares_sequences: bool,
    #[pin]
    state: SoftirqLock<State>,
    pub(super) counters: Counters,
}

struct State {
    /// The sequence number of the last message that was sent.
    sent: u64,
    /// The sequence number of the last message that was accepted from the peer.
    accepted: u64,
    /// When the peer was last heard, in nanoseconds of the monotonic clock.
    heard_at: Option<u64>,
    rtt_ns: Option<u64>,
    /// When the next message would be due if messages were sent at even intervals.
    next_at: u64,
    questions: Questions,
    watch: Watch,
    /// The place to which the peer has proved to have moved.
    moves_to: Option<Place>,
}

/// The state of the watch over the peer.
struct Watch {
    /// When the watch began.
    since: u64,
    asked_at: Option<u64>,
    /// The number of packets that the device had received at the last tick.
    received: u64,
    is_dead: bool,
    /// Users were told that the peer is dead.
    told_dead: bool,
}

/// The next step of the watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// The peer must be asked now.
    pub(super) asks: bool,
    /// The time until the next tick, in milliseconds.
    pub(super) next_ms: u32,
}

/// Tasks for process context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) moves_to: Option<Place>,
    /// The peer has died, or lives again.
    pub(super) alive: Option<bool>,
}

impl Peer {
    pub(super) fn new(compares_sequences: bool) -> impl PinInit<Self> {
        pin_init!(Self {
            token_of: SecretFunction::random(),
            compares_sequences,
            state <- SoftirqLock::new(State {
                sent: 0,
                accepted: 0,
                heard_at: None,
                rtt_ns: None,
                next_at: 0,
                questions: Questions::NONE,
                watch: Watch {
                    since: 0,
                    asked_at: None,
                    received: 0,
                    is_dead: false,
                    told_dead: false,
                },
                moves_to: None,
            }),
            counters: Counters::default(),
        })
    }

    /// Handles a message, and returns its consequences.
    pub(super) fn receive(
        &self,
        echo: &Echo,
        from: Place,
        standing: Standing,
        now: u64,
    ) -> Outcome {
        self.state.with(|state| match echo.kind {
            Kind::EchoRequest => self.receive_request(state, echo, from, standing, now),
            Kind::EchoReply => self.receive_reply(state, echo, from, standing, now),
        })
    }

    fn receive_request(
        &self,
        state: &mut State,
        echo: &Echo,
        from: Place,
        standing: Standing,
        now: u64,
    ) -> Outcome {
        if echo.token == self.token_of.of(echo.sequence) {
            // A cookie does not tell directions apart, so somebody may send back what this device has sent.
            return Outcome::dropped(Reason::OwnMessage);
        }
        let is_peer = standing == Standing::Peer || state.moves_to == Some(from);
        // A device without a peer hears many senders, whose sequence numbers have nothing in common.
        let is_old = self.compares_sequences
            && standing != Standing::Anyone
            && echo.sequence <= state.accepted;
        if is_old {
            self.counters.replays.count();
            let rank = if is_peer {
                Rank::OldFromPeer
            } else {
                Rank::OldFromElsewhere
            };
            return Outcome {
                answer: self.challenge(state, from, rank, now),
                ..Outcome::dropped(Reason::Replay)
            };
        }
        self.counters.requests.count();
        if standing == Standing::Stranger && !is_peer {
            // Do not change `accepted`: this message may be a copy that came first, and the peer's own message must
            // still be new.
            return Outcome {
                answer: self.challenge(state, from, Rank::New, now),
                ..Outcome::default()
            };
        }
        if standing != Standing::Anyone {
            state.accepted = echo.sequence;
        }
        // A move may wait for a device that was down.
        let wakes = state.hear(now) | state.moves_to.is_some();
        let answer = self.may_send(state, now).then(|| Echo {
            kind: Kind::EchoReply,
            sequence: state.next_sequence(),
            token: echo.token,
        });
        Outcome {
            answer,
            dropped: None,
            wakes,
        }
    }

    fn receive_reply(
        &self,
        state: &mut State,
        echo: &Echo,
        from: Place,
        standing: Standing,
        now: u64,
    ) -> Outcome {
        let Some(answered) = state.questions.answer(echo.token, from, now) else {
            if self.compares_sequences && echo.sequence <= state.accepted {
                self.counters.replays.count();
                return Outcome::dropped(Reason::Replay);
            }
            return Outcome::dropped(Reason::UnaskedReply);
        };
        state.rtt_ns = Some(answered.rtt_ns);
        let mut wakes = answered.was_ping;
        let is_peer = standing != Standing::Stranger || state.moves_to == Some(from);
        if is_peer || answered.was_challenge {
            // Accept a lower number too: the token proves that the reply is newer than the request. But do not go below
            // the number of a message accepted since the request: an attacker may have recorded that message and
            // delayed the reply.
            state.accepted = if answered.accepted == state.accepted {
                echo.sequence
            } else {
                echo.sequence.max(state.accepted)
            };
            wakes |= state.hear(now);
        }
        if !is_peer && answered.was_challenge {
            state.moves_to = Some(from);
            wakes = true;
        }
        Outcome {
            wakes,
            ..Outcome::default()
        }
    }

    /// Returns a request to a sender that must prove that it is the peer; `None` if [`Questions::challenge`] refuses.
    fn challenge(&self, state: &mut State, to: Place, rank: Rank, now: u64) -> Option<Echo> {
        let question = self.question(state, to, now);
        if !state.questions.challenge(question, rank) {
            self.counters.limited.count();
            return None;
        }
        Some(request(&question))
    }

    /// Makes a request to the peer; `None` if too many messages were sent.
    pub(super) fn ask(&self, to: Place, by: Asker, now: u64) -> Option<Echo> {
        self.state.with(|state| {
            // A keepalive has a limit of its own.
            if by != Asker::Keepalive && !self.may_send(state, now) {
                return None;
            }
            let question = self.question(state, to, now);
            state.questions.add(by, question);
            Some(request(&question))
        })
    }

    fn question(&self, state: &mut State, to: Place, now: u64) -> Question {
        let sequence = state.next_sequence();
        Question {
            token: self.token_of.of(sequence),
            sequence,
            asked_at: now,
            accepted: state.accepted,
            to,
        }
    }

    /// Returns `false`, and counts, if too many messages were sent.
    fn may_send(&self, state: &mut State, now: u64) -> bool {
        let start = state.next_at.max(now);
        if start.saturating_sub(now) > (BURST - 1) * INTERVAL_NS {
            self.counters.limited.count();
            return false;
        }
        state.next_at = start.saturating_add(INTERVAL_NS);
        true
    }

    /// Begins to watch the peer.
    pub(crate) fn begin(&self, received: u64, now: u64) {
        self.state.with(|state| {
            state.watch = Watch {
                since: now,
                asked_at: None,
                received,
                is_dead: false,
                told_dead: false,
            };
        });
    }

    /// Ends the watch. Returns `true` if users were told that the peer is dead.
    pub(crate) fn end_watch(&self) -> bool {
        self.state.with(|state| {
            state.watch.is_dead = false;
            core::mem::take(&mut state.watch.told_dead)
        })
    }

    /// Checks if the peer is alive. `received` is the number of packets that the device has received.
    pub(super) fn tick(&self, received: u64, liveness: &Liveness, now: u64) -> Tick {
        self.state.with(|state| {
            if received != state.watch.received {
                state.watch.received = received;
                state.hear(now);
            }
            state.tick(liveness, now)
        })
    }

    /// Returns `true` if process context has something to do.
    pub(super) fn has_news(&self) -> bool {
        self.state.with(|state| {
            state.moves_to.is_some()
                || state.watch.is_dead != state.watch.told_dead
                || state.questions.has_pong()
        })
    }

    /// Returns the tasks for process context. A move stays pending until [`Self::end_move`].
    pub(super) fn take_news(&self) -> News {
        self.state.with(|state| {
            let watch = &mut state.watch;
            let alive = (watch.is_dead != watch.told_dead).then_some(!watch.is_dead);
            watch.told_dead = watch.is_dead;
            News {
                moves_to: state.moves_to,
                alive,
            }
        })
    }

    /// Ends the move to `to`, successful or not. A later move to another place stays pending.
    pub(super) fn end_move(&self, to: Place) {
        self.state.with(|state| {
            state.moves_to = state.moves_to.take_if(|place| *place != to);
        });
    }

    /// Takes an answer to a user's ping.
    pub(super) fn take_pong(&self) -> Option<Pong> {
        self.state.with(|state| state.questions.take_pong())
    }

    /// Returns `true` unless the peer is dead.
    pub(crate) fn is_alive(&self) -> bool {
        !self.state.with(|state| state.watch.is_dead)
    }

    /// Returns the values of the counters.
    pub(crate) fn counts(&self, now: u64) -> Counts {
        let (heard_at, rtt_ns) = self.state.with(|state| (state.heard_at, state.rtt_ns));
        let last_heard_ms = heard_at.map(|at| now.saturating_sub(at) / NS_PER_MS);
        self.counters.read(last_heard_ms, rtt_ns)
    }
}

impl State {
    /// Returns the sequence number of the next message: the wall clock or one above the last number sent, whichever is
    /// higher.
    fn next_sequence(&mut self) -> u64 {
        self.sent = wall_clock_ns().max(self.sent.saturating_add(1));
        self.sent
    }

    /// Records that the peer was heard. Returns `true` if the peer was dead.
    fn hear(&mut self, now: u64) -> bool {
        self.heard_at = Some(now);
        core::mem::take(&mut self.watch.is_dead)
    }

    fn tick(&mut self, liveness: &Liveness, now: u64) -> Tick {
        let keepalive = u64::from(liveness.keepalive) * NS_PER_SECOND;
        let watch = &mut self.watch;
        let heard_at = self.heard_at.unwrap_or(0).max(watch.since);
        let quiet_since = heard_at.max(watch.asked_at.unwrap_or(0));
        // Ask a little early. The answer comes one round-trip time after the request, so at the next tick the silence
        // is a little shorter than the interval.
        let asks = watch.asked_at.is_none()
            || now.saturating_sub(quiet_since) >= keepalive - keepalive / 4;
        if asks {
            watch.asked_at = Some(now);
        }
        let asked_or_heard = if asks { now } else { quiet_since };
        let mut next = asked_or_heard.saturating_add(keepalive);
        let dies_at = heard_at.saturating_add(u64::from(liveness.dead_seconds()) * NS_PER_SECOND);
        if dies_at <= now {
            watch.is_dead = true;
        } else {
            next = next.min(dies_at);
        }
        // A kernel timer may expire late, by up to an eighth of its timeout. Wait for less, and let the next tick wait
        // for the rest.
        let wait = next.saturating_sub(now) / NS_PER_MS;
        Tick {
            asks,
            next_ms: u32::try_from(wait - wait / 8).unwrap_or(u32::MAX).max(1),
        }
    }
}

/// Returns the message that asks a question.
fn request(question: &Question) -> Echo {
    Echo {
        kind: Kind::EchoRequest,
        sequence: question.sequence,
        token: question.token,
    }
}
