// SPDX-License-Identifier: GPL-2.0

//! Raw bindings to the kernel's networking API, for [`rust/net`](../net/net.rs) alone.
//!
//! Re-exports the kernel's own bindings, [`kernel::bindings`], and adds the names that they lack. Later
//! kernels lack fewer.

#![allow(
    clippy::all,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
// Generated code, as in the kernel's own bindings.
#![allow(
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks
)]

use kernel::ffi;
use pin_init::{MaybeZeroable, Zeroable};

pub use kernel::bindings::*;

// `bindgen` does not derive this.
//
// SAFETY: `__BindgenBitfieldUnit<Storage>` is `repr(C)` with `Storage` as its only field, so its bytes
// are the bytes of `Storage`, for which all zeroes are valid.
unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

// Items of the crate's root take precedence over those of a glob import, so a helper may have the
// name of one of the kernel's.
include!(concat!(env!("RFOU_BINDINGS"), "/bindings_generated.rs"));
