// SPDX-License-Identifier: GPL-2.0

//! Tracepoints: places in the code that `perf`, `trace-cmd` and BPF programs can watch.
//!
//! A C file of the module defines a tracepoint and its event in tracefs by `TRACE_EVENT()`, and names the
//! tracepoint for Rust with `RUST_TRACEPOINT()` of `rust/helpers/tracepoint.h`.
//! [`tracepoints!`](crate::tracepoints!) declares it in Rust. A tracepoint that is off costs one
//! instruction, which does nothing.
//!
//! The arguments are numbers and strings that live for ever, because a tracepoint hands them to programs.
//! So a call is safe, unlike one of [`kernel::tracepoint::declare_trace!`].
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)

use kernel::{ffi::c_char, prelude::*};
use net_bindings as bindings;

#[doc(hidden)]
pub use bindings::tracepoint as Raw;

/// A string argument of a tracepoint: C's `const char *`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct TraceStr(*const c_char);

impl TraceStr {
    /// Makes an argument of a string.
    // The kernel's method for that is not `const`.
    #[allow(clippy::disallowed_methods)]
    #[inline]
    pub const fn new(string: &'static CStr) -> Self {
        Self(string.as_ptr().cast())
    }
}

/// Declares tracepoints that a C file of the module names by `RUST_TRACEPOINT()`, with the same types.
///
/// Each becomes a type with two functions. `is_on()` costs one instruction; the compiler expects `false` if
/// the code for `true` is a call of a `#[cold]` function. `hit(...)` hands the arguments to all that watch
/// the tracepoint. Any context but that of an idle CPU.
///
/// Types are `u8`, `u16`, `u32`, `u64` and [`TraceStr`](crate::tracepoint::TraceStr), under these names. The
/// module does not link if C has no tracepoint with this name and these types. On a kernel without
/// tracepoints all are off.
///
/// # Examples
///
/// ```ignore
/// // In C: RUST_TRACEPOINT(my_tunnel_receive, u16, u32);
/// net::tracepoints! {
///     /// The tunnel received a packet.
///     struct Receive = my_tunnel_receive(port: u16, len: u32);
/// }
///
/// if Receive::is_on() {
///     Receive::hit(6080, 1500);
/// }
/// ```
#[macro_export]
macro_rules! tracepoints {
    ($($(#[$attr:meta])* $vis:vis struct $name:ident =
        $c_name:ident($($argument:ident: $type:ident),+ $(,)?);)*) => {$(
        $(#[$attr])*
        $vis struct $name;

        impl $name {
            /// Returns `true` if a program watches the tracepoint.
            #[inline(always)]
            $vis fn is_on() -> bool {
                #[cfg(not(CONFIG_TRACEPOINTS))]
                return false;
                #[cfg(CONFIG_TRACEPOINTS)]
                {
                    extern "C" {
                        #[link_name = concat!("__tracepoint_", stringify!($c_name))]
                        static TRACEPOINT: $crate::tracepoint::Raw;
                    }
                    // SAFETY: C uses the prefix `__tracepoint_` for tracepoints alone. The key of a
                    // tracepoint may be queried at any time.
                    unsafe {
                        ::kernel::jump_label::static_branch_unlikely!(
                            TRACEPOINT,
                            $crate::tracepoint::Raw,
                            key
                        )
                    }
                }
            }

            /// Hands the arguments to the programs that watch the tracepoint.
            #[allow(clippy::too_many_arguments)]
            #[inline(always)]
            $vis fn hit($($argument: $crate::__trace_type!($type)),+) {
                #[cfg(not(CONFIG_TRACEPOINTS))]
                let _ = ($($argument),+);
                #[cfg(CONFIG_TRACEPOINTS)]
                {
                    // SAFETY: Only `RUST_TRACEPOINT()` uses the prefix `rust_trace_`. The function that C
                    // has under this name takes the types up to `_of_`, which are the types here: numbers,
                    // and strings that live for ever.
                    unsafe extern "C" {
                        #[allow(clippy::too_many_arguments)]
                        #[link_name = concat!(
                            "rust_trace_", $(stringify!($type), "_",)+ "of_", stringify!($c_name)
                        )]
                        safe fn call($($argument: $crate::__trace_type!($type)),+);
                    }
                    call($($argument),+);
                }
            }
        }
    )*};
}

/// Maps the name of an argument's type to the type, whatever else the caller gives that name to.
#[doc(hidden)]
#[macro_export]
macro_rules! __trace_type {
    (u8) => {
        ::core::primitive::u8
    };
    (u16) => {
        ::core::primitive::u16
    };
    (u32) => {
        ::core::primitive::u32
    };
    (u64) => {
        ::core::primitive::u64
    };
    (TraceStr) => {
        $crate::tracepoint::TraceStr
    };
}
