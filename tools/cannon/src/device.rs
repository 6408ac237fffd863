// SPDX-License-Identifier: GPL-2.0

//! The target of packets: a non-blocking tap device, or a packet socket.

use crate::grammar::Shot;
use anyhow::{Context, Result};
use rustix::event::{poll, PollFd, PollFlags};
use rustix::io::{retry_on_intr, Errno};
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};

/// Errors by which the kernel refuses a packet: the packet is malformed, too long or looped, or the
/// device's queue is full.
const REFUSALS: [Errno; 10] = [
    Errno::INVAL,
    Errno::MSGSIZE,
    Errno::NOBUFS,
    Errno::NETDOWN,
    Errno::FAULT,
    Errno::IO,
    Errno::LOOP,
    Errno::NOMEM,
    Errno::TOOBIG,
    Errno::NETUNREACH,
];

/// A device or socket, with counts of the packets sent to it.
pub struct Device {
    file: File,
    /// Packets that the kernel took.
    pub sent: u64,
    /// Packets that the kernel refused.
    pub refused: u64,
    /// Waits for room in the send buffer.
    pub waits: u64,
}

impl From<OwnedFd> for Device {
    fn from(fd: OwnedFd) -> Self {
        Device {
            file: fd.into(),
            sent: 0,
            refused: 0,
            waits: 0,
        }
    }
}

impl Device {
    /// Returns standard input as a device.
    pub fn standard_input() -> Result<Self> {
        let fd = io::stdin().as_fd().try_clone_to_owned();
        Ok(fd.context("standard input is not there")?.into())
    }

    /// Sends a packet, or counts it as refused. Waits while the send buffer is full.
    ///
    /// Fails on errors that say nothing about the packet.
    pub fn send(&mut self, shot: &Shot) -> Result<()> {
        let pieces: Vec<IoSlice<'_>> = shot.pieces().map(IoSlice::new).collect();
        loop {
            let error = match self.file.write_vectored(&pieces) {
                Ok(0) => {
                    self.refused += 1;
                    return Ok(());
                }
                Ok(_) => {
                    self.sent += 1;
                    return Ok(());
                }
                Err(error) => error,
            };
            match Errno::from_io_error(&error) {
                Some(Errno::INTR) => {}
                Some(Errno::AGAIN) => self.wait_for_room()?,
                Some(refusal) if REFUSALS.contains(&refusal) => {
                    self.refused += 1;
                    return Ok(());
                }
                _ => return Err(error).context("a packet could not be sent"),
            }
        }
    }

    /// Waits by `poll()`: the tun driver does not wake a writer that sleeps in `write()`, see
    /// Documentation/reports.rst.
    fn wait_for_room(&mut self) -> Result<()> {
        self.waits += 1;
        retry_on_intr(|| poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None))
            .context("waiting for room in the send buffer")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::{volley, Flavour};
    use std::os::unix::net::UnixDatagram;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn full_send_buffer_is_waited_for_and_no_refusal() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut device = Device::from(OwnedFd::from(ours));
        let shots: Vec<Shot> = (0..200)
            .flat_map(|number| volley(Flavour::Plain, 1, number))
            .collect();
        let number = shots.len();
        let reader = thread::spawn(move || {
            // The buffer is full by now.
            thread::sleep(Duration::from_millis(200));
            let mut packet = vec![0; 1 << 17];
            for _ in 0..number {
                theirs.recv(&mut packet).unwrap();
            }
        });
        for shot in &shots {
            device.send(shot).unwrap();
        }
        reader.join().unwrap();
        assert_eq!((device.sent, device.refused), (number as u64, 0));
        assert!(device.waits > 0, "the buffer was never full");
    }

    #[test]
    fn error_that_is_not_the_packets_ends_the_fire() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        drop(theirs);
        let mut device = Device::from(OwnedFd::from(ours));
        let shot = &volley(Flavour::Plain, 1, 0)[0];
        assert!(device.send(shot).is_err());
    }
}
