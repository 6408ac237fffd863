// SPDX-License-Identifier: GPL-2.0

//! IP protocol numbers.

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const UDPLITE: u8 = 136;
