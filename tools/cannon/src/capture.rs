// SPDX-License-Identifier: GPL-2.0

//! Packets in a pcapng file, which any analyser opens. Each packet's comment has the virtio header and
//! the offsets at which the packet is cut, because pcapng has no place for them.

use crate::grammar::{Flavour, Shot, VIRTIO_LEN};
use anyhow::{bail, Context, Result};
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::pcapng::{Block, PcapNgReader, PcapNgWriter};
use pcap_file::DataLink;
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::time::Duration;

/// Writes packets, and returns their number.
pub fn write(path: &Path, flavour: Flavour, shots: impl Iterator<Item = Shot>) -> Result<usize> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut writer = PcapNgWriter::new(BufWriter::new(file))?;
    let link = match flavour {
        Flavour::Transmit => DataLink::RAW,
        _ => DataLink::ETHERNET,
    };
    writer.write_pcapng_block(InterfaceDescriptionBlock {
        linktype: link,
        snaplen: 0xffff,
        options: vec![],
    })?;
    let mut number = 0;
    for shot in shots {
        let virtio: Vec<String> = shot.virtio.iter().map(|b| format!("{b:02x}")).collect();
        let cuts: Vec<String> = shot.cuts.iter().map(usize::to_string).collect();
        let comment = format!("{} {} {}", flavour.name(), virtio.concat(), cuts.join(","));
        writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_micros(number),
            original_len: u32::try_from(shot.bytes.len())?,
            data: Cow::Borrowed(&shot.bytes),
            options: vec![EnhancedPacketOption::Comment(Cow::Owned(comment))],
        })?;
        number += 1;
    }
    Ok(usize::try_from(number)?)
}

/// Reads a file that [`write`] has written. Packets may have been removed since.
pub fn read(path: &Path) -> Result<(Flavour, Vec<Shot>)> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut reader = PcapNgReader::new(BufReader::new(file))?;
    let mut shots = Vec::new();
    let mut flavour = None;
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(packet) = block? else {
            continue;
        };
        let comment = packet.options.iter().find_map(|option| match option {
            EnhancedPacketOption::Comment(text) => Some(text),
            _ => None,
        });
        let Some((name, virtio, cuts)) = comment.and_then(|text| {
            let mut words = text.split(' ');
            Some((words.next()?, words.next()?, words.next()?))
        }) else {
            bail!("{}: a packet without the cannon's comment", path.display());
        };
        flavour = Flavour::of(name);
        shots.push(Shot {
            virtio: hex(virtio).with_context(|| format!("virtio header {virtio}"))?,
            cuts: cuts
                .split(',')
                .filter(|word| !word.is_empty())
                .map(str::parse)
                .collect::<Result<_, _>>()
                .with_context(|| format!("cuts {cuts}"))?,
            bytes: packet.data.to_vec(),
        });
    }
    let flavour = flavour.with_context(|| format!("{}: no packet", path.display()))?;
    Ok((flavour, shots))
}

fn hex(text: &str) -> Option<[u8; VIRTIO_LEN]> {
    let mut bytes = [0; VIRTIO_LEN];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}
