// SPDX-License-Identifier: GPL-2.0

//! Attribute numbers (`IFLA_GUE_*`). A number is never reused.

use net::netlink::NlaPolicy;

pub(crate) const ID: i32 = 1;
pub(crate) const REMOTE: i32 = 2;
pub(crate) const REMOTE6: i32 = 3;
pub(crate) const LOCAL: i32 = 4;
pub(crate) const LOCAL6: i32 = 5;
pub(crate) const LINK: i32 = 6;
pub(crate) const PORT: i32 = 7;
pub(crate) const DPORT: i32 = 8;
pub(crate) const SPORT: i32 = 9;
pub(crate) const SPORT_RANGE: i32 = 10;
pub(crate) const MODE: i32 = 11;
pub(crate) const VARIANT: i32 = 12;
pub(crate) const EXTERNAL: i32 = 13;
pub(crate) const TTL: i32 = 14;
pub(crate) const TTL_INHERIT: i32 = 15;
pub(crate) const TOS: i32 = 16;
pub(crate) const TOS_INHERIT: i32 = 17;
pub(crate) const DF: i32 = 18;
pub(crate) const FLOWLABEL: i32 = 19;
pub(crate) const UDP_CSUM: i32 = 20;
pub(crate) const UDP_ZERO_CSUM6_TX: i32 = 21;
pub(crate) const UDP_ZERO_CSUM6_RX: i32 = 22;
pub(crate) const REMCSUM: i32 = 23;
pub(crate) const AUTH: i32 = 24;
pub(crate) const COVER: i32 = 25;
pub(crate) const HEADERCSUM: i32 = 26;
pub(crate) const HEADERCSUM_COVER: i32 = 27;
pub(crate) const CRC: i32 = 28;
pub(crate) const CRC_COVER: i32 = 29;
pub(crate) const FRAGMENT: i32 = 30;
pub(crate) const FRAGMENT_SIZE: i32 = 31;
pub(crate) const KEEPALIVE: i32 = 32;
pub(crate) const DEAD: i32 = 33;
pub(crate) const ROAMING: i32 = 34;

/// The policy of each attribute, by its number.
pub(crate) const POLICY: [NlaPolicy; 35] = [
    NlaPolicy::UNSPEC,
    NlaPolicy::U32,           // ID
    NlaPolicy::BE32,          // REMOTE
    NlaPolicy::exact_len(16), // REMOTE6
    NlaPolicy::BE32,          // LOCAL
    NlaPolicy::exact_len(16), // LOCAL6
    NlaPolicy::U32,           // LINK
    NlaPolicy::BE16,          // PORT
    NlaPolicy::BE16,          // DPORT
    NlaPolicy::BE16,          // SPORT
    NlaPolicy::exact_len(4),  // SPORT_RANGE
    NlaPolicy::U8,            // MODE
    NlaPolicy::U8,            // VARIANT
    NlaPolicy::FLAG,          // EXTERNAL
    NlaPolicy::U8,            // TTL
    NlaPolicy::U8,            // TTL_INHERIT
    NlaPolicy::U8,            // TOS
    NlaPolicy::U8,            // TOS_INHERIT
    NlaPolicy::U8,            // DF
    NlaPolicy::BE32,          // FLOWLABEL
    NlaPolicy::U8,            // UDP_CSUM
    NlaPolicy::U8,            // UDP_ZERO_CSUM6_TX
    NlaPolicy::U8,            // UDP_ZERO_CSUM6_RX
    NlaPolicy::U8,            // REMCSUM
    NlaPolicy::U8,            // AUTH
    NlaPolicy::U16,           // COVER
    NlaPolicy::U8,            // HEADERCSUM
    NlaPolicy::U16,           // HEADERCSUM_COVER
    NlaPolicy::U8,            // CRC
    NlaPolicy::U16,           // CRC_COVER
    NlaPolicy::U8,            // FRAGMENT
    NlaPolicy::U16,           // FRAGMENT_SIZE
    NlaPolicy::U16,           // KEEPALIVE
    NlaPolicy::U16,           // DEAD
    NlaPolicy::U8,            // ROAMING
];
