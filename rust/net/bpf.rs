// SPDX-License-Identifier: GPL-2.0

//! Functions for BPF programs (kfuncs).
//!
//! A C file of the module defines the functions, because BPF finds them in the module's BTF, which pahole
//! does not make for Rust code. The C file names its set of functions with `RUST_KFUNC_SET()` of
//! `rust/helpers/kfunc_set.h`.
//!
//! C header: [`include/linux/btf.h`](srctree/include/linux/btf.h)

use crate::module::Scope;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::{error::to_result, prelude::*, types::Opaque};
use net_bindings as bindings;

/// A set of kfuncs, which [`kfunc_set!`](crate::kfunc_set!) refers to.
#[repr(transparent)]
pub struct KfuncSet(Opaque<bindings::btf_kfunc_id_set>);

// SAFETY: A shared reference only gives out C's pointer. Safe code gets a set from `kfunc_set!` alone,
// whose sets are constants in C, and the core only reads them.
unsafe impl Sync for KfuncSet {}

/// Refers to the [`KfuncSet`] that a C file of the module names with `RUST_KFUNC_SET()`. Without such a set
/// the module does not link.
///
/// # Examples
///
/// ```ignore
/// // In C: RUST_KFUNC_SET(my_tunnel, my_tunnel_kfunc_ids);
/// net::bpf::register_tc_kfuncs(scope, net::kfunc_set!(my_tunnel))?;
/// ```
#[macro_export]
macro_rules! kfunc_set {
    ($name:ident) => {{
        // SAFETY: Only `RUST_KFUNC_SET()` uses this prefix, and it defines a constant of this type.
        unsafe extern "C" {
            #[link_name = concat!("rust_kfunc_set_", stringify!($name))]
            safe static SET: $crate::bpf::KfuncSet;
        }
        &SET
    }};
}

/// Offers a set of kfuncs to BPF programs at tc hooks until the module is unloaded. May sleep.
///
/// A kernel or a module without BTF has no kfuncs, which is no error. Fails with `EBUSY` after the
/// module's `init`, or on a second call: a module has one set for each kind of program.
// Inlined, so that modules without kfuncs do not contain this function.
#[inline]
pub fn register_tc_kfuncs(scope: &'static Scope, set: &'static KfuncSet) -> Result {
    static CALLED: AtomicBool = AtomicBool::new(false);
    scope.while_loading(|| {
        // C adds to the module's sets without a lock, and warns when a module adds a second set.
        if CALLED.swap(true, Ordering::Relaxed) {
            return Err(EBUSY);
        }
        // SAFETY: The set is a valid constant of the module. C holds the module while a program uses the
        // set's functions. C does not lock the module's sets: no second call changes them, because `CALLED`
        // was just set, and no program looks for them, because the module is being loaded.
        to_result(unsafe {
            bindings::register_btf_kfunc_id_set(
                bindings::bpf_prog_type_BPF_PROG_TYPE_SCHED_CLS,
                set.0.get(),
            )
        })
    })
}
