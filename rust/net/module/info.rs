// SPDX-License-Identifier: GPL-2.0

//! Entries of a module's `.modinfo`.

/// Returns the length of [`info`] in bytes. For [`module!`](crate::module!).
#[doc(hidden)]
pub const fn info_len(tag: &str, value: &str) -> usize {
    tag.len() + value.trim_ascii_end().len() + 1
}

/// Returns the `.modinfo` entry for a tag such as `version=`: C's `MODULE_INFO()`. For
/// [`module!`](crate::module!).
///
/// Does not compile if `LEN` is not [`info_len`], or the text has a NUL.
#[doc(hidden)]
pub const fn info<const LEN: usize>(tag: &str, value: &str) -> [u8; LEN] {
    assert!(LEN == info_len(tag, value));
    let (tag, value) = (tag.as_bytes(), value.trim_ascii_end().as_bytes());
    let mut entry = [0; LEN];
    let mut at = 0;
    while at < LEN - 1 {
        entry[at] = if at < tag.len() {
            tag[at]
        } else {
            value[at - tag.len()]
        };
        assert!(entry[at] != 0);
        at += 1;
    }
    entry
}
