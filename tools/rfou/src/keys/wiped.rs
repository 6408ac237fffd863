// SPDX-License-Identifier: GPL-2.0

//! A test that no copy of a secret stays in this process's memory.

use super::*;
use crate::{netlink, secret::tests::Temporary};
use std::{fs, io::Read, os::unix::fs::FileExt};

/// This process's memory. The search allocates nothing, because an allocation may overwrite freed memory.
struct Memory {
    maps: Vec<u8>,
    region: Vec<u8>,
}

impl Memory {
    fn new() -> Self {
        Self {
            maps: vec![0; 1 << 20],
            // Longer regions are skipped, and so is the region of this buffer itself.
            region: vec![0; 1 << 26],
        }
    }

    /// Counts the copies of some bytes. The caller passes them inverted, so that the argument is no copy.
    fn count(&mut self, inverted: &[u8]) -> usize {
        let mut file = fs::File::open("/proc/self/maps").unwrap();
        let mut length = 0;
        loop {
            match file.read(&mut self.maps[length..]).unwrap() {
                0 => break,
                more => length += more,
            }
        }
        let maps = std::str::from_utf8(&self.maps[..length]).unwrap();
        let memory = fs::File::open("/proc/self/mem").unwrap();
        let mut found = 0;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (begin, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            let size = (address(end) - address(begin)) as usize;
            let Some(region) = self.region.get_mut(..size) else {
                continue;
            };
            if memory.read_exact_at(region, address(begin)).is_ok() {
                found += count(region, inverted);
            }
        }
        found
    }
}

fn count(region: &[u8], inverted: &[u8]) -> usize {
    const BLOCK: usize = 256;
    let mut found = 0;
    for (block, bytes) in region.chunks(BLOCK).enumerate() {
        // Fast, also without optimization.
        if !bytes.contains(&!inverted[0]) {
            continue;
        }
        let places = &region[block * BLOCK..];
        let places = places.windows(inverted.len()).take(BLOCK);
        let is_there = |place: &&[u8]| place.iter().zip(inverted).all(|(a, b)| *a == !*b);
        found += places.filter(is_there).count();
    }
    found
}

#[test]
fn no_copy_of_a_secret_stays_in_memory() {
    // Memory that is freed keeps the end of its bytes.
    let end = |bytes: &[u8]| bytes[bytes.len() - 12..].iter().map(|byte| !byte).collect();
    let mut memory = Memory::new();
    let secret = Secret::random(100).unwrap();
    let file = Temporary::new("memory", secret.hex().as_bytes(), 0o600);
    let (raw, hex): (Vec<_>, Vec<_>) = (end(secret.bytes()), end(secret.hex().as_bytes()));
    assert_ne!(memory.count(&raw), 0, "a secret in use is found");
    drop(secret);
    let mut socket = netlink::Socket::open(netlink::NETLINK_GENERIC).unwrap();
    let secret = Secret::from_file(&file.0, secret::Form::Hex).unwrap();
    assert_eq!(memory.count(&hex), 0, "the text of the file is wiped");
    let body = genl::message(KEY_SET, request("gue0", 1, Settings::default(), &secret));
    // No family has this number.
    let refused = socket.call(0x3fff, 0, &body).unwrap_err();
    assert_eq!(refused.errno, ENOENT);
    drop((secret, body));
    assert_eq!(memory.count(&raw), 0);
}
