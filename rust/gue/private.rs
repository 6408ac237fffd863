// SPDX-License-Identifier: GPL-2.0

//! Linux's private flag: a word of further flags, then the fields that the word announces.
//!
//! The private flag is the last bit of the flags, so the word comes after all fields of the drafts.

use crate::{
    fields::{Reader, Writer},
    remcsum, Error, RemoteChecksum,
};
use zerocopy::byteorder::big_endian::U32;

/// The flag that announces the word.
pub const FLAG: u16 = 0x0001;

/// Length of the word alone, in bytes.
pub const WORD_LEN_BYTES: usize = size_of::<U32>();

/// Flag of the word: remote checksum offload.
const REMCSUM: u32 = 0x8000_0000;

/// The private word's fields, in the order of its flags. `None`: the flag is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Private {
    /// Bit 0: the checksum that the sender leaves to the receiver.
    pub remote_checksum: Option<RemoteChecksum>,
}

impl Private {
    /// Returns the length of the word and its fields in bytes.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        match self.remote_checksum {
            Some(_) => WORD_LEN_BYTES + remcsum::LEN_BYTES,
            None => WORD_LEN_BYTES,
        }
    }

    #[inline(always)]
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let word = reader.take::<U32>()?.get();
        if word & !REMCSUM != 0 {
            return Err(Error::UnknownPrivateFlag);
        }
        Ok(Self {
            remote_checksum: if word & REMCSUM != 0 {
                Some(RemoteChecksum::parse(reader)?)
            } else {
                None
            },
        })
    }

    #[inline(always)]
    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        let word = match self.remote_checksum {
            Some(_) => REMCSUM,
            None => 0,
        };
        writer.put(&U32::new(word))?;
        if let Some(remote) = &self.remote_checksum {
            remote.emit(writer)?;
        }
        Ok(())
    }
}
