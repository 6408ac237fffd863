// SPDX-License-Identifier: GPL-2.0

//! Settings of a network namespace in `/proc/sys/net` (sysctl).
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)

use crate::netns::Place;
use core::{mem, ptr::NonNull};
use kernel::{ffi::c_void, prelude::*};
use net_bindings as bindings;

/// A setting, or a read-only value.
pub(crate) struct Entry {
    name: &'static CStr,
    data: *mut c_void,
    len: usize,
    handler: bindings::proc_handler,
    mode: bindings::umode_t,
}

impl Entry {
    const READ_WRITE: bindings::umode_t = 0o644;
    const READ_ONLY: bindings::umode_t = 0o444;

    /// A setting of C's type `long`, never negative, which users may read and write at any time.
    pub(crate) fn number(name: &'static CStr, data: *mut isize) -> Self {
        Self {
            name,
            data: data.cast(),
            len: size_of::<isize>(),
            handler: Some(bindings::proc_doulongvec_minmax),
            mode: Self::READ_WRITE,
        }
    }

    /// A read-only number of C's type `long`.
    pub(crate) fn read_only(name: &'static CStr, data: *mut isize) -> Self {
        Self {
            mode: Self::READ_ONLY,
            ..Self::number(name, data)
        }
    }

    /// A time in ticks, which users see in seconds.
    pub(crate) fn seconds(name: &'static CStr, data: *mut c_int) -> Self {
        Self {
            name,
            data: data.cast(),
            len: size_of::<c_int>(),
            handler: Some(bindings::proc_dointvec_jiffies),
            mode: Self::READ_WRITE,
        }
    }
}

/// The settings of one namespace in one folder. Dropping the value removes them, and waits for their readers and
/// writers.
///
/// # Invariants
///
/// `header` is the registration of `entries`, whose data is valid.
pub(crate) struct Settings<const N: usize> {
    header: NonNull<bindings::ctl_table_header>,
    /// C reads them until the settings are removed.
    _entries: KBox<[bindings::ctl_table; N]>,
}

// SAFETY: C registers and removes settings in any process, under locks of its own.
unsafe impl<const N: usize> Send for Settings<N> {}
// SAFETY: A shared reference gives nothing out.
unsafe impl<const N: usize> Sync for Settings<N> {}

impl<const N: usize> Settings<N> {
    /// Adds settings to a folder below `/proc/sys`, such as `net/gue`. May sleep. Fails with `ENOMEM`, which is
    /// also the error if the folder already has a setting of that name.
    ///
    /// # Safety
    ///
    /// The data of the entries must be valid until the settings are dropped, and lie in no module. Other code must
    /// read and write the data by whole words.
    pub(crate) unsafe fn new(
        place: Place<'_>,
        path: &'static CStr,
        entries: [Entry; N],
    ) -> Result<Self> {
        let entries = entries.map(|entry| bindings::ctl_table {
            procname: entry.name.as_char_ptr(),
            data: entry.data,
            maxlen: entry.len as c_int,
            mode: entry.mode,
            proc_handler: entry.handler,
            ..Default::default()
        });
        let mut entries = KBox::new(entries, GFP_KERNEL)?;
        // Linux 7.2 takes a pointer that is not `const`.
        let table = (&raw mut *entries).cast::<bindings::ctl_table>();
        // SAFETY: The place is a valid namespace. The table has `N` entries, whose names are static; it keeps its
        // place until `drop` has removed the settings. The caller promises valid data.
        let header = unsafe {
            bindings::register_net_sysctl_sz(place.as_raw(), path.as_char_ptr(), table, N)
        };
        // INVARIANT: C has registered the entries.
        Ok(Self {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _entries: entries,
        })
    }
}

impl<const N: usize> Drop for Settings<N> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the settings are registered. The table is freed after this.
        unsafe { bindings::unregister_net_sysctl_table(self.header.as_ptr()) };
    }
}

// C's type `long` is as long as a pointer.
const _: () = assert!(mem::size_of::<kernel::ffi::c_long>() == size_of::<isize>());
