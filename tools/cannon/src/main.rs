// SPDX-License-Identifier: GPL-2.0

//! Fires structured random packets at whatever its standard input is: a tap device, or a packet socket
//! on a tunnel. Nothing but the seed decides what is sent, so that a volley which broke something can
//! be written down afterwards, on another machine, and be fired again.

#![forbid(unsafe_code)]

mod capture;
mod grammar;

use anyhow::{bail, Context, Result};
use clap::{Parser, Subcommand};
use grammar::{Flavour, Shot};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Structured random packets, repeatable by their seed.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args, Clone, Copy)]
struct Volleys {
    /// What all randomness comes from.
    #[arg(long)]
    seed: u64,
    /// What the packets are for.
    #[arg(long)]
    flavour: Flavour,
    /// The first volley.
    #[arg(long, default_value_t = 0)]
    first: u64,
}

#[derive(Subcommand)]
enum Command {
    /// Send packets to the device or socket that is standard input.
    Fire {
        #[command(flatten)]
        volleys: Volleys,
        /// How many packets to send at least, without those that are refused; the last volley is
        /// sent whole.
        #[arg(long)]
        packets: u64,
        /// Where to say now and then which volley comes next, such as /dev/kmsg.
        #[arg(long)]
        log: Option<PathBuf>,
    },
    /// Write volleys to a pcapng file instead.
    Write {
        #[command(flatten)]
        volleys: Volleys,
        /// How many volleys.
        #[arg(long)]
        count: u64,
        /// The file.
        file: PathBuf,
    },
    /// Send the packets of such a file.
    Replay {
        /// The file.
        file: PathBuf,
    },
    /// Say which flavour the packets of such a file are of.
    Flavour {
        /// The file.
        file: PathBuf,
    },
}

/// How often the log hears of the progress, in volleys.
const MARK_EVERY: u64 = 100;

/// Standard input as a device to write to.
fn device() -> Result<File> {
    let device = io::stdin().as_fd().try_clone_to_owned();
    Ok(device.context("standard input is not there")?.into())
}

/// Sends a packet; false if the kernel refused it, which is its right.
fn send(device: &mut File, shot: &Shot) -> Result<bool> {
    let pieces: Vec<IoSlice<'_>> = shot.pieces().map(IoSlice::new).collect();
    match device.write_vectored(&pieces) {
        Ok(sent) => Ok(sent > 0),
        // The packet is malformed, too long, looped, or the device's queue is full.
        Err(error) => match error.raw_os_error() {
            Some(
                EINVAL | EMSGSIZE | ENOBUFS | ENETDOWN | EAGAIN | EFAULT | EIO | ELOOP | ENOMEM
                | E2BIG | ENETUNREACH,
            ) => Ok(false),
            _ => Err(error).context("a packet could not be sent"),
        },
    }
}

const EIO: i32 = 5;
const E2BIG: i32 = 7;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EFAULT: i32 = 14;
const EINVAL: i32 = 22;
const ELOOP: i32 = 40;
const EMSGSIZE: i32 = 90;
const ENETDOWN: i32 = 100;
const ENETUNREACH: i32 = 101;
const ENOBUFS: i32 = 105;

fn fire(volleys: Volleys, packets: u64, log: Option<PathBuf>) -> Result<()> {
    let mut device = device()?;
    let mut log = match log {
        None => None,
        Some(path) => {
            let file = OpenOptions::new().write(true).open(&path);
            Some(file.with_context(|| path.display().to_string())?)
        }
    };
    let (mut sent, mut refused) = (0u64, 0u64);
    let mut volley = volleys.first;
    while sent < packets {
        // A device that refuses that many is not under fire.
        if refused > packets / 4 + MARK_EVERY {
            bail!("{refused} packets were refused, and {sent} sent");
        }
        if let Some(log) = log.as_mut().filter(|_| volley % MARK_EVERY == 0) {
            // In one write: it becomes one line.
            let flavour = volleys.flavour.name();
            let line = format!(
                "cannon: {flavour}, seed {}, volley {volley}\n",
                volleys.seed
            );
            log.write_all(line.as_bytes()).context("the log")?;
        }
        for shot in grammar::volley(volleys.flavour, volleys.seed, volley) {
            if send(&mut device, &shot)? {
                sent += 1;
            } else {
                refused += 1;
            }
        }
        volley += 1;
    }
    println!(
        "{sent} sent, {refused} refused, volleys {} to {}",
        volleys.first,
        volley.saturating_sub(1)
    );
    Ok(())
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Fire {
            volleys,
            packets,
            log,
        } => fire(volleys, packets, log),
        Command::Write {
            volleys,
            count,
            file,
        } => {
            let shots = (volleys.first..volleys.first.saturating_add(count))
                .flat_map(|volley| grammar::volley(volleys.flavour, volleys.seed, volley));
            let number = capture::write(&file, volleys.flavour, shots)?;
            println!("{number} packets written to {}", file.display());
            Ok(())
        }
        Command::Replay { file } => {
            let (_, shots) = capture::read(&file)?;
            let mut device = device()?;
            let mut sent = 0u64;
            for shot in &shots {
                sent += u64::from(send(&mut device, shot)?);
            }
            println!("{sent} of {} sent", shots.len());
            Ok(())
        }
        Command::Flavour { file } => {
            println!("{}", capture::read(&file)?.0.name());
            Ok(())
        }
    }
}
