// SPDX-License-Identifier: GPL-2.0

//! The forms of the packets that devices send. Transmit is compiled for each form, so that a packet without a feature
//! pays for no branch on it.

use super::{
    headers::{self, Headers},
    protect::{Made, Payload, Protector, Room, Wanted},
    Sender,
};
use crate::{reason::Reason, receive::ETHER_IP};
use net::{ip_proto::ChecksumPlace, rcu::RcuReader, udp_send::Fill};

/// The form of the packets that a device sends.
pub(super) trait Form: Copy {
    /// An inner packet begins with an Ethernet header.
    const IS_FRAME: bool;

    /// Room for the header of a packet for which no header is kept.
    type Made: Make;

    /// Returns the protector, if headers have protecting fields.
    fn protector(&self) -> Option<&Protector>;

    /// Returns the headers without protecting fields.
    #[inline(always)]
    fn headers<'a>(&'a self, sender: &'a Sender) -> &'a Headers {
        &sender.headers
    }

    /// Returns the group of this packet, if it differs between the packets of the device.
    #[inline(always)]
    fn group(&self) -> Option<u32> {
        None
    }

    /// Returns the surplus space of this packet's header.
    #[inline(always)]
    fn surplus(&self) -> &[u8] {
        &[]
    }

    /// Returns the header of a packet with protecting fields: a kept header, or one that is made for the packet that
    /// `payload` returns, and stored in `made`.
    #[inline(always)]
    fn header<'a, 'p>(
        &'a self,
        protector: &'a Protector,
        _wanted: Wanted<'_>,
        made: &'a mut Self::Made,
        payload: impl FnOnce() -> Payload<'p>,
        rcu: RcuReader<'a>,
    ) -> Result<&'a [u8], Reason> {
        Self::Made::make(made, protector, &payload(), rcu)
    }
}

/// Room for a header that is made for one packet.
pub(super) trait Make {
    /// Returns unused room.
    // Not a constant: the compiler copies a constant as a whole, an unused header included.
    fn empty() -> Self;

    /// Makes the header in `made`, and returns its bytes.
    fn make<'a>(
        made: &'a mut Self,
        protector: &Protector,
        payload: &Payload<'_>,
        rcu: RcuReader<'_>,
    ) -> Result<&'a [u8], Reason>;
}

/// A header with any fields.
impl Make for Option<Made> {
    #[inline(always)]
    fn empty() -> Self {
        None
    }

    #[inline(always)]
    fn make<'a>(
        made: &'a mut Self,
        protector: &Protector,
        payload: &Payload<'_>,
        rcu: RcuReader<'_>,
    ) -> Result<&'a [u8], Reason> {
        Ok(made.insert(protector.make(payload, rcu)?).as_bytes())
    }
}

/// A header with a keyed hash, perhaps a group, and no other field.
impl Make for Room {
    #[inline(always)]
    fn empty() -> Self {
        Self::EMPTY
    }

    #[inline(always)]
    fn make<'a>(
        made: &'a mut Self,
        protector: &Protector,
        payload: &Payload<'_>,
        rcu: RcuReader<'_>,
    ) -> Result<&'a [u8], Reason> {
        protector.make_hashed(made, payload, rcu)
    }
}

/// IP packets whose headers have no protecting fields.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Form for Plain {
    const IS_FRAME: bool = false;
    type Made = Option<Made>;

    #[inline(always)]
    fn protector(&self) -> Option<&Protector> {
        None
    }
}

/// IP packets whose headers have a cookie, or a keyed hash that covers the header alone, and no other protecting field.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a>(pub(super) &'a Protector);

impl Form for Kept<'_> {
    const IS_FRAME: bool = false;
    type Made = Option<Made>;

    #[inline(always)]
    fn protector(&self) -> Option<&Protector> {
        Some(self.0)
    }

    #[inline(always)]
    fn header<'a, 'p>(
        &'a self,
        protector: &'a Protector,
        wanted: Wanted<'_>,
        made: &'a mut Option<Made>,
        payload: impl FnOnce() -> Payload<'p>,
        rcu: RcuReader<'a>,
    ) -> Result<&'a [u8], Reason> {
        match protector.kept(wanted, rcu) {
            Some(kept) => Ok(kept),
            None => Make::make(made, protector, &payload(), rcu),
        }
    }
}

/// IP packets whose headers have other protecting fields.
impl Form for &Protector {
    const IS_FRAME: bool = false;
    type Made = Option<Made>;

    #[inline(always)]
    fn protector(&self) -> Option<&Protector> {
        Some(self)
    }
}

/// IP packets whose headers have a keyed hash that covers payload, and no other protecting field.
#[derive(Clone, Copy)]
pub(super) struct Hashing<'a>(pub(super) &'a Protector);

impl Form for Hashing<'_> {
    const IS_FRAME: bool = false;
    type Made = Room;

    #[inline(always)]
    fn protector(&self) -> Option<&Protector> {
        Some(self.0)
    }
}

/// Ethernet frames.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a>(pub(super) Option<&'a Protector>);

impl Form for Frame<'_> {
    const IS_FRAME: bool = true;
    type Made = Option<Made>;

    #[inline(always)]
    fn protector(&self) -> Option<&Protector> {
        self.0
    }

    #[inline(always)]
    fn header<'a, 'p>(
        &'a self,
        protector: &'a Protector,
        wanted: Wanted<'_>,
        made: &'a mut Option<Made>,
        payload: impl FnOnce() -> Payload<'p>,
        rcu: RcuReader<'a>,
    ) -> Result<&'a [u8], Reason> {
        if !protector.has_sums() {
            if let Some(kept) = protector.kept(wanted, rcu) {
                return Ok(kept);
            }
        }
        Make::make(made, protector, &payload(), rcu)
    }
}

/// Writes a header with protecting fields.
pub(super) struct Writing<'a> {
    pub(super) header: &'a [u8],
    /// An EtherIP header follows.
    pub(super) is_frame: bool,
}

impl Fill for Writing<'_> {
    #[inline(always)]
    fn fill(self, to: &mut [u8]) {
        if !self.is_frame {
            return write(to, self.header);
        }
        if let Some((to, ether_ip)) = to.split_at_mut_checked(self.header.len()) {
            write(to, self.header);
            let _ = copy::<2>(ether_ip, &ETHER_IP);
        }
    }
}

/// Writes the header of a packet without protecting fields.
pub(super) struct WritingPlain<'a, F: Form> {
    pub(super) form: F,
    pub(super) header: &'a headers::Header,
    pub(super) remote: Option<ChecksumPlace>,
}

impl<F: Form> Fill for WritingPlain<'_, F> {
    #[inline(always)]
    fn fill(self, to: &mut [u8]) {
        let surplus = self.form.surplus();
        if surplus.is_empty() {
            self.header.write(to, self.remote);
        } else {
            self.header.write_with_surplus(to, self.remote, surplus);
        }
        if let Some(group) = self.form.group() {
            headers::write_group(to, group);
        }
    }
}

/// Copies a header. The usual lengths have code of their own, because a copy of variable length is a loop. They are the
/// lengths with a cookie of 8 bytes and with a keyed hash, without and with a group.
#[inline(always)]
fn write(to: &mut [u8], header: &[u8]) {
    let _ = copy::<12>(to, header)
        || copy::<44>(to, header)
        || copy::<16>(to, header)
        || copy::<48>(to, header)
        || copy_any(to, header);
}

/// Copies `N` bytes. Returns `false` and copies nothing if a slice has another length.
#[inline(always)]
fn copy<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    match (<&mut [u8; N]>::try_from(to), <&[u8; N]>::try_from(from)) {
        (Ok(to), Ok(from)) => {
            *to = *from;
            true
        }
        _ => false,
    }
}

#[inline(never)]
fn copy_any(to: &mut [u8], from: &[u8]) -> bool {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    true
}
