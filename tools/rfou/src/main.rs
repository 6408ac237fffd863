// SPDX-License-Identifier: GPL-2.0

//! `rfou`: shows and configures UDP encapsulation on Linux.

mod arrivals;
mod cli;
mod commands;
mod config;
mod error;
mod genl;
mod keys;
mod links;
mod netlink;
mod netns;
mod output;
mod peers;
mod plan;
mod port;
mod ports;
mod protocol;
mod secret;
mod systemd;

use clap::Parser;
use cli::{Cli, Command};
use error::{Error, Result};
use output::{Output, Style};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let output = Output::new(cli.global.json, cli.global.color);
    match run(&cli, output) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(&error, output);
            ExitCode::from(error.kind.status())
        }
    }
}

fn run(cli: &Cli, output: Output) -> Result<u8> {
    if let Some(name) = &cli.global.netns {
        netns::enter(name)?;
    }
    let which = cli.global.family;
    let done = match &cli.command {
        Command::Port(command) => commands::port::run(command, which, output),
        Command::Link(command) => commands::link::run(command, output),
        Command::Key(command) => commands::key::run(command, output),
        Command::Ping(args) => return commands::ping::run(args, output),
        Command::Top(args) => commands::top::run(args, which, output),
        Command::Monitor(args) => commands::monitor::run(args, which, output),
        Command::Apply(args) => return commands::apply::run(args, which, output),
        Command::Check(args) => return commands::check::run(args, which, output),
        Command::Man(args) => commands::generate::man(args),
        Command::Completions(args) => commands::generate::completions(args),
    };
    done.map(|()| 0)
}

/// Prints help, or an error of the command line, which is JSON if that was asked for.
fn misused(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args().any(|word| word == "--json" || word == "-j");
    if !wants_json || !error.use_stderr() {
        error.exit();
    }
    let text = error.to_string();
    let told = text.split("\n\nUsage:").next().unwrap_or("");
    let told = told.split("\n\nFor more").next().unwrap_or("");
    let words: Vec<_> = told
        .trim_start_matches("error: ")
        .split_whitespace()
        .collect();
    let error = Error::usage(words.join(" ")).hint("--help shows the arguments");
    eprintln!("{}", serde_json::json!({ "error": error }));
    ExitCode::from(error.kind.status())
}

/// Prints an error to standard error.
fn complain(error: &Error, output: Output) {
    if output.json {
        let value = serde_json::json!({ "error": error });
        eprintln!("{value}");
        return;
    }
    let stderr = Output {
        color: output.color && std::io::IsTerminal::is_terminal(&std::io::stderr()),
        ..output
    };
    eprintln!("{} {error}", stderr.paint(Style::Bad, "rfou:"));
    if let Some(hint) = &error.hint {
        eprintln!("      {hint}");
    }
}
