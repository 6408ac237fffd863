// SPDX-License-Identifier: GPL-2.0

//! Functions for BPF programs (kfuncs).
//!
//! C header: [`include/linux/btf.h`](srctree/include/linux/btf.h)

use crate::module::Scope;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::{error::to_result, prelude::*};

extern "C" {
    /// In `rust/helpers/kfuncs.c`, which the module links in.
    fn rfou_register_encap_kfuncs() -> c_int;
}

/// Offers BPF programs at tc hooks the functions `bpf_skb_set_fou_encap` and `bpf_skb_get_fou_encap`,
/// by which they choose the encapsulation of a packet on a tunnel device in external mode.
///
/// They go with the module; there is nothing to undo. May sleep. A kernel or a module without BTF has
/// none, which is no error. Fails with `EBUSY` after the module's `init`, or if it was called before.
// Inlined so that a module that does not call it need not link the functions in.
#[inline]
pub fn register_encap_kfuncs(scope: &'static Scope) -> Result {
    static CALLED: AtomicBool = AtomicBool::new(false);
    scope.while_loading(|| {
        // C adds to the module's set without a lock, and a second time only with a warning.
        if CALLED.swap(true, Ordering::Relaxed) {
            return Err(EBUSY);
        }
        // SAFETY: The set of functions is static, and C holds the module while a program uses them. The
        // module is being loaded, so no program can look for them yet.
        to_result(unsafe { rfou_register_encap_kfuncs() })
    })
}
