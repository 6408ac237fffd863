// SPDX-License-Identifier: GPL-2.0

//! Generic netlink families with do and dump operations.
//!
//! C headers: [`include/net/genetlink.h`](srctree/include/net/genetlink.h),
//! [`include/net/netlink.h`](srctree/include/net/netlink.h)
//!
//! The kernel crate's own `kernel::net::netlink` sends multicast messages only.

use crate::{
    module::{Phase, Scope, Undo},
    Netns,
};
use core::{ffi::c_void, marker::PhantomData, ptr, ptr::NonNull, slice};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    transmute::{AsBytes, FromBytes},
    types::Opaque,
};
use net_bindings as extra;

/// A generic netlink family, and the state its commands work on.
pub trait Family: Send + Sync + Sized + 'static {
    /// Its name, at most 15 bytes.
    const NAME: &'static CStr;
    /// Its version.
    const VERSION: u8;
    /// What its attributes must be like, by attribute number; number 0 is never used.
    const POLICY: &'static [AttrPolicy];
    /// Its commands, in ascending order of their numbers.
    const COMMANDS: &'static [Command<Self>];
    /// The first command number whose messages must not have set bits that are reserved today.
    /// 0 for all; families older than that rule name the command after their last.
    const STRICT_FROM: u8 = 0;
}

/// What an attribute must be like; what is not is refused before a command sees it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct AttrPolicy(bindings::nla_policy);

// SAFETY: It holds plain values; the pointers it could hold are null.
unsafe impl Sync for AttrPolicy {}

impl AttrPolicy {
    const fn of(kind: c_uint, validation: c_uint, min: u8, max: u8) -> Self {
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

    const fn plain(kind: c_uint) -> Self {
        Self::of(
            kind,
            bindings::nla_policy_validation_NLA_VALIDATE_NONE,
            0,
            0,
        )
    }

    /// No such attribute.
    pub const UNUSED: Self = Self::plain(bindings::NLA_UNSPEC);
    /// A flag: there or not.
    pub const FLAG: Self = Self::plain(bindings::NLA_FLAG);
    /// An 8-bit number.
    pub const U8: Self = Self::plain(bindings::NLA_U8);
    /// A 32-bit number in host order, or four bytes.
    pub const U32: Self = Self::plain(bindings::NLA_U32);
    /// A signed 32-bit number in host order.
    pub const S32: Self = Self::plain(bindings::NLA_S32);
    /// A 16-bit number in network order.
    pub const BE16: Self = Self::plain(bindings::NLA_BE16);

    /// Exactly `len` bytes; any other length is refused with `ERANGE`.
    pub const fn exact_len(len: u8) -> Self {
        Self::of(
            bindings::NLA_BINARY,
            bindings::nla_policy_validation_NLA_VALIDATE_RANGE,
            len,
            len,
        )
    }
}

/// What a command does when it is asked to do it.
pub trait Do<F: Family> {
    /// Does it. Process context, may sleep. The error goes back to the sender, with the text of
    /// [`Request::refuse`] if there is one.
    fn run(family: &F, request: &Request<'_>) -> Result;
}

/// What a command lists when it is asked for a dump.
pub trait Dump<F: Family> {
    /// Writes entries until there are no more, or [`DumpWriter::entry`] says that the message is
    /// full; it is then called again with a new message. Process context, may sleep.
    ///
    /// `cursor` is 0 at first and is kept from call to call: where to go on.
    fn run(family: &F, netns: &Netns, cursor: &mut u64, out: &mut DumpWriter<'_>) -> Result;
}

/// One command of a family.
#[repr(transparent)]
// Invariant in `F`: the command of one family takes the state and the number of attributes of that family
// for granted.
pub struct Command<F: Family>(bindings::genl_small_ops, PhantomData<fn(F) -> F>);

// SAFETY: It holds plain values and function pointers.
unsafe impl<F: Family> Sync for Command<F> {}

impl<F: Family> Command<F> {
    /// A command that does `D`.
    pub const fn new<D: Do<F>>(number: u8) -> Self {
        Self(
            bindings::genl_small_ops {
                doit: Some(doit::<F, D>),
                dumpit: None,
                cmd: number,
                internal_flags: 0,
                flags: 0,
                validate: 0,
            },
            PhantomData,
        )
    }

    /// It can also be asked for a dump.
    pub const fn dump<D: Dump<F>>(mut self) -> Self {
        self.0.dumpit = Some(dumpit::<F, D>);
        self
    }

    /// Only who has `CAP_NET_ADMIN` in the initial user namespace may send it; others get `EPERM`.
    pub const fn admin(mut self) -> Self {
        self.0.flags |= bindings::GENL_ADMIN_PERM as u8;
        self
    }

    /// Unknown attributes are ignored, longer ones cut, and a dump's attributes not looked at: for
    /// families that users already talk to that way.
    pub const fn liberal(mut self) -> Self {
        self.0.validate |= (bindings::genl_validate_flags_GENL_DONT_VALIDATE_STRICT
            | bindings::genl_validate_flags_GENL_DONT_VALIDATE_DUMP)
            as u8;
        self
    }
}

/// Registers a family for all network namespaces, until the module's end. Process context, may sleep.
///
/// Commands may run before this returns. Fails with `EEXIST` if there is a family of that name. The
/// state is dropped at the module's end, when no command and no dump runs any more.
// No reference to the state: destructors of other states could use it when it has been dropped.
pub fn register<F: Family>(scope: &'static Scope, state: F) -> Result {
    let module = scope.module()?;
    scope.register(try_pin_init!(Registered {
        state,
        family <- Opaque::new(describe::<F>(module.as_ptr())),
        // A command may run as soon as the family is registered, so this comes last.
        _: {
            // SAFETY: The family is described, and stays where it is until the module's end, which
            // unregisters it and waits for its dumps.
            to_result(unsafe { bindings::genl_register_family(family.get()) })?
        },
    }? Error))
}

/// A registered family.
///
/// # Invariants
///
/// `family` is registered. It is the first field, so that a pointer to it, which is all that C hands
/// to a command, is a pointer to the whole.
#[repr(C)]
#[pin_data]
struct Registered<F: Family> {
    #[pin]
    family: Opaque<bindings::genl_family>,
    state: F,
}

// SAFETY: C serializes registering by its own lock, and `F` may be sent.
unsafe impl<F: Family> Send for Registered<F> {}
// SAFETY: As above, and `F` may be shared.
unsafe impl<F: Family> Sync for Registered<F> {}

impl<F: Family> Undo for Registered<F> {
    const PHASE: Phase = Phase::EntryPoint;

    fn undo(&self) {
        // Waits for commands. A dump goes on with the family, which is kept until the module has no
        // references any more.
        // SAFETY: By the type invariant the family is registered.
        unsafe { bindings::genl_unregister_family(self.family.get()) };
    }
}

/// Describes a family as C wants it.
fn describe<F: Family>(module: *mut bindings::module) -> bindings::genl_family {
    const {
        assert!(F::NAME.to_bytes_with_nul().len() <= bindings::GENL_NAMSIZ as usize);
        assert!(!F::POLICY.is_empty() && F::COMMANDS.len() <= u8::MAX as usize);
    }
    let mut family = bindings::genl_family {
        version: F::VERSION.into(),
        // The assertion above keeps both from wrapping.
        maxattr: (F::POLICY.len() - 1) as c_uint,
        n_small_ops: F::COMMANDS.len() as u8,
        resv_start_op: F::STRICT_FROM,
        // Transparent wrappers.
        policy: F::POLICY.as_ptr().cast(),
        small_ops: F::COMMANDS.as_ptr().cast(),
        module,
        ..Default::default()
    };
    family.set_netnsok(1);
    for (to, from) in family.name.iter_mut().zip(F::NAME.to_bytes()) {
        *to = *from;
    }
    family
}

/// The family's state, from what C hands to a command.
///
/// # Safety
///
/// `family` must be the first field of a [`Registered<F>`] that lives for the chosen lifetime.
unsafe fn state<'a, F: Family>(family: *const bindings::genl_family) -> &'a F {
    // SAFETY: Promised by the caller; the type is `repr(C)`.
    unsafe { &(*family.cast::<Registered<F>>()).state }
}

/// An attribute of a request.
///
/// # Invariants
///
/// Points to an attribute's header within a message that lives for `'a`, in which all of its length
/// lies.
#[derive(Clone, Copy)]
pub struct Attr<'a>(NonNull<bindings::nlattr>, PhantomData<&'a [u8]>);

impl Attr<'_> {
    /// The attribute's value: its first bytes, in the order they came in.
    ///
    /// Fails with `ERANGE` if the attribute is shorter.
    pub fn read<T: FromBytes + Copy>(&self) -> Result<T> {
        let header = size_of::<bindings::nlattr>();
        // SAFETY: By the type invariant the header is there.
        let len = usize::from(unsafe { self.0.as_ref() }.nla_len).saturating_sub(header);
        if len < size_of::<T>() {
            return Err(ERANGE);
        }
        // SAFETY: By the type invariant there are `size_of::<T>()` bytes behind the header; they need
        // not be aligned, and any bytes are a `T`.
        Ok(unsafe { self.0.add(1).cast::<T>().read_unaligned() })
    }
}

/// A request to do something.
pub struct Request<'a> {
    info: &'a bindings::genl_info,
    // The length of `info.attrs`.
    attributes: usize,
}

impl<'a> Request<'a> {
    /// The network namespace of the sender's socket.
    pub fn netns(&self) -> &'a Netns {
        // SAFETY: The request, which we borrow, keeps its namespace alive.
        unsafe { Netns::from_raw(extra::genl_info_net(self.info)) }
    }

    /// An attribute by its number, if it was sent. It has been checked against the policy.
    pub fn attr(&self, number: u16) -> Option<Attr<'a>> {
        let number = usize::from(number);
        if self.info.attrs.is_null() || number >= self.attributes {
            return None;
        }
        // SAFETY: There are as many entries as the policy has, and `number` is below that.
        let attr = unsafe { *self.info.attrs.add(number) };
        // INVARIANT: An entry is null or points into the message, which lives as long as the request;
        // netlink has checked that the attribute's length lies within it.
        NonNull::new(attr).map(|attr| Attr(attr, PhantomData))
    }

    /// Sends a reason along with an error, for a person to read, and which attribute is at fault.
    ///
    /// Returns the error, to be returned.
    pub fn refuse(&self, error: Error, why: &'static CStr, at: Option<Attr<'_>>) -> Error {
        // SAFETY: A request's extended acknowledgement is null or valid during the request.
        if let Some(ack) = unsafe { self.info.extack.as_mut() } {
            ack._msg = why.as_char_ptr();
            if let Some(attr) = at {
                ack.bad_attr = attr.0.as_ptr();
            }
        }
        error
    }

    /// Answers with one message of the request's own command number. May sleep.
    pub fn reply(&self, fill: impl FnOnce(&mut Message<'_>) -> Result) -> Result {
        // SAFETY: A family's requests have a header.
        let command = unsafe { (*self.info.genlhdr).cmd };
        // SAFETY: No requirements.
        let skb =
            unsafe { bindings::genlmsg_new(bindings::GENLMSG_DEFAULT_SIZE, bindings::GFP_KERNEL) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: The message is ours until it is sent.
        let result = unsafe { Message::append(skb, self.info, 0, command, fill) };
        if let Err(error) = result {
            // SAFETY: The message is ours and not sent.
            unsafe { bindings::nlmsg_free(skb.as_ptr()) };
            return Err(error);
        }
        // SAFETY: The message is complete and ours; sending it gives it up in any case.
        to_result(unsafe {
            extra::genlmsg_reply(skb.as_ptr(), ptr::from_ref(self.info).cast_mut())
        })
    }
}

/// A message being written.
pub struct Message<'a> {
    skb: NonNull<bindings::sk_buff>,
    _buffer: PhantomData<&'a mut bindings::sk_buff>,
}

impl Message<'_> {
    /// Appends a message to a buffer: all of it, or nothing and an error.
    ///
    /// # Safety
    ///
    /// `skb` must be a valid netlink buffer that nobody else uses during the call.
    unsafe fn append(
        skb: NonNull<bindings::sk_buff>,
        info: &bindings::genl_info,
        flags: c_int,
        command: u8,
        fill: impl FnOnce(&mut Message<'_>) -> Result,
    ) -> Result {
        let raw = skb.as_ptr();
        // SAFETY: The buffer is ours, and the family of a request is registered.
        let header = unsafe {
            bindings::genlmsg_put(
                raw,
                info.snd_portid,
                info.snd_seq,
                info.family,
                flags,
                command,
            )
        };
        if header.is_null() {
            return Err(EMSGSIZE);
        }
        let result = fill(&mut Message {
            skb,
            _buffer: PhantomData,
        });
        // SAFETY: `header` is that of the last message in the buffer.
        unsafe {
            match result {
                Ok(()) => bindings::genlmsg_end(raw, header),
                Err(_) => bindings::genlmsg_cancel(raw, header),
            }
        }
        result
    }

    fn put_bytes(&mut self, number: u16, bytes: &[u8]) -> Result {
        let len = c_int::try_from(bytes.len()).map_err(|_| EMSGSIZE)?;
        // SAFETY: The buffer is valid, and `bytes` is readable for its length.
        to_result(unsafe {
            bindings::nla_put(
                self.skb.as_ptr(),
                number.into(),
                len,
                bytes.as_ptr().cast::<c_void>(),
            )
        })
    }

    /// Writes an attribute. Fails with `EMSGSIZE` if the message is full.
    pub fn put<T: AsBytes>(&mut self, number: u16, value: &T) -> Result {
        // SAFETY: All bytes of an `AsBytes` are initialized, and are borrowed with it.
        let bytes = unsafe { slice::from_raw_parts(ptr::from_ref(value).cast(), size_of::<T>()) };
        self.put_bytes(number, bytes)
    }

    /// Writes a flag. Fails with `EMSGSIZE` if the message is full.
    pub fn put_flag(&mut self, number: u16) -> Result {
        self.put_bytes(number, &[])
    }
}

/// Where a dump writes its entries.
pub struct DumpWriter<'a> {
    skb: NonNull<bindings::sk_buff>,
    info: &'a bindings::genl_info,
}

impl DumpWriter<'_> {
    /// Writes one entry, as a message of command `command`: all of it, or nothing.
    ///
    /// `EMSGSIZE` says that it did not fit, and is to be returned as it is; the entry comes first in
    /// the next message.
    pub fn entry(&mut self, command: u8, fill: impl FnOnce(&mut Message<'_>) -> Result) -> Result {
        // SAFETY: The buffer is the dump's, that is ours, during the call.
        unsafe {
            Message::append(
                self.skb,
                self.info,
                bindings::NLM_F_MULTI as c_int,
                command,
                fill,
            )
        }
    }
}

/// # Safety
///
/// To be called by C alone, with a request to a family that is a [`Registered<F>`].
unsafe extern "C" fn doit<F: Family, D: Do<F>>(
    _skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    // SAFETY: C passes a valid request. What `Request` changes is behind its pointers.
    let info = unsafe { &*info };
    // SAFETY: The family was registered by us, and unregistering it waits for this call.
    let family = unsafe { state::<F>(info.family) };
    let request = Request {
        info,
        attributes: F::POLICY.len(),
    };
    match D::run(family, &request) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// To be called by C alone, for a dump of a family that is a [`Registered<F>`].
unsafe extern "C" fn dumpit<F: Family, D: Dump<F>>(
    skb: *mut bindings::sk_buff,
    callback: *mut bindings::netlink_callback,
) -> c_int {
    // SAFETY: C passes a valid dump of a generic netlink family, whose request lives as long.
    let info = unsafe { &*extra::genl_info_dump(callback) };
    // SAFETY: The dump holds a reference to the module, for which the family's end waits.
    let family = unsafe { state::<F>(info.family) };
    // SAFETY: The request keeps its namespace alive.
    let netns = unsafe { Netns::from_raw(extra::genl_info_net(info)) };
    // SAFETY: C passes the buffer to write to.
    let skb = unsafe { NonNull::new_unchecked(skb) };
    // SAFETY: The context is the dump's own to use, zero at first, aligned for `long`.
    let cursor = unsafe { &mut *(&raw mut (*callback).__bindgen_anon_1.ctx).cast::<u64>() };
    let result = D::run(family, netns, cursor, &mut DumpWriter { skb, info });
    // SAFETY: The buffer is valid.
    let written = unsafe { skb.as_ref() }.len;
    match result {
        // What did not fit goes into the next message, if anything is in this one.
        Err(error) if error != EMSGSIZE || written == 0 => error.to_errno(),
        // As long as something is written, C calls again.
        _ => c_int::try_from(written).unwrap_or(c_int::MAX),
    }
}
