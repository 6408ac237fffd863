// SPDX-License-Identifier: GPL-2.0

//! The keys of a device.
//!
//! A device accepts several keys and sends with one, so that both ends can change keys without losing a
//! packet. Keys come in by the netlink family `gue`, which never shows a secret. A key that is removed is overwritten
//! with zeros when its last reader is done.

use crate::{
    guard::FirstCheck, prepared::PreparedHeaders, reason::Reason, verified::VerifiedHeaders,
};
use gue::{
    hashed::{self, KeyLabel, Label},
    refusal::Refusal,
    security::{equal, equal_with, Coverage, Method, SecurityView},
    Addresses, Covered, DeviceNotes, Header,
};
use kernel::{prelude::*, sync::Arc};
use net::{
    crypto::{opaque, HmacSha256, HmacSha256Key, Secret, SHA256_DIGEST_LEN_BYTES},
    rtnl::{RcuReader, Rtnl, RtnlCell, RtnlValue},
    skb::{AfterUdp, RxSkb, SkBuff},
};

/// The most keys of a device.
pub(crate) const MOST_KEYS: usize = 8;

/// The length of the longest cookie, in bytes.
const COOKIE_LEN_BYTES: usize = Method::Cookie32.len_bytes();

/// The least and the greatest length of a secret for a keyed hash, in bytes. The least is that of the shortest cookie.
/// [`crate::family`] accepts no longer secret. More than 64 bytes do not make a hash stronger.
pub(crate) const LEAST_HMAC_SECRET_LEN_BYTES: usize = 8;
pub(crate) const MOST_SECRET_LEN_BYTES: usize = 128;

/// A secret as it came in a request.
pub(crate) type RawSecret = Secret<MOST_SECRET_LEN_BYTES>;

/// A key.
pub(crate) struct Key {
    pub(crate) id: u32,
    /// The addresses count as zero, because a NAT changes them on the way.
    pub(crate) nat: bool,
    material: Material,
}

type Cookie = Secret<COOKIE_LEN_BYTES>;

/// The secret of a key, in the form in which it is used.
enum Material {
    Cookie(Arc<Cookie>),
    Hmac(Arc<HashKey>),
}

/// A key of a keyed hash.
pub(crate) struct HashKey {
    key: HmacSha256Key,
    label: KeyLabel,
}

/// The directions in which a key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Accept,
    Send,
    Both,
}

impl Direction {
    fn accepts(self) -> bool {
        self != Self::Send
    }

    fn sends(self) -> bool {
        self != Self::Accept
    }
}

/// The reason why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRefusal {
    /// The secret does not have the length of the device's method.
    SecretLength,
    /// A cookie with `nat`: a cookie covers no addresses that a NAT could change.
    NatNeedsHmac,
    /// A key with `nat` for both directions. Its hash covers no addresses, so a packet that is sent back to its
    /// sender would be accepted there.
    NatDirection,
    /// A key with `nat` that equals a key of the other direction, with the same consequence.
    NatSameKey,
    /// The device has [`MOST_KEYS`] keys.
    TooMany,
    /// Another error.
    Other(Error),
}

impl From<Error> for KeyRefusal {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Key {
    /// Makes a key from a secret. May sleep.
    pub(crate) fn new(
        method: Method,
        id: u32,
        nat: bool,
        secret: &RawSecret,
    ) -> Result<Arc<Self>, KeyRefusal> {
        let raw = secret.as_bytes();
        let material = match method {
            Method::Hmac => {
                if raw.len() < LEAST_HMAC_SECRET_LEN_BYTES {
                    return Err(KeyRefusal::SecretLength);
                }
                let key = init!(HashKey {
                    key <- HmacSha256Key::prepare(raw),
                    label: KeyLabel::new(id),
                });
                Material::Hmac(Arc::init(key, GFP_KERNEL)?)
            }
            _ => {
                if raw.len() != method.len_bytes() {
                    return Err(KeyRefusal::SecretLength);
                }
                if nat {
                    return Err(KeyRefusal::NatNeedsHmac);
                }
                Material::Cookie(Arc::init(Secret::copied(raw), GFP_KERNEL)?)
            }
        };
        let key = Self { id, nat, material };
        Arc::new(key, GFP_KERNEL).map_err(|error| KeyRefusal::Other(error.into()))
    }

    /// Returns `true` if both keys have the same secret.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.material, &other.material) {
            (Material::Hmac(one), Material::Hmac(two)) => one.key == two.key,
            (Material::Cookie(one), Material::Cookie(two)) => equal(one.as_bytes(), two.as_bytes()),
            _ => false,
        }
    }

    /// Returns the cookie; `None` for a keyed hash.
    #[inline]
    pub(crate) fn cookie(&self) -> Option<&[u8]> {
        match &self.material {
            Material::Cookie(cookie) => Some(cookie.as_bytes()),
            Material::Hmac(_) => None,
        }
    }

    /// Returns the bytes that the keyed hash covers for the outer addresses: the addresses, or zeros with `nat`.
    #[inline(always)]
    pub(crate) fn covered_addresses<'a>(&self, addresses: &'a [u8]) -> &'a [u8] {
        covered_addresses(self.nat, addresses)
    }

    /// Computes the keyed hash of addresses, of a header, and of the part of the payload that `feed` adds.
    /// Fails with [`Reason::AuthMethod`] for a cookie, and with the error of `feed`.
    pub(crate) fn hash(
        &self,
        addresses: &Addresses,
        covered: &Covered<'_>,
        feed: impl FnOnce(&mut HmacSha256) -> Result<(), Reason>,
    ) -> Result<[u8; SHA256_DIGEST_LEN_BYTES], Reason> {
        let Material::Hmac(key) = &self.material else {
            return Err(Reason::AuthMethod);
        };
        let addresses = if self.nat {
            addresses.zeroed()
        } else {
            *addresses
        };
        key.key.hash(|hash| {
            addresses.pieces().map(|piece| hash.update(piece));
            covered.header().for_each(|piece| hash.update(piece));
            feed(hash)
        })
    }

    /// Computes the keyed hash of a header without other protecting fields between these outer addresses, and of `len`
    /// bytes of a packet at an offset. Passes the hash to `take`. Fails with [`Reason::AuthMethod`] for a cookie, and
    /// with [`Reason::Truncated`] if the packet is shorter.
    // Takes a closure, because the compiler copies a hash that is returned in a `Result` in pieces.
    #[inline(always)]
    pub(crate) fn hash_packet<const ADDRESS: usize, const GROUP: usize, T>(
        &self,
        header: &hashed::Header<GROUP>,
        addresses: [&[u8; ADDRESS]; 2],
        skb: &SkBuff,
        (at, len): (usize, usize),
        take: impl FnOnce(&[u8; SHA256_DIGEST_LEN_BYTES]) -> T,
    ) -> Result<T, Reason> {
        let Material::Hmac(key) = &self.material else {
            return Err(Reason::AuthMethod);
        };
        let start = header.covered(if self.nat {
            [&[0; ADDRESS]; 2]
        } else {
            addresses
        });
        match skb.linear_range(at, len) {
            Some(payload) => Ok(take(&key.hash_two(start.as_bytes(), || payload))),
            None => Ok(take(&hash_pieces(
                &key.key,
                start.as_bytes(),
                skb,
                at,
                len,
            )?)),
        }
    }
}

impl HashKey {
    /// Computes the keyed hash of two pieces, one after the other.
    #[inline(always)]
    pub(crate) fn hash_two<'a>(
        &self,
        first: &[u8],
        second: impl FnOnce() -> &'a [u8],
    ) -> [u8; SHA256_DIGEST_LEN_BYTES] {
        self.key.hash_two(first, second)
    }
}

/// Computes the keyed hash of `first` and of `len` bytes of a packet at an offset, which are not all linear. Fails with
/// [`Reason::Truncated`] if the packet is shorter.
// Not inlined: linear packets should not save registers for it.
#[inline(never)]
fn hash_pieces(
    key: &HmacSha256Key,
    first: &[u8],
    skb: &SkBuff,
    at: usize,
    len: usize,
) -> Result<[u8; SHA256_DIGEST_LEN_BYTES], Reason> {
    key.hash(|hash| {
        hash.update(first);
        let read = skb.read(at..at.saturating_add(len), |piece| hash.update(piece));
        read.map_err(|_| Reason::Truncated)
    })
}

/// A key in use.
#[derive(Clone)]
pub(crate) struct KeyInUse {
    pub(crate) key: Arc<Key>,
    pub(crate) direction: Direction,
}

/// The keys of a device at one time, in the order of their ids.
#[derive(Clone)]
pub(crate) struct KeySet {
    keys: [Option<KeyInUse>; MOST_KEYS],
}

impl KeySet {
    /// Returns all keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &KeyInUse> {
        self.keys.iter().flatten()
    }

    /// Returns the keys that are accepted.
    #[inline]
    fn accepted(&self) -> impl Iterator<Item = &Key> {
        // Empty slots come last.
        self.keys
            .iter()
            .map_while(Option::as_ref)
            .filter(|slot| slot.direction.accepts())
            .map(|slot| &*slot.key)
    }

    fn remove(&mut self, id: u32) -> bool {
        let found = self
            .keys
            .iter_mut()
            .find(|slot| slot.as_ref().is_some_and(|slot| slot.key.id == id));
        let removed = found.and_then(Option::take).is_some();
        self.sort();
        removed
    }

    /// Ends the use of the key to send with. A key for both directions is only accepted from now on. A key that only
    /// sends is removed.
    fn stop_sending(&mut self) {
        for slot in &mut self.keys {
            match slot {
                Some(used) if used.direction == Direction::Both => {
                    used.direction = Direction::Accept;
                }
                Some(used) if used.direction == Direction::Send => *slot = None,
                _ => {}
            }
        }
        self.sort();
    }

    fn add(&mut self, new: KeyInUse) -> Result<(), KeyRefusal> {
        if new.key.nat {
            if new.direction == Direction::Both {
                return Err(KeyRefusal::NatDirection);
            }
            let equal =
                |other: &KeyInUse| other.direction != new.direction && other.key.is_same(&new.key);
            if self.iter().any(equal) {
                return Err(KeyRefusal::NatSameKey);
            }
        }
        let free = self.keys.iter_mut().find(|slot| slot.is_none());
        *free.ok_or(KeyRefusal::TooMany)? = Some(new);
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        self.keys
            .sort_unstable_by_key(|slot| slot.as_ref().map_or(u64::MAX, |slot| slot.key.id.into()));
    }
}

/// The keys of a device at one time, and the headers that were received and sent with them.
pub(crate) struct KeysInForce {
    keys: KeySet,
    to_send: Option<Arc<Key>>,
    /// The keys that are accepted, if they are cookies. Empty slots come last.
    cookies: [Option<Arc<Cookie>>; MOST_KEYS],
    /// The keys that are accepted, if they are of a keyed hash, and without `nat`. Empty slots come last.
    hash_keys: [Option<Arc<HashKey>>; MOST_KEYS],
    /// All accepted keys count the addresses as zero.
    are_nat: bool,
    pub(crate) verified: VerifiedHeaders,
    pub(crate) prepared: PreparedHeaders,
}

impl KeysInForce {
    fn new(keys: KeySet) -> Self {
        let sends = |slot: &&KeyInUse| slot.direction.sends();
        let to_send = keys.iter().find(sends).map(|slot| slot.key.clone());
        let are_nat = keys.accepted().all(|key| key.nat);
        let cookies = keys.accepted().filter_map(|key| match &key.material {
            Material::Cookie(cookie) => Some(cookie.clone()),
            Material::Hmac(_) => None,
        });
        let hash_keys = keys.accepted().filter_map(|key| match &key.material {
            Material::Hmac(hash_key) if !key.nat => Some(hash_key.clone()),
            _ => None,
        });
        Self {
            cookies: slots_of(cookies),
            hash_keys: slots_of(hash_keys),
            keys,
            to_send,
            are_nat,
            verified: VerifiedHeaders::new(),
            prepared: PreparedHeaders::new(),
        }
    }

    /// Returns the keys that are accepted.
    #[inline]
    pub(crate) fn accepted(&self) -> impl Iterator<Item = &Key> {
        self.keys.accepted()
    }

    /// Returns the accepted key without `nat` that a received header names, if the header has this coverage.
    #[inline(always)]
    pub(crate) fn hash_key(&self, label: Label, coverage: Coverage) -> Option<&HashKey> {
        // A loop, because the compiler does not inline the iterators' methods.
        for key in &self.hash_keys {
            let key = key.as_ref()?;
            if key.label.with(coverage) == label {
                return Some(key);
            }
        }
        None
    }

    /// Returns the key to send with.
    #[inline(always)]
    pub(crate) fn to_send(&self) -> Option<&Key> {
        self.to_send.as_deref()
    }

    /// Returns [`FirstCheck::Passes`] if a packet's header is kept for these outer addresses: its keyed hash covers no
    /// payload, and an earlier check accepted it. The packet begins with its UDP header.
    #[inline(always)]
    pub(crate) fn know(
        &self,
        skb: &RxSkb,
        header: &Header<DeviceNotes>,
        addresses: &[u8],
        rcu: RcuReader<'_>,
    ) -> FirstCheck {
        if let Some(sum) = self.verified.has_at_once(skb, header, addresses, rcu) {
            return FirstCheck::Passes(AfterUdp::Sum(sum));
        }
        // If all accepted keys count the addresses as zero, headers are kept with zeros for the addresses.
        let addresses = covered_addresses(self.are_nat, addresses);
        FirstCheck::new(self.verified.has_of(skb, header, addresses, rcu))
    }

    /// Returns `true` if a cookie equals an accepted key. The cookie must have the length that the device's method
    /// gives to all keys.
    #[inline(always)]
    pub(crate) fn accepts_cookie<const N: usize>(&self, cookie: &[u8; N]) -> bool {
        // Compare all of them, so that the time does not reveal which one is equal.
        let mut found = false;
        for key in self.cookies.iter().map_while(Option::as_ref) {
            found |= equal_with(cookie, key.first_bytes::<N>(), opaque);
        }
        found
    }
}

/// Puts values into the first slots.
fn slots_of<T>(values: impl Iterator<Item = T>) -> [Option<T>; MOST_KEYS] {
    let mut slots = [const { None }; MOST_KEYS];
    for (slot, value) in slots.iter_mut().zip(values) {
        *slot = Some(value);
    }
    slots
}

#[inline(always)]
fn covered_addresses(are_nat: bool, addresses: &[u8]) -> &[u8] {
    if are_nat {
        return [0; 32].get(..addresses.len()).unwrap_or_default();
    }
    addresses
}

/// The keys of a device, replaced as a whole.
pub(crate) struct KeyRing(RtnlCell<KeysInForce>);

impl KeyRing {
    /// Makes a ring without keys. May sleep.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let none = KeySet {
            keys: [const { None }; MOST_KEYS],
        };
        let none = KeysInForce::new(none);
        Ok(Arc::new(Self(RtnlCell::new(none)?), GFP_KERNEL)?)
    }

    /// Returns the keys for a packet.
    #[inline]
    pub(crate) fn read<'a>(&'a self, rcu: RcuReader<'a>) -> &'a KeysInForce {
        self.0.read(rcu)
    }

    /// Returns the keys.
    pub(crate) fn read_rtnl<'a>(&'a self, rtnl: &'a Rtnl) -> &'a KeySet {
        &self.0.read_rtnl(rtnl).keys
    }

    /// Adds a key, or replaces the key with the same id. If the new key sends, the device stops sending with the
    /// former one. May sleep. After an error, the keys are unchanged.
    pub(crate) fn set(&self, new: KeyInUse, rtnl: &mut Rtnl) -> Result<(), KeyRefusal> {
        let mut keys = self.read_rtnl(rtnl).clone();
        keys.remove(new.key.id);
        if new.direction.sends() {
            keys.stop_sending();
        }
        keys.add(new)?;
        self.replace(keys, rtnl)?;
        Ok(())
    }

    /// Removes a key. May sleep. Fails with `ENOENT` if no key has this id.
    pub(crate) fn delete(&self, id: u32, rtnl: &mut Rtnl) -> Result {
        let mut keys = self.read_rtnl(rtnl).clone();
        if !keys.remove(id) {
            return Err(ENOENT);
        }
        self.replace(keys, rtnl)
    }

    fn replace(&self, keys: KeySet, rtnl: &mut Rtnl) -> Result {
        let keys = RtnlValue::new(KeysInForce::new(keys))?;
        self.0.replace(keys, rtnl);
        Ok(())
    }
}

/// Refuses a received cookie that equals no accepted key.
pub(crate) fn check_cookie(field: &SecurityView<'_>, keys: &KeysInForce) -> Result<(), Refusal> {
    field.check_cookie(keys.accepted().filter_map(Key::cookie))
}
