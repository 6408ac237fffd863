// SPDX-License-Identifier: GPL-2.0

//! Error codes that the kernel crate of 7.2 lacks. Later kernels' prelude has the same values; code that
//! must build for both imports them from here by name.
//!
//! C header: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)

use core::mem;
use kernel::prelude::*;
use net_bindings as bindings;

macro_rules! errors {
    ($($name:ident: $text:literal,)*) => {
        $(
            #[doc = $text]
            pub const $name: Error = error(bindings::$name);
        )*
    };
}

errors! {
    ELOOP: "Too many symbolic links encountered.",
    EBADMSG: "Not a data message.",
    EPROTO: "Protocol error.",
    EPROTONOSUPPORT: "Protocol not supported.",
    EOPNOTSUPP: "Operation not supported on transport endpoint.",
    EPFNOSUPPORT: "Protocol family not supported.",
    EAFNOSUPPORT: "Address family not supported by protocol.",
    EADDRINUSE: "Address already in use.",
    EADDRNOTAVAIL: "Cannot assign requested address.",
    EDESTADDRREQ: "Destination address required.",
    ENETDOWN: "Network is down.",
    ENETUNREACH: "Network is unreachable.",
    ENOBUFS: "No buffer space available.",
    EHOSTUNREACH: "No route to host.",
    EALREADY: "Operation already in progress.",
    EINPROGRESS: "Operation now in progress.",
    ESTALE: "Stale file handle.",
    ENOKEY: "Required key not available.",
}

const fn error(number: c_uint) -> Error {
    assert!(number > 0 && number <= bindings::MAX_ERRNO);
    // The kernel crate has no const constructor. These show that its type is the negative number.
    const {
        assert!(mem::size_of::<Error>() == mem::size_of::<c_int>());
        // SAFETY: The sizes are equal. The compiler, which runs this, refuses to read padding as a number.
        let [one, other] = unsafe { mem::transmute::<[Error; 2], [c_int; 2]>([EINVAL, ENOMEM]) };
        assert!(one == -(bindings::EINVAL as c_int) && other == -(bindings::ENOMEM as c_int));
    }
    // SAFETY: The assertions above show that an `Error` of this kernel is the negative error number. It is
    // one that `Error::from_errno` accepts, so its invariant holds.
    unsafe { mem::transmute::<c_int, Error>(-(number as c_int)) }
}
