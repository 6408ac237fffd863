// SPDX-License-Identifier: GPL-2.0

//! Boolean module parameters, for kernels whose `kernel::prelude::module!` has none.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use core::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};
use kernel::{prelude::*, str::as_char_ptr_in_const_context};
use net_bindings as bindings;

/// A boolean parameter. C sets it while it loads the module, before the module's code runs.
pub struct BoolParam(AtomicBool);

impl BoolParam {
    #[doc(hidden)]
    pub const fn new(default: bool) -> Self {
        Self(AtomicBool::new(default))
    }

    /// Returns the value that the module was loaded with, or the default.
    pub fn value(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A module's entry for one parameter (`struct kernel_param`). For [`module!`](crate::module!).
#[doc(hidden)]
#[repr(transparent)]
pub struct KernelParam(bindings::kernel_param);

// SAFETY: Rust code has no access to the entry; C reads it.
unsafe impl Sync for KernelParam {}

impl KernelParam {
    /// Makes the entry by which C writes a boolean to `param`. Users spell it as for C's parameters
    /// (`Y`, `N`, `1`, `0`).
    pub const fn new(name: &'static CStr, param: &'static BoolParam) -> Self {
        Self(bindings::kernel_param {
            name: as_char_ptr_in_const_context(name),
            // Null makes C take the global lock of parameters instead of the module's.
            mod_: ptr::null_mut(),
            ops: &raw const bindings::param_ops_bool,
            // Not in sysfs, so that C writes to it only while it loads the module.
            perm: 0,
            level: -1,
            flags: 0,
            __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
                // These operations write a `bool`, and an `AtomicBool` has the layout of a `bool`.
                arg: param.0.as_ptr().cast(),
            },
        })
    }
}
