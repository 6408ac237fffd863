// SPDX-License-Identifier: GPL-2.0

//! Damage without regard to the format.

use super::{Shot, VIRTIO_LEN};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Changes, cuts or extends a packet.
pub(super) fn mutate(rng: &mut ChaCha8Rng, shot: &mut Shot) {
    if rng.random_ratio(1, 6) {
        for _ in 0..rng.random_range(1..4) {
            let reach = shot.bytes.len().min(160);
            if let Some(byte) = (reach > 0)
                .then(|| rng.random_range(0..reach))
                .and_then(|at| shot.bytes.get_mut(at))
            {
                *byte = match rng.random_range(0..3) {
                    0 => *byte ^ (1 << rng.random_range(0..8)),
                    1 => [0, 0xff, 0x80, 0x7f][rng.random_range(0..4)],
                    _ => rng.random(),
                };
            }
        }
    }
    if rng.random_ratio(1, 12) {
        let len = rng.random_range(0..=shot.bytes.len());
        shot.bytes.truncate(len.max(14));
        shot.cuts.retain(|cut| *cut < shot.bytes.len());
    }
    if rng.random_ratio(1, 24) {
        let more = rng.random_range(1..64);
        shot.bytes.extend(std::iter::repeat_n(0xee, more));
    }
    if rng.random_ratio(1, 16) {
        let at = rng.random_range(0..VIRTIO_LEN);
        shot.virtio[at] = rng.random();
    }
}
