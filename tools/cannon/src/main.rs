// SPDX-License-Identifier: GPL-2.0

//! Fires structured random packets at its standard input: a tap device, or a packet socket on a tunnel.
//! The seed alone decides the packets. A volley that broke something can be written to a file
//! afterwards, on another machine, and fired again.

#![forbid(unsafe_code)]

mod capture;
mod device;
mod grammar;

use anyhow::{bail, Context, Result};
use clap::{Parser, Subcommand};
use device::Device;
use grammar::Flavour;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Structured random packets, repeatable by their seed.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args, Clone, Copy)]
struct Volleys {
    /// The source of all randomness.
    #[arg(long)]
    seed: u64,
    /// The way by which packets enter the kernel.
    #[arg(long)]
    flavour: Flavour,
    /// The first volley.
    #[arg(long, default_value_t = 0)]
    first: u64,
}

impl Volleys {
    /// Returns the line that announces a volley.
    fn mark(&self, volley: u64) -> String {
        let Volleys { seed, flavour, .. } = self;
        format!("cannon: {}, seed {seed}, volley {volley}", flavour.name())
    }
}

#[derive(Subcommand)]
enum Command {
    /// Send packets to the device or socket that is standard input.
    Fire {
        #[command(flatten)]
        volleys: Volleys,
        /// The least number of packets to send. Refused packets do not count; the last volley is
        /// sent whole.
        #[arg(long)]
        packets: u64,
        /// A file for a line before every hundredth volley, such as /dev/kmsg.
        #[arg(long)]
        log: Option<PathBuf>,
        /// A file whose first line names the volley in progress, for a watchdog.
        #[arg(long)]
        progress: Option<PathBuf>,
    },
    /// Write volleys to a pcapng file instead.
    Write {
        #[command(flatten)]
        volleys: Volleys,
        /// The number of volleys.
        #[arg(long)]
        count: u64,
        /// The file.
        file: PathBuf,
    },
    /// Send the packets of a file that `write` has written.
    Replay {
        /// The file.
        file: PathBuf,
        /// A file whose first line names the packet in progress, for a watchdog.
        #[arg(long)]
        progress: Option<PathBuf>,
    },
    /// Print the flavour of the packets in such a file.
    Flavour {
        /// The file.
        file: PathBuf,
    },
}

/// Volleys from one line of the log to the next.
const MARK_EVERY: u64 = 100;

/// A file whose first line changes while packets are being sent.
struct Progress(Option<File>);

impl Progress {
    fn open(path: Option<PathBuf>) -> Result<Self> {
        Ok(Progress(path.map(open_to_write).transpose()?))
    }

    fn report(&self, words: &str) -> Result<()> {
        match &self.0 {
            None => Ok(()),
            Some(file) => file
                .write_all_at(format!("{words}\n").as_bytes(), 0)
                .context("the progress"),
        }
    }
}

fn open_to_write(path: PathBuf) -> Result<File> {
    let file = OpenOptions::new().write(true).open(&path);
    file.with_context(|| path.display().to_string())
}

fn fire(
    volleys: Volleys,
    packets: u64,
    log: Option<PathBuf>,
    progress: Option<PathBuf>,
) -> Result<()> {
    let mut device = Device::standard_input()?;
    let mut log = log.map(open_to_write).transpose()?;
    let progress = Progress::open(progress)?;
    let mut volley = volleys.first;
    while device.sent < packets {
        // A device that refuses so many packets is not under fire.
        if device.refused > packets / 4 + MARK_EVERY {
            let Device { sent, refused, .. } = device;
            bail!("{refused} packets were refused, and {sent} sent");
        }
        let mark = volleys.mark(volley);
        if let Some(log) = log.as_mut().filter(|_| volley % MARK_EVERY == 0) {
            // One write makes one line of the kernel's log.
            log.write_all(format!("{mark}\n").as_bytes())
                .context("the log")?;
        }
        progress.report(&mark)?;
        for shot in grammar::volley(volleys.flavour, volleys.seed, volley) {
            device.send(&shot)?;
        }
        volley += 1;
    }
    println!(
        "{} sent, {} refused, volleys {} to {}, {} waits",
        device.sent,
        device.refused,
        volleys.first,
        volley.saturating_sub(1),
        device.waits
    );
    Ok(())
}

fn replay(file: &Path, progress: Option<PathBuf>) -> Result<()> {
    let (_, shots) = capture::read(file)?;
    let mut device = Device::standard_input()?;
    let progress = Progress::open(progress)?;
    for (number, shot) in shots.iter().enumerate() {
        progress.report(&format!("cannon: replay, packet {number}"))?;
        device.send(shot)?;
    }
    println!("{} of {} sent", device.sent, shots.len());
    Ok(())
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Fire {
            volleys,
            packets,
            log,
            progress,
        } => fire(volleys, packets, log, progress),
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
        Command::Replay { file, progress } => replay(&file, progress),
        Command::Flavour { file } => {
            println!("{}", capture::read(&file)?.0.name());
            Ok(())
        }
    }
}
