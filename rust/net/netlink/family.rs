// SPDX-License-Identifier: GPL-2.0

//! Families, their operations and their registration.

use super::{DumpSkBuff, GenlInfo, MulticastGroup, NlaPolicy, Notifier};
use crate::module::{Phase, Scope, Undo};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{error::to_result, prelude::*, types::Opaque};
use net_bindings as bindings;

/// A generic netlink family's operations, and the state that they work on.
pub trait Operations: Send + Sync + Sized + 'static {
    /// The family's name, at most 15 bytes.
    const NAME: &'static CStr;
    /// The family's version.
    const VERSION: u8;
    /// The policy of each attribute, by attribute number; number 0 is never used.
    const POLICY: &'static [NlaPolicy];
    /// The operations, in ascending order of their command numbers.
    const OPS: &'static [Op<Self>];
    /// The first command number whose messages must not have reserved header bits set. 0 stands for all commands. A
    /// family that is older than this rule gives the number after its last command.
    const RESV_START_OP: u8 = 0;
    /// The multicast groups, by their index.
    const MCGRPS: &'static [MulticastGroup] = &[];
}

/// A request that an operation carries out.
pub trait Doit<T: Operations> {
    /// Carries out a request. Process context, may sleep.
    ///
    /// Netlink sends an error to the sender, with the text of [`GenlInfo::refuse`] if there is one.
    fn doit(state: &T, info: &GenlInfo) -> Result;
}

/// A list that an operation dumps.
pub trait Dumpit<T: Operations> {
    /// Writes entries until there are no more, or until [`DumpSkBuff::genlmsg_iput`] or a `put_`
    /// function fails with `EMSGSIZE`; netlink then calls again with an empty buffer. Process context,
    /// may sleep.
    ///
    /// `cursor` is 0 in the first call and keeps its value from call to call.
    fn dumpit(state: &T, cursor: &mut u64, skb: &mut DumpSkBuff<'_>) -> Result;
}

/// An operation of a family (`struct genl_small_ops`).
#[repr(transparent)]
// Invariant in `T`: the operation of one family relies on the state and the number of attributes of that
// family.
pub struct Op<T: Operations>(bindings::genl_small_ops, PhantomData<fn(T) -> T>);

// SAFETY: The operation consists of numbers and function pointers, and only `const` functions that take it
// by value change it.
unsafe impl<T: Operations> Sync for Op<T> {}

impl<T: Operations> Op<T> {
    /// Makes the operation for a command number.
    pub const fn new<D: Doit<T>>(cmd: u8) -> Self {
        Self(
            bindings::genl_small_ops {
                doit: Some(doit_callback::<T, D>),
                dumpit: None,
                cmd,
                internal_flags: 0,
                flags: 0,
                validate: 0,
            },
            PhantomData,
        )
    }

    /// Lets the operation answer requests for a dump, too.
    pub const fn dumpit<D: Dumpit<T>>(mut self) -> Self {
        self.0.dumpit = Some(dumpit_callback::<T, D>);
        self
    }

    /// Refuses senders without `CAP_NET_ADMIN` in the initial user namespace, with `EPERM`
    /// (`GENL_ADMIN_PERM`).
    pub const fn admin_perm(mut self) -> Self {
        self.0.flags |= bindings::GENL_ADMIN_PERM as u8;
        self
    }

    /// Refuses senders without `CAP_NET_ADMIN` in the user namespace of their network namespace, with
    /// `EPERM` (`GENL_UNS_ADMIN_PERM`).
    pub const fn uns_admin_perm(mut self) -> Self {
        self.0.flags |= bindings::GENL_UNS_ADMIN_PERM as u8;
        self
    }

    /// Ignores unknown attributes and cuts attributes that are too long, for families whose users rely
    /// on that (`GENL_DONT_VALIDATE_STRICT`).
    pub const fn dont_validate_strict(mut self) -> Self {
        self.0.validate |= bindings::genl_validate_flags_GENL_DONT_VALIDATE_STRICT as u8;
        self
    }

    /// Ignores the attributes of a request for a dump (`GENL_DONT_VALIDATE_DUMP`).
    pub const fn dont_validate_dump(mut self) -> Self {
        self.0.validate |= bindings::genl_validate_flags_GENL_DONT_VALIDATE_DUMP as u8;
        self
    }
}

/// A generic netlink family (`struct genl_family`).
#[repr(transparent)]
struct Family(Opaque<bindings::genl_family>);

// SAFETY: Any thread may register and unregister a family: C does both under its own lock. It writes to the
// family only then, and Rust code only passes C the pointer.
unsafe impl Send for Family {}
// SAFETY: As above.
unsafe impl Sync for Family {}

impl Family {
    /// Makes a family of a module from its operations.
    fn new<T: Operations>(module: NonNull<bindings::module>) -> Self {
        const {
            assert!(T::NAME.to_bytes_with_nul().len() <= bindings::GENL_NAMSIZ as usize);
            assert!(!T::POLICY.is_empty() && T::OPS.len() <= u8::MAX as usize);
            assert!(T::MCGRPS.len() <= u8::MAX as usize);
        }
        let mut family = bindings::genl_family {
            version: T::VERSION.into(),
            // The assertions above keep these from wrapping.
            maxattr: (T::POLICY.len() - 1) as c_uint,
            n_small_ops: T::OPS.len() as u8,
            n_mcgrps: T::MCGRPS.len() as u8,
            resv_start_op: T::RESV_START_OP,
            // Transparent wrappers.
            policy: T::POLICY.as_ptr().cast(),
            small_ops: T::OPS.as_ptr().cast(),
            mcgrps: T::MCGRPS.as_ptr().cast(),
            module: module.as_ptr(),
            ..Default::default()
        };
        family.set_netnsok(1);
        for (to, from) in family.name.iter_mut().zip(T::NAME.to_bytes()) {
            *to = *from;
        }
        Self(Opaque::new(family))
    }

    fn as_raw(&self) -> *mut bindings::genl_family {
        self.0.get()
    }
}

/// Registers a family for all network namespaces, until the module is unloaded. Process context, may
/// sleep.
///
/// Operations may run before this returns. Fails with `EEXIST` if there is a family of that name. The
/// scope drops the state when the module is unloaded, after the last operation and dump.
// Returns no reference to the state: the destructor of another state could use such a reference after the state was
// dropped.
pub fn register<T: Operations>(scope: &'static Scope, state: T) -> Result {
    register_family(scope, state, None)
}

/// Does what [`register`] does, for a family with notifications: from now on `notifier` can send.
pub fn register_with_notifier<T: Operations>(
    scope: &'static Scope,
    state: T,
    notifier: &'static Notifier<T>,
) -> Result {
    register_family(scope, state, Some(notifier))
}

fn register_family<T: Operations>(
    scope: &'static Scope,
    state: T,
    notifier: Option<&'static Notifier<T>>,
) -> Result {
    let module = scope.module()?;
    scope.register(try_pin_init!(Registration {
        state,
        notifier,
        family: Family::new::<T>(module),
        // Last, because an operation may run as soon as the family is registered.
        _: {
            // SAFETY: `Family::new` has set the name, the policy for each number up to `maxattr`, and the
            // operations, all of them static. The family keeps its place, because it is pinned, until the
            // module is unloaded; before that the scope unregisters the family and waits for its dumps.
            to_result(unsafe { bindings::genl_register_family(family.as_raw()) })?;
            if let Some(notifier) = notifier {
                // SAFETY: The family was just registered. `undo` calls `clear` before it unregisters the
                // family.
                unsafe { notifier.set(family.as_raw()) };
            }
        },
    }? Error))
}

/// A registered family with its state.
///
/// # Invariants
///
/// `family` is registered. It is the first field, so that the pointer to it that C passes to an
/// operation is a pointer to the whole.
#[repr(C)]
#[pin_data]
struct Registration<T: Operations> {
    #[pin]
    family: Family,
    state: T,
    notifier: Option<&'static Notifier<T>>,
}

impl<T: Operations> Undo for Registration<T> {
    const PHASE: Phase = Phase::EntryPoint;

    fn undo(&self) {
        if let Some(notifier) = self.notifier {
            notifier.clear();
        }
        // No notification uses the family any more. C waits for operations. A dump continues with the family, which
        // the scope keeps until the module has no references any more.
        // SAFETY: By the type invariant the family is registered, and the scope calls `undo` once.
        unsafe { bindings::genl_unregister_family(self.family.as_raw()) };
    }
}

/// Returns the state of the family that a request is for.
///
/// # Safety
///
/// The request's family must be the first field of a [`Registration<T>`] that lives as long as the
/// request.
unsafe fn state<T: Operations>(info: &GenlInfo) -> &T {
    // SAFETY: The caller promises that the family is the first field of a `Registration<T>`, which is
    // `repr(C)`, so the pointers are the same. The registration lives as long as `info`, and only shared
    // references to it exist.
    unsafe { &(*info.fields().family.cast::<Registration<T>>()).state }
}

/// # Safety
///
/// Only C may call this, with a request to a family that is a [`Registration<T>`].
unsafe extern "C" fn doit_callback<T: Operations, D: Doit<T>>(
    _skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    // SAFETY: C passes a valid request to an operation of a registered family, and keeps the request until
    // this call returns. The family is a `Registration<T>`, because only `Registration<T>` has operations
    // for `T`, and unregistering it waits for this call.
    let (info, state) = unsafe {
        let info = GenlInfo::from_raw(info);
        (info, state::<T>(info))
    };
    match D::doit(state, info) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Only C may call this, for a dump of a family that is a [`Registration<T>`].
unsafe extern "C" fn dumpit_callback<T: Operations, D: Dumpit<T>>(
    skb: *mut bindings::sk_buff,
    callback: *mut bindings::netlink_callback,
) -> c_int {
    // SAFETY: C passes a valid dump of a generic netlink family, whose request lives as long. The family
    // is a `Registration<T>`; the dump holds a reference to the module, for which the scope waits before
    // it frees the family.
    let (info, state) = unsafe {
        let info = GenlInfo::from_raw(bindings::genl_info_dump(callback));
        (info, state::<T>(info))
    };
    // SAFETY: C passes a valid buffer to write to, and does not use it during the call.
    let mut skb = unsafe { DumpSkBuff::new(NonNull::new_unchecked(skb), info) };
    // SAFETY: C keeps the context for the dump's own use, zero at first and aligned for `long`. Its 48
    // bytes have room for the cursor. C calls a dump's functions one at a time, so this reference is the
    // only one.
    let cursor = unsafe { &mut *(&raw mut (*callback).__bindgen_anon_1.ctx).cast::<u64>() };
    let result = D::dumpit(state, cursor, &mut skb);
    let written = skb.len_bytes();
    match result {
        // An entry that did not fit is written first in the next buffer, if this buffer has an entry.
        Err(error) if error != EMSGSIZE || written == 0 => error.to_errno(),
        // C calls again as long as a call writes something.
        _ => c_int::try_from(written).unwrap_or(c_int::MAX),
    }
}
