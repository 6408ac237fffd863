// SPDX-License-Identifier: GPL-2.0

//! Output: text with colours on terminals, tables, JSON.

use crate::{
    cli::When,
    error::{Error, Result},
};
use serde::Serialize;
use std::{
    io::{self, IsTerminal, Write},
    process,
};

/// The form of the output.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
    pub color: bool,
}

/// A colour, by its meaning.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    Good,
    Bad,
    Note,
    Bold,
}

impl Output {
    pub fn new(json: bool, color: When) -> Self {
        let terminal = || io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            json,
            color: match color {
                When::Always => true,
                When::Never => false,
                When::Auto => terminal(),
            },
        }
    }

    /// Returns the text in a colour, if there are colours.
    pub fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Good => "32",
            Style::Bad => "31",
            Style::Note => "33",
            Style::Bold => "1",
        };
        match self.color {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }

    /// Prints a value as one line of JSON, or the text.
    pub fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result {
        match self.json {
            true => write(&format!("{}\n", json(value)?)),
            false => write(&text()),
        }
    }
}

/// Returns a value as JSON.
pub fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::io("JSON", &error.into()))
}

/// Writes to standard output at once. Ends the process if the reader is gone.
pub fn write(text: &str) -> Result {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        done => done.map_err(|error| Error::io("standard output", &error)),
    }
}

/// Returns rows as a table with a heading, columns aligned.
pub fn table(output: Output, heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<_> = heading.iter().map(|cell| cell.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, &width) in cells.zip(&widths) {
            line += &format!("{cell:width$}  ");
        }
        line.trim_end().to_string()
    };
    let heading = line(&mut heading.iter().copied());
    let mut text = output.paint(Style::Bold, &heading) + "\n";
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
        text.push('\n');
    }
    text
}

/// Returns a number of bytes with a unit.
pub fn bytes(number: u64) -> String {
    scaled(number as f64, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

fn scaled(mut number: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < units.len() {
        number /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{number:.0} {}", units[0]),
        _ => format!("{number:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Output = Output {
        json: false,
        color: false,
    };

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["1".to_string(), "b".to_string()],
            vec!["55555".to_string(), String::new()],
        ];
        assert_eq!(
            table(PLAIN, &["PORT", "X"], &rows),
            "PORT   X\n1      b\n55555\n"
        );
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn colours_only_if_asked_for() {
        assert_eq!(PLAIN.paint(Style::Bad, "x"), "x");
        let colourful = Output {
            color: true,
            ..PLAIN
        };
        assert_eq!(colourful.paint(Style::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
