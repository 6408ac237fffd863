// SPDX-License-Identifier: GPL-2.0

//! Numbers that an attacker cannot guess.
//!
//! C headers: [`include/linux/random.h`](srctree/include/linux/random.h),
//! [`include/linux/siphash.h`](srctree/include/linux/siphash.h)

use kernel::prelude::*;
use net_bindings as bindings;

/// A secret function from numbers to numbers (SipHash-2-4 under a random key). Code without the value cannot
/// compute the function, or tell its results from random numbers.
pub struct SecretFunction(bindings::siphash_key_t);

impl SecretFunction {
    /// Chooses a function. Any context.
    pub fn random() -> Self {
        let mut key = bindings::siphash_key_t::default();
        // SAFETY: `key` is a local variable, so it is valid for writes of its size. It consists of integers, for
        // which any bytes are valid.
        unsafe { bindings::get_random_bytes((&raw mut key).cast(), size_of_val(&key)) };
        Self(key)
    }

    /// Returns the number that belongs to `number`. Any context.
    pub fn of(&self, number: u64) -> u64 {
        let bytes = number.to_ne_bytes();
        // SAFETY: C reads the bytes and the key alone.
        unsafe { bindings::siphash(bytes.as_ptr().cast(), bytes.len(), &self.0) }
    }
}
