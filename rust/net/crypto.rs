// SPDX-License-Identifier: GPL-2.0

//! Secrets, keyed hashes and CRCs.
//!
//! C headers: [`include/crypto/sha2.h`](srctree/include/crypto/sha2.h),
//! [`include/linux/crc32.h`](srctree/include/linux/crc32.h)

#[cfg(target_pointer_width = "64")]
use core::arch::asm;
#[cfg(not(target_pointer_width = "64"))]
use core::hint::black_box;
use core::{
    ffi::c_void,
    mem::{self, ManuallyDrop, MaybeUninit},
};
use kernel::{prelude::*, types::Opaque};
use net_bindings as bindings;

/// Returns a random number. Any context.
pub fn random_u64() -> u64 {
    let mut number = 0_u64;
    // SAFETY: C writes as many bytes as `number` has, and any bytes are a valid `u64`.
    unsafe { bindings::get_random_bytes((&raw mut number).cast(), size_of::<u64>()) };
    number
}

/// Up to `N` bytes that only the kernel may see. Zeros overwrite them when the value is dropped.
///
/// Moving the value would leave a copy behind, so it is initialized in its final place: in a `KBox` or in an `Arc`.
///
/// ```
/// use net::crypto::Secret;
/// use kernel::prelude::*;
///
/// # fn example() -> Result {
/// let mut secret = KBox::init(Secret::<32>::zeroed(), GFP_KERNEL)?;
/// secret.fill(|bytes| { bytes[..3].copy_from_slice(b"key"); Ok(3) })?;
/// assert_eq!(secret.as_bytes(), b"key");
/// # Ok(())
/// # }
/// ```
///
/// # Invariants
///
/// `len` is at most `N`.
pub struct Secret<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Secret<N> {
    /// Returns an initializer of an empty secret.
    pub fn zeroed() -> impl Init<Self> {
        // INVARIANT: 0 is at most `N`.
        init!(Self {
            bytes: [0; N],
            len: 0,
        })
    }

    /// Returns an initializer of a secret that is the first `N` bytes of `bytes`.
    pub fn copied(bytes: &[u8]) -> impl Init<Self> + use<'_, N> {
        Self::zeroed().chain(move |secret| {
            for (to, from) in secret.bytes.iter_mut().zip(bytes) {
                *to = *from;
            }
            // INVARIANT: `min` keeps `len` at most `N`.
            secret.len = bytes.len().min(N);
            Ok(())
        })
    }

    /// Writes the secret in its place. `write` gets all `N` bytes, and returns how many it has written.
    pub fn fill(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result {
        // INVARIANT: `min` keeps `len` at most `N`.
        self.len = write(&mut self.bytes)?.min(N);
        Ok(())
    }

    /// Returns the bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: By the type invariant `len` is at most `N`, the number of bytes.
        unsafe { self.bytes.get_unchecked(..self.len) }
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if there is no byte.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes as an array; `None` if their number is not `M`.
    #[inline(always)]
    pub fn as_array<const M: usize>(&self) -> Option<&[u8; M]> {
        const { assert!(M <= N, "a secret has no more bytes") }
        if self.len != M {
            return None;
        }
        self.bytes.first_chunk()
    }
}

impl<const N: usize> Secret<N> {
    /// Returns the first `M` of the `N` bytes. If the secret is shorter, the bytes after its end are no part of it.
    #[inline(always)]
    pub fn first_bytes<const M: usize>(&self) -> &[u8; M] {
        const { assert!(M <= N, "there is room for `N` bytes") }
        // SAFETY: There are `N` bytes, and `M` is at most `N`.
        unsafe { &*self.bytes.as_ptr().cast() }
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

/// Overwrites bytes with zeros, even if nothing reads them any more.
fn wipe(bytes: &mut [u8]) {
    // SAFETY: The bytes are borrowed exclusively.
    unsafe { bindings::memzero_explicit(bytes.as_mut_ptr().cast(), bytes.len()) };
}

/// Returns `word` in a way that the compiler cannot see through, as [`core::hint::black_box`] does, but in a register.
///
/// A comparison that must take the same time for all values collects the differences in a word, and passes the word
/// here. Otherwise the compiler might stop at the first difference.
///
/// ```
/// assert_eq!(net::crypto::opaque(7), 7);
/// ```
#[inline(always)]
pub fn opaque(word: u64) -> u64 {
    #[cfg(target_pointer_width = "64")]
    {
        let mut word = word;
        // SAFETY: There is no instruction, so the word stays as it is, and nothing else changes.
        unsafe {
            asm!("/* {0} */", inout(reg) word, options(pure, nomem, nostack, preserves_flags));
        }
        word
    }
    #[cfg(not(target_pointer_width = "64"))]
    black_box(word)
}

/// A key of HMAC-SHA-256 (RFC 2104, RFC 6234), prepared: a hash starts from the state after the key's block.
///
/// Zeros overwrite the key when the value is dropped. Moving the value would leave a copy behind, so it is initialized
/// in its final place.
#[repr(transparent)]
pub struct HmacSha256Key(bindings::hmac_sha256_key);

/// The length of a hash, in bytes.
pub const SHA256_DIGEST_LEN_BYTES: usize = 32;

impl HmacSha256Key {
    /// Returns an initializer that prepares a key of any length. Any context.
    pub fn prepare(raw: &[u8]) -> impl Init<Self> + use<'_> {
        let init = |slot: *mut Self| {
            // SAFETY: `slot` has room for the value, whose only field C initializes. C reads the bytes of `raw`
            // alone.
            unsafe { bindings::hmac_sha256_preparekey(slot.cast(), raw.as_ptr(), raw.len()) };
            Ok(())
        };
        // SAFETY: The closure initializes the whole value, and never fails. The value need not be pinned.
        unsafe { pin_init::init_from_closure(init) }
    }

    /// Computes the hash of the bytes that `feed` adds. Any context. Fails with the error of `feed`.
    pub fn hash<E>(
        &self,
        feed: impl FnOnce(&mut HmacSha256) -> Result<(), E>,
    ) -> Result<[u8; SHA256_DIGEST_LEN_BYTES], E> {
        // Initialized in its place, because a move would leave a copy behind.
        // INVARIANT: `init` initializes the context before anything reads it.
        let mut hash = HmacSha256(Opaque::uninit());
        hash.init(self);
        feed(&mut hash)?;
        let digest = hash.finish();
        // `finish` has overwritten the context with zeros, so `drop` need not.
        mem::forget(hash);
        Ok(digest)
    }

    /// Computes the hash of two pieces, one after the other. Any context.
    // Inlined, for packets that are hashed one by one. The second piece is a closure: a slice would occupy registers
    // while the first piece is hashed.
    #[inline(always)]
    pub fn hash_two<'a>(
        &self,
        first: &[u8],
        second: impl FnOnce() -> &'a [u8],
    ) -> [u8; SHA256_DIGEST_LEN_BYTES] {
        // INVARIANT: As in `hash`. `finish` overwrites the context with zeros, so no `drop` is needed.
        let mut hash = ManuallyDrop::new(HmacSha256(Opaque::uninit()));
        hash.init(self);
        hash.update(first);
        hash.update(second());
        hash.finish()
    }
}

impl PartialEq for HmacSha256Key {
    /// Compares the keys, in a time that does not depend on their bytes.
    fn eq(&self, other: &Self) -> bool {
        let bytes = |key: &Self| -> *const u8 { (&raw const key.0).cast() };
        (0..size_of::<Self>()).fold(0, |difference, index| {
            // SAFETY: Both keys are numbers without padding, and `index` lies in them.
            let pair = unsafe { (*bytes(self).add(index), *bytes(other).add(index)) };
            core::hint::black_box(difference | (pair.0 ^ pair.1))
        }) == 0
    }
}

impl Drop for HmacSha256Key {
    fn drop(&mut self) {
        let key = (&raw mut self.0).cast::<c_void>();
        // SAFETY: The key is borrowed exclusively, and is not used any more.
        unsafe { bindings::memzero_explicit(key, size_of::<Self>()) };
    }
}

/// A hash that is being computed. Zeros overwrite its state when the value is dropped.
///
/// # Invariants
///
/// The context is initialized.
pub struct HmacSha256(Opaque<bindings::hmac_sha256_ctx>);

impl HmacSha256 {
    /// Begins a hash with a key: initializes the context. Called first.
    #[inline(always)]
    fn init(&mut self, key: &HmacSha256Key) {
        // SAFETY: The context has room for what C initializes, and C does not read it. The key is prepared.
        unsafe { bindings::hmac_sha256_init(self.0.get(), &key.0) };
    }

    /// Returns the hash. Leaves the context all zeros: initialized, but useless.
    #[inline(always)]
    fn finish(&mut self) -> [u8; SHA256_DIGEST_LEN_BYTES] {
        let mut digest = MaybeUninit::<[u8; SHA256_DIGEST_LEN_BYTES]>::uninit();
        // SAFETY: By the type invariant the context is initialized. C writes as many bytes as `digest` has.
        // INVARIANT: C overwrites the context with zeros (`sha2.h`), which any number field may have.
        unsafe { bindings::hmac_sha256_final(self.0.get(), digest.as_mut_ptr().cast()) };
        // SAFETY: `hmac_sha256_final` has written all bytes of `digest`.
        unsafe { digest.assume_init() }
    }

    /// Adds the next bytes.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        // SAFETY: By the type invariant the context is initialized, and it is borrowed exclusively. C reads the
        // bytes of `bytes` alone.
        unsafe { bindings::hmac_sha256_update(self.0.get(), bytes.as_ptr(), bytes.len()) };
    }
}

impl Drop for HmacSha256 {
    fn drop(&mut self) {
        let len = size_of::<bindings::hmac_sha256_ctx>();
        // SAFETY: The context is borrowed exclusively, and is not used any more.
        unsafe { bindings::memzero_explicit(self.0.get().cast(), len) };
    }
}

/// Continues a CRC-32C (RFC 9260 appendix A) with more bytes. A `crc` of 0 begins a new one. Any context.
///
/// ```
/// assert_eq!(net::crypto::crc32c(0, b"123456789"), 0xe306_9283);
/// ```
#[inline]
pub fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    // SAFETY: C reads the bytes alone.
    !unsafe { bindings::crc32c(!crc, bytes.as_ptr().cast(), bytes.len()) }
}

#[kunit_tests(rfou_net_crypto)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn hmac_is_that_of_the_rfc() -> Result {
        let key = KBox::init(HmacSha256Key::prepare(b"Jefe"), GFP_KERNEL)?;
        let digest = key.hash(|hash| {
            hash.update(b"what do ya want ");
            hash.update(b"for nothing?");
            Ok::<_, Error>(())
        })?;
        assert!(digest[..8] == [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        assert!(digest[28..] == [0x64, 0xec, 0x38, 0x43]);
        assert!(digest == key.hash_two(b"what do ya want ", || b"for nothing?"));
        Ok(())
    }

    #[test]
    fn keys_are_equal_if_their_bytes_are() -> Result {
        let key = |raw: &'static [u8]| KBox::init(HmacSha256Key::prepare(raw), GFP_KERNEL);
        assert!(*key(b"one")? == *key(b"one")?);
        assert!(*key(b"one")? != *key(b"two")?);
        Ok(())
    }

    #[test]
    fn crc_is_that_of_sctp() -> Result {
        assert!(crc32c(0, b"123456789") == 0xe306_9283);
        assert!(crc32c(crc32c(0, b"12345"), b"6789") == 0xe306_9283);
        Ok(())
    }
}
