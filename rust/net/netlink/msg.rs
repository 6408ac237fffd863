// SPDX-License-Identifier: GPL-2.0

//! Messages to user space, and the buffers that they are built in.

use super::GenlInfo;
use crate::Netns;
use core::{
    ffi::c_void,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
};
use kernel::{alloc::AllocError, error::to_result, prelude::*, transmute::AsBytes};
use net_bindings as bindings;

/// The default size of a message, in bytes.
pub const GENLMSG_DEFAULT_SIZE: usize = bindings::GENLMSG_DEFAULT_SIZE;

mod sealed {
    use net_bindings as bindings;

    pub trait Buffer {
        /// Returns a valid netlink buffer that no other code uses while `self` is borrowed.
        fn as_raw(&self) -> *mut bindings::sk_buff;
    }
}

/// A buffer that a [`GenlMsg`] is built in: [`NetlinkSkBuff`] or `&mut` [`DumpSkBuff`].
pub trait Buffer: sealed::Buffer {}

impl<B: sealed::Buffer> Buffer for B {}

/// An owned buffer for a netlink message. Dropping the buffer frees it.
///
/// # Invariants
///
/// The pointer owns a valid `sk_buff`.
pub struct NetlinkSkBuff {
    skb: NonNull<bindings::sk_buff>,
}

impl NetlinkSkBuff {
    /// Allocates a buffer with room for `size` bytes of payload. May sleep.
    // No allocation flags, because only the kernel crate can read the number in them.
    #[inline]
    pub fn new(size: usize) -> Result<Self, AllocError> {
        // SAFETY: C has no requirement but that the caller may sleep, as `GFP_KERNEL` does; see above. A
        // size that is too large gives null.
        let skb = unsafe { bindings::genlmsg_new(size, bindings::GFP_KERNEL) };
        // INVARIANT: `genlmsg_new` returns null or a valid buffer, which it gives to the caller.
        let skb = NonNull::new(skb).ok_or(AllocError)?;
        Ok(Self { skb })
    }

    /// Does what [`Self::new`] does, in any context.
    pub(super) fn new_atomic(size: usize) -> Result<Self, AllocError> {
        // SAFETY: As in `new`; C does not sleep.
        let skb = unsafe { bindings::genlmsg_new(size, bindings::GFP_ATOMIC) };
        // INVARIANT: As in `new`.
        let skb = NonNull::new(skb).ok_or(AllocError)?;
        Ok(Self { skb })
    }

    /// Begins an answer to a request, with the request's command number. Fails with `EMSGSIZE` if the
    /// buffer has no room for the header.
    #[inline]
    pub fn genlmsg_iput(self, info: &GenlInfo) -> Result<GenlMsg> {
        GenlMsg::begin(self, info, 0)
    }

    /// Begins a notification. Fails as [`Self::genlmsg_iput`] does.
    ///
    /// # Safety
    ///
    /// `family` must be valid.
    pub(super) unsafe fn genlmsg_put(
        self,
        family: *const bindings::genl_family,
        cmd: u8,
    ) -> Result<GenlMsg> {
        // SAFETY: The caller promises a valid family.
        unsafe { self.genlmsg_put_to(family, 0, cmd) }
    }

    /// Does what [`Self::genlmsg_put`] does, for the socket with the port ID `portid`.
    ///
    /// # Safety
    ///
    /// `family` must be valid.
    pub(super) unsafe fn genlmsg_put_to(
        self,
        family: *const bindings::genl_family,
        portid: u32,
        cmd: u8,
    ) -> Result<GenlMsg> {
        // SAFETY: The caller promises a valid family.
        unsafe { GenlMsg::put_header(self, portid, 0, family, 0, cmd) }
    }
}

impl sealed::Buffer for NetlinkSkBuff {
    fn as_raw(&self) -> *mut bindings::sk_buff {
        self.skb.as_ptr()
    }
}

impl Drop for NetlinkSkBuff {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the buffer is valid and ours. `drop` runs once, and nothing uses
        // the buffer after it.
        unsafe { bindings::nlmsg_free(self.skb.as_ptr()) };
    }
}

/// The buffer that C passes to a dump.
///
/// # Invariants
///
/// `skb` is a valid netlink buffer that no other code uses. `info` is the dump's request.
pub struct DumpSkBuff<'a> {
    skb: NonNull<bindings::sk_buff>,
    // Not given to implementations of `Dumpit`: `extack` of a dump's request dangles after the first call,
    // and `GenlInfo::refuse` writes to it.
    info: &'a GenlInfo,
}

impl<'a> DumpSkBuff<'a> {
    /// # Safety
    ///
    /// `skb` must be a valid netlink buffer that no other code uses during `'a`.
    pub(super) unsafe fn new(skb: NonNull<bindings::sk_buff>, info: &'a GenlInfo) -> Self {
        // INVARIANT: Promised by the caller.
        Self { skb, info }
    }

    /// Returns the network namespace of the requester's socket.
    #[inline]
    pub fn netns(&self) -> &'a Netns {
        self.info.netns()
    }

    /// Begins a message with an entry of the dump, with the request's command number.
    ///
    /// Fails with `EMSGSIZE` if the buffer is full. The dump then returns that error, and writes the
    /// entry first in the next buffer.
    #[inline]
    pub fn genlmsg_iput(&mut self) -> Result<GenlMsg<&mut Self>> {
        let info = self.info;
        GenlMsg::begin(self, info, bindings::NLM_F_MULTI as c_int)
    }

    /// Returns `true` if the request has an attribute, even one that the dump does not use.
    pub fn request_has_attrs(&self) -> bool {
        (1..=self.info.maxattr()).any(|attrtype| self.info.attr(attrtype).is_some())
    }

    /// Returns the number of bytes in the buffer.
    pub(super) fn len_bytes(&self) -> u32 {
        // SAFETY: By the type invariant the buffer is valid, and no other code uses it.
        unsafe { self.skb.as_ref() }.len
    }
}

impl sealed::Buffer for &mut DumpSkBuff<'_> {
    fn as_raw(&self) -> *mut bindings::sk_buff {
        self.skb.as_ptr()
    }
}

/// Appends an attribute to a message. Fails with `EMSGSIZE` if the buffer is full.
///
/// # Safety
///
/// `skb` must be a valid netlink buffer that no other code uses during the call.
pub(crate) unsafe fn put<T: AsBytes + ?Sized>(
    skb: *mut bindings::sk_buff,
    attrtype: c_int,
    value: &T,
) -> Result {
    // The attribute's length has 16 bits and counts the attribute's header.
    const MOST: usize = u16::MAX as usize - size_of::<bindings::nlattr>();
    let len = size_of_val(value);
    if len > MOST {
        return Err(EMSGSIZE);
    }
    let value = ptr::from_ref(value).cast::<c_void>();
    // SAFETY: The caller promises a valid buffer. `value` came from a reference, and by `AsBytes` all of its
    // `len` bytes are initialized. C checks the room.
    to_result(unsafe { bindings::nla_put(skb, attrtype, len as c_int, value) })
}

/// A generic netlink message under construction. Dropping the message removes it from its buffer.
///
/// A message that is forgotten (`mem::forget`) stays in its buffer with the length of its headers alone, so
/// the receiver does not find the attributes.
///
/// # Invariants
///
/// `hdr` is the user header of the last message in `skb`.
pub struct GenlMsg<B: Buffer = NetlinkSkBuff> {
    skb: B,
    hdr: NonNull<c_void>,
}

impl<B: Buffer> GenlMsg<B> {
    /// Appends the header of an answer to a buffer.
    fn begin(skb: B, info: &GenlInfo, flags: c_int) -> Result<Self> {
        let info = info.fields();
        // SAFETY: By the invariant of `GenlInfo` the request has a header, and its family stays registered.
        unsafe {
            let cmd = (*info.genlhdr).cmd;
            Self::put_header(skb, info.snd_portid, info.snd_seq, info.family, flags, cmd)
        }
    }

    /// Appends the header of a message to a buffer.
    ///
    /// # Safety
    ///
    /// `family` must be valid.
    unsafe fn put_header(
        skb: B,
        portid: u32,
        seq: u32,
        family: *const bindings::genl_family,
        flags: c_int,
        cmd: u8,
    ) -> Result<Self> {
        // SAFETY: The buffer is valid and used by this call alone, as `Buffer` promises. The caller
        // promises a valid family. C checks the room.
        let hdr = unsafe { bindings::genlmsg_put(skb.as_raw(), portid, seq, family, flags, cmd) };
        // INVARIANT: `genlmsg_put` returns null or the user header that it has appended.
        let hdr = NonNull::new(hdr).ok_or(EMSGSIZE)?;
        Ok(Self { skb, hdr })
    }

    /// Appends an attribute.
    fn put<T: AsBytes + ?Sized>(&mut self, attrtype: c_int, value: &T) -> Result {
        // SAFETY: The buffer is valid and used by this call alone, as `Buffer` promises.
        unsafe { put(self.skb.as_raw(), attrtype, value) }
    }

    /// Appends an 8-bit number. Fails with `EMSGSIZE` if the buffer is full, as the other `put_`
    /// functions do.
    pub fn put_u8(&mut self, attrtype: c_int, value: u8) -> Result {
        self.put(attrtype, &value)
    }

    /// Appends a 32-bit number.
    pub fn put_u32(&mut self, attrtype: c_int, value: u32) -> Result {
        self.put(attrtype, &value)
    }

    /// Appends a signed 32-bit number.
    pub fn put_s32(&mut self, attrtype: c_int, value: i32) -> Result {
        self.put(attrtype, &value)
    }

    /// Appends a 64-bit number, which is not aligned to 8 bytes.
    pub fn put_u64(&mut self, attrtype: c_int, value: u64) -> Result {
        self.put(attrtype, &value)
    }

    /// Appends a number of 32 bits, or of 64 bits if it needs them (`nla_put_uint()`).
    pub fn put_uint(&mut self, attrtype: c_int, value: u64) -> Result {
        match u32::try_from(value) {
            Ok(value) => self.put(attrtype, &value),
            Err(_) => self.put(attrtype, &value),
        }
    }

    /// Appends a string and its NUL.
    pub fn put_string(&mut self, attrtype: c_int, value: &CStr) -> Result {
        self.put(attrtype, value.to_bytes_with_nul())
    }

    /// Appends a nested attribute: `fill` appends the attributes in it. If `fill` fails, nothing is
    /// appended.
    pub fn put_nested(
        &mut self,
        attrtype: c_int,
        fill: impl FnOnce(&mut Self) -> Result,
    ) -> Result {
        let (hdr, at) = (self.hdr, self.len_bytes());
        // SAFETY: The buffer is valid and used by this call alone, as `Buffer` promises. C checks the room.
        if unsafe { bindings::nla_nest_start(self.skb.as_raw(), attrtype) }.is_null() {
            return Err(EMSGSIZE);
        }
        let result = fill(self);
        // `fill` may have exchanged this message for another one (`mem::swap`).
        if self.hdr != hdr || self.len_bytes() < at.saturating_add(size_of::<bindings::nlattr>()) {
            return Err(EINVAL);
        }
        let skb = self.skb.as_raw();
        // SAFETY: The buffer is valid, as above, and has room for an attribute's header from `at` on.
        // Attributes are aligned in the buffer.
        let start = unsafe { (*skb).data.add(at).cast::<bindings::nlattr>() };
        let result = result.and_then(|()| {
            // SAFETY: As above. C writes the length to the attribute's header.
            to_result(unsafe { bindings::nla_nest_end_safe(skb, start) })
        });
        if result.is_err() {
            // SAFETY: As above. C cuts the buffer where the attribute begins, which is after `hdr`.
            unsafe { bindings::nla_nest_cancel(skb, start) };
        }
        result
    }

    /// Appends a 16-bit number in network order.
    pub fn put_be16(&mut self, attrtype: c_int, value: [u8; 2]) -> Result {
        self.put(attrtype, &value)
    }

    /// Appends an IPv4 address.
    pub fn put_in_addr(&mut self, attrtype: c_int, address: &[u8; 4]) -> Result {
        self.put(attrtype, address)
    }

    /// Appends an IPv6 address.
    pub fn put_in6_addr(&mut self, attrtype: c_int, address: &[u8; 16]) -> Result {
        self.put(attrtype, address)
    }

    /// Appends a flag.
    pub fn put_flag(&mut self, attrtype: c_int) -> Result {
        self.put(attrtype, &[0u8; 0])
    }

    /// Returns the number of bytes in the buffer.
    fn len_bytes(&self) -> usize {
        // SAFETY: The buffer is valid and used by this call alone, as `Buffer` promises.
        unsafe { (*self.skb.as_raw()).len as usize }
    }

    /// Completes the message, so that it stays in its buffer.
    fn complete(self) -> ManuallyDrop<Self> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `Buffer` promises a valid buffer. By the type invariant `hdr` is the user header of the
        // buffer's last message, whose length C writes.
        unsafe { bindings::genlmsg_end(this.skb.as_raw(), this.hdr.as_ptr()) };
        this
    }
}

impl GenlMsg<NetlinkSkBuff> {
    /// Completes the message and gives its buffer to the caller.
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        self.complete().skb.skb.as_ptr()
    }

    /// Completes the message and sends it to the sender of a request. May sleep.
    #[inline]
    pub fn reply(self, info: &GenlInfo) -> Result {
        // SAFETY: The buffer is valid, and has one complete message. C takes the buffer, also on an error,
        // and nothing else frees it. By the invariant of `GenlInfo` the request is valid, and C reads the
        // sender's port and namespace from it.
        to_result(unsafe { bindings::genlmsg_reply(self.into_raw(), info.as_raw()) })
    }
}

impl GenlMsg<&mut DumpSkBuff<'_>> {
    /// Completes the message. The next message may follow it in the buffer.
    #[inline]
    pub fn end(self) {
        self.complete();
    }
}

impl<B: Buffer> Drop for GenlMsg<B> {
    fn drop(&mut self) {
        // SAFETY: As in `complete`. C cuts the buffer where the message begins, and nothing uses the
        // message after that.
        unsafe { bindings::genlmsg_cancel(self.skb.as_raw(), self.hdr.as_ptr()) };
    }
}

#[kunit_tests(rfou_net_netlink)]
mod tests {
    use super::*;

    /// Bytes of the headers of a message: `struct nlmsghdr` and `struct genlmsghdr`.
    const HEADERS: u32 = 16 + 4;
    /// Bytes of an attribute of up to four bytes: `struct nlattr`, payload and padding.
    const ATTR: u32 = 4 + 4;

    /// Calls `test` with a request to a family that is not registered, and an empty buffer.
    fn with_dump(size: usize, test: impl FnOnce(DumpSkBuff<'_>) -> Result) -> Result {
        let family = bindings::genl_family::default();
        let mut header = bindings::genlmsghdr::default();
        let info = bindings::genl_info {
            family: &family,
            genlhdr: &mut header,
            ..Default::default()
        };
        let skb = NetlinkSkBuff::new(size)?;
        // SAFETY: `info` and all that it points to are local variables, which nothing changes during the
        // call. Messages read a family's number, version and size of its user header, which are zero here.
        // Only `test` uses the buffer during the call.
        test(unsafe { DumpSkBuff::new(skb.skb, GenlInfo::from_raw(&info)) })
    }

    #[test]
    fn dropped_message_leaves_only_messages_that_have_ended() -> Result {
        with_dump(GENLMSG_DEFAULT_SIZE, |mut skb| {
            let mut message = skb.genlmsg_iput()?;
            message.put_u8(1, 1)?;
            message.put_flag(2)?;
            message.end();
            assert_eq!(skb.len_bytes(), HEADERS + ATTR + 4);

            let mut message = skb.genlmsg_iput()?;
            message.put_u32(1, 1)?;
            drop(message);
            assert_eq!(skb.len_bytes(), HEADERS + ATTR + 4);
            Ok(())
        })
    }

    #[test]
    fn nested_attributes_that_fail_leave_nothing() -> Result {
        with_dump(GENLMSG_DEFAULT_SIZE, |mut skb| {
            let mut message = skb.genlmsg_iput()?;
            assert!(message
                .put_nested(1, |message| {
                    message.put_u8(1, 1)?;
                    Err(EINVAL)
                })
                .is_err());
            message.put_nested(1, |message| message.put_u8(1, 1))?;
            message.end();
            assert_eq!(skb.len_bytes(), HEADERS + 4 + ATTR);
            Ok(())
        })
    }

    #[test]
    fn message_that_was_exchanged_gets_no_nested_attribute() -> Result {
        let family = bindings::genl_family::default();
        // SAFETY: The family is a local variable. Messages read its number, version and size of its user
        // header, which are zero here.
        let message =
            || unsafe { NetlinkSkBuff::new(GENLMSG_DEFAULT_SIZE)?.genlmsg_put(&family, 1) };
        let (mut first, mut second) = (message()?, message()?);
        assert!(first
            .put_nested(1, |first| {
                core::mem::swap(first, &mut second);
                Ok(())
            })
            .is_err());
        Ok(())
    }

    #[test]
    fn full_buffer_refuses_attributes_and_keeps_what_has_ended() -> Result {
        with_dump(256, |mut skb| {
            let mut ended = 0;
            let full = loop {
                let len = skb.len_bytes();
                let result = skb.genlmsg_iput().and_then(|mut message| {
                    message.put_in6_addr(1, &[0; 16])?;
                    message.end();
                    Ok(())
                });
                match result {
                    Ok(()) => ended += 1,
                    Err(error) => break (len, error),
                }
            };
            assert!(ended > 0);
            assert!(full == (skb.len_bytes(), EMSGSIZE));
            assert_eq!(skb.len_bytes(), ended * (HEADERS + 4 + 16));
            Ok(())
        })
    }
}
