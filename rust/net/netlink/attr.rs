// SPDX-License-Identifier: GPL-2.0

//! Attributes of requests, and the policy that netlink checks them against.

use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::{prelude::*, transmute::FromBytes};
use net_bindings as bindings;

/// The policy of one attribute (`struct nla_policy`). Netlink refuses an attribute that breaks the
/// policy before it calls an operation.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct NlaPolicy(bindings::nla_policy);

// SAFETY: `new` is the only constructor, and sets numbers alone. The pointers that share memory with them
// are used by C only for other kinds of attributes, and a shared reference gives no access to them.
unsafe impl Sync for NlaPolicy {}

impl NlaPolicy {
    #[inline]
    const fn new(kind: c_uint, validation: c_uint, min: u8, max: u8) -> Self {
        let mut policy: bindings::nla_policy = pin_init::zeroed();
        // Both are below 256 by their definition.
        policy.type_ = kind as u8;
        policy.validation_type = validation as u8;
        policy.__bindgen_anon_1.__bindgen_anon_1 =
            bindings::nla_policy__bindgen_ty_1__bindgen_ty_1 {
                min: min as i16,
                max: max as i16,
            };
        Self(policy)
    }

    #[inline]
    const fn of_type(kind: c_uint) -> Self {
        Self::new(
            kind,
            bindings::nla_policy_validation_NLA_VALIDATE_NONE,
            0,
            0,
        )
    }

    /// No such attribute.
    pub const UNSPEC: Self = Self::of_type(bindings::NLA_UNSPEC);
    /// A flag: present or not.
    pub const FLAG: Self = Self::of_type(bindings::NLA_FLAG);
    /// An 8-bit number.
    pub const U8: Self = Self::of_type(bindings::NLA_U8);
    /// A 16-bit number in host order.
    pub const U16: Self = Self::of_type(bindings::NLA_U16);
    /// A 32-bit number in host order, or four bytes.
    pub const U32: Self = Self::of_type(bindings::NLA_U32);
    /// A signed 32-bit number in host order.
    pub const S32: Self = Self::of_type(bindings::NLA_S32);
    /// A 16-bit number in network order.
    pub const BE16: Self = Self::of_type(bindings::NLA_BE16);

    /// A 32-bit number in network order, or four bytes.
    pub const BE32: Self = Self::of_type(bindings::NLA_BE32);

    /// Returns the length of an attribute of the policy, in bytes.
    pub(crate) const fn len_bytes(&self) -> usize {
        match self.0.type_ as c_uint {
            bindings::NLA_U8 => 1,
            bindings::NLA_U16 | bindings::NLA_BE16 => 2,
            bindings::NLA_U32 | bindings::NLA_S32 | bindings::NLA_BE32 => 4,
            // SAFETY: `exact_len` and `binary` are the only constructors of binary attributes, and have set
            // both numbers.
            bindings::NLA_BINARY => unsafe {
                self.0.__bindgen_anon_1.__bindgen_anon_1.max as usize
            },
            _ => 0,
        }
    }

    /// From `min` to `max` bytes; any other length is refused with `ERANGE` (`NLA_POLICY_RANGE()`).
    #[inline]
    pub const fn binary(min: u8, max: u8) -> Self {
        Self::new(
            bindings::NLA_BINARY,
            bindings::nla_policy_validation_NLA_VALIDATE_RANGE,
            min,
            max,
        )
    }

    /// A string of at most `max` bytes and a NUL (`NLA_NUL_STRING`).
    #[inline]
    pub const fn nul_string(max: u8) -> Self {
        let mut policy = Self::of_type(bindings::NLA_NUL_STRING);
        policy.0.len = max as u16;
        policy
    }

    /// Exactly `len` bytes; any other length is refused with `ERANGE` (`NLA_POLICY_EXACT_LEN()`).
    #[inline]
    pub const fn exact_len(len: u8) -> Self {
        Self::new(
            bindings::NLA_BINARY,
            bindings::nla_policy_validation_NLA_VALIDATE_RANGE,
            len,
            len,
        )
    }
}

/// Sets the text that tells the user why a request is refused, and the attribute that is at fault
/// (`NL_SET_ERR_MSG_ATTR()`). Returns `error`.
///
/// # Safety
///
/// `extack` must be null, or valid and used by no other code during the call.
pub(crate) unsafe fn refuse(
    extack: *mut bindings::netlink_ext_ack,
    error: Error,
    msg: &'static CStr,
    attr: Option<NlAttr<'_>>,
) -> Error {
    // SAFETY: The caller promises that the pointer is null or valid, and used by no other code.
    if let Some(extack) = unsafe { extack.as_mut() } {
        extack._msg = msg.as_char_ptr();
        if let Some(attr) = attr {
            extack.bad_attr = attr.as_raw();
        }
    }
    error
}

/// An attribute of a request (`struct nlattr`).
///
/// # Invariants
///
/// Points to an attribute's header within a message that lives for `'a`. The message holds the
/// attribute's whole length.
#[derive(Clone, Copy)]
pub struct NlAttr<'a>(NonNull<bindings::nlattr>, PhantomData<&'a [u8]>);

impl NlAttr<'_> {
    /// # Safety
    ///
    /// `attr` must point to an attribute of a message that lives for the chosen lifetime and holds the
    /// attribute's whole length.
    pub(crate) unsafe fn from_raw(attr: NonNull<bindings::nlattr>) -> Self {
        // INVARIANT: Promised by the caller.
        Self(attr, PhantomData)
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::nlattr {
        self.0.as_ptr()
    }

    /// Returns the length of the attribute's payload, in bytes.
    pub fn payload_len(&self) -> usize {
        // SAFETY: By the type invariant the pointer is to an attribute's header, which nothing writes to.
        let len = usize::from(unsafe { self.0.as_ref() }.nla_len);
        len.saturating_sub(size_of::<bindings::nlattr>())
    }

    /// Copies the payload to the beginning of `to`, and returns its length in bytes. Fails with `ERANGE` if the
    /// payload is longer than `to`.
    pub fn copy_to(&self, to: &mut [u8]) -> Result<usize> {
        let len = self.payload_len();
        let to = to.get_mut(..len).ok_or(ERANGE)?;
        // SAFETY: By the type invariant the message holds the payload after the header. `to` has as many bytes,
        // and is borrowed exclusively, so it does not lie in the message.
        unsafe { ptr::copy_nonoverlapping(self.0.add(1).cast().as_ptr(), to.as_mut_ptr(), len) };
        Ok(len)
    }

    /// Overwrites the payload in the message with zeros. For secrets: netlink does not clear a message before it
    /// frees it, and returns a refused request to its sender. A tap (nlmon) may have copied the message before.
    pub fn wipe(&self) {
        // SAFETY: By the type invariant the message holds the payload after the header. Netlink has allocated the
        // buffer of the message for this request, and others only read it. No reference to a payload exists: all
        // functions here copy.
        unsafe {
            let payload = self.0.add(1).cast::<c_void>();
            bindings::memzero_explicit(payload.as_ptr(), self.payload_len());
        }
    }

    /// Does what [`Self::copy_to`] does, and [wipes](Self::wipe) the payload, even after an error.
    pub fn take(&self, to: &mut [u8]) -> Result<usize> {
        let result = self.copy_to(to);
        self.wipe();
        result
    }

    /// Returns the first bytes of the attribute's payload, in the order in which they were sent.
    ///
    /// Fails with `ERANGE` if the payload is shorter.
    pub fn get<T: FromBytes + Copy>(&self) -> Result<T> {
        if self.payload_len() < size_of::<T>() {
            return Err(ERANGE);
        }
        // SAFETY: By the type invariant the attribute has the `nla_len` bytes that it says, so at least
        // `size_of::<T>()` follow the header. They need not be aligned, and by `FromBytes` any bytes are a
        // `T`.
        Ok(unsafe { self.0.add(1).cast::<T>().read_unaligned() })
    }
}
