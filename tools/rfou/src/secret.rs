// SPDX-License-Identifier: GPL-2.0

//! Secrets of keys: from files, from standard input, new ones. Every copy in this process is wiped.

use crate::error::{Error, Kind, Result};
use rustix::rand::{getrandom, GetRandomFlags};
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, IsTerminal, Read},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
};
use zeroize::Zeroizing;

/// The length of the longest secret.
const MAX: usize = 128;
/// The longest file that is read: a secret in hexadecimal, with room for white space.
const MAX_FILE: usize = 4096;

/// The form of a secret in a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// The bytes as they are.
    Raw,
    /// Hexadecimal digits and white space.
    Hex,
}

/// The secret of a key. The type has no `Debug` and no `Display`, so that no message can show the secret.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Reads a file that only its owner may read.
    pub fn from_file(path: &Path, form: Form) -> Result<Self> {
        let at_fault = |error: io::Error| Error::io(path.display(), &error);
        let file = File::open(path).map_err(at_fault)?;
        let metadata = file.metadata().map_err(at_fault)?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 && !metadata.is_dir() {
            let message = format!(
                "{}: other users may use this file (mode {mode:03o})",
                path.display()
            );
            let hint = format!("'chmod 600 {}' keeps them out", path.display());
            return Err(Error::usage(message).hint(hint));
        }
        Self::read(file, form, &path.display().to_string())
    }

    /// Reads standard input, which is a terminal only if the caller asked for that.
    pub fn from_stdin(form: Form, terminal: bool) -> Result<Self> {
        let stdin = io::stdin();
        if stdin.is_terminal() && !terminal {
            return Err(Error::usage("no file with the secret is given")
                .hint("'--file FILE' reads a file, '--file -' reads the terminal"));
        }
        // Bypass the buffer of `Stdin`, which is never wiped.
        let file = stdin.as_fd().try_clone_to_owned();
        let file = file.map_err(|error| Error::io("standard input", &error))?;
        Self::read(File::from(file), form, "standard input")
    }

    /// Returns a new secret of a number of bytes.
    pub fn random(length: usize) -> Result<Self> {
        let mut bytes = Zeroizing::new(vec![0; length]);
        // Up to 256 bytes come at once.
        let got = getrandom(&mut bytes[..], GetRandomFlags::empty());
        match got.map_err(|error| Error::io("getrandom", &error.into()))? {
            got if got == length => Ok(Self(bytes)),
            _ => Err(Error::new(Kind::Failed, "getrandom gave too few bytes")),
        }
    }

    fn read(mut file: File, form: Form, name: &str) -> Result<Self> {
        // One byte more than is accepted. A vector that grows leaves its old bytes in memory.
        let mut bytes = Zeroizing::new(vec![0; MAX_FILE + 1]);
        let mut length = 0;
        while length < bytes.len() {
            match file.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(Error::io(name, &error)),
            }
        }
        match length {
            0..=MAX_FILE => Self::parse(&bytes[..length], form),
            _ => Err(too_long()),
        }
        .map_err(|error| error.context(name))
    }

    fn parse(bytes: &[u8], form: Form) -> Result<Self> {
        let secret = match form {
            Form::Raw => Self(Zeroizing::new(bytes.to_vec())),
            Form::Hex => Self(from_hex(bytes)?),
        };
        match secret.0.len() {
            0 => Err(Error::usage("the secret is empty")),
            1..=MAX => Ok(secret),
            _ => Err(too_long()),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the secret in hexadecimal.
    pub fn hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * self.0.len()));
        for byte in self.0.iter() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Returns a way out if the bytes look like a mistake of the form.
    pub fn advice(&self) -> Option<&'static str> {
        let text = self.0.trim_ascii();
        if text.len() > 1 && text.iter().all(u8::is_ascii_hexdigit) {
            return Some("these are hexadecimal digits: --hex (hex = true) reads them as such");
        }
        self.0
            .ends_with(b"\n")
            .then_some("the newline at the end counts: 'printf %s' writes none")
    }
}

fn too_long() -> Error {
    Error::usage(format!(
        "a secret has at most {MAX} bytes; this one has more"
    ))
}

/// Reads hexadecimal digits.
fn from_hex(text: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    let mut high = None;
    for (place, &character) in (1..).zip(text) {
        if character.is_ascii_whitespace() {
            continue;
        }
        let Some(digit) = char::from(character).to_digit(16) else {
            return Err(Error::usage(format!(
                "byte {place} is not a hexadecimal digit"
            )));
        };
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push((high << 4 | digit) as u8),
        }
    }
    match high {
        None => Ok(bytes),
        Some(_) => Err(Error::usage("the number of hexadecimal digits is odd")),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

    /// A file with a mode, which is removed at the end.
    pub struct Temporary(pub PathBuf);

    impl Temporary {
        pub fn new(name: &str, bytes: &[u8], mode: u32) -> Self {
            let path = std::env::temp_dir().join(format!("rfou-{name}-{}", std::process::id()));
            let _ = fs::remove_file(&path);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn refused(bytes: &[u8], form: Form) -> Error {
        Secret::parse(bytes, form).map(|_| ()).unwrap_err()
    }

    #[test]
    fn raw_bytes_are_taken_as_they_are() {
        for bytes in [&b"a\n"[..], &[0; 16], &[255; 128]] {
            assert_eq!(Secret::parse(bytes, Form::Raw).unwrap().bytes(), bytes);
        }
        assert!(refused(b"", Form::Raw).message.contains("empty"));
        assert!(refused(&[1; 129], Form::Raw).message.contains("128 bytes"));
    }

    #[test]
    fn hexadecimal_digits_are_read_without_white_space() {
        let secret = Secret::parse(b" 00 fF\n\t0a\n", Form::Hex).unwrap();
        assert_eq!(secret.bytes(), [0, 255, 10]);
        assert_eq!(*secret.hex(), "00ff0a");
        let digits = [b'0'; 258];
        assert_eq!(
            Secret::parse(&digits[..256], Form::Hex).unwrap().bytes(),
            [0; 128]
        );
        for (wrong, told) in [
            (&b"0"[..], "odd"),
            (b"00 0", "odd"),
            (b"0x00", "byte 2 is not"),
            (b"00\0", "byte 3 is not"),
            (b" \n", "empty"),
            (&digits, "128 bytes"),
        ] {
            let error = refused(wrong, Form::Hex);
            assert!(error.message.contains(told), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_may_use_is_refused_with_the_way_out() {
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            let file = Temporary::new("mode", b"0123456789abcdef", mode);
            let read = Secret::from_file(&file.0, Form::Raw);
            assert_eq!(read.is_ok(), fine, "{mode:o}");
            let Err(error) = read else { continue };
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.message.contains(&format!("mode {mode:o}")), "{error}");
            assert!(error.hint.unwrap().contains("chmod 600 /"));
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let error = Secret::from_file(Path::new("/nowhere/key"), Form::Raw);
        let error = error.map(|_| ()).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.message.contains("/nowhere/key"));
        let folder = Secret::from_file(Path::new("/"), Form::Raw);
        assert!(folder
            .map(|_| ())
            .unwrap_err()
            .message
            .contains("directory"));
        let mut text = [b' '; MAX_FILE + 1];
        text[..2].copy_from_slice(b"00");
        let long = Temporary::new("long", &text, 0o600);
        let error = Secret::from_file(&long.0, Form::Hex)
            .map(|_| ())
            .unwrap_err();
        assert!(
            error.message.contains("128 bytes"),
            "no part of a file is left out"
        );
    }

    #[test]
    fn new_secrets_differ_and_are_long_enough() {
        let (a, b) = (Secret::random(16).unwrap(), Secret::random(16).unwrap());
        assert_eq!(a.bytes().len(), 16);
        assert_ne!(a.bytes(), b.bytes());
        assert_eq!(
            Secret::parse(a.hex().as_bytes(), Form::Hex)
                .unwrap()
                .bytes(),
            a.bytes()
        );
    }

    #[test]
    fn advice_is_given_for_digits_and_newlines() {
        let advice = |bytes: &[u8]| Secret::parse(bytes, Form::Raw).unwrap().advice();
        assert!(advice(b"00ff00ff00ff00ff\n").unwrap().contains("--hex"));
        assert!(advice(b"a secret\n").unwrap().contains("newline"));
        assert_eq!(advice(b"a secret"), None);
    }
}
