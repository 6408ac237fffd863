// SPDX-License-Identifier: GPL-2.0

//! Numbers of the protocols that tunnels carry (IANA "Assigned Internet Protocol Numbers").

/// IPv4 in IP.
pub const IPV4: u8 = 4;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// IPv6 in IP.
pub const IPV6: u8 = 41;
/// GRE.
pub const GRE: u8 = 47;
/// Encapsulating Security Payload.
pub const ESP: u8 = 50;
/// No next header: receivers must not parse the payload by this number (gue-09 §3.3).
pub const NONE: u8 = 59;
/// Ethernet in IP (RFC 3378).
pub const ETHER_IP: u8 = 97;
/// UDP-Lite.
pub const UDP_LITE: u8 = 136;
