// SPDX-License-Identifier: GPL-2.0

//! Requests to a family.

use super::{attr, NlAttr};
use crate::Netns;
use core::{ops, ptr::NonNull};
use kernel::{prelude::*, types::Opaque};
use net_bindings as bindings;

/// The flags of a request (`NLM_F_*`) that an operation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Replace what exists.
    pub const REPLACE: Self = Self(bindings::NLM_F_REPLACE);
    /// Fail if it exists.
    pub const EXCL: Self = Self(bindings::NLM_F_EXCL);
    /// Create it if it does not exist.
    pub const CREATE: Self = Self(bindings::NLM_F_CREATE);
    /// None of these.
    pub const NONE: Self = Self(0);

    /// Returns `true` if all bits of `other` are set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        !self.0 & other.0 == 0
    }
}

impl ops::BitOr for Flags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A request to a family (`struct genl_info`).
///
/// # Invariants
///
/// The request is one that C has passed to an operation of a registered family. C does not change the
/// request and keeps everything that it points to until the operation returns.
#[repr(transparent)]
pub struct GenlInfo(Opaque<bindings::genl_info>);

impl GenlInfo {
    /// # Safety
    ///
    /// `info` must be a request that C has passed to an operation of a registered family, and the
    /// operation must not return during the chosen lifetime.
    pub(super) unsafe fn from_raw<'a>(info: *const bindings::genl_info) -> &'a Self {
        // SAFETY: The caller promises a request that C keeps valid and unchanged until the operation
        // returns. The type is a transparent wrapper of it.
        // INVARIANT: Promised by the caller.
        unsafe { &*info.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::genl_info {
        self.0.get()
    }

    pub(super) fn fields(&self) -> &bindings::genl_info {
        // SAFETY: By the type invariant the request is valid, and C does not change it.
        unsafe { &*self.as_raw() }
    }

    /// Returns the highest attribute number of the family.
    pub(super) fn maxattr(&self) -> c_int {
        // SAFETY: By the type invariant the family is valid.
        let maxattr = unsafe { (*self.fields().family).maxattr };
        c_int::try_from(maxattr).unwrap_or(c_int::MAX)
    }

    /// Returns the network namespace of the sender's socket.
    #[inline]
    pub fn netns(&self) -> &Netns {
        // SAFETY: By the type invariant the request is valid, and C keeps what it points to, of which the
        // namespace is a part, as long as `self` lives.
        unsafe { Netns::from_raw(bindings::genl_info_net(self.as_raw())) }
    }

    /// Returns the port ID of the sender's socket, for [`Notifier::unicast`](super::Notifier::unicast).
    #[inline]
    pub fn portid(&self) -> u32 {
        self.fields().snd_portid
    }

    /// Returns the request's flags. Refuses flags other than `allowed`, and reserved header bits, with
    /// `EINVAL`.
    ///
    /// For commands from [`RESV_START_OP`](super::Operations::RESV_START_OP) on, netlink itself refuses
    /// reserved bits, and all flags but its own. For earlier commands only this function does.
    pub fn flags(&self, allowed: Flags) -> Result<Flags> {
        let of_netlink = bindings::NLM_F_REQUEST | bindings::NLM_F_ACK | bindings::NLM_F_ECHO;
        let info = self.fields();
        // SAFETY: By the type invariant the request has both headers, which nothing changes.
        let (flags, reserved) = unsafe { ((*info.nlhdr).nlmsg_flags, (*info.genlhdr).reserved) };
        let flags = u32::from(flags) & !of_netlink;
        if reserved != 0 || !allowed.contains(Flags(flags)) {
            return Err(self.refuse(
                EINVAL,
                c"reserved bits or flags are set in the header",
                None,
            ));
        }
        Ok(Flags(flags))
    }

    /// Returns an attribute, if it was sent. Netlink has checked it against the policy.
    pub fn attr(&self, attrtype: c_int) -> Option<NlAttr<'_>> {
        let info = self.fields();
        let index = usize::try_from(attrtype).ok()?;
        // SAFETY: By the type invariant the family is valid. C's table, if there is one, has an entry
        // for each attribute number up to the family's highest. An entry is null or points into the
        // message, which lives as long as the request; netlink has checked that the message holds the
        // attribute's whole length.
        unsafe {
            if info.attrs.is_null() || index > (*info.family).maxattr as usize {
                return None;
            }
            NonNull::new(*info.attrs.add(index)).map(|attr| NlAttr::from_raw(attr))
        }
    }

    /// Sets the text that tells the user why the request is refused, and the attribute that is at fault
    /// (`NL_SET_ERR_MSG_ATTR()`).
    ///
    /// Returns `error`, for the operation to return.
    pub fn refuse(&self, error: Error, msg: &'static CStr, attr: Option<NlAttr<'_>>) -> Error {
        // SAFETY: By the type invariant the request is valid. Its extended acknowledgement is null, or
        // belongs to this request alone: netlink reads it when the operation has returned. `GenlInfo` is
        // not `Sync`, so no other thread has a reference.
        unsafe { attr::refuse(self.fields().extack, error, msg, attr) }
    }
}
