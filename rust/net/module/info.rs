// SPDX-License-Identifier: GPL-2.0

//! The version of a module, as `.modinfo` has it.

/// The tag that the module loader looks for in `.modinfo`.
const VERSION_TAG: &[u8] = b"version=";

/// Returns the length of [`version_info`] in bytes. For [`module!`](crate::module!).
#[doc(hidden)]
pub const fn version_info_len(version: &str) -> usize {
    VERSION_TAG.len() + version.trim_ascii_end().len() + 1
}

/// Returns the `.modinfo` entry for a version: C's `MODULE_VERSION()`. For [`module!`](crate::module!).
///
/// Does not compile if `LEN` is not [`version_info_len`], or the version has a NUL.
#[doc(hidden)]
pub const fn version_info<const LEN: usize>(version: &str) -> [u8; LEN] {
    assert!(LEN == version_info_len(version));
    let version = version.trim_ascii_end().as_bytes();
    let mut entry = [0; LEN];
    let mut at = 0;
    while at < VERSION_TAG.len() {
        entry[at] = VERSION_TAG[at];
        at += 1;
    }
    while at < LEN - 1 {
        let byte = version[at - VERSION_TAG.len()];
        assert!(byte != 0);
        entry[at] = byte;
        at += 1;
    }
    entry
}
