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

mod info;
#[cfg(not(HAS_BOOL_PARAMS))]
mod param;
mod registrations;
mod scope;

#[doc(hidden)]
pub use info::{info, info_len};
#[cfg(not(HAS_BOOL_PARAMS))]
pub use param::{BoolParam, KernelParam};
pub(crate) use registrations::{Phase, Undo};
pub use scope::{Guard, Scope};

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
/// trailing white space. The other fields are the same as in `kernel::prelude::module!`. Parameters must
/// be booleans; `parameters::NAME.value()` returns their values.
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
        $crate::__modinfo!("version=", $version);
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

        $crate::__kernel_module! { [type: ModuleInScope,] $($rest)* }
    };
}

/// Adds an entry to the module's `.modinfo`.
#[doc(hidden)]
#[macro_export]
macro_rules! __modinfo {
    ($tag:expr, $value:expr) => {
        const _: () = {
            const TAG: &str = $tag;
            const VALUE: &str = $value;
            // An array and not a `&str`: the section has only the bytes, as with C's `MODULE_INFO()`.
            #[cfg(MODULE)]
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static MODINFO: [u8; $crate::module::info_len(TAG, VALUE)] =
                $crate::module::info(TAG, VALUE);
        };
    };
}

#[cfg(HAS_BOOL_PARAMS)]
#[doc(hidden)]
#[macro_export]
macro_rules! __kernel_module {
    ([$($fields:tt)*] $($rest:tt)*) => {
        ::kernel::prelude::module! { $($fields)* $($rest)* }
        #[allow(unused_imports)]
        use module_parameters as parameters;
    };
}

/// Takes the parameters out of the fields for `kernel::prelude::module!`, which has no booleans.
#[cfg(not(HAS_BOOL_PARAMS))]
#[doc(hidden)]
#[macro_export]
macro_rules! __kernel_module {
    ([$($fields:tt)*]) => {
        ::kernel::prelude::module! { $($fields)* }
    };
    ([$($fields:tt)*] params: {
        $($name:ident: bool { default: $default:expr, description: $description:expr $(,)? }),* $(,)?
    } $(, $($rest:tt)*)?) => {
        mod parameters {
            $(
                #[allow(non_upper_case_globals)]
                pub(crate) static $name: $crate::module::BoolParam =
                    $crate::module::BoolParam::new($default);

                const _: () = {
                    #[link_section = "__param"]
                    #[used(compiler)]
                    static PARAM: $crate::module::KernelParam = $crate::module::KernelParam::new(
                        // The module loader finds the parameter by this name.
                        match ::core::ffi::CStr::from_bytes_with_nul(
                            concat!(stringify!($name), "\0").as_bytes(),
                        ) {
                            Ok(name) => name,
                            Err(_) => unreachable!(),
                        },
                        &$name,
                    );
                };
                $crate::__modinfo!("parmtype=", concat!(stringify!($name), ":bool"));
                $crate::__modinfo!(concat!("parm=", stringify!($name), ":"), $description);
            )*
        }
        $crate::__kernel_module! { [$($fields)*] $($($rest)*)? }
    };
    ([$($fields:tt)*] $name:ident: $value:tt $(, $($rest:tt)*)?) => {
        $crate::__kernel_module! { [$($fields)* $name: $value,] $($($rest)*)? }
    };
}
