// SPDX-License-Identifier: GPL-2.0

//! Encapsulation hooks of tunnel devices of any IP version: registration, and the functions that C calls.

use super::{private::Sealed, EncapConfig, Flow, IpTunnelEncap};
use crate::{
    flow_hash,
    module::{Phase, Scope, Undo},
    skb::TxSkb,
};
use core::marker::PhantomData;
use kernel::prelude::*;
use net_bindings as bindings;

/// The hooks of an encapsulation `T` for the tunnel devices whose flows are of this type.
///
/// # Safety
///
/// [`Self::add`] must register hooks for such devices alone. [`Self::delete`] must unregister them, and
/// wait until no packet is in the hooks.
pub(crate) unsafe trait Hooks<T: IpTunnelEncap<Self>>:
    Flow + Sized + 'static
{
    /// C's table of hooks.
    type Ops: Sync;

    /// The hooks of `T`.
    const OPS: &'static Self::Ops;

    /// Registers hooks under the number of `T`. Returns 0, -1 if the number is taken, or an errno.
    ///
    /// # Safety
    ///
    /// `ops` must be [`Self::OPS`], and be unregistered before the module's code goes.
    unsafe fn add(ops: &'static Self::Ops) -> c_int;

    /// Unregisters hooks. May sleep.
    ///
    /// # Safety
    ///
    /// `ops` must have been registered by [`Self::add`], and not unregistered.
    unsafe fn delete(ops: &'static Self::Ops);
}

/// Registers an encapsulation for devices with flows of type `F`, until the module's end. Process context,
/// may sleep. Fails with `EEXIST` if another module has its number.
pub(crate) fn register_hooks<T, F>(scope: &'static Scope) -> Result
where
    T: IpTunnelEncap<F>,
    F: Hooks<T>,
{
    flow_hash::choose_secret();
    scope.register(try_init!(Registered::<T, F> {
        ops: add::<T, F>()?,
        _encap: PhantomData,
    }? Error))
}

/// Registers the hooks of `T`, which the caller makes [`Registered`].
fn add<T, F>() -> Result<&'static F::Ops>
where
    T: IpTunnelEncap<F>,
    F: Hooks<T>,
{
    let ops = F::OPS;
    // SAFETY: `ops` is `F::OPS`. The hooks stay registered until the scope undoes `Registered`, which it
    // does before the module's code is freed.
    match unsafe { F::add(ops) } {
        0 => Ok(ops),
        // C returns -1, which is not meant as an errno, if the number is taken.
        -1 => Err(EEXIST),
        errno => Err(Error::from_errno(errno)),
    }
}

/// A registered [`IpTunnelEncap`].
///
/// # Invariants
///
/// `ops` is registered.
struct Registered<T: IpTunnelEncap<F>, F: Hooks<T>> {
    /// C compares addresses on removal, and a constant may have more than one.
    ops: &'static F::Ops,
    _encap: PhantomData<fn() -> T>,
}

impl<T: IpTunnelEncap<F>, F: Hooks<T>> Undo for Registered<T, F> {
    const PHASE: Phase = Phase::EntryPoint;

    fn undo(&self) {
        // SAFETY: By the type invariant `add` has registered these hooks, and the scope calls `undo` once.
        unsafe { F::delete(self.ops) };
    }
}

/// The most bytes that an encapsulation announces: C adds them to the headroom as a signed number.
const MAX_HEADER_LEN_BYTES: usize = 1024;

/// # Safety
///
/// Only C may call this, with a valid configuration.
pub(crate) unsafe extern "C" fn encap_hlen<T: IpTunnelEncap<F>, F: Flow>(
    config: *mut bindings::ip_tunnel_encap,
) -> usize {
    // SAFETY: C passes the configuration of a device, which is valid during the call.
    T::header_len_bytes(&unsafe { EncapConfig::read(config) }).min(MAX_HEADER_LEN_BYTES)
}

/// # Safety
///
/// Only C may call this, with a packet that is the caller's and is on its way out of a device for flows of
/// type `F`, and with the packet's flow.
pub(crate) unsafe extern "C" fn build_header<T: IpTunnelEncap<F>, F: Flow>(
    skb: *mut bindings::sk_buff,
    config: *mut bindings::ip_tunnel_encap,
    protocol: *mut u8,
    flow: *mut <F as Sealed>::Raw,
) -> c_int {
    // SAFETY: C passes a valid packet that it does not touch during the call, from a device's transmit path
    // in an RCU read side. The configuration and the flow are valid during the call, and C does not change
    // the flow. By `Sealed`, `F` is a transparent wrapper of C's flow.
    let (mut skb, config, flow) = unsafe {
        (
            TxSkb::from_raw(skb),
            EncapConfig::read(config),
            &*flow.cast::<F>(),
        )
    };
    // SAFETY: C passes a pointer to a variable of its own, which only this call uses.
    let protocol = unsafe { &mut *protocol };
    match T::build_header(skb.as_mut(), &config, *protocol, flow) {
        Ok(outer) => {
            T::observe(&skb, protocol);
            *protocol = outer;
            0
        }
        Err(error) => error.to_errno(),
    }
}
