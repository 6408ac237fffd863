// SPDX-License-Identifier: GPL-2.0

//! `rfou apply --wait`: ports and devices that lack an interface or a local address are made when it comes.
//!
//! At boot the file is applied before other programs make tunnels, and thus before they configure addresses.

use super::{apply, parse, read, Options, Waiting};
use crate::{
    arrivals::Arrivals,
    config::Config,
    error::{Error, Result},
    plan::How,
    systemd,
};
use std::path::Path;

/// Applies the file, and then, as long as ports or devices wait, applies their part of the file after each arrival.
/// `config` is parsed from `text`, the text of the file.
pub fn run(
    file: &Path,
    text: &str,
    mut config: Config,
    mut how: How,
    options: Options,
) -> Result<u8> {
    // Before the first look at the system, so that no arrival is missed.
    let mut arrivals = Arrivals::subscribe()?;
    let mut waiting = Waiting::new();
    let mut status = 0;
    loop {
        let (failed, still) = apply(&config, how, options, &waiting)?;
        status = if status == 0 { failed } else { status };
        waiting = still;
        tell_systemd(&waiting, status)?;
        if waiting.is_empty() {
            return Ok(status);
        }
        let mut told = String::new();
        config = loop {
            arrivals.wait()?;
            match reread(file, text) {
                Ok(config) => break config,
                // Print the same error once, because interfaces may come and go often.
                Err(error) if error.message == told => (),
                Err(error) => {
                    crate::complain(&error, options.output);
                    told = error.message;
                }
            }
        };
        // The other ports and devices may have been changed since, by the user or by other programs.
        config.keep(|name| waiting.contains_key(name));
        how.exclusive = false;
    }
}

/// Reads the file again: the user may have changed it, and removed ports and devices that wait.
fn reread(file: &Path, text: &str) -> Result<Config> {
    match file == Path::new("-") {
        true => parse(file, text),
        false => parse(file, &read(file)?),
    }
}

/// Tells systemd that the service is ready, because all steps that are possible now are done. A service that has failed
/// and waits for nothing is not ready. A service that waits is ready, and reports a failure by its exit status when it
/// ends.
fn tell_systemd(waiting: &Waiting, status: u8) -> Result {
    if waiting.is_empty() && status != 0 {
        return Ok(());
    }
    let text = status_of(waiting.keys().map(String::as_str));
    systemd::notify(&format!("READY=1\nSTATUS={text}"))
        .map_err(|error| Error::io("telling systemd", &error))
}

/// The longest list of names, in bytes. systemd ignores a message of more than 4096 bytes, and READY=1 with it.
const LONGEST_STATUS: usize = 2048;

/// Returns the text that `systemctl status` shows: the names, and the number of names that did not fit.
fn status_of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let mut text = String::new();
    for (told, name) in names.enumerate() {
        if text.len() + name.len() > LONGEST_STATUS {
            return format!("{text} and {} more", count - told);
        }
        text += if told == 0 { "Waiting: " } else { ", " };
        text += name;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::status_of;

    #[test]
    fn status_fits_into_a_message_to_systemd() {
        assert_eq!(status_of([].into_iter()), "");
        assert_eq!(
            status_of(["link a", "link b"].into_iter()),
            "Waiting: link a, link b"
        );
        let names: Vec<_> = (0..1000)
            .map(|number| format!("link gue{number}"))
            .collect();
        let text = status_of(names.iter().map(String::as_str));
        assert!(text.len() < 2100 && text.ends_with(" more"), "{text}");
    }
}
