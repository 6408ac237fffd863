// SPDX-License-Identifier: GPL-2.0

//! Raw bindings to the parts of the kernel's networking API that the kernel crate's own bindings
//! lack, for [`rust/net`](../net/net.rs) alone.
//!
//! Everything else, `sk_buff` and `net` above all, is [`kernel::bindings`]'s own type.

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

#[allow(dead_code)]
mod generated {
    use kernel::{bindings::*, ffi};
    use pin_init::{MaybeZeroable, Zeroable};

    // `bindgen` does not derive this.
    //
    // SAFETY: `__BindgenBitfieldUnit<Storage>` is a newtype around `Storage`.
    unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

    include!(concat!(env!("RFOU_BINDINGS"), "/bindings_generated.rs"));
}

#[allow(dead_code)]
mod helpers {
    use super::generated::*;
    use kernel::{bindings::*, ffi};

    include!(concat!(env!("RFOU_BINDINGS"), "/helpers_generated.rs"));
}

pub use generated::*;
pub use helpers::*;
