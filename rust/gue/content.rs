// SPDX-License-Identifier: GPL-2.0

//! The meaning of a payload: the C flag, the protocol, F and T together.

use crate::{
    control, fragment::opaque, protocol, refusal::Refusal, Fragment, RemoteChecksum, Transform,
    View,
};

/// The meaning of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A packet of this IP protocol.
    Packet(u8),
    /// An experimental control message: see [`control::Experiment`].
    Experiment,
    /// A part of a packet or of a control message.
    Fragment(Fragment),
    /// A payload whose transform the receiver has to undo. If the header has a fragment field too, the
    /// receiver then checks it with the transform's protocol in place of the header's.
    Transformed(Transform),
}

impl View<'_> {
    /// Returns the meaning of a payload of `payload_len` bytes.
    ///
    /// # Errors
    ///
    /// - [`Refusal::TransformProtocol`], [`Refusal::TransformType`] (gue-extensions-06 §6).
    /// - [`Refusal::FragmentReserved`], and the errors of [`Fragment::check`] (gue-extensions-06 §5).
    /// - [`Refusal::ProtocolZero`], [`Refusal::NoNextHeader`] (gue-09 §3).
    /// - [`Refusal::ControlType`] (gue-09 §3).
    #[inline]
    pub fn content(&self, payload_len: usize) -> Result<Content, Refusal> {
        let (control, proto_ctype) = (self.is_control(), self.proto_ctype());
        if let Some(transform) = self.transform() {
            if proto_ctype != opaque(control) {
                return Err(Refusal::TransformProtocol);
            }
            if transform.kind == 0 {
                return Err(Refusal::TransformType);
            }
            return Ok(Content::Transformed(transform));
        }
        if let Some(fragment) = self.fragment()? {
            fragment.check(control, proto_ctype, payload_len)?;
            return Ok(Content::Fragment(fragment));
        }
        if control {
            return match proto_ctype {
                control::EXPERIMENTAL => Ok(Content::Experiment),
                _ => Err(Refusal::ControlType),
            };
        }
        match proto_ctype {
            0 => Err(Refusal::ProtocolZero),
            protocol::NONE => Err(Refusal::NoNextHeader),
            protocol => Ok(Content::Packet(protocol)),
        }
    }
}

impl RemoteChecksum {
    /// Refuses a payload that ends before the end of the checksum field.
    ///
    /// # Errors
    ///
    /// [`Refusal::RemcsumPastPayload`].
    #[inline]
    pub const fn check_payload(&self, payload_len: usize) -> Result<(), Refusal> {
        if payload_len < self.payload_needed() {
            return Err(Refusal::RemcsumPastPayload);
        }
        Ok(())
    }
}
