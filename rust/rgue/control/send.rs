// SPDX-License-Identifier: GPL-2.0

//! Control messages on their way out.

use super::Place;
use crate::{
    config::{Config, Df, Inherit},
    keys::{Key, KeyRing},
    reason::Reason,
    transmit::header_fields,
};
use gue::{
    checksum::{self, Sum},
    control::{Echo, EXPERIMENTAL},
    header::MAX_LEN_BYTES,
    security::Coverage,
    template::{Absent, Started},
    Addresses as GueAddresses, Computation, Covered, Outer, Repr, Template,
};
use kernel::prelude::*;
use net::{
    crypto::crc32c,
    netns::BareNetns,
    own_packet,
    rcu::RcuReader,
    route::{Flow, IpVersion, Ipv4, Ipv6, Route},
    skb::OuterSource,
    udp::{Checksum, Ports},
    udp_send::OuterIp,
    udp_tunnel::Addresses,
};

/// A message, with the configuration, the keys and the addresses to send it.
pub(super) struct Letter<'a> {
    pub(super) config: &'a Config,
    pub(super) keys: Option<&'a KeyRing>,
    /// The address to send from; `None`: the same as for data.
    pub(super) source: Option<OuterSource>,
    pub(super) to: Place,
    pub(super) echo: Echo,
}

impl Letter<'_> {
    /// Sends the message from the port that the device listens on. Any context but hard interrupts.
    pub(super) fn send(&self, netns: BareNetns<'_>, rcu: RcuReader<'_>) -> Result<(), Reason> {
        // An external device has peers of both IP versions.
        match (self.to.address, self.source, self.config.addresses) {
            (OuterSource::V4(to), Some(OuterSource::V4(source)), _)
            | (OuterSource::V4(to), None, Addresses::V4 { local: source, .. }) => {
                self.send_by::<Ipv4>(netns, source, to, self.config.checksum4, rcu)
            }
            (OuterSource::V6(to), Some(OuterSource::V6(source)), _)
            | (OuterSource::V6(to), None, Addresses::V6 { local: source, .. }) => {
                self.send_by::<Ipv6>(netns, source, to, self.config.checksum6, rcu)
            }
            _ => Err(Reason::NoRoute),
        }
    }

    fn send_by<V: IpVersion>(
        &self,
        netns: BareNetns<'_>,
        source: V::Address,
        to: V::Address,
        checksum: Checksum,
        rcu: RcuReader<'_>,
    ) -> Result<(), Reason> {
        let config = self.config;
        let ports = Ports {
            source: config.port,
            destination: self.to.port,
        };
        let tos = match config.tos {
            Inherit::Value(tos) => tos,
            Inherit::Inner => 0,
        };
        let flow = Flow {
            source,
            destination: to,
            ports,
            tos,
            flow_label: config.flow_label,
            mark: 0,
            link: config.link,
            any_source: false,
        };
        let route = Route::<V>::look_up(netns, &flow).map_err(|_| Reason::NoRoute)?;
        let addresses = GueAddresses::from_slices(route.source().as_ref(), to.as_ref());
        let outer = Outer {
            addresses: addresses.ok_or(Reason::NoRoute)?,
            source_port: u16::from_be_bytes(ports.source.to_be_bytes()),
            destination_port: u16::from_be_bytes(ports.destination.to_be_bytes()),
        };
        let ip = OuterIp {
            tos,
            hop_limit: match config.ttl {
                Inherit::Inner | Inherit::Value(0) => route.hop_limit(),
                Inherit::Value(ttl) => ttl,
            },
            dont_fragment: config.df == Df::Set,
            flow_label: config.flow_label,
        };
        let mut packet = [0; MAX_LEN_BYTES + Echo::LEN_BYTES];
        let packet = self.write(&mut packet, &outer, rcu)?;
        own_packet::send(route, &to, &ip, ports, checksum, packet)
            .map_err(|error| Reason::of(error, Reason::Truncated))
    }

    /// Writes header and message. Returns the written bytes.
    fn write<'b>(
        &self,
        packet: &'b mut [u8],
        outer: &Outer,
        rcu: RcuReader<'_>,
    ) -> Result<&'b [u8], Reason> {
        let repr = Repr {
            control: true,
            proto_ctype: EXPERIMENTAL,
            fields: header_fields(self.config, false).map_err(|_| Reason::Truncated)?,
        };
        let template = Template::new(&repr, &[])?;
        let len = template.len_bytes().saturating_add(Echo::LEN_BYTES);
        let packet = packet.get_mut(..len).ok_or(Reason::Truncated)?;
        let (header, message) = packet
            .split_at_mut_checked(template.len_bytes())
            .ok_or(Reason::Truncated)?;
        self.echo.emit(message)?;
        self.seal(&mut template.start(header)?, message, outer, rcu)?;
        Ok(packet)
    }

    /// Sets the protecting fields. A keyed hash covers the whole message.
    fn seal(
        &self,
        started: &mut Started<'_>,
        message: &[u8],
        outer: &Outer,
        rcu: RcuReader<'_>,
    ) -> Result<(), Reason> {
        let protection = &self.config.protection;
        let len = Echo::LEN_BYTES as u16;
        if let Some(coverage) = protection.checksum {
            set(started.set_checksum_coverage(coverage.min(len)))?;
        }
        if let Some(coverage) = protection.crc {
            set(started.set_crc_coverage(coverage.min(len)))?;
        }
        if let Some(keys) = self.keys {
            let key = keys.read(rcu).to_send().ok_or(Reason::NoKey)?;
            match key.cookie() {
                Some(cookie) => set(started.set_cookie(cookie))?,
                None => {
                    set(started.set_key_id(key.id))?;
                    set(started.set_hmac_coverage(Coverage { offset: 0, len }))?;
                    let digest = digest(key, started, message, outer)?;
                    set(started.set_digest(&digest))?;
                }
            }
        }
        // In this order: the CRC covers the digest, and the checksum covers both.
        if let Some(covered) = covered(started, Computation::Crc)? {
            let crc = covered.header().fold(0, crc32c);
            let crc = crc32c(crc, message.get(covered.payload()).unwrap_or_default());
            let crc = crc32c(crc, covered.padding());
            set(started.set_crc(crc))?;
        }
        if let Some(covered) = covered(started, Computation::Checksum)? {
            let payload = message.get(covered.payload()).unwrap_or_default();
            let sum = checksum::sum(&covered, outer, Sum::default().with(payload));
            set(started.set_checksum(sum.complement()))?;
        }
        Ok(())
    }
}

/// Returns the digest of a header and its message.
fn digest(
    key: &Key,
    started: &Started<'_>,
    message: &[u8],
    outer: &Outer,
) -> Result<[u8; 32], Reason> {
    let covered = covered(started, Computation::Hmac)?.ok_or(Reason::Truncated)?;
    key.hash(&outer.addresses, &covered, |hash| {
        hash.update(message.get(covered.payload()).ok_or(Reason::Truncated)?);
        Ok(())
    })
}

/// Maps an error that cannot occur: the header has each field that is set, because both follow from the
/// configuration.
fn set(result: Result<(), Absent>) -> Result<(), Reason> {
    result.map_err(|_| Reason::Truncated)
}

/// Returns the bytes that a computation covers; `None` if the header does not have the field of the computation.
fn covered<'a>(
    started: &'a Started<'_>,
    computation: Computation,
) -> Result<Option<Covered<'a>>, Reason> {
    let view = started.view().ok_or(Reason::Truncated)?;
    Ok(view.covered(computation, Echo::LEN_BYTES)?)
}
