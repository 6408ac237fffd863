// SPDX-License-Identifier: GPL-2.0

//! Kernel modules whose registrations end with them.
//!
//! The kernel keeps pointers to a module's functions and data for as long as something is registered,
//! so a registration that outlives its module is a use after free. A module that is declared by
//! [`module!`](crate::module!) therefore does not own its registrations. They belong to a [`Scope`],
//! which no safe code can end, leak or move. The scope unregisters everything when the module is
//! unloaded or when its `init` fails, in an order that suits all registrations. `devres` does the same
//! for drivers.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

mod registrations;
mod scope;
mod version;

pub(crate) use registrations::{Phase, Undo};
pub use scope::{Guard, Scope};
#[doc(hidden)]
pub use version::{version_info, version_info_len};

use kernel::prelude::*;

/// A module that registers everything in a [`Scope`].
pub trait Module: Sized + Send + Sync {
    /// Sets the module up. Process context, may sleep.
    ///
    /// The scope unregisters everything if this fails.
    fn init(scope: &'static Scope) -> Result<Self>;
}

/// Declares a kernel module by its [`Module`] type.
///
/// `version` is optional: a constant `&str`. `modinfo` and `/sys/module/NAME/version` show it without
/// trailing white space. The other fields are the same as in `kernel::prelude::module!`.
///
/// ```
/// use kernel::prelude::*;
/// use net::module::Scope;
///
/// net::module! {
///     type: MyTunnel,
///     version: "1.0",
///     name: "my_tunnel",
///     authors: ["A developer"],
///     description: "A tunnel",
///     license: "GPL v2",
/// }
///
/// struct MyTunnel;
///
/// impl net::module::Module for MyTunnel {
///     fn init(_scope: &'static Scope) -> Result<Self> {
///         // Registers hooks in the scope, which unregisters them.
///         Ok(Self)
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! module {
    (type: $type:ident, version: $version:expr, $($rest:tt)*) => {
        const _: () = {
            const VERSION: &str = $version;
            // Only bytes, as C's `MODULE_INFO()` puts them there.
            #[cfg(MODULE)]
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static MODINFO: [u8; $crate::module::version_info_len(VERSION)] =
                $crate::module::version_info(VERSION);
        };

        $crate::module! { type: $type, $($rest)* }
    };
    (type: $type:ident, $($rest:tt)*) => {
        /// The type that the kernel crate drops when the module is unloaded.
        struct ModuleInScope($crate::module::Guard<$type>);

        impl ::kernel::Module for ModuleInScope {
            fn init(module: &'static ::kernel::ThisModule) -> ::kernel::error::Result<Self> {
                static SCOPE: $crate::module::Scope = $crate::module::Scope::new();
                // SAFETY: `kernel::prelude::module!` makes the first call, before any other code of this
                // module runs. It drops the result when the module is unloaded. Other calls fail, because
                // a scope can be taken once.
                unsafe { $crate::module::Guard::new(&SCOPE, module) }.map(Self)
            }
        }

        ::kernel::prelude::module! { type: ModuleInScope, $($rest)* }
    };
}
