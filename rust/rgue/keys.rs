// SPDX-License-Identifier: GPL-2.0

//! The keys of a device.
//!
//! A device accepts several keys and sends with one, so that both ends can change keys without losing a
//! packet. Keys come in by the family `gue`, and never leave: a key that is removed is overwritten with zeros
//! when the last reader is done with it.

use crate::digest::{CoveredHeader, Digests};
use gue::{
    refusal::Refusal,
    security::{equal, HmacView, Method, SecurityView},
};
use kernel::{prelude::*, sync::Arc};
use net::{
    crypto::{HmacSha256Key, Secret},
    rtnl::{RcuReader, Rtnl, RtnlCell, RtnlValue},
};

/// The most keys of a device.
pub(crate) const MOST_KEYS: usize = 8;

/// The length of the longest cookie, in bytes.
const COOKIE_LEN_BYTES: usize = Method::Cookie32.len_bytes();

/// The lengths of a secret for a keyed hash, in bytes: no shorter than a cookie, and the most that
/// [`crate::family`] reads. A hash is not stronger for a secret of more than 64 bytes.
pub(crate) const LEAST_HMAC_SECRET_LEN_BYTES: usize = 8;
pub(crate) const MOST_SECRET_LEN_BYTES: usize = 128;

/// A secret as it came in a request.
pub(crate) type RawSecret = Secret<MOST_SECRET_LEN_BYTES>;

/// A key, and the digests that were computed with it.
pub(crate) struct Key {
    pub(crate) id: u32,
    /// The addresses count as zero, because a NAT changes them on the way.
    pub(crate) nat: bool,
    material: Material,
    sent: Digests,
    accepted: Digests,
}

/// The secret of a key, in the form in which it is used.
enum Material {
    Cookie(KBox<Secret<COOKIE_LEN_BYTES>>),
    Hmac(KBox<HmacSha256Key>),
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

/// The reason why a key is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRefusal {
    /// The secret does not have the length of the device's method.
    SecretLength,
    /// A cookie has no addresses that a NAT could change.
    NatNeedsHmac,
    /// Without addresses, a packet that is sent back to its sender would be accepted there.
    NatDirection,
    /// The keys of both directions are equal, so a packet that is sent back to its sender would be accepted.
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
    /// Makes a key of a secret. May sleep.
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
                Material::Hmac(KBox::init(HmacSha256Key::prepare(raw), GFP_KERNEL)?)
            }
            _ => {
                if raw.len() != method.len_bytes() {
                    return Err(KeyRefusal::SecretLength);
                }
                if nat {
                    return Err(KeyRefusal::NatNeedsHmac);
                }
                let mut cookie = KBox::init(Secret::zeroed(), GFP_KERNEL)?;
                cookie.fill(|to| {
                    to.get_mut(..raw.len()).ok_or(EINVAL)?.copy_from_slice(raw);
                    Ok(raw.len())
                })?;
                Material::Cookie(cookie)
            }
        };
        let key = Self {
            id,
            nat,
            material,
            sent: Digests::new(),
            accepted: Digests::new(),
        };
        Arc::new(key, GFP_KERNEL).map_err(|error| KeyRefusal::Other(error.into()))
    }

    /// Returns `true` if both keys have the same secret.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.material, &other.material) {
            (Material::Hmac(one), Material::Hmac(two)) => **one == **two,
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

    /// Returns the key of a keyed hash; `None` for a cookie.
    #[inline]
    pub(crate) fn hmac(&self) -> Option<&HmacSha256Key> {
        match &self.material {
            Material::Cookie(_) => None,
            Material::Hmac(key) => Some(key),
        }
    }

    /// Returns the digest of a header that is sent and that covers no payload.
    #[inline]
    pub(crate) fn digest_to_send(
        &self,
        covered: &CoveredHeader,
        rcu: RcuReader<'_>,
    ) -> Result<[u8; 32], Refusal> {
        let key = self.hmac().ok_or(Refusal::SecurityMethod)?;
        Ok(match self.sent.find(covered, rcu) {
            Some(digest) => *digest,
            None => {
                let digest = covered.digest(key);
                self.sent.keep(covered, digest, rcu);
                digest
            }
        })
    }

    /// Checks the digest of a received header that covers no payload. Keeps only a right one, so that a
    /// sender without the key does not push others out.
    #[inline]
    pub(crate) fn check_digest(
        &self,
        field: &HmacView<'_>,
        covered: &CoveredHeader,
        rcu: RcuReader<'_>,
    ) -> Result<(), Refusal> {
        if let Some(digest) = self.accepted.find(covered, rcu) {
            return field.check_digest(digest);
        }
        let digest = covered.digest(self.hmac().ok_or(Refusal::SecurityMethod)?);
        field.check_digest(&digest)?;
        self.accepted.keep(covered, digest, rcu);
        Ok(())
    }
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
    pub(crate) fn accepted(&self) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .flatten()
            .filter(|slot| slot.direction.accepts())
            .map(|slot| &*slot.key)
    }

    /// Returns the key to send with.
    #[inline]
    pub(crate) fn to_send(&self) -> Option<&Key> {
        self.keys
            .iter()
            .flatten()
            .find(|slot| slot.direction.sends())
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

    /// The key that was sent with until now is only accepted.
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

/// The keys of a device, replaced as a whole.
pub(crate) struct KeyRing(RtnlCell<KeySet>);

impl KeyRing {
    /// Makes a ring without keys. May sleep.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let none = KeySet {
            keys: [const { None }; MOST_KEYS],
        };
        Ok(Arc::new(Self(RtnlCell::new(none)?), GFP_KERNEL)?)
    }

    /// Returns the keys for a packet.
    #[inline]
    pub(crate) fn read<'a>(&'a self, rcu: RcuReader<'a>) -> &'a KeySet {
        self.0.read(rcu)
    }

    /// Returns the keys.
    pub(crate) fn read_rtnl<'a>(&'a self, rtnl: &'a Rtnl) -> &'a KeySet {
        self.0.read_rtnl(rtnl)
    }

    /// Adds a key, or replaces the one of its id. A key to send with takes the place of the one before. May
    /// sleep. After an error the keys are as before.
    pub(crate) fn set(&self, new: KeyInUse, rtnl: &mut Rtnl) -> Result<(), KeyRefusal> {
        let mut keys = self.read_rtnl(rtnl).clone();
        keys.remove(new.key.id);
        if new.direction.sends() {
            keys.stop_sending();
        }
        keys.add(new)?;
        self.0.replace(RtnlValue::new(keys)?, rtnl);
        Ok(())
    }

    /// Removes a key. May sleep. Fails with `ENOENT` if there is none of this id.
    pub(crate) fn delete(&self, id: u32, rtnl: &mut Rtnl) -> Result {
        let mut keys = self.read_rtnl(rtnl).clone();
        if !keys.remove(id) {
            return Err(ENOENT);
        }
        self.0.replace(RtnlValue::new(keys)?, rtnl);
        Ok(())
    }
}

/// Refuses a received cookie that equals no accepted key.
pub(crate) fn check_cookie(field: &SecurityView<'_>, keys: &KeySet) -> Result<(), Refusal> {
    field.check_cookie(keys.accepted().filter_map(Key::cookie))
}
