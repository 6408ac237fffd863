// SPDX-License-Identifier: GPL-2.0

//! The command line. Help, manual pages and completions are made from these definitions.

use crate::{ports::Which, protocol};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::{net::IpAddr, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  rfou port add 5555 --protocol ipip      receive IPIP in FOU at UDP port 5555
  rfou port add 6080 --encap gue          receive GUE at UDP port 6080
  rfou port show -s                       show the ports with their counters
  rfou top --sort drops                   show rates, those with most drops first
  rfou key set gue0 --key-id 1 <key       give gue0 the secret in the file 'key'
  rfou apply /etc/rfou.toml --dry-run     show what differs from a file
  rfou ping gue0                          ask the other end of gue0 for answers
  rfou check                              say what is missing on this machine

Exit status:
  0  done                                 4  the port, link, key, file or namespace does not exist
  1  failed; see 'ping' and 'check'       5  exists already, or another program has the UDP port
  2  wrong command line or file           6  the kernel lacks what the request needs
  3  not permitted                        7  apply --dry-run: something would change";

/// Show and configure UDP encapsulation: FOU and GUE ports, gue devices
#[derive(Debug, Parser)]
#[command(name = "rfou", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(infer_subcommands = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Debug)]
pub struct Global {
    /// Work in the network namespace NAME, as 'ip netns' calls it
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub netns: Option<String>,
    /// Print JSON, and errors as JSON on standard error
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Use colours
    #[arg(
        long, global = true, value_name = "WHEN", value_enum, default_value_t = When::Auto,
        help_heading = "Global options"
    )]
    pub color: When,
    /// Use this generic netlink family; the default is rfou, or fou if the kernel lacks rfou
    #[arg(long, global = true, hide = true, value_name = "FAMILY")]
    pub family: Option<Which>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum When {
    /// On terminals, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show, add and delete ports that receive FOU or GUE
    #[command(subcommand, arg_required_else_help = true)]
    Port(PortCommand),
    /// Show gue devices
    #[command(subcommand, arg_required_else_help = true, after_help = LINK_NOTES)]
    Link(LinkCommand),
    /// Set, show and delete the keys of gue devices that have auth
    #[command(subcommand, arg_required_else_help = true)]
    Key(KeyCommand),
    /// Send echo requests to the peer of a gue device, and print the round-trip times
    #[command(after_help = PING_NOTES)]
    Ping(PingArgs),
    /// Show the rates of ports and gue devices, with drops by reason
    Top(TopArgs),
    /// Print changes of ports, gue devices and their peers as they happen
    Monitor(MonitorArgs),
    /// Make ports and gue devices match a file
    Apply(ApplyArgs),
    /// Check whether this machine can run rfou, and say what to do if not
    #[command(after_help = CHECK_NOTES)]
    Check(CheckArgs),
    /// Print the manual page rfou(8), or write all pages into a folder
    Man(ManArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

#[derive(Debug, Subcommand)]
pub enum PortCommand {
    /// Show ports
    #[command(visible_alias = "list")]
    Show(PortShow),
    /// Open a port
    Add(PortAdd),
    /// Close a port
    #[command(visible_alias = "delete")]
    Del(PortDel),
}

/// The words that choose a port.
#[derive(Args, Debug)]
pub struct Endpoint {
    /// Receive over IPv6; the default is IPv4, or the IP version of the given addresses
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Receive only at this address
    #[arg(long, value_name = "ADDR")]
    pub local: Option<IpAddr>,
    /// Receive only from this address; needs --peer-port
    #[arg(long, value_name = "ADDR")]
    pub peer: Option<IpAddr>,
    /// Receive only from this UDP port; needs --peer
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub peer_port: Option<u16>,
    /// Receive only from this interface; needs --local
    #[arg(long, value_name = "NAME")]
    pub dev: Option<String>,
}

#[derive(Args, Debug)]
pub struct PortShow {
    /// Show only this UDP port
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Show counters
    #[arg(short, long)]
    pub statistics: bool,
}

#[derive(Args, Debug)]
pub struct PortAdd {
    /// UDP port to receive at
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Format of the packets; the default is fou
    #[arg(long, value_name = "ENCAP", value_enum)]
    pub encap: Option<Encap>,
    /// IP protocol inside FOU: a number or a name such as ipip, ipv6, gre
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol::parse)]
    pub protocol: Option<u8>,
    #[command(flatten)]
    pub endpoint: Endpoint,
    /// Compute remote checksums on receive, instead of leaving them to the stack
    #[arg(long)]
    pub remcsum_nopartial: bool,
    /// Change the port if it exists; do nothing if it is as asked for
    #[arg(long)]
    pub replace: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Encap {
    /// An IP protocol directly after the UDP header
    Fou,
    /// A GUE header after the UDP header
    Gue,
}

#[derive(Args, Debug)]
pub struct PortDel {
    /// UDP port to close
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    #[command(flatten)]
    pub endpoint: Endpoint,
}

#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Show gue devices with the properties that differ from the defaults
    #[command(visible_alias = "list")]
    Show(LinkShow),
    /// Answers those who look for it here.
    #[command(hide = true, aliases = ["set", "change", "del", "delete"], disable_help_flag = true)]
    Add(OtherWords),
}

#[derive(Args, Debug)]
pub struct OtherWords {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub words: Vec<String>,
}

#[derive(Args, Debug)]
pub struct LinkShow {
    /// Show only this device
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Show counters, and the peer
    #[arg(short, long)]
    pub statistics: bool,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Give a device a key, or replace the key with this number
    #[command(after_help = KEY_SET_NOTES)]
    Set(KeySet),
    /// Delete a key of a device
    #[command(visible_alias = "delete")]
    Del(KeyDel),
    /// Show keys; their secrets are never shown
    #[command(visible_alias = "list")]
    Show(KeyShow),
    /// Print a new random secret in hexadecimal
    #[command(after_help = KEY_NEW_NOTES)]
    New(KeyNew),
}

const KEY_SET_NOTES: &str = "\
The secret is 8, 16 or 32 bytes for a device with auth cookie8, cookie16 or cookie32, and 8 to 128
bytes for auth hmac. A file is refused if its mode gives any permission to the group or to others.
Without --file, the secret comes from standard input.

A device sends with one key. Once a new key sends, the former key only accepts, or is deleted if it
was set with --send. So both ends can change their keys without losing a packet: set the new key with
--accept at both ends, then without --accept at both ends, then delete the old key.";

const KEY_NEW_NOTES: &str = "\
Examples:
  (umask 077; rfou key new --auth hmac >key)
  rfou key set gue0 --key-id 1 --hex --file key";

/// The words that choose a key.
#[derive(Args, Debug)]
pub struct KeyName {
    /// Name of the device
    #[arg(value_name = "DEVICE", value_parser = device)]
    pub device: String,
    /// Number of the key, 0 to 4294967295; auth hmac needs the same number at both ends
    #[arg(long, value_name = "N")]
    pub key_id: u32,
}

fn device(text: &str) -> Result<String, String> {
    match text.len() {
        1..=15 => Ok(text.into()),
        _ => Err("the name of a device has 1 to 15 characters".into()),
    }
}

#[derive(Args, Debug)]
pub struct KeySet {
    #[command(flatten)]
    pub name: KeyName,
    /// File with the secret; '-' is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Only receive packets with this key
    #[arg(long)]
    pub accept: bool,
    /// Only send packets with this key
    #[arg(long, conflicts_with = "accept")]
    pub send: bool,
    /// Let the HMAC cover zeros instead of the outer addresses, which NAT changes; needs auth hmac, and
    /// --accept or --send
    #[arg(long)]
    pub nat: bool,
    /// The secret is in hexadecimal; white space is ignored
    #[arg(long)]
    pub hex: bool,
}

#[derive(Args, Debug)]
pub struct KeyDel {
    #[command(flatten)]
    pub name: KeyName,
}

#[derive(Args, Debug)]
pub struct KeyShow {
    /// Show only the keys of this device
    #[arg(value_name = "DEVICE", value_parser = device)]
    pub device: Option<String>,
}

#[derive(Args, Debug)]
pub struct KeyNew {
    /// The auth of the device that the secret is for
    #[arg(long, value_name = "AUTH", value_enum)]
    pub auth: Auth,
}

/// An auth that has secrets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Auth {
    Cookie8,
    Cookie16,
    Cookie32,
    Hmac,
}

const LINK_NOTES: &str = "\
'ip' adds, changes and deletes gue devices:
  ip link add gue0 type gue id 5 local 192.0.2.1 remote 192.0.2.2
  ip link help gue                        show all options
'rfou apply' makes them match a file.";

const CHECK_NOTES: &str = "\
Exit status: 0 if nothing is left to do, 1 if something is; others as in 'rfou help'.";

const PING_NOTES: &str = "\
The kernel of the other end answers. Neither end needs an address inside the tunnel. Linux's fou does
not answer. Ctrl-C ends ping and prints the summary.

Exit status: 0 if an answer came, 1 if none came; others as in 'rfou help'.";

#[derive(Args, Debug)]
pub struct PingArgs {
    /// Name of the device
    #[arg(value_name = "DEVICE", value_parser = device)]
    pub device: String,
    /// End after this number of requests; without it, run until Ctrl-C
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Seconds between two requests
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub interval: f64,
    /// Seconds to wait for each answer
    #[arg(short = 'W', long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub timeout: f64,
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("not a number of seconds from 0.01 to 3600".into()),
    }
}

#[derive(Args, Debug)]
pub struct TopArgs {
    /// Seconds between two screens
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub delay: f64,
    /// Print a table for each interval, without a screen
    #[arg(short, long)]
    pub batch: bool,
    /// End after this number of intervals
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Order of the rows
    #[arg(short, long, value_name = "KEY", value_enum, default_value_t = Sort::RxPackets)]
    pub sort: Sort,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("not a number of seconds from 0.1 to 3600".into()),
    }
}

/// An order of rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Sort {
    Name,
    RxPackets,
    RxBytes,
    TxPackets,
    TxBytes,
    Drops,
}

#[derive(Args, Debug)]
pub struct MonitorArgs {
    /// Print the time of each change
    #[arg(short, long)]
    pub timestamp: bool,
    /// End after this number of changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// TOML file, see rfou.toml(5); '-' is standard input (with --from-system: standard output)
    #[arg(value_name = "FILE", required_unless_present = "from_system", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Print the changes that would be made, and make none
    #[arg(short = 'n', long, conflicts_with = "from_system")]
    pub dry_run: bool,
    /// Remove ports and gue devices that are not in the file, as 'exclusive = true' in the file does
    #[arg(long, conflicts_with = "from_system")]
    pub exclusive: bool,
    /// Set all keys of the file anew; without it, set only keys that are missing or whose direction or
    /// nat differs, because secrets cannot be compared
    #[arg(long, conflicts_with = "from_system")]
    pub rekey: bool,
    /// Also wait for missing interfaces and local addresses, and make the ports and gue devices that need
    /// them when they come; end when nothing waits
    #[arg(long, conflicts_with_all = ["dry_run", "from_system"])]
    pub wait: bool,
    /// Write a file that describes the present ports, devices and keys, to FILE or to standard output
    #[arg(long)]
    pub from_system: bool,
    /// With --from-system: overwrite FILE
    #[arg(long, requires = "from_system")]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Include the ports and gue devices of this file in the check of the firewall
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct ManArgs {
    /// Write rfou.8, a page for each command, and rfou.toml.5 into this folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Page to print
    #[arg(
        value_name = "PAGE",
        conflicts_with = "dir",
        default_value = "rfou",
        hide_default_value = true
    )]
    pub page: String,
}

#[derive(Args, Debug)]
pub struct CompletionsArgs {
    #[arg(value_name = "SHELL", action = ArgAction::Set, value_enum)]
    pub shell: Shell,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}
