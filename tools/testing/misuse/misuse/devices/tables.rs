// SPDX-License-Identifier: GPL-2.0

//! Tables that devices and tunnels of all namespaces share: one of receive sides, one with inconsistent keys.

use super::count;
use core::sync::atomic::AtomicU32;
use kernel::{
    prelude::*,
    sync::{Arc, SetOnce},
};
use net::{
    rcu::RcuReader,
    rcu_table::{Key, RcuTable},
    rx_device::RxDevice,
};

/// A number of a device.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Number(pub(super) u32);

impl Key for Number {
    fn hash(&self) -> u64 {
        self.0.into()
    }
}

/// A key whose hash changes with each call, and whose comparison with the same key has changing results.
#[derive(Clone)]
struct Liar(u32);

static LIES: AtomicU32 = AtomicU32::new(0);

impl PartialEq for Liar {
    fn eq(&self, other: &Self) -> bool {
        self.0 & 7 == other.0 & 7 && count(&LIES) % 3 > 0
    }
}

impl Eq for Liar {}

impl Key for Liar {
    fn hash(&self) -> u64 {
        u64::from(count(&LIES)).wrapping_mul(0x0123_4567_89ab_cdef)
    }
}

/// A value whose memory is used when it is dropped, so that KASAN finds a value that was freed too early.
#[derive(Clone)]
pub(super) struct Noticed(pub(super) Arc<AtomicU32>);

impl Drop for Noticed {
    fn drop(&mut self) {
        count(&self.0);
    }
}

/// State that the devices and tunnels of all namespaces share.
#[pin_data]
pub(super) struct Shared {
    #[pin]
    pub(super) devices: RcuTable<Number, RxDevice>,
    #[pin]
    lies: RcuTable<Liar, Noticed>,
}

pub(super) static SHARED: SetOnce<Arc<Shared>> = SetOnce::new();

/// Changes the table of inconsistent keys, and reads it.
pub(super) fn lie(number: u32) {
    let Some(shared) = SHARED.as_ref() else {
        return;
    };
    let Ok(noticed) = Arc::new(AtomicU32::new(0), GFP_KERNEL) else {
        return;
    };
    let noticed = Noticed(noticed);
    for step in number..number.saturating_add(40) {
        let _ = shared.lies.insert(Liar(step), noticed.clone());
        let _ = shared.lies.replace(&Liar(step), noticed.clone());
        if step % 3 == 0 {
            shared.lies.remove(&Liar(step));
        }
    }
    look_up_lies(number);
}

pub(super) fn look_up_lies(number: u32) {
    if let Some(shared) = SHARED.as_ref() {
        RcuReader::with(|rcu| {
            if let Some(found) = shared.lies.find(&Liar(number), rcu) {
                count(&found.0);
            }
        });
    }
}

/// Makes the tables.
pub(super) fn prepare() -> Result {
    let shared = Arc::pin_init(
        pin_init!(Shared {
            devices <- RcuTable::new(),
            lies <- RcuTable::new(),
        }),
        GFP_KERNEL,
    )?;
    SHARED.populate(shared);
    Ok(())
}
