// SPDX-License-Identifier: GPL-2.0

//! Fragments of received packets: they wait until the packet is whole.
//!
//! Fragments pass the checks of a device one by one, before they take memory. A reassembled packet then takes the same
//! path as an unfragmented one.

use crate::{
    demux::Entry,
    reason::Reason,
    receive::{after_ether_ip, checksum_place, ether_ip, ether_ip_end, ip, Dropped, ETHER_IP},
};
use core::sync::atomic::{AtomicU32, Ordering};
use gue::{DeviceNotes, Fragment, Header};
use kernel::prelude::*;
use net::{
    frags::{
        self, Added, Directory, Key, Lost, Piece, Pieces, Queues, QueuesRef, Reassembly, Refused,
        Source, KEY_LEN_BYTES,
    },
    ip_proto::{ChecksumPlace, InnerProtocol},
    module::Scope,
    netns::{Registration, Slot, SlotRef},
    rcu::RcuReader,
    skb::{AfterUdp, OuterSource, RxSkb},
    udp, DropReason,
};

/// Marks the reassembly queues of GUE.
pub(crate) enum Queue {}

/// A handle to the reassembly queues of a namespace.
pub(crate) type Fragments = Pieces<Queue>;

static QUEUES: Queues<Queue> = Queues::new();
static SLOT: Slot<Directory<Queue>> = Slot::new();

impl Reassembly for Queue {
    const QUEUES: QueuesRef<Self> = QueuesRef::new(&QUEUES);
    const SLOT: SlotRef<Directory<Self>> = SlotRef::new(&SLOT);
    const NAME: &'static CStr = c"gue-frags";
    const SYSCTL_FOLDER: &'static CStr = c"net/gue";

    fn reason(lost: Lost) -> DropReason {
        Reason::from(lost).number()
    }
}

/// Registers the queues of all namespaces. Process context, may sleep.
pub(crate) fn register(scope: &'static Scope) -> Result<&'static Registration<Directory<Queue>>> {
    frags::register(scope)
}

/// The queues of one device.
#[derive(Clone)]
pub(crate) struct Reassembler {
    fragments: Fragments,
    /// A part of each key: keeps apart the fragments of different devices, and those that one device accepted before
    /// and after a change of its checks.
    id: u32,
}

impl Reassembler {
    /// Makes queues without fragments.
    pub(crate) fn new(fragments: &Fragments) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        Self {
            fragments: fragments.clone(),
            id: LAST.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Returns the key of a fragment's queue. The id identifies the device, and so its group and destination port.
    fn key<const IPV6: bool>(&self, skb: &RxSkb, fragment: &Fragment) -> Option<Key> {
        let source_port: &[u8; 2] = skb.linear_header(2)?.first_chunk()?;
        let mut key = Key([0; KEY_LEN_BYTES]);
        let mut rest = &mut key.0[..];
        let mut put = |bytes: &[u8]| {
            let (to, after) = core::mem::take(&mut rest).split_at_mut_checked(bytes.len())?;
            to.copy_from_slice(bytes);
            rest = after;
            Some(())
        };
        put(&self.id.to_ne_bytes())?;
        for address in [
            skb.outer_source::<IPV6>()?,
            skb.outer_destination::<IPV6>()?,
        ] {
            match address {
                OuterSource::V4(address) => {
                    put(&address)?;
                    put(&[0; 12])?;
                }
                OuterSource::V6(address) => put(&address)?,
            }
        }
        put(source_port)?;
        put(&[fragment.original])?;
        put(&fragment.id)?;
        Some(key)
    }
}

/// A fragment that is part of a packet.
struct Part {
    piece: Piece,
    key: Key,
    /// The protocol of the packet.
    protocol: InnerProtocol,
    /// The number of bytes before the part of the packet that the device gets.
    pull: usize,
    /// The place of a checksum in that part, which is left to the receiver.
    place: Option<ChecksumPlace>,
}

impl Entry {
    /// Receives a fragment that the guard has let pass.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    pub(crate) fn receive_fragment<const IPV6: bool>(
        &self,
        mut skb: RxSkb,
        header: &Header<DeviceNotes>,
        rcu: RcuReader<'_>,
    ) -> Result<(), Dropped> {
        let at = udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes());
        let fragment = match read(&skb, at, header) {
            Ok(fragment) => fragment,
            Err(reason) => return Err(Dropped::Outer(skb, reason)),
        };
        let place = checksum_place(&header.fields());
        if fragment.offset_bytes() == 0 && !fragment.more {
            return self.deliver::<IPV6, ()>(
                skb,
                at,
                AfterUdp::Unknown,
                fragment.original,
                place,
                (),
            );
        }
        let part = match self.part::<IPV6>(&mut skb, at, &fragment, place) {
            Ok(part) => part,
            Err(reason) => return Err(Dropped::Outer(skb, reason)),
        };
        let decapsulated = match part.place {
            None => skb.decapsulate(part.pull).map(|_| ()),
            // A checksum in a fragment cannot be left to be computed later. Receivers process remote checksums before
            // reassembly (gue-extensions-06 §11.2).
            Some(place) => skb.decapsulate_computing_checksum(part.pull, place),
        };
        if let Err(error) = decapsulated {
            return Err(Dropped::Outer(skb, Reason::of(error, Reason::BadRemcsum)));
        }
        let source = if self.guard.has_keys() {
            Source::Peer
        } else {
            Source::Anyone
        };
        let fragments = &self.reassembler.fragments;
        match fragments.add::<IPV6>(skb, &part.key, part.piece, part.protocol, source, rcu) {
            Added::Waits => Ok(()),
            Added::Whole(inner) => self.receive_inner::<IPV6>(inner),
            Added::Refused(skb, refused) => Err(Dropped::Outer(skb, refused.into())),
            Added::Lost(lost) => Err(Dropped::Freed(lost.into())),
        }
    }

    /// Describes a fragment for reassembly. In `mode ethernet`, leaves out the EtherIP header of the first fragment, and
    /// subtracts its length from later offsets.
    fn part<const IPV6: bool>(
        &self,
        skb: &mut RxSkb,
        at: usize,
        fragment: &Fragment,
        place: Option<ChecksumPlace>,
    ) -> Result<Part, Reason> {
        let mut part = Part {
            piece: Piece {
                offset: fragment.offset_bytes(),
                is_last: !fragment.more,
            },
            key: self
                .reassembler
                .key::<IPV6>(skb, fragment)
                .ok_or(Reason::Truncated)?,
            protocol: if self.carries_frames {
                ether_ip(fragment.original).ok_or(Reason::NotEthernet)?
            } else {
                ip(fragment.original).ok_or(Reason::NotIp)?
            },
            pull: at,
            place,
        };
        if !self.carries_frames {
            return Ok(part);
        }
        if fragment.offset_bytes() == 0 {
            part.pull = ether_ip_end(skb, at)?;
            part.place = match place {
                Some(place) => Some(after_ether_ip(place).ok_or(Reason::BadRemcsum)?),
                None => None,
            };
        } else {
            // The offset is 8 at least.
            part.piece.offset = part.piece.offset.saturating_sub(ETHER_IP.len() as u16);
        }
        Ok(part)
    }
}

/// Reads and checks the fragment field of a packet whose payload begins after `at` bytes.
pub(crate) fn read(
    skb: &RxSkb,
    at: usize,
    header: &Header<DeviceNotes>,
) -> Result<Fragment, Reason> {
    let view = skb
        .linear_header(at)
        .and_then(|bytes| bytes.get(udp::HEADER_LEN_BYTES..))
        .and_then(|bytes| header.view(bytes))
        .ok_or(Reason::Truncated)?;
    let fragment = view.fragment()?.ok_or(Reason::Truncated)?;
    let payload_len = skb.len().checked_sub(at).ok_or(Reason::Truncated)?;
    fragment.check(header.is_control(), header.proto_ctype(), payload_len)?;
    Ok(fragment)
}

impl From<Refused> for Reason {
    #[cold]
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Empty => Self::FragmentEmpty,
            Refused::TooLong => Self::FragmentTooLong,
            Refused::Overlap => Self::FragmentOverlap,
            Refused::End => Self::FragmentEnd,
            Refused::Limit => Self::FragmentLimit,
        }
    }
}

impl From<Lost> for Reason {
    #[cold]
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Timeout => Self::FragmentTimeout,
            Lost::Ecn => Self::FragmentEcn,
            Lost::NoMemory => Self::NoMemory,
        }
    }
}
